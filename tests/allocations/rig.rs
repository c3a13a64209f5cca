//! A shard that echoes, without a kernel and with one, and one that serves topics. Between its
//! turns it allocates nothing of its own.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringwire::base::{ConnKey, Now, ShardId, Stopwatch};
use ringwire::conn::compression::CompressionConfig;
use ringwire::conn::outbox::EgressLimits;
use ringwire::handler::{Ctx, Handler};
use ringwire::limits;
use ringwire::metrics::Board;
use ringwire::pubsub::policy::Policies;
use ringwire::ring::{
    Completion, Driver, DriverConfig, FileSlot, ListenAddr, ListenOptions, Listener, ListenerId,
    Op, PeerAddr, Wait,
};
use ringwire::session::{JsonHandler, SessionConfig};
use ringwire::shard::mailbox::{Mailbox, mesh};
use ringwire::shard::{Admission, DeflateConfig, Shard, ShardConfig, Sleep};
use ringwire::ws::deflate::Policy;
use ringwire::ws::message::Message;
use ringwire::ws::partial::InflateTurn;
use ringwire::ws::protocol::Limits;

pub(crate) const HANDSHAKE: &[u8] =
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// Between two turns of the machine without a kernel: often enough a tick, a heartbeat that is due,
/// a housekeeping.
const TURN_MS: u64 = 3;
const HEARTBEAT_MS: u64 = 2_000;
pub(crate) const CONNECTIONS_MAX: u32 = 32;

/// A binary message as a client sends it.
pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    let masked = payload.iter().zip(KEY.iter().cycle()).map(|(octet, key)| octet ^ key);
    [header(0x80, payload.len()), KEY.to_vec(), masked.collect()].concat()
}

/// A short text message as a client sends it.
pub(crate) fn text_frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = frame(payload);
    frame[0] = 0x81;
    frame
}

/// A binary message as the server sends it.
pub(crate) fn echo(payload: &[u8]) -> Vec<u8> {
    [header(0, payload.len()), payload.to_vec()].concat()
}

fn header(mask_bit: u8, len: usize) -> Vec<u8> {
    match u8::try_from(len) {
        Ok(len) if len < 126 => vec![0x82, mask_bit | len],
        _ => {
            let [high, low] = u16::try_from(len).expect("a short payload").to_be_bytes();
            vec![0x82, mask_bit | 126, high, low]
        }
    }
}

pub(crate) struct Echo {
    echoed: Rc<Cell<u64>>,
}

impl Handler for Echo {
    type Session = ();

    fn on_message(&mut self, ctx: &mut Ctx<'_, ()>, message: Message<'_>) {
        assert!(ctx.send(message).is_ok(), "one client that reads does not fill its queue");
        self.echoed.set(self.echoed.get() + 1);
    }
}

fn config() -> ShardConfig {
    ShardConfig {
        listeners: 1,
        connections_max: CONNECTIONS_MAX,
        arena_bytes: 1 << 20,
        egress: EgressLimits { bytes_max: limits::EGRESS_BYTES_MAX, total_bytes_max: 16 << 20 },
        message: Limits::default(),
        deflate: None,
        head_bytes_max: limits::HEAD_BYTES_MAX,
        ingress_total_bytes_max: 1 << 20,
        publish_bytes_max: limits::MESSAGE_BYTES_MAX,
        subscriptions_max: 4,
        topics_max: 16,
        home_topics_max: 16,
        fanout_budget: limits::FANOUT_BUDGET,
        policies: Policies::default(),
        heartbeat_interval_ms: HEARTBEAT_MS,
        heartbeat_timeout_ms: HEARTBEAT_MS,
        handshake_timeout_ms: 10_000,
        close_timeout_ms: 10_000,
    }
}

/// A shard without a kernel: what it orders is looked at and forgotten.
pub(crate) struct Machine<H: Handler = Echo> {
    shard: Shard<H>,
    board: Arc<Board>,
    now: Now,
    echoed: Rc<Cell<u64>>,
    /// By file: who was last told to receive from it.
    conns: Vec<ConnKey>,
    sent: Vec<u8>,
    /// The control plane's end of the lanes: nobody speaks there, but it is there.
    _control: Mailbox,
}

impl Machine {
    /// A shard that listens and has one open connection.
    pub(crate) fn new() -> Machine {
        let mut machine = Machine::echoing();
        machine.turn();
        machine.open(0);
        machine
    }

    fn echoing() -> Machine {
        Machine::echoing_with(config())
    }

    fn echoing_with(config: ShardConfig) -> Machine {
        let echoed = Rc::new(Cell::new(0));
        Machine::bare(Echo { echoed: Rc::clone(&echoed) }, echoed, config)
    }

    /// A shard that listens, and compresses for who wants it.
    pub(crate) fn compressing() -> Machine {
        let compression = CompressionConfig {
            level: limits::COMPRESSION_LEVEL,
            threshold_bytes: 1,
            turn_bytes_max: limits::COMPRESS_BUDGET_BYTES,
        };
        let deflate = DeflateConfig {
            compression,
            inflating: InflateTurn::default(),
            policy: Policy::default(),
            takeovers_max: 0,
            stopwatch: Stopwatch::STILL,
        };
        let mut machine = Machine::echoing_with(ShardConfig { deflate: Some(deflate), ..config() });
        machine.turn();
        machine
    }

    /// Opens a connection that has these fields in its head as well.
    pub(crate) fn open_with(&mut self, file: usize, fields: &str) {
        let head = String::from_utf8_lossy(HANDSHAKE);
        let head = format!("{}{fields}\r\n", head.strip_suffix("\r\n").expect("a head's end"));
        self.open_by(file, head.as_bytes());
    }
}

impl Machine<JsonHandler> {
    /// A shard that serves topics, with connections that all subscribe to `chat:lobby`.
    pub(crate) fn serving(connections: usize) -> Self {
        let handler = JsonHandler::new(SessionConfig::default(), 7);
        let mut machine = Machine::bare(handler, Rc::default(), config());
        machine.turn();
        for file in 0..connections {
            machine.open(file);
            let subscribe = br#"{"type":"subscribe","topic":"chat:lobby"}"#;
            machine.receive_from(file, &mut text_frame(subscribe));
            machine.turn();
            let told = machine.sent.windows(12).any(|window| window == br#""subscribed""#);
            assert!(told, "the subscription went wrong");
        }
        machine
    }
}

impl<H: Handler> Machine<H> {
    fn open(&mut self, file: usize) {
        self.open_by(file, HANDSHAKE);
    }

    fn open_by(&mut self, file: usize, head: &[u8]) {
        let (listener, slot) = (ListenerId(0), FileSlot(file as u32));
        self.shard.on(Completion::Accepted { listener, file: slot, peer: PeerAddr::Unknown });
        self.turn();
        self.receive_from(file, &mut head.to_vec());
        self.turn();
        assert!(self.sent().starts_with(b"HTTP/1.1 101 "), "the handshake went wrong");
    }

    fn bare(handler: H, echoed: Rc<Cell<u64>>, config: ShardConfig) -> Self {
        let mut mailboxes = mesh(2, limits::LANE_ENTRIES_MIN);
        let control = mailboxes.pop().expect("two mailboxes");
        let mailbox = mailboxes.pop().expect("two mailboxes");
        let now = Now { monotonic_ms: 0, unix_ms: 1_790_000_000_000 };
        let (config, admission) = (Arc::new(config), Admission::new(CONNECTIONS_MAX as usize, 1));
        Machine {
            shard: Shard::new(ShardId(0), config, admission, mailbox, handler, 1, now),
            board: Board::new(1),
            now,
            echoed,
            conns: vec![ConnKey::NOBODY; CONNECTIONS_MAX as usize],
            sent: Vec::with_capacity(1 << 20),
            _control: control,
        }
    }

    /// Messages echoed so far.
    pub(crate) fn echoed(&self) -> u64 {
        self.echoed.get()
    }

    /// The octets that the last turn has ordered to be sent.
    pub(crate) fn sent(&self) -> &[u8] {
        &self.sent
    }

    /// Octets came from the first client.
    pub(crate) fn receive(&mut self, bytes: &mut [u8]) {
        self.receive_from(0, bytes);
    }

    /// Octets came from the client behind a file.
    pub(crate) fn receive_from(&mut self, file: usize, bytes: &mut [u8]) {
        self.shard.on(Completion::Received { conn: self.conns[file], bytes });
    }

    /// One turn, with a kernel that takes every send whole and silently.
    pub(crate) fn turn(&mut self) {
        self.shard.turn();
        self.sent.clear();
        let (ops, staging) = self.shard.orders();
        for op in ops.drain(..) {
            match op {
                Op::ArmRecv { conn, file } => self.conns[file.0 as usize] = conn,
                Op::Send { first, .. } => {
                    staging.pieces(first).for_each(|piece| self.sent.extend_from_slice(piece));
                }
                Op::ArmAccept { .. } => {}
                other @ (Op::CancelAccept { .. }
                | Op::Connect { .. }
                | Op::CancelRecv { .. }
                | Op::SendQueued { .. }
                | Op::Shutdown { .. }
                | Op::Close { .. }
                | Op::CloseUnused { .. }
                | Op::Wake { .. }
                | Op::WakeControl) => panic!("{other:?}: nothing but the echo was asked for"),
            }
        }
        self.shard.publish_counters(&self.board);
        self.now.monotonic_ms += TURN_MS;
        self.shard.begin(self.now);
    }
}

/// A shard with a ring, on the thread that made it.
pub(crate) struct Ring {
    pub(crate) machine: Machine,
    driver: Driver,
    addr: SocketAddr,
    start: Instant,
}

impl Ring {
    pub(crate) fn new() -> Ring {
        let options = ListenOptions { backlog: 8, unix_mode: 0o600 };
        let any_port = ListenAddr::Tcp("127.0.0.1:0".parse().expect("an address"));
        let listener = Listener::bind(&any_port, options).expect("a port");
        let addr = match listener.local_addr().expect("a bound socket") {
            ListenAddr::Tcp(addr) => addr,
            ListenAddr::Unix(path) => panic!("a Unix listener: {path:?}"),
        };
        let driver = Driver::new(DriverConfig {
            sq_entries: limits::SQ_ENTRIES,
            cq_entries: limits::CQ_ENTRIES,
            recv_buffers: limits::RECV_BUFFERS,
            recv_buffer_bytes: limits::RECV_BUFFER_BYTES,
            files: CONNECTIONS_MAX + limits::REFUSAL_SLOTS,
            accepts_in_flight: limits::ACCEPTS_IN_FLIGHT,
            listeners: vec![listener],
            control: None,
            dial: Default::default(),
        });
        let driver = driver.expect("a kernel with io_uring");
        Ring { machine: Machine::echoing(), driver, addr, start: Instant::now() }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// One turn of the shell: orders out, facts in.
    pub(crate) fn turn(&mut self) {
        let wait = match self.machine.shard.turn() {
            Sleep::No => Wait::Now,
            Sleep::UntilMs(_) => Wait::Until(Duration::from_millis(20)),
        };
        let (ops, staging) = self.machine.shard.orders();
        self.driver.submit(ops, staging, wait).expect("the ring works");
        self.machine.now.monotonic_ms = self.start.elapsed().as_millis() as u64;
        self.machine.shard.begin(self.machine.now);
        let shard = &mut self.machine.shard;
        self.driver.completions(|completion| shard.on(completion));
        shard.publish_counters(&self.machine.board);
    }
}
