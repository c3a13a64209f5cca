//! The control thread from its start to its end.
//!
//! Invariants: P1 it outlives the shards: it ends when told that they are gone, or by a failure of
//! its own; P2 however it ends, `kill` is raised then, so that no shard lives on unattended.

use std::io;

use super::admin::{AdminLimits, serve};
use super::bridge::Bridge;
use super::drain;
use super::event::Event;
use super::link::{Link, LinkEvents, LinkParts};
use super::listen::AdminListener;
use super::notices;
use super::notify::{self, Notifier};
use super::signals::{Hangup, Received, Termination};

/// What the control thread needs. Everything that can fail for an operator's mistake (addresses,
/// limits) was done before.
pub struct PlaneConfig {
    /// The admin interface, if there is to be one.
    pub admin: Option<AdminListener>,
    /// Its bounds.
    pub admin_limits: AdminLimits,
    /// The state, the board and the order to drain, shared with whoever starts the server.
    pub bridge: Bridge,
    /// The way to the shards.
    pub link: LinkParts,
    /// Whether SIGTERM, SIGINT and SIGUSR2 are taken over: the first of them drains, the second of
    /// SIGTERM and SIGINT raises `kill`. A process that embeds the server may want to keep its own.
    pub takes_signals: bool,
    /// Tells the service manager, if there is one.
    pub notifier: Notifier,
    /// Told once signals are taken over: one that comes from then on is obeyed.
    pub started: std::sync::mpsc::Sender<()>,
    /// Raised when shards shall end without draining: they look at it whenever they wake, and all
    /// are woken.
    pub kill: Event,
    /// Raised by the server when every shard has ended.
    pub shards_gone: Event,
}

/// Raises its event when it goes out of scope (P2).
struct LastWill(Event);

impl Drop for LastWill {
    fn drop(&mut self) {
        self.0.raise();
    }
}

/// Runs the control plane on this thread until the shards are gone. `Err` means that it could not
/// start, or that the kernel has failed it.
pub fn run(config: PlaneConfig) -> io::Result<()> {
    let runtime = tokio_uring::Runtime::new(&tokio_uring::builder())?;
    // Made after the runtime, so that it speaks before the runtime goes, which may take long.
    let _last_will = LastWill(config.kill.clone());
    let result = runtime.block_on(control(config));
    match result {
        Ok(0) => Ok(()),
        Ok(jobs) => {
            tracing::warn!(jobs, "jobs did not end in time and are left behind");
            // Dropping it would wait for them without end.
            std::mem::forget(runtime);
            Ok(())
        }
        Err(error) => {
            // Nobody knows what jobs are still under way, so the same holds.
            std::mem::forget(runtime);
            Err(error)
        }
    }
}

async fn control(config: PlaneConfig) -> io::Result<usize> {
    let PlaneConfig {
        admin,
        admin_limits,
        bridge,
        link,
        takes_signals,
        notifier,
        started,
        kill,
        shards_gone,
    } = config;
    let termination = if takes_signals { Some(Termination::install()?) } else { None };
    // Without a configuration to read anew, SIGHUP ends the process as it always did.
    let takes_hangup = takes_signals && bridge.can_reload();
    let hangup = if takes_hangup { Some(Hangup::install()?) } else { None };
    // Whoever started us may have gone since; it is told by `shards_gone` then.
    started.send(()).unwrap_or_default();
    let (has_begun, stop) = (Event::new(), Event::new());
    let events = LinkEvents { drain: bridge.drain.clone(), kill: kill.clone(), stop: stop.clone() };
    let linked = Link::new(link, bridge.state.clone()).run(events);
    let served = async {
        match admin {
            Some(listener) => serve(listener, bridge.clone(), admin_limits, stop.clone()).await,
            None => Ok(()),
        }
    };
    let signalled = async {
        if let Some(termination) = termination {
            stop.unless_raised(obey(termination, &bridge, &kill)).await;
        }
        Ok(())
    };
    let reported = async {
        tokio::join!(
            drain::report(&bridge, &stop),
            notices::tell(&bridge, &stop),
            notify::keep_told(&bridge, &notifier, &has_begun, &stop),
        );
        Ok(())
    };
    let reloaded = async {
        if let Some(mut hangup) = hangup {
            stop.unless_raised(reload_at_each(&mut hangup, &bridge, &notifier, &has_begun)).await;
        }
        Ok(())
    };
    let ended = async {
        shards_gone.wait().await;
        stop.raise();
        Ok(())
    };
    let (jobs_left, (), (), (), (), ()) =
        tokio::try_join!(linked, served, signalled, reported, reloaded, ended)?;
    Ok(jobs_left)
}

/// The manager is told "ready" after each, so none is begun before it was told so first.
async fn reload_at_each(
    hangup: &mut Hangup,
    bridge: &Bridge,
    notifier: &Notifier,
    has_begun: &Event,
) {
    has_begun.wait().await;
    loop {
        hangup.next().await;
        notifier.reloading();
        // What came of it is in the log.
        let _told = bridge.reload().await;
        notifier.ready();
    }
}

/// The first signal drains. SIGUSR2 never does more than that: who has sent it may still stop the
/// service the usual way. The second of the others ends.
async fn obey(mut termination: Termination, bridge: &Bridge, kill: &Event) {
    let mut is_ending = false;
    loop {
        let received = termination.next().await;
        let ends = match received {
            Received::Drain => false,
            Received::Terminate | Received::Interrupt => true,
        };
        if ends && std::mem::replace(&mut is_ending, true) {
            tracing::warn!(signal = ?received, "ending without draining any further");
            // Later ones change nothing, but must not find their default action either.
            kill.raise();
        } else {
            tracing::info!(signal = ?received, "told to drain; a second SIGTERM ends at once");
            bridge.begin_drain();
        }
    }
}
