//! Real shards on real rings with a control plane, without the server around them.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ringwire::base::{Now, ShardId};
use ringwire::conn::outbox::EgressLimits;
use ringwire::control::reload::{Candidate, Change, Source};
use ringwire::control::{
    AdminAddr, AdminLimits, AdminListener, Bridge, DrainRules, Event, InForce, LinkParts, Notifier,
    PlaneConfig, ServerState, Stage, plane,
};
use ringwire::handler::{Ctx, Handler};
use ringwire::metrics::Board;
use ringwire::pubsub::envelope::{JobPanicked, Position, Refusal, Token};
use ringwire::pubsub::policy::Policies;
use ringwire::pubsub::tuning::Tuning;
use ringwire::ring::{
    ControlBell, Doorbell, Driver, DriverConfig, ListenAddr, ListenOptions, Listener, Wait,
};
use ringwire::shard::mailbox::{Mailbox, lane_capacity, mesh};
use ringwire::shard::{Admission, Shard, ShardConfig, Sleep};
use ringwire::ws::message::Message;
use ringwire::ws::protocol::Limits;

use crate::common::SOON;

const CONNECTIONS_MAX: u32 = 32;
const DRAIN: DrainRules =
    DrainRules { rate_per_s: 1_000, timeout_ms: 20_000, close_timeout_ms: 1_000, retry_ms_max: 0 };

/// Does what a client's message says: `sub TOPIC`, `job WORDS` (in capitals, on another thread) or
/// `job panic`.
pub(crate) struct Obedient;

impl Handler for Obedient {
    type Session = ();

    fn on_message(&mut self, ctx: &mut Ctx<'_, ()>, message: Message<'_>) {
        let text = String::from_utf8(message.payload.to_vec()).expect("text");
        match text.split_once(' ') {
            Some(("sub", topic)) => ctx.subscribe(topic, b"s").expect("room"),
            Some(("job", words)) => {
                let words = words.to_owned();
                let work = move || if words == "panic" { panic!() } else { words.to_uppercase() };
                assert!(ctx.spawn(work, job_done).is_ok(), "room for a job");
            }
            Some(_) | None => panic!("what is {text:?}?"),
        }
    }

    fn on_subscribed(
        &mut self,
        ctx: &mut Ctx<'_, ()>,
        topic: &str,
        _token: &Token,
        result: Result<Position, Refusal>,
    ) {
        result.expect("room");
        say(ctx, &format!("subscribed {topic}"));
    }
}

fn job_done(ctx: &mut Ctx<'_, ()>, result: Result<String, JobPanicked>) {
    say(ctx, result.as_deref().unwrap_or("it panicked"));
}

fn say(ctx: &mut Ctx<'_, ()>, text: &str) {
    let _outcome = ctx.send_text(text).expect("room for an answer");
}

/// A running system. Dropping it kills what still runs and checks that all threads ended well.
pub(crate) struct Rig {
    /// A listener for each shard, so that a test knows where it is.
    pub(crate) clients: Vec<SocketAddr>,
    pub(crate) admin: SocketAddr,
    pub(crate) bridge: Bridge,
    pub(crate) kill: Event,
    threads: Vec<JoinHandle<()>>,
}

impl Rig {
    pub(crate) fn start(shards: u16, takes_signals: bool) -> Rig {
        let (board, state) = (Board::new(shards), ServerState::new());
        state.put_in_force(InForce { drain: DRAIN, ..InForce::default() });
        let (bridge, asks) = Bridge::new(board.clone(), state.clone(), Event::new());
        let (kill, shards_gone) = (Event::new(), Event::new());
        let bell = Arc::new(ControlBell::new().expect("an eventfd"));
        let participants = usize::from(shards) + 1;
        let mut mailboxes = mesh(participants, lane_capacity(participants));
        let mailbox = mailboxes.pop().expect("the last one");

        let (rings_in, rings_out) = mpsc::channel();
        let (ended_in, ended) = mpsc::channel();
        let (mut clients, mut threads, mut go, mut bye) = (vec![], vec![], vec![], vec![]);
        for (me, mailbox) in (0..shards).map(ShardId).zip(mailboxes) {
            let listener = listen();
            clients.push(tcp(&listener));
            let ((go_in, start), (bye_in, leave)) = (mpsc::channel(), mpsc::channel());
            let thread = ShardThread {
                me,
                board: board.clone(),
                bell: Arc::clone(&bell),
                kill: kill.clone(),
                rings: rings_in.clone(),
                start,
                ended: ended_in.clone(),
                leave,
            };
            threads.push(std::thread::spawn(move || thread.run(mailbox, listener)));
            go.push(go_in);
            bye.push(bye_in);
        }
        let mut rings = vec![-1; usize::from(shards)];
        for _ in 0..shards {
            let (shard, ring): (ShardId, RawFd) = rings_out.recv_timeout(SOON).expect("a ring");
            rings[shard.index()] = ring;
        }
        for go in &go {
            go.send(rings.clone()).expect("it waits");
        }
        let doorbell = Doorbell::new(rings).expect("a ring");
        let listener = AdminListener::bind(&"127.0.0.1:0".parse().expect("an address"));
        let listener = listener.expect("bound");
        let Ok(AdminAddr::Tcp(admin)) = listener.local_addr() else { panic!("a TCP listener") };
        let config = PlaneConfig {
            started: std::sync::mpsc::channel().0,
            admin: Some(listener),
            admin_limits: AdminLimits::default(),
            bridge: bridge.clone().with_source(Some(Arc::new(Reread))),
            link: LinkParts {
                mailbox,
                doorbell,
                bell,
                asks,
                publish_bytes_max: 64 * 1024,
                board: Arc::clone(&bridge.board),
            },
            takes_signals,
            notifier: Notifier::default(),
            kill: kill.clone(),
            shards_gone: shards_gone.clone(),
        };
        threads.push(std::thread::spawn(move || {
            plane::run(config).expect("the control plane ends well");
            // Only now may the rings go: until here they could be rung.
            drop(bye);
        }));
        threads.push(std::thread::spawn(move || {
            (0..shards).for_each(|_| ended.recv().expect("each shard says when it has ended"));
            shards_gone.raise();
        }));
        state.advance(Stage::Ready);
        Rig { clients, admin, bridge, kill, threads }
    }

    /// Waits until every thread has ended.
    pub(crate) fn join(mut self) {
        self.threads.drain(..).for_each(|thread| thread.join().expect("it ends well"));
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.kill.raise();
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "a thread panicked");
        }
    }
}

struct ShardThread {
    me: ShardId,
    board: Arc<Board>,
    bell: Arc<ControlBell>,
    kill: Event,
    rings: mpsc::Sender<(ShardId, RawFd)>,
    start: mpsc::Receiver<Vec<RawFd>>,
    ended: mpsc::Sender<()>,
    leave: mpsc::Receiver<()>,
}

impl ShardThread {
    fn run(self, mailbox: Mailbox, listener: Listener) {
        let mut driver = Driver::new(driver_config(listener, self.bell)).expect("a driver");
        self.rings.send((self.me, driver.ring_fd())).expect("somebody collects them");
        driver.set_peers(self.start.recv_timeout(SOON).expect("all rings"));
        let started = Instant::now();
        let now = || Now {
            monotonic_ms: started.elapsed().as_millis() as u64,
            unix_ms: 1_790_000_000_000,
        };
        let admission = Admission::new(CONNECTIONS_MAX as usize, 1);
        let seed = u64::from(self.me.0) + 1;
        let config = Arc::new(shard_config());
        let mut shard = Shard::new(self.me, config, admission, mailbox, Obedient, seed, now());
        while !shard.is_drained() && !self.kill.is_raised() {
            let sleep = shard.turn();
            shard.publish_counters(&self.board);
            let wait = match sleep {
                Sleep::No => Wait::Now,
                Sleep::UntilMs(at) => {
                    Wait::Until(Duration::from_millis(at.saturating_sub(now().monotonic_ms)))
                }
            };
            let (orders, staging) = shard.orders();
            driver.submit(orders, staging, wait).expect("the ring works");
            shard.begin(now());
            driver.completions(|completion| shard.on(completion));
        }
        self.ended.send(()).expect("somebody counts");
        assert!(self.leave.recv_timeout(SOON).is_err(), "nothing is sent, it is only dropped");
    }
}

fn listen() -> Listener {
    let addr = ListenAddr::Tcp("127.0.0.1:0".parse().expect("an address"));
    Listener::bind(&addr, ListenOptions { backlog: 64, unix_mode: 0o600 }).expect("bound")
}

fn tcp(listener: &Listener) -> SocketAddr {
    match listener.local_addr().expect("it has one") {
        ListenAddr::Tcp(addr) => addr,
        ListenAddr::Unix(path) => panic!("a Unix listener: {path:?}"),
    }
}

fn driver_config(listener: Listener, bell: Arc<ControlBell>) -> DriverConfig {
    DriverConfig {
        sq_entries: 64,
        cq_entries: 256,
        recv_buffers: 16,
        recv_buffer_bytes: 4096,
        files: 128,
        accepts_in_flight: 4,
        listeners: vec![listener],
        control: Some(bell),
        dial: Default::default(),
    }
}

fn shard_config() -> ShardConfig {
    ShardConfig {
        listeners: 1,
        connections_max: CONNECTIONS_MAX,
        arena_bytes: 1 << 20,
        egress: EgressLimits { bytes_max: 1 << 20, total_bytes_max: 16 << 20 },
        message: Limits::default(),
        deflate: None,
        head_bytes_max: 8192,
        ingress_total_bytes_max: 1 << 20,
        publish_bytes_max: 64 * 1024,
        subscriptions_max: 16,
        topics_max: 1024,
        home_topics_max: 1024,
        fanout_budget: ringwire::limits::FANOUT_BUDGET,
        policies: Policies::default(),
        heartbeat_interval_ms: 25_000,
        heartbeat_timeout_ms: 10_000,
        handshake_timeout_ms: 10_000,
        close_timeout_ms: 60_000,
    }
}

/// A configuration that is always the same, and says that it is not.
#[derive(Debug)]
struct Reread;

impl Source for Reread {
    fn read(&self) -> Result<Candidate, String> {
        let config = shard_config();
        let change = |key: &str, from: &str, to: &str| {
            let [key, from, to] = [key, from, to].map(str::to_owned);
            vec![Change { key, from, to }]
        };
        let tuning = Tuning {
            connections_total_max: config.connections_max as usize,
            egress_bytes_max: config.egress.bytes_max,
            egress_total_bytes_max: config.egress.total_bytes_max,
            message_bytes_max: config.message.message_bytes_max,
            fragments_max: config.message.fragments_max,
            head_bytes_max: config.head_bytes_max,
            ingress_total_bytes_max: config.ingress_total_bytes_max,
            publish_bytes_max: config.publish_bytes_max,
            subscriptions_max: config.subscriptions_max,
            topics_max: config.topics_max,
            home_topics_max: config.home_topics_max,
            policies: config.policies,
            heartbeat_interval_ms: config.heartbeat_interval_ms,
            heartbeat_timeout_ms: config.heartbeat_timeout_ms,
            handshake_timeout_ms: config.handshake_timeout_ms,
            close_timeout_ms: config.close_timeout_ms,
        };
        Ok(Candidate {
            tuning: Arc::new(tuning),
            in_force: InForce { drain: DRAIN, ..InForce::default() },
            applied: change("limits.subscriptions_max", "128", "256"),
            needs_restart: change("server.shards", "2", "4"),
            commit: Box::new(|| {}),
        })
    }
}
