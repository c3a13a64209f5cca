//! From a configuration to running threads, and back to none.
//!
//! Owns the order of things. Start: check the configuration, probe the host, bind, make every ring,
//! tell each shard the rings of the others, then accept. End: shards drain, the control plane ends,
//! and only then the rings go, because a shard may still wake another until the last has ended.

use std::any::Any;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use super::builder::{Running, ServerError};
use super::config::Config;
use super::plan::{self, Plan};
use super::shell::{self, Clock};
use super::tuning::shard_config;
use crate::base::ShardId;
use crate::control::admin::AdminLimits;
use crate::control::bridge::{Bridge, ServerState, Stage};
use crate::control::event::Event;
use crate::control::link::LinkParts;
use crate::control::listen::AdminListener;
use crate::control::notify::Notifier;
use crate::control::plane::{self, PlaneConfig};
use crate::control::reload::Source;
use crate::handler::Handler;
use crate::limits::{ACCEPTS_IN_FLIGHT, CQ_ENTRIES, SQ_ENTRIES};
use crate::metrics::Board;
use crate::ring::probe::{Features, diagnose, gather};
use crate::ring::{
    ControlBell, DialConfig, Doorbell, Driver, DriverConfig, ListenAddr, ListenOptions, Listener,
};
use crate::shard::mailbox::{Mailbox, lane_capacity, mesh};
use crate::shard::{Admission, Shard, ShardConfig};

/// What one shard's thread is given.
struct Seat {
    me: ShardId,
    driver: DriverConfig,
    config: Arc<ShardConfig>,
    admission: Arc<Admission>,
    mailbox: Mailbox,
    board: Arc<Board>,
    clock: Clock,
    rules: shell::Rules,
    seed: u64,
}

/// How a shard's thread and its supervisor speak.
struct Lines {
    /// The shard's ring, or why there is none.
    ring: Sender<(ShardId, std::io::Result<RawFd>)>,
    /// The rings of all; closed when the start has failed.
    peers: Receiver<Vec<RawFd>>,
    /// The shard has ended.
    ended: Sender<std::io::Result<()>>,
    /// Closed when the ring may go.
    release: Receiver<()>,
}

/// The supervisor's ends.
struct Crew {
    threads: Vec<JoinHandle<()>>,
    peers: Vec<Sender<Vec<RawFd>>>,
    rings: Receiver<(ShardId, std::io::Result<RawFd>)>,
    ended: Receiver<std::io::Result<()>>,
    release: Vec<Sender<()>>,
}

pub(super) fn start<H, F>(
    config: Config,
    source: Option<Arc<dyn Source>>,
    make: F,
) -> Result<Running, ServerError>
where
    H: Handler,
    F: Fn(ShardId) -> H + Send + Sync + 'static,
{
    config.check()?;
    let features = probe(&config)?;
    // The admin address first: a second server that is started by mistake fails there, before it
    // takes its share of the clients of the first (SO_REUSEPORT would let it).
    let admin = bind_admin(&config)?;
    let (addrs, listeners) = bind(&config)?;
    let admin_addr = admin.as_ref().map(AdminListener::local_addr).transpose();
    let admin_addr = admin_addr.map_err(kernel("asking where the admin interface listens"))?;
    let board = Board::new(config.shards);
    let state = ServerState::new();
    state.put_in_force(config.in_force());
    let drain = Event::new();
    let (bridge, asks) = Bridge::new(Arc::clone(&board), Arc::clone(&state), drain.clone());
    let bridge = bridge.with_source(source);
    let bell = Arc::new(ControlBell::new().map_err(kernel("making an eventfd"))?);
    let participants = usize::from(config.shards) + 1;
    let mut mailboxes = mesh(participants, lane_capacity(participants));
    let control_mailbox = mailboxes.pop().expect("the last one is the control plane's");

    let kill = Event::new();
    let seats = seats(&config, listeners, mailboxes, &board, &bell, &kill);
    // Until the shards are told each other's rings they accept nobody, and end if they never are.
    let crew = hire(seats, Arc::new(make))?;
    let rings = crew.gather_rings()?;
    let doorbell = Doorbell::new(rings.clone()).map_err(kernel("making the doorbell's ring"))?;
    let shards_gone = Event::new();
    let link = LinkParts {
        mailbox: control_mailbox,
        doorbell,
        bell,
        asks,
        publish_bytes_max: config.message_bytes_max,
        board: Arc::clone(&board),
    };
    let (started, has_started) = channel();
    let control = spawn_control(PlaneConfig {
        admin,
        admin_limits: AdminLimits::default(),
        bridge,
        link,
        takes_signals: config.handles_signals,
        notifier: if config.notifies_manager { Notifier::from_env() } else { Notifier::default() },
        started,
        kill: kill.clone(),
        shards_gone: shards_gone.clone(),
    })?;
    if has_started.recv().is_err() {
        let ended = join_control(control);
        let unknown = || std::io::Error::other("it ended before it had started");
        return Err(kernel("starting the control plane")(ended.err().unwrap_or_else(unknown)));
    }
    // Listeners are bound: who connects from now on is served, if only a moment later.
    state.advance(Stage::Ready);
    let plan = Plan::of(&config);
    let (supervisor_drain, gone) = (drain.clone(), shards_gone.clone());
    let supervisor = move || {
        crew.tell_rings(&rings);
        supervise(crew, control, &supervisor_drain, &gone)
    };
    let thread = Builder::new().name("ringwire".into()).spawn(supervisor).map_err(|error| {
        shards_gone.raise();
        kernel("starting a thread")(error)
    })?;
    let slow_drain = config.in_force().drain.warning(config.connections_max.into());
    let warnings = features.warnings.iter().map(ToString::to_string).chain(slow_drain).collect();
    Ok(Running { listen: addrs, admin: admin_addr, plan, warnings, drain, thread: Some(thread) })
}

fn probe(config: &Config) -> Result<Features, ServerError> {
    let needs = plan::needs(config);
    Ok(diagnose(&gather(&needs), &needs)?)
}

/// Listeners by shard, and where they listen.
fn bind(config: &Config) -> Result<(Vec<ListenAddr>, Vec<Vec<Listener>>), ServerError> {
    let shards = usize::from(config.shards);
    let options = ListenOptions { backlog: config.backlog as i32, unix_mode: config.unix_mode };
    let mut addrs = Vec::new();
    let mut by_shard: Vec<Vec<Listener>> = (0..shards).map(|_| Vec::new()).collect();
    for addr in &config.listen {
        let refused = |error| ServerError::Listen { addr: describe(addr), error };
        let listeners = Listener::bind_all(addr, options, shards).map_err(refused)?;
        addrs.push(listeners[0].local_addr().map_err(refused)?);
        for (shard, listener) in by_shard.iter_mut().zip(listeners) {
            shard.push(listener);
        }
    }
    for inherited in &config.inherited {
        let refused = |error| ServerError::Listen { addr: "an inherited socket".to_owned(), error };
        addrs.push(inherited.local_addr().map_err(refused)?);
        for shard in &mut by_shard {
            shard.push(inherited.try_clone().map_err(refused)?);
        }
    }
    Ok((addrs, by_shard))
}

fn bind_admin(config: &Config) -> Result<Option<AdminListener>, ServerError> {
    let Some(addr) = &config.admin else { return Ok(None) };
    let refused =
        |error| ServerError::Listen { addr: addr.to_string(), error: std::io::Error::other(error) };
    AdminListener::bind(addr).map(Some).map_err(refused)
}

/// An address as an operator writes it.
fn describe(addr: &ListenAddr) -> String {
    match addr {
        ListenAddr::Tcp(addr) => addr.to_string(),
        ListenAddr::Unix(path) => format!("unix:{}", path.display()),
    }
}

fn seats(
    config: &Config,
    listeners: Vec<Vec<Listener>>,
    mailboxes: Vec<Mailbox>,
    board: &Arc<Board>,
    bell: &Arc<ControlBell>,
    kill: &Event,
) -> Vec<Seat> {
    let shard_config = Arc::new(shard_config(config));
    let admission = Admission::new(config.connections_max as usize, usize::from(config.shards));
    let clock = Clock::new(Instant::now());
    let boot_seed = clock.now().unix_ms ^ u64::from(std::process::id()) << 48;
    let mut seats = Vec::new();
    for (index, (listeners, mailbox)) in listeners.into_iter().zip(mailboxes).enumerate() {
        seats.push(Seat {
            me: ShardId(index as u16),
            driver: DriverConfig {
                sq_entries: SQ_ENTRIES,
                cq_entries: CQ_ENTRIES,
                recv_buffers: config.recv_buffers,
                recv_buffer_bytes: config.recv_buffer_bytes,
                files: plan::files_per_shard(config),
                accepts_in_flight: ACCEPTS_IN_FLIGHT,
                listeners,
                control: Some(Arc::clone(bell)),
                dial: DialConfig::default(),
            },
            config: Arc::clone(&shard_config),
            admission: Arc::clone(&admission),
            mailbox,
            board: Arc::clone(board),
            clock,
            rules: shell::Rules {
                kill: kill.clone(),
                hang_while_exists: config.hang_while_exists.clone().filter(|_| index == 0),
            },
            seed: boot_seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(index as u64),
        });
    }
    seats
}

/// Starts the shards' threads. They make their rings and wait to be told of the others'.
fn hire<H, F>(seats: Vec<Seat>, make: Arc<F>) -> Result<Crew, ServerError>
where
    H: Handler,
    F: Fn(ShardId) -> H + Send + Sync + 'static,
{
    let (ring, rings) = channel();
    let (ended, has_ended) = channel();
    let mut crew =
        Crew { threads: vec![], peers: vec![], rings, ended: has_ended, release: vec![] };
    for seat in seats {
        let (peers, peers_told) = channel();
        let (release, released) = channel();
        let lines = Lines {
            ring: ring.clone(),
            peers: peers_told,
            ended: ended.clone(),
            release: released,
        };
        let make = Arc::clone(&make);
        let name = format!("ringwire-{}", seat.me.0);
        let thread = Builder::new().name(name).spawn(move || work(seat, &lines, &*make));
        crew.threads.push(thread.map_err(kernel("starting a shard's thread"))?);
        crew.peers.push(peers);
        crew.release.push(release);
    }
    Ok(crew)
}

/// The life of a shard's thread.
fn work<H: Handler>(seat: Seat, lines: &Lines, make: &dyn Fn(ShardId) -> H) {
    let _guard = AbortOnPanic;
    pin(seat.me);
    let mut driver = match Driver::new(seat.driver) {
        Ok(driver) => driver,
        Err(error) => {
            let told = lines.ring.send((seat.me, Err(error)));
            return told.unwrap_or_default();
        }
    };
    if lines.ring.send((seat.me, Ok(driver.ring_fd()))).is_err() {
        return;
    }
    let Ok(peers) = lines.peers.recv() else { return };
    driver.set_peers(peers);
    let now = seat.clock.now();
    let (config, handler) = (seat.config, make(seat.me));
    let mut shard =
        Shard::new(seat.me, config, seat.admission, seat.mailbox, handler, seat.seed, now);
    let result = shell::run(&mut shard, &mut driver, seat.clock, &seat.board, &seat.rules);
    if lines.ended.send(result).is_ok() {
        // Nothing is ever sent here: it ends when the supervisor lets go.
        let _released: Result<(), _> = lines.release.recv();
    }
}

/// Shards share cores round-robin where there are more shards than cores.
fn pin(me: ShardId) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if !cores.is_empty() && !core_affinity::set_for_current(cores[me.index() % cores.len()]) {
        tracing::warn!(shard = me.0, "the shard's thread could not be pinned to a core");
    }
}

/// A shard that panics has broken an invariant of ours. Its connections can't be served, and other
/// shards wait for its answers: the process ends at once, and its supervisor starts a new one.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

impl Crew {
    /// The rings of all shards, or the first reason why there is none.
    fn gather_rings(&self) -> Result<Vec<RawFd>, ServerError> {
        let mut rings = vec![-1; self.threads.len()];
        for _ in 0..self.threads.len() {
            let (shard, ring) = self.rings.recv().expect("each shard tells of its ring");
            rings[shard.index()] = ring.map_err(kernel("making a shard's ring"))?;
        }
        Ok(rings)
    }

    fn tell_rings(&self, rings: &[RawFd]) {
        for peers in &self.peers {
            peers.send(rings.to_vec()).expect("each shard waits for the rings of the others");
        }
    }
}

fn spawn_control(config: PlaneConfig) -> Result<JoinHandle<std::io::Result<()>>, ServerError> {
    let thread = Builder::new().name("ringwire-ctl".into());
    thread.spawn(move || plane::run(config)).map_err(kernel("starting a thread"))
}

/// Waits for the shards, then for the control plane, and lets the rings go.
fn supervise(
    crew: Crew,
    control: JoinHandle<std::io::Result<()>>,
    drain: &Event,
    shards_gone: &Event,
) -> Result<(), ServerError> {
    let mut first_error = Ok(());
    for _ in 0..crew.threads.len() {
        let ended = crew.ended.recv().expect("each shard tells when it ends");
        if let Err(error) = ended
            && first_error.is_ok()
        {
            first_error = Err(kernel("running a shard")(error));
            drain.raise();
        }
    }
    shards_gone.raise();
    let control = join_control(control);
    drop(crew.release);
    for thread in crew.threads {
        thread.join().expect("a shard that panics aborts the process");
    }
    first_error.and(control.map_err(kernel("running the control plane")))
}

fn join_control(control: JoinHandle<std::io::Result<()>>) -> std::io::Result<()> {
    control.join().unwrap_or_else(|panic| Err(panicked(&*panic)))
}

fn panicked(panic: &(dyn Any + Send)) -> std::io::Error {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    std::io::Error::other(text.unwrap_or_else(|| "panic".into()))
}

fn kernel(what: &'static str) -> impl Fn(std::io::Error) -> ServerError {
    move |error| ServerError::Kernel { what, error }
}
