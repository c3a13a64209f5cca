//! What the service manager is told (sd_notify(3)): ready, reloading, stopping, how it goes, and
//! that every shard is alive.
//!
//! Invariants: N1 the watchdog is fed only when every shard has turned since it was fed last, or
//! has ended its drain; N2 "ready" is said when every shard has turned. Telling never waits: the
//! manager that does not read is told less.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::bridge::Bridge;
use super::event::Event;
use crate::limits::{
    HOUSEKEEPING_MS, NOTIFY_LOOK_MS, NOTIFY_START_LOOK_MS, NOTIFY_STATUS_MS, STOP_MARGIN_MS,
};
use crate::metrics::{Board, Metric};

/// The way to the service manager. Clones are the same way; the default leads nowhere.
#[derive(Clone, Debug, Default)]
pub struct Notifier {
    socket: Option<Arc<UnixDatagram>>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// As the environment says: `NOTIFY_SOCKET`, and `WATCHDOG_USEC` with `WATCHDOG_PID`.
    pub fn from_env() -> Notifier {
        Notifier::from(|name| std::env::var_os(name))
    }

    fn from(variable: impl Fn(&str) -> Option<OsString>) -> Notifier {
        let Some(path) = variable("NOTIFY_SOCKET") else { return Notifier::default() };
        let socket = connect(&path).inspect_err(|error| {
            tracing::warn!(%error, ?path, "the service manager can't be told anything");
        });
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| is_ours && *usec > 0);
        Notifier {
            socket: socket.ok().map(Arc::new),
            watchdog: watchdog.map(Duration::from_micros),
        }
    }

    /// Whether there is anybody to be told.
    pub fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// The service serves (again).
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// The configuration is being read anew; [`Self::ready`] has to follow.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
        let now_us = now.unwrap_or_default().as_micros();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}"));
    }

    /// The service ends, which may take so long.
    pub fn stopping(&self, at_most: Duration) {
        let at_most_us = at_most.as_micros();
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={at_most_us}"));
    }

    /// One line for people.
    pub fn status(&self, text: &str) {
        self.tell(&format!("STATUS={text}"));
    }

    fn feed_watchdog(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, state: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(state.as_bytes())
        {
            tracing::debug!(%error, state, "the service manager was not told");
        }
    }
}

fn connect(path: &OsString) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match path.as_bytes() {
        [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        _ => socket.connect(path)?,
    }
    Ok(socket)
}

/// Tells the manager what there is to tell, until `stop`. Raises `has_begun` when it was told that
/// the service serves, or when there is nobody to be told.
pub async fn keep_told(bridge: &Bridge, notifier: &Notifier, has_begun: &Event, stop: &Event) {
    if notifier.is_connected() {
        stop.unless_raised(tell_all(bridge, notifier, has_begun)).await;
    } else {
        has_begun.raise();
    }
}

async fn tell_all(bridge: &Bridge, notifier: &Notifier, has_begun: &Event) {
    let mut progress = Progress::new(bridge.board.shards());
    while !progress.is_everywhere(&bridge.board) {
        tokio::time::sleep(Duration::from_millis(NOTIFY_START_LOOK_MS)).await;
    }
    notifier.ready();
    has_begun.raise();
    let look = look_interval(notifier.watchdog);
    let (mut told_stopping, mut status_at) = (false, Instant::now());
    loop {
        let is_draining = bridge.drain.is_raised();
        if is_draining && !std::mem::replace(&mut told_stopping, true) {
            let timeout_ms = bridge.state.in_force().drain.timeout_ms;
            notifier.stopping(Duration::from_millis(timeout_ms + STOP_MARGIN_MS));
        }
        if progress.is_everywhere(&bridge.board) {
            notifier.feed_watchdog();
        }
        if is_draining || Instant::now() >= status_at {
            status_at = Instant::now() + Duration::from_millis(NOTIFY_STATUS_MS);
            notifier.status(&status_of(bridge));
        }
        let wait = tokio::time::sleep(look);
        if is_draining {
            wait.await;
        } else {
            bridge.drain.unless_raised(wait).await;
        }
    }
}

/// Four looks in the time of the watchdog, so that one that comes late is no disaster.
fn look_interval(watchdog: Option<Duration>) -> Duration {
    let most = Duration::from_millis(NOTIFY_LOOK_MS);
    let Some(watchdog) = watchdog else { return most };
    if watchdog < Duration::from_millis(2 * HOUSEKEEPING_MS) {
        // An idle shard turns for its housekeeping only.
        tracing::warn!(?watchdog, "the watchdog's time is too short; WatchdogSec=20s is usual");
    }
    most.min(watchdog / 4)
}

fn status_of(bridge: &Bridge) -> String {
    let total = |metric| bridge.board.total(metric);
    format!(
        "{}: {} connections on {} shards, {} topics",
        bridge.state.stage().as_str(),
        total(Metric::ConnectionsOpen),
        bridge.board.shards(),
        total(Metric::Topics),
    )
}

/// Which turns were seen of each shard.
struct Progress {
    seen: Vec<u64>,
}

impl Progress {
    fn new(shards: u16) -> Self {
        Progress { seen: vec![0; usize::from(shards)] }
    }

    /// Whether every shard has turned since this was last true, or has turned and ended.
    fn is_everywhere(&mut self, board: &Board) -> bool {
        let turns: Vec<u64> = board.per_shard(Metric::Turns).collect();
        let running = board.per_shard(Metric::ShardsRunning);
        let mut each = turns.iter().zip(&self.seen).zip(running);
        let is_everywhere =
            each.all(|((turns, seen), running)| turns != seen || (*turns > 0 && running == 0));
        if is_everywhere {
            self.seen = turns;
        }
        is_everywhere
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ShardId;
    use crate::metrics::ShardCounters;

    fn manager(name: &str) -> (UnixDatagram, OsString) {
        let name = format!("ringwire-notify-{}-{name}", std::process::id());
        let addr = SocketAddr::from_abstract_name(&name).expect("a name");
        let manager = UnixDatagram::bind_addr(&addr).expect("bound");
        (manager, format!("@{name}").into())
    }

    fn heard(manager: &UnixDatagram) -> String {
        let mut octets = [0; 512];
        let len = manager.recv(&mut octets).expect("a datagram");
        String::from_utf8(octets[..len].to_vec()).expect("text")
    }

    fn notifier(path: &OsString, usec: &str, pid: u32) -> Notifier {
        Notifier::from(|name| match name {
            "NOTIFY_SOCKET" => Some(path.clone()),
            "WATCHDOG_USEC" => Some(usec.into()),
            "WATCHDOG_PID" => Some(pid.to_string().into()),
            _ => None,
        })
    }

    #[test]
    fn the_manager_hears_what_it_documents() {
        let (manager, path) = manager("words");
        let notifier = notifier(&path, "20000000", std::process::id());
        assert_eq!(notifier.watchdog, Some(Duration::from_secs(20)));
        notifier.ready();
        assert_eq!(heard(&manager), "READY=1");
        notifier.stopping(Duration::from_secs(40));
        assert_eq!(heard(&manager), "STOPPING=1\nEXTEND_TIMEOUT_USEC=40000000");
        notifier.status("fine");
        assert_eq!(heard(&manager), "STATUS=fine");
        notifier.reloading();
        let reloading = heard(&manager);
        let usec = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("a time");
        assert!(usec.parse::<u64>().expect("a number") > 0);
    }

    #[test]
    fn a_watchdog_for_another_process_is_not_ours_and_no_manager_is_no_failure() {
        let (_manager, path) = manager("other");
        assert_eq!(notifier(&path, "20000000", 1).watchdog, None);
        assert_eq!(notifier(&path, "0", std::process::id()).watchdog, None);
        let gone = notifier(&"@nobody-listens-here".into(), "1", std::process::id());
        assert!(!gone.is_connected());
        gone.ready();
        Notifier::default().ready();
    }

    #[test]
    fn a_watchdog_is_looked_after_four_times_in_its_time() {
        assert_eq!(look_interval(None), Duration::from_secs(1));
        assert_eq!(look_interval(Some(Duration::from_secs(20))), Duration::from_secs(1));
        assert_eq!(look_interval(Some(Duration::from_secs(2))), Duration::from_millis(500));
    }

    #[test]
    fn one_shard_that_stands_still_is_no_progress_unless_it_has_ended() {
        let board = Board::new(2);
        let mut shards = [ShardCounters::new(), ShardCounters::new()];
        let mut turn = |shard: usize, running: u64| {
            shards[shard].set(Metric::ShardsRunning, running);
            shards[shard].inc(Metric::Turns);
            board.publish(ShardId(shard as u16), &mut shards[shard]);
        };
        let mut progress = Progress::new(2);
        assert!(!progress.is_everywhere(&board), "nobody has turned");
        turn(0, 1);
        assert!(!progress.is_everywhere(&board), "one has never turned");
        turn(1, 1);
        assert!(progress.is_everywhere(&board));
        assert!(!progress.is_everywhere(&board), "not since");
        turn(0, 1);
        turn(0, 1);
        assert!(!progress.is_everywhere(&board));
        turn(1, 0);
        assert!(progress.is_everywhere(&board));
        turn(0, 1);
        assert!(progress.is_everywhere(&board), "the other has ended");
    }
}
