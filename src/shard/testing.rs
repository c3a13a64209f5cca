//! Shards in one thread, with a kernel that is a few lines and a clock that is turned by hand.
//!
//! The kernel is strict: an order that breaks O1-O3 of `ring::op` panics. A shard only gets a turn
//! when something was there to wake it (a completion, a doorbell, its own `Sleep`), so that a lost
//! wake-up shows as a message that never comes.

mod client;

use std::collections::VecDeque;
use std::sync::Arc;

pub(crate) use client::{Client, Frame};

use super::mailbox::{Mailbox, mesh};
use super::{Admission, Shard, ShardConfig, Sleep};
use crate::base::{ConnKey, Now, ShardId};
use crate::conn::outbox::EgressLimits;
use crate::handler::Handler;
use crate::metrics::Metric;
use crate::pubsub::envelope::{ControlRequest, Request};
use crate::pubsub::policy::Policies;
use crate::ring::{Completion, FileSlot, KernelFault, ListenerId, Op, PeerAddr, RecvEnd};
use crate::ws::protocol::Limits;

/// Turns until a world has to have come to rest.
const TURNS_MAX: usize = 200_000;
const BROKEN_PIPE: KernelFault = KernelFault(32);

/// Small sizes that a test can reach, and nothing that a test would have to wait for.
pub(crate) fn small_config() -> ShardConfig {
    ShardConfig {
        listeners: 1,
        connections_max: 64,
        arena_bytes: 64 * 1024,
        egress: EgressLimits { bytes_max: 16 * 1024, total_bytes_max: 256 * 1024 },
        message: Limits { message_bytes_max: 64 * 1024, fragments_max: 1000 },
        head_bytes_max: 8 * 1024,
        ingress_total_bytes_max: 1 << 20,
        publish_bytes_max: 8 * 1024,
        subscriptions_max: 8,
        topics_max: 64,
        home_topics_max: 64,
        policies: Policies::default(),
        heartbeat_interval_ms: 25_000,
        heartbeat_timeout_ms: 10_000,
        handshake_timeout_ms: 10_000,
        close_timeout_ms: 5_000,
    }
}

/// A fact that waits to be told.
enum Fact {
    Accepted(FileSlot),
    AcceptStopped(ListenerId),
    Received(ConnKey, Vec<u8>),
    RecvEnded(ConnKey, RecvEnd),
    SentShort(ConnKey, u32),
    QueuedSent(ConnKey, Result<u32, KernelFault>),
    Closed(ConnKey),
    Woken,
}

struct Seat<H: Handler> {
    shard: Shard<H>,
    sleep: Sleep,
    facts: VecDeque<Fact>,
    accepts: bool,
}

/// Shards, their clients, and the control plane's mailbox.
pub(crate) struct World<H: Handler> {
    seats: Vec<Seat<H>>,
    clients: Vec<Client>,
    control: Mailbox,
    now: Now,
    /// The shard that had the last turn.
    last: usize,
}

impl<H: Handler> World<H> {
    /// A world of `shards` shards that have begun to accept.
    pub(crate) fn new(
        shards: u16,
        lane_capacity: usize,
        config: ShardConfig,
        handler: impl Fn(ShardId) -> H,
    ) -> Self {
        let now = Now { monotonic_ms: 1_000_000, unix_ms: 1_790_000_000_000 };
        let mut boxes = mesh(usize::from(shards) + 1, lane_capacity);
        let control = boxes.pop().expect("the last one is the control plane's");
        let (config, admission) = (Arc::new(config), Admission::new(64));
        let seat = |(index, mailbox)| {
            let me = ShardId(index as u16);
            let (config, admission) = (Arc::clone(&config), Arc::clone(&admission));
            let shard =
                Shard::new(me, config, admission, mailbox, handler(me), 7 + index as u64, now);
            Seat { shard, sleep: Sleep::No, facts: VecDeque::new(), accepts: false }
        };
        let seats = boxes.into_iter().enumerate().map(seat).collect();
        let mut world = World { seats, clients: Vec::new(), control, now, last: 0 };
        world.run();
        world
    }

    /// Connects a client that has sent `head` and gives its index.
    pub(crate) fn connect_with(&mut self, shard: usize, head: &str) -> usize {
        assert!(self.seats[shard].accepts, "the shard does not accept");
        let file = self.clients.len();
        self.clients.push(Client::new(shard, head));
        self.seats[shard].facts.push_back(Fact::Accepted(FileSlot(file as u32)));
        self.run();
        file
    }

    /// Connects a client and completes its handshake for `path`.
    pub(crate) fn connect(&mut self, shard: usize, path: &str) -> usize {
        let client = self.connect_with(shard, &client::head(path, ""));
        let response = self.clients[client].take_response();
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        client
    }

    pub(crate) fn client(&mut self, client: usize) -> &mut Client {
        &mut self.clients[client]
    }

    /// Sends a text message; it is not looked at before [`Self::run`].
    pub(crate) fn write_text(&mut self, client: usize, text: &str) {
        self.clients[client].write_frame(0x81, text.as_bytes());
    }

    /// Sends a text message and lets the world come to rest.
    pub(crate) fn send_text(&mut self, client: usize, text: &str) {
        self.write_text(client, text);
        self.run();
    }

    /// The text messages that have come since the last look; anything else is a failure.
    pub(crate) fn texts(&mut self, client: usize) -> Vec<String> {
        let text = |frame: Frame| match frame.opcode {
            0x1 => String::from_utf8(frame.payload).expect("text is UTF-8"),
            other => panic!("opcode {other}: {:?}", frame.payload),
        };
        self.clients[client].take_frames().into_iter().map(text).collect()
    }

    /// The code of the close frame that is the last of what has come.
    pub(crate) fn close_code(&mut self, client: usize) -> u16 {
        let frames = self.clients[client].take_frames();
        let last = frames.last().expect("at least a close frame");
        assert_eq!(last.opcode, 0x8, "{frames:?}");
        u16::from_be_bytes([last.payload[0], last.payload[1]])
    }

    pub(crate) fn count(&mut self, metric: Metric) -> u64 {
        self.seats.iter_mut().map(|seat| seat.shard.counters().get(metric)).sum()
    }

    /// Connections of all shards, those that are ending included.
    pub(crate) fn connections(&self) -> usize {
        self.seats.iter().map(|seat| seat.shard.connections()).sum()
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.seats.iter().all(|seat| seat.shard.is_drained())
    }

    /// Asks every shard to drain.
    pub(crate) fn drain(&mut self) {
        for shard in 0..self.seats.len() {
            let request = Request::Control(ControlRequest::Drain);
            assert!(self.control.request(shard, request).is_ok());
        }
        let seats = &mut self.seats;
        self.control.signal(|shard| seats[shard].facts.push_back(Fact::Woken));
        self.run();
    }

    /// Turns the clock on, stopping wherever a shard wants to be woken.
    pub(crate) fn advance(&mut self, ms: u64) {
        let end = self.now.monotonic_ms + ms;
        while self.now.monotonic_ms < end {
            let wakes = self.seats.iter().filter_map(|seat| match seat.sleep {
                Sleep::No => None,
                Sleep::UntilMs(at) => Some(at),
            });
            let next = wakes.min().unwrap_or(end).clamp(self.now.monotonic_ms + 1, end);
            self.leap(next - self.now.monotonic_ms);
            self.run();
        }
    }

    /// Turns the clock on while nobody looks: the process was stopped, or the machine was busy.
    pub(crate) fn leap(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.unix_ms += ms;
    }

    /// Gives turns to whoever wants one, until nobody does.
    pub(crate) fn run(&mut self) {
        for _ in 0..TURNS_MAX {
            self.carry_octets();
            let wants = |shard: &usize| match self.seats[*shard].sleep {
                Sleep::No => true,
                Sleep::UntilMs(at) => {
                    at <= self.now.monotonic_ms || !self.seats[*shard].facts.is_empty()
                }
            };
            // In turn, because a shard that waits for another one does not sleep.
            let shards = self.seats.len();
            let mut after = (1..=shards).map(|step| (self.last + step) % shards);
            match after.find(wants) {
                Some(shard) => self.step(shard),
                None => return,
            }
        }
        panic!("the world does not come to rest");
    }

    /// One turn of one shard, whether it wants one or not.
    pub(crate) fn turn(&mut self, shard: usize) {
        self.carry_octets();
        self.step(shard);
    }

    fn step(&mut self, shard: usize) {
        self.last = shard;
        let seat = &mut self.seats[shard];
        seat.shard.begin(self.now);
        for fact in std::mem::take(&mut seat.facts) {
            tell(&mut seat.shard, fact);
        }
        seat.sleep = seat.shard.turn();
        let (ops, staging) = seat.shard.orders();
        let sent = |op: &Op| {
            let Op::Send { first, .. } = op else { return Vec::new() };
            staging.pieces(*first).collect::<Vec<_>>().concat()
        };
        let orders: Vec<(Vec<u8>, Op)> = ops.drain(..).map(|op| (sent(&op), op)).collect();
        for (octets, op) in orders {
            self.carry_out(shard, op, &octets);
        }
        // What a fast send left over is heard before anything else.
        let facts = self.seats[shard].facts.make_contiguous();
        facts.sort_by_key(|fact| !matches!(fact, Fact::SentShort(..)));
    }

    fn carry_out(&mut self, shard: usize, op: Op, octets: &[u8]) {
        let facts = &mut self.seats[shard].facts;
        match op {
            Op::ArmAccept { .. } => {
                assert!(!self.seats[shard].accepts, "armed twice");
                self.seats[shard].accepts = true;
            }
            Op::CancelAccept { listener } => {
                self.seats[shard].accepts = false;
                self.seats[shard].facts.push_back(Fact::AcceptStopped(listener));
            }
            Op::Connect { .. } => unreachable!("a shard connects to nobody"),
            Op::ArmRecv { conn, file } => self.clients[file.0 as usize].arm(conn),
            Op::CancelRecv { conn } => {
                let client = self.clients.iter_mut().find(|c| c.is(shard, conn));
                if client.expect("it is known").disarm() {
                    facts.push_back(Fact::RecvEnded(conn, RecvEnd::Cancelled));
                }
            }
            Op::Send { conn, file, .. } => {
                let taken = self.clients[file.0 as usize].take_fast(octets);
                if taken < octets.len() {
                    facts.push_back(Fact::SentShort(conn, taken as u32));
                }
            }
            Op::SendQueued { conn, file, frames, skip } => {
                let octets = frames.concat().split_off(skip as usize);
                self.clients[file.0 as usize].take_queued(conn, octets);
            }
            Op::Shutdown { file, how } => self.clients[file.0 as usize].shut(how),
            Op::Close { conn, file } => {
                self.clients[file.0 as usize].close();
                facts.push_back(Fact::Closed(conn));
            }
            Op::CloseUnused { file } => self.clients[file.0 as usize].close(),
            Op::Wake { shard } => self.seats[shard.index()].facts.push_back(Fact::Woken),
            Op::WakeControl => {}
        }
    }

    /// What sockets do between turns: octets reach armed receives, room lets queued sends go on.
    fn carry_octets(&mut self) {
        for client in &mut self.clients {
            let facts = &mut self.seats[client.shard].facts;
            if let Some((conn, bytes)) = client.next_input() {
                facts.push_back(Fact::Received(conn, bytes));
            }
            if let Some((conn, why)) = client.end_of_input() {
                facts.push_back(Fact::RecvEnded(conn, why));
            }
            if let Some((conn, result)) = client.next_output(BROKEN_PIPE) {
                facts.push_back(Fact::QueuedSent(conn, result));
            }
        }
    }
}

fn tell<H: Handler>(shard: &mut Shard<H>, fact: Fact) {
    match fact {
        Fact::Accepted(file) => {
            let peer = PeerAddr::Unknown;
            shard.on(Completion::Accepted { listener: ListenerId(0), file, peer });
        }
        Fact::AcceptStopped(listener) => shard.on(Completion::AcceptStopped { listener }),
        Fact::Received(conn, mut bytes) => {
            shard.on(Completion::Received { conn, bytes: &mut bytes });
        }
        Fact::RecvEnded(conn, why) => shard.on(Completion::RecvEnded { conn, why }),
        Fact::SentShort(conn, sent) => shard.on(Completion::SentShort { conn, sent }),
        Fact::QueuedSent(conn, result) => shard.on(Completion::QueuedSent { conn, result }),
        Fact::Closed(conn) => shard.on(Completion::Closed { conn }),
        Fact::Woken => shard.on(Completion::Woken),
    }
}

/// The request head of a client that upgrades; `fields` are lines of their own.
pub(crate) fn head(path: &str, fields: &str) -> String {
    client::head(path, fields)
}
