//! One shard that serves the JSON protocol to a few clients, with a kernel that takes every send
//! whole and silently. Its clock stands still.

use std::sync::Arc;

use ringwire::base::{ConnKey, Now, ShardId};
use ringwire::conn::outbox::EgressLimits;
use ringwire::limits;
use ringwire::pubsub::policy::Policies;
use ringwire::ring::{Completion, FileSlot, ListenerId, Op, PeerAddr, RecvEnd};
use ringwire::session::{JsonHandler, SessionConfig};
use ringwire::shard::mailbox::{Mailbox, mesh};
use ringwire::shard::{Admission, Shard, ShardConfig, Sleep};
use ringwire::ws::protocol::Limits;

use super::stream::frame;

pub(crate) const CLIENTS: usize = 2;
pub(crate) const UNIX_MS: u64 = 1_790_000_000_000;
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 * 1024;
pub(crate) const PUBLISH_BYTES_MAX: usize = 256;
pub(crate) const SUBSCRIPTIONS_MAX: usize = 3;
pub(crate) const HOME_TOPICS_MAX: usize = 5;
/// Turns until a shard has to have come to rest.
const TURNS_MAX: usize = 10_000;
const HEAD: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// What the server has sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Text(String),
    Close(u16),
}

/// See the module's header.
pub(crate) struct Machine {
    shard: Shard<JsonHandler>,
    conns: [ConnKey; CLIENTS],
    output: [Vec<u8>; CLIENTS],
    /// The control plane's end of the lanes: nobody speaks there, but it is there.
    _control: Mailbox,
}

fn config() -> ShardConfig {
    ShardConfig {
        listeners: 1,
        connections_max: CLIENTS as u32,
        arena_bytes: 256 * 1024,
        egress: EgressLimits { bytes_max: 1 << 20, total_bytes_max: 4 << 20 },
        message: Limits {
            message_bytes_max: MESSAGE_BYTES_MAX,
            fragments_max: 16,
            ..Limits::default()
        },
        deflate: None,
        head_bytes_max: limits::HEAD_BYTES_MAX,
        ingress_total_bytes_max: 1 << 20,
        publish_bytes_max: PUBLISH_BYTES_MAX,
        subscriptions_max: SUBSCRIPTIONS_MAX,
        topics_max: 64,
        home_topics_max: HOME_TOPICS_MAX,
        fanout_budget: limits::FANOUT_BUDGET,
        policies: Policies::default(),
        heartbeat_interval_ms: 25_000,
        heartbeat_timeout_ms: 10_000,
        handshake_timeout_ms: 10_000,
        close_timeout_ms: 10_000,
    }
}

impl Machine {
    /// A shard whose clients have had their welcome.
    pub(crate) fn new() -> Self {
        let mut mailboxes = mesh(2, limits::LANE_ENTRIES_MIN);
        let control = mailboxes.pop().expect("the last one is the control plane's");
        let mailbox = mailboxes.pop().expect("the first one is the shard's");
        let (config, admission) = (Arc::new(config()), Admission::new(CLIENTS, 1));
        let handler = JsonHandler::new(SessionConfig::default(), 1);
        let mut machine = Machine {
            shard: Shard::new(ShardId(0), config, admission, mailbox, handler, 7, now()),
            conns: [ConnKey::NOBODY; CLIENTS],
            output: Default::default(),
            _control: control,
        };
        machine.rest();
        for file in 0..CLIENTS {
            let (listener, file) = (ListenerId(0), FileSlot(file as u32));
            let peer = PeerAddr::Unknown;
            machine.shard.on(Completion::Accepted { listener, file, peer });
        }
        machine.rest();
        for client in 0..CLIENTS {
            machine.receive(client, HEAD.to_vec());
            machine.rest();
            let output = &mut machine.output[client];
            let end = output.windows(4).position(|four| four == b"\r\n\r\n").expect("a response");
            assert!(output.starts_with(b"HTTP/1.1 101 "));
            output.drain(..end + 4);
            assert_eq!(machine.sent(client).len(), 1, "one welcome");
        }
        machine
    }

    /// A client sends a message, and everything that it leads to happens.
    pub(crate) fn send(&mut self, client: usize, is_text: bool, payload: &[u8]) {
        let first = if is_text { 0x81 } else { 0x82 };
        self.receive(client, frame(first, payload, Some([0x5a, 0x01, 0xff, 0x80])));
        self.rest();
    }

    fn receive(&mut self, client: usize, mut bytes: Vec<u8>) {
        self.shard.on(Completion::Received { conn: self.conns[client], bytes: &mut bytes });
    }

    /// What a client was sent since the last look: whole frames, nothing masked.
    pub(crate) fn sent(&mut self, client: usize) -> Vec<Sent> {
        let output = std::mem::take(&mut self.output[client]);
        let mut rest = &output[..];
        let mut sent = Vec::new();
        while !rest.is_empty() {
            let (start, len) = match rest[1] {
                126 => (4, usize::from(rest[2]) << 8 | usize::from(rest[3])),
                short => (2, usize::from(short)),
            };
            assert!(rest[1] <= 126, "no answer is as long as that");
            let payload = &rest[start..start + len];
            sent.push(match rest[0] {
                0x81 => Sent::Text(String::from_utf8(payload.to_vec()).expect("UTF-8")),
                0x88 => Sent::Close(u16::from(payload[0]) << 8 | u16::from(payload[1])),
                other => panic!("nobody asked for {other:#x}"),
            });
            rest = &rest[start + len..];
        }
        sent
    }

    /// Turns until there is nothing more to do.
    fn rest(&mut self) {
        for _ in 0..TURNS_MAX {
            if self.turn() != Sleep::No {
                return;
            }
        }
        panic!("the shard does not come to rest");
    }

    fn turn(&mut self) -> Sleep {
        let sleep = self.shard.turn();
        let (ops, staging) = self.shard.orders();
        let mut cancelled = Vec::new();
        for op in ops.drain(..) {
            match op {
                Op::Send { file, first, .. } => {
                    let output = &mut self.output[file.0 as usize];
                    staging.pieces(first).for_each(|piece| output.extend_from_slice(piece));
                }
                Op::ArmRecv { conn, file } => self.conns[file.0 as usize] = conn,
                Op::CancelRecv { conn } => cancelled.push(conn),
                Op::ArmAccept { .. } | Op::Shutdown { .. } | Op::Wake { .. } => {}
                other @ (Op::Connect { .. }
                | Op::CancelAccept { .. }
                | Op::SendQueued { .. }
                | Op::Close { .. }
                | Op::CloseUnused { .. }
                | Op::WakeControl) => panic!("{other:?}: nothing here leads to that"),
            }
        }
        self.shard.begin(now());
        for conn in cancelled {
            self.shard.on(Completion::RecvEnded { conn, why: RecvEnd::Cancelled });
        }
        sleep
    }
}

fn now() -> Now {
    Now { monotonic_ms: 1_000_000, unix_ms: UNIX_MS }
}
