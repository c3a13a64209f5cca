//! A shard without a kernel: completions are made by hand, orders are looked at and forgotten.
//!
//! Its kernel takes every send whole and silently, closes descriptors by the next turn, and ends a
//! receive when it is told to. A turn is what the shell makes of it: orders out, counters
//! published, the time read, completions in.

use std::sync::Arc;

use ringwire::base::{ConnKey, Now, ShardId};
use ringwire::conn::outbox::EgressLimits;
use ringwire::handler::{Ctx, Handler};
use ringwire::limits;
use ringwire::metrics::Board;
use ringwire::pubsub::policy::Policies;
use ringwire::ring::{Completion, FileSlot, ListenerId, Op, PeerAddr, RecvEnd, SegmentId, Staging};
use ringwire::shard::mailbox::{Mailbox, lane_capacity, mesh};
use ringwire::shard::{Admission, Shard, ShardConfig, Sleep};
use ringwire::ws::message::Message;
use ringwire::ws::protocol::Limits;

use super::wire;

/// Turns in which connections end and their descriptors are closed.
const TURNS_TO_END: usize = 4;
/// Mailboxes: the shard's and the control plane's.
const PARTICIPANTS: usize = 2;

/// What `ringwire echo` does.
pub(crate) struct Echo;

impl Handler for Echo {
    type Session = ();

    fn on_message(&mut self, ctx: &mut Ctx<'_, ()>, message: Message<'_>) {
        if ctx.send(message).is_err() {
            ctx.close_slow();
        }
    }
}

/// What `examples/relay.rs` does, with one topic: what a client sends goes to all.
pub(crate) struct Relay;

impl Relay {
    const TOPIC: &str = "bench:0";
}

impl Handler for Relay {
    type Session = ();

    fn on_open(&mut self, ctx: &mut Ctx<'_, ()>) {
        assert_eq!(ctx.subscribe(Relay::TOPIC, &[]), Ok(()));
    }

    fn on_message(&mut self, ctx: &mut Ctx<'_, ()>, message: Message<'_>) {
        if ctx.publish(Relay::TOPIC, "", message.payload, message.kind, &[]).is_err() {
            ctx.close_slow();
        }
    }
}

/// Sizes and times as the server's defaults have them.
fn config(connections_max: u32) -> ShardConfig {
    ShardConfig {
        listeners: 1,
        connections_max,
        arena_bytes: 2 * usize::from(limits::RECV_BUFFERS) * limits::RECV_BUFFER_BYTES as usize,
        egress: EgressLimits {
            bytes_max: limits::EGRESS_BYTES_MAX,
            total_bytes_max: limits::EGRESS_TOTAL_BYTES_MAX,
        },
        message: Limits::default(),
        deflate: None,
        head_bytes_max: limits::HEAD_BYTES_MAX,
        ingress_total_bytes_max: limits::INGRESS_TOTAL_BYTES_MAX,
        publish_bytes_max: limits::MESSAGE_BYTES_MAX,
        subscriptions_max: limits::SUBSCRIPTIONS_MAX,
        topics_max: limits::TOPICS_MAX,
        home_topics_max: limits::TOPICS_MAX,
        fanout_budget: limits::FANOUT_BUDGET,
        policies: Policies::default(),
        heartbeat_interval_ms: 25_000,
        heartbeat_timeout_ms: 10_000,
        handshake_timeout_ms: 10_000,
        close_timeout_ms: 5_000,
    }
}

/// What a turn has led to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) sends: usize,
    pub(crate) sleep: Sleep,
}

/// See the module's header.
pub(crate) struct Machine<H: Handler> {
    shard: Shard<H>,
    board: Arc<Board>,
    now: Now,
    /// By file: who was last told to receive from it.
    conns: Vec<ConnKey>,
    closed: Vec<ConnKey>,
    /// The control plane's end of the lanes: nobody speaks there, but it is there.
    _control: Mailbox,
}

impl<H: Handler> Machine<H> {
    /// A shard that listens.
    pub(crate) fn new(connections_max: u32, handler: H) -> Self {
        let mut boxes = mesh(PARTICIPANTS, lane_capacity(PARTICIPANTS));
        let control = boxes.pop().expect("the last one is the control plane's");
        let mailbox = boxes.pop().expect("the first one is the shard's");
        let now = Now { monotonic_ms: 1_000_000, unix_ms: 1_790_000_000_000 };
        let admission = Admission::new(connections_max as usize, 1);
        let config = Arc::new(config(connections_max));
        let mut machine = Machine {
            shard: Shard::new(ShardId(0), config, admission, mailbox, handler, 7, now),
            board: Board::new(1),
            now,
            conns: Vec::new(),
            closed: Vec::new(),
            _control: control,
        };
        machine.turn(0);
        machine
    }

    /// Connections were accepted into the first `count` files.
    pub(crate) fn accept(&mut self, count: usize) {
        self.conns.resize(count, ConnKey::NOBODY);
        for file in 0..count {
            let (listener, file) = (ListenerId(0), FileSlot(file as u32));
            self.shard.on(Completion::Accepted { listener, file, peer: PeerAddr::Unknown });
        }
    }

    /// Opens the first `count` connections.
    pub(crate) fn open(&mut self, count: usize) {
        self.accept(count);
        self.turn(0);
        for file in 0..count {
            self.receive(file, &mut wire::HEAD.as_bytes().to_vec());
        }
        let mut accepted = 0;
        self.turn_with(0, |_, octets| {
            accepted += usize::from(octets.starts_with(b"HTTP/1.1 101 "))
        });
        assert_eq!(accepted, count, "all handshakes go well");
    }

    /// Octets came from the client behind a file.
    #[inline]
    pub(crate) fn receive(&mut self, file: usize, bytes: &mut [u8]) {
        self.shard.on(Completion::Received { conn: self.conns[file], bytes });
    }

    /// The client behind a file has closed its stream.
    pub(crate) fn hang_up(&mut self, file: usize) {
        let (conn, why) = (self.conns[file], RecvEnd::Eof);
        self.shard.on(Completion::RecvEnded { conn, why });
    }

    /// Lets connections that end come to their end.
    pub(crate) fn settle(&mut self) {
        (0..TURNS_TO_END).for_each(|_| _ = self.turn(1));
        assert_eq!(self.shard.connections(), 0, "all have ended");
    }

    /// Turns until there is nothing more to do. Gives the number of sends.
    #[inline]
    pub(crate) fn rest(&mut self) -> usize {
        let mut sends = 0;
        loop {
            let turn = self.turn(0);
            sends += turn.sends;
            if turn.sleep != Sleep::No {
                return sends;
            }
        }
    }

    /// One turn; then `ms` milliseconds pass.
    #[inline]
    pub(crate) fn turn(&mut self, ms: u64) -> Turn {
        self.turn_seen_by(ms, |_, _, _| {})
    }

    /// The same, naming the files that something is sent to.
    #[inline]
    pub(crate) fn turn_naming(&mut self, ms: u64, files: &mut Vec<usize>) -> Turn {
        self.turn_seen_by(ms, |file, _, _| files.push(file.0 as usize))
    }

    /// The same, showing what is sent: to which file, and the octets.
    pub(crate) fn turn_with(&mut self, ms: u64, mut see: impl FnMut(usize, &[u8])) -> Turn {
        self.turn_seen_by(ms, |file, first, staging| {
            see(file.0 as usize, &staging.pieces(first).collect::<Vec<_>>().concat());
        })
    }

    #[inline]
    fn turn_seen_by(
        &mut self,
        ms: u64,
        mut see: impl FnMut(FileSlot, SegmentId, &Staging),
    ) -> Turn {
        let sleep = self.shard.turn();
        let (ops, staging) = self.shard.orders();
        let mut sends = 0;
        for op in ops.drain(..) {
            match op {
                Op::Send { file, first, .. } => {
                    sends += 1;
                    see(file, first, staging);
                }
                Op::ArmRecv { conn, file } => self.conns[file.0 as usize] = conn,
                Op::Close { conn, .. } => self.closed.push(conn),
                Op::ArmAccept { .. } | Op::Shutdown { .. } => {}
                other @ (Op::Connect { .. }
                | Op::CancelAccept { .. }
                | Op::CancelRecv { .. }
                | Op::SendQueued { .. }
                | Op::CloseUnused { .. }
                | Op::Wake { .. }
                | Op::WakeControl) => panic!("{other:?}: nothing here leads to that"),
            }
        }
        self.shard.publish_counters(&self.board);
        self.now.monotonic_ms += ms;
        self.now.unix_ms += ms;
        self.shard.begin(self.now);
        for conn in self.closed.drain(..) {
            self.shard.on(Completion::Closed { conn });
        }
        Turn { sends, sleep }
    }
}
