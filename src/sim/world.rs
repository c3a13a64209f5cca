//! A host with a calm kernel, for tests that tell a story: one thing happens after the other, and
//! the world comes to rest in between.

use std::sync::Arc;

use super::host::{Host, HostPlan};
use super::socket::{Socket, SocketId};
use super::wire::{self, Frame};
use crate::base::ShardId;
use crate::conn::outbox::EgressLimits;
use crate::handler::Handler;
use crate::limits::FANOUT_BUDGET;
use crate::metrics::Metric;
use crate::pubsub::envelope::DrainOrder;
use crate::pubsub::policy::Policies;
use crate::pubsub::tuning::Tuning;
use crate::ring::ListenerId;
use crate::shard::ShardConfig;
use crate::ws::protocol::Limits;

/// Turns until a world has to have come to rest.
const TURNS_MAX: usize = 200_000;
const CONNECTIONS_MAX: usize = 64;
const FILES: usize = 512;
const BUFFERS: usize = 256;
const BUFFER_BYTES: usize = 1 << 20;

/// Small sizes that a test can reach, and nothing that a test would have to wait for.
pub fn small_config() -> ShardConfig {
    ShardConfig {
        listeners: 1,
        connections_max: 64,
        arena_bytes: 64 * 1024,
        egress: EgressLimits { bytes_max: 16 * 1024, total_bytes_max: 256 * 1024 },
        message: Limits { message_bytes_max: 64 * 1024, fragments_max: 1000, ..Limits::default() },
        deflate: None,
        head_bytes_max: 8 * 1024,
        ingress_total_bytes_max: 1 << 20,
        publish_bytes_max: 8 * 1024,
        subscriptions_max: 8,
        topics_max: 64,
        home_topics_max: 64,
        fanout_budget: FANOUT_BUDGET,
        policies: Policies::default(),
        heartbeat_interval_ms: 25_000,
        heartbeat_timeout_ms: 10_000,
        handshake_timeout_ms: 10_000,
        close_timeout_ms: 5_000,
    }
}

/// What a world is tuned to when it is made, to be changed.
pub fn small_tuning() -> Tuning {
    let config = small_config();
    Tuning {
        connections_total_max: CONNECTIONS_MAX,
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
    }
}

/// See the module's header.
pub struct World<H: Handler> {
    host: Host<H>,
}

impl<H: Handler> World<H> {
    /// A world of `shards` shards that have begun to accept.
    pub fn new(
        shards: u16,
        lane_capacity: usize,
        config: ShardConfig,
        handler: impl Fn(ShardId) -> H,
    ) -> Self {
        let plan = HostPlan {
            shards,
            lane_capacity,
            config,
            connections_max: CONNECTIONS_MAX,
            files: FILES,
            buffers: BUFFERS,
            buffer_bytes: BUFFER_BYTES,
            seed: 7,
        };
        let mut world = World { host: Host::new(plan, handler) };
        world.run();
        world
    }

    /// Connects a client that has sent `head` and gives its index.
    pub fn connect_with(&mut self, shard: usize, head: &str) -> usize {
        let listener = ListenerId(0);
        assert!(self.host.kernel.accepts(shard, listener), "the shard does not accept");
        let id = self.host.kernel.connect(shard, listener);
        self.host.kernel.socket_mut(id).write(head.as_bytes());
        self.run();
        id.0 as usize
    }

    /// Connects a client and completes its handshake for `path`.
    pub fn connect(&mut self, shard: usize, path: &str) -> usize {
        let client = self.connect_with(shard, &wire::head(path, ""));
        let response = self.client(client).take_response();
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        client
    }

    /// A client's end of its connection.
    pub fn client(&mut self, client: usize) -> &mut Socket {
        self.host.kernel.socket_mut(SocketId(client as u32))
    }

    /// The kernel, for stories in which it misbehaves.
    pub fn host(&mut self) -> &mut Host<H> {
        &mut self.host
    }

    /// Sends a text message; it is not looked at before [`Self::run`].
    pub fn write_text(&mut self, client: usize, text: &str) {
        self.client(client).write_frame(wire::FIN | wire::TEXT, text.as_bytes());
    }

    /// Sends a text message and lets the world come to rest.
    pub fn send_text(&mut self, client: usize, text: &str) {
        self.write_text(client, text);
        self.run();
    }

    /// The text messages that have come since the last look; anything else is a failure.
    pub fn texts(&mut self, client: usize) -> Vec<String> {
        let text = |frame: Frame| match frame.opcode {
            wire::TEXT => String::from_utf8(frame.payload).expect("text is UTF-8"),
            other => panic!("opcode {other}: {:?}", frame.payload),
        };
        self.client(client).take_frames().into_iter().map(text).collect()
    }

    /// The code of the close frame that is the last of what has come.
    pub fn close_code(&mut self, client: usize) -> u16 {
        let frames = self.client(client).take_frames();
        let last = frames.last().expect("at least a close frame");
        assert_eq!(last.opcode, wire::CLOSE, "{frames:?}");
        u16::from_be_bytes([last.payload[0], last.payload[1]])
    }

    /// The sum of a series over all shards.
    pub fn count(&mut self, metric: Metric) -> u64 {
        self.host.count(metric)
    }

    /// Connections of all shards, those that are ending included.
    pub fn connections(&self) -> usize {
        self.host.connections()
    }

    /// True when every shard's drain is complete.
    pub fn is_drained(&self) -> bool {
        self.host.is_drained()
    }

    /// Asks every shard to drain at once.
    pub fn drain(&mut self) {
        self.drain_by(DrainOrder::default());
    }

    /// Asks every shard to drain so.
    pub fn drain_by(&mut self, order: DrainOrder) {
        for shard in 0..self.host.shards() {
            assert!(self.host.drain(shard, order), "the control plane's lanes are empty");
        }
        self.run();
    }

    /// Gives every shard other values.
    pub fn retune(&mut self, tuning: Tuning) {
        let tuning = Arc::new(tuning);
        for shard in 0..self.host.shards() {
            self.host.retune(shard, Arc::clone(&tuning));
        }
        self.run();
        self.host.run_control();
        assert_eq!(self.host.questions, 0, "every shard has them");
    }

    /// Turns the clock on, stopping wherever a shard wants to be woken.
    pub fn advance(&mut self, ms: u64) {
        let end = self.host.now().monotonic_ms + ms;
        while self.host.now().monotonic_ms < end {
            let now_ms = self.host.now().monotonic_ms;
            let next = self.host.next_wake_ms().unwrap_or(end).clamp(now_ms + 1, end);
            self.leap(next - now_ms);
            self.run();
        }
    }

    /// Turns the clock on while nobody looks: the process was stopped, or the machine was busy.
    pub fn leap(&mut self, ms: u64) {
        self.host.leap(ms);
    }

    /// Gives turns to whoever wants one, until nobody does.
    pub fn run(&mut self) {
        for _ in 0..TURNS_MAX {
            self.work();
            match self.host.next_to_turn() {
                Some(shard) => self.step(shard),
                None => return,
            }
        }
        panic!("the world does not come to rest");
    }

    /// One turn of one shard, whether it wants one or not.
    pub fn turn(&mut self, shard: usize) {
        self.work();
        self.step(shard);
    }

    fn step(&mut self, shard: usize) {
        self.host.turn(shard);
        self.host.audit(shard);
    }

    fn work(&mut self) {
        (0..self.host.shards()).for_each(|shard| self.host.kernel.work(shard));
    }
}

/// What a client of a story does beside writing octets.
impl Socket {
    /// Writes one masked frame with this first octet (FIN and opcode).
    pub fn write_frame(&mut self, first: u8, payload: &[u8]) {
        let mut frame = Vec::new();
        wire::write_frame(&mut frame, first, payload);
        self.write(&frame);
    }

    /// Writes a close frame.
    pub fn write_close(&mut self, code: u16) {
        self.write_frame(wire::FIN | wire::CLOSE, &code.to_be_bytes());
    }

    /// The HTTP response that has come.
    pub fn take_response(&mut self) -> String {
        let end = wire::response_len(self.output()).expect("a whole response head");
        String::from_utf8(self.take_octets(end)).expect("a response is ASCII")
    }

    /// The frames that have come whole.
    pub fn take_frames(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some((frame, used)) = wire::parse(self.output(), false).expect("a plain frame") {
            self.take_octets(used);
            frames.push(frame);
        }
        frames
    }

    /// Looks at octets without making room: a story says itself how much there is.
    fn take_octets(&mut self, count: usize) -> Vec<u8> {
        let (room, mut octets) = (self.room, Vec::new());
        self.read(count, &mut octets);
        self.room = room;
        octets
    }
}

/// The request head of a client that upgrades; `fields` are lines of their own.
pub fn head(path: &str, fields: &str) -> String {
    wire::head(path, fields)
}
