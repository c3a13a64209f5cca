//! What is drawn for a seed before anything happens: sizes, times, who the clients are, what they
//! do how often, and what goes wrong.

use std::collections::BTreeMap;

use super::faults::Faults;
use super::host::HostPlan;
use crate::base::Stopwatch;
use crate::base::prng::Prng;
use crate::conn::compression::CompressionConfig;
use crate::conn::outbox::EgressLimits;
use crate::limits::{
    EGRESS_CONTROL_RESERVE_BYTES, ENVELOPE_BYTES_MAX, FANOUT_BUDGET, INFLATE_RATIO_FREE_BYTES,
};
use crate::pubsub::policy::{Policies, SlowConsumer};
use crate::shard::{DeflateConfig, ShardConfig};
use crate::ws::deflate::Policy;
use crate::ws::partial::InflateTurn;
use crate::ws::protocol::Limits;

/// The topics of all runs: namespaces say which policy they have.
pub const TOPICS: [&str; 8] =
    ["t", "keep:a", "keep:b", "drop:a", "drop:b", "last:a", "last:b", "é\"\\x"];

/// What becomes of a slow subscriber of a topic, as the model sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gaps {
    /// There are none: it is closed.
    Never,
    /// Wherever something had to wait.
    WhereSlow,
}

/// What the clients of a run speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The protocol of `serve`.
    Json,
    /// Anything, to a handler that gives it back and does jobs.
    Echo,
}

/// What clients and the world do, with the weight that each has when nothing is turned off.
pub const ACTIONS: [(Action, u64); 20] = [
    (Action::Connect, 6),
    (Action::Ask(Asking::Publish), 24),
    (Action::Ask(Asking::Subscribe), 8),
    (Action::Ask(Asking::Unsubscribe), 3),
    (Action::Ask(Asking::Ping), 6),
    (Action::Ask(Asking::Nonsense), 2),
    (Action::Flood, 2),
    (Action::PingFrame, 3),
    (Action::Stall, 3),
    (Action::Unstall, 4),
    (Action::Violate, 1),
    (Action::SayClose, 2),
    (Action::HalfClose, 1),
    (Action::Reset, 1),
    (Action::Vanish, 1),
    (Action::Idle, 30),
    (Action::Advance, 4),
    (Action::LongAdvance, 1),
    (Action::AskTopics, 1),
    (Action::Spurious, 1),
];

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A client connects and says its first words.
    Connect,
    /// A client asks for something.
    Ask(Asking),
    /// A client asks for very much at once: lanes and queues fill.
    Flood,
    /// A client sends a ping frame.
    PingFrame,
    /// A client stops reading.
    Stall,
    /// A client reads again.
    Unstall,
    /// A client breaks the protocol.
    Violate,
    /// A client closes.
    SayClose,
    /// A client ends its stream without a word.
    HalfClose,
    /// A client breaks the connection.
    Reset,
    /// A client is no longer there, and nobody is told.
    Vanish,
    /// Nothing but what is under way.
    Idle,
    /// A little time passes.
    Advance,
    /// Time passes in which deadlines fall.
    LongAdvance,
    /// The control plane asks a shard for its topics.
    AskTopics,
    /// A shard has a turn that it did not want: the kernel has interrupted its wait.
    Spurious,
}

/// What a client may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// To publish a message; in the other dialect, to have it back.
    Publish,
    /// To subscribe; in the other dialect, to have a job done.
    Subscribe,
    /// To end a subscription.
    Unsubscribe,
    /// For a pong.
    Ping,
    /// For nothing that there is.
    Nonsense,
}

/// See the module's header.
pub struct Plan {
    /// What is spoken.
    pub dialect: Dialect,
    /// The policy of topics without a namespace.
    pub default_policy: SlowConsumer,
    /// How many of [`TOPICS`] are used, from this one on.
    pub topics: std::ops::Range<usize>,
    /// Clients at a time.
    pub clients_max: usize,
    /// Octets that a socket takes before it is full, for clients that are slow, at most.
    pub slow_room: u64,
    /// Octets of what is published, beside its number, at most.
    pub payload_max: u64,
    /// Of a thousand, how many steps give a client the chance to read and write.
    pub pump: u64,
    /// Of a thousand, how many steps give a shard the chance of a turn.
    pub turns: u64,
    /// Actions with their weights; some have none.
    pub weights: Vec<(Action, u64)>,
    /// The sum of the weights.
    pub weights_sum: u64,
    /// Whether the server drains in the end, with everything still going on.
    pub drains: bool,
    /// Whether unfinished messages may be too many.
    pub is_ingress_tiny: bool,
    /// What goes wrong.
    pub faults: Faults,
    /// How many shards.
    pub shards: u16,
    /// Entries of each lane.
    pub lane_capacity: usize,
    /// Sizes and times of a shard.
    pub config: ShardConfig,
    /// Connections of all shards together.
    pub connections_max: usize,
    /// Slots of each table of descriptors.
    pub files: usize,
    /// Receive buffers of each shard.
    pub buffers: usize,
    /// Octets of each of them.
    pub buffer_bytes: usize,
}

fn pick<T: Clone>(prng: &mut Prng, of: &[T]) -> T {
    of[prng.below(of.len() as u64) as usize].clone()
}

impl Plan {
    /// Draws everything for a seed.
    pub fn draw(prng: &mut Prng) -> Plan {
        let mut config = draw_config(prng);
        let weights = draw_weights(prng);
        let first = prng.below(TOPICS.len() as u64) as usize;
        let end = first + 1 + prng.below((TOPICS.len() - first) as u64) as usize;
        let connections = config.connections_max as usize;
        let shards = 1 + prng.below(4) as u16;
        let payload_max = pick(prng, &[8, 100, config.message.message_bytes_max as u64 / 2]);
        // What is published shrinks as much as anything does: it may have to be let through.
        let ratios =
            if payload_max > INFLATE_RATIO_FREE_BYTES as u64 { [2000; 2] } else { [2000, 200] };
        config.message.inflate_ratio_max = pick(prng, &ratios);
        let clients_max = pick(prng, &[3, 8, 20]);
        Plan {
            dialect: if prng.below(4) == 0 { Dialect::Echo } else { Dialect::Json },
            default_policy: config.policies.default,
            topics: first..end,
            clients_max,
            slow_room: pick(prng, &[64, 600, 5000]),
            payload_max,
            pump: pick(prng, &[200, 600, 1000]),
            turns: pick(prng, &[200, 600, 1000]),
            weights_sum: weights.iter().map(|(_, weight)| weight).sum(),
            weights,
            drains: prng.below(4) == 0,
            is_ingress_tiny: config.ingress_total_bytes_max < ingress_bytes(&config, clients_max),
            faults: Faults::draw(prng),
            shards,
            lane_capacity: pick(prng, &[2, 3, 4, 8, 64, 64]),
            connections_max: pick(prng, &[2, 6, connections * usize::from(shards)]),
            files: pick(prng, &[3, connections + 2, 512]),
            buffers: pick(prng, &[1, 2, 16, 256]),
            buffer_bytes: pick(prng, &[256, 4096, 4096]),
            config,
        }
    }

    /// What its host is made of.
    pub fn host(&self, seed: u64) -> HostPlan {
        HostPlan {
            shards: self.shards,
            lane_capacity: self.lane_capacity,
            config: self.config.clone(),
            connections_max: self.connections_max,
            files: self.files,
            buffers: self.buffers,
            buffer_bytes: self.buffer_bytes,
            seed,
        }
    }

    /// What a subscriber of a topic may miss. Written once more than in the code under test.
    pub fn gaps(&self, topic: usize) -> Gaps {
        let policy = match TOPICS[topic].split_once(':') {
            Some(("keep", _)) => SlowConsumer::Close,
            Some(("drop", _)) => SlowConsumer::DropOldest,
            Some(("last", _)) => SlowConsumer::Conflate,
            Some(_) | None => self.default_policy,
        };
        match policy {
            SlowConsumer::Close => Gaps::Never,
            SlowConsumer::DropOldest | SlowConsumer::Conflate => Gaps::WhereSlow,
        }
    }

    /// True when the newest message of a topic always gets through: it takes the place of others,
    /// or the subscriber is closed.
    pub fn keeps_newest(&self, topic: usize) -> bool {
        let drops = TOPICS[topic].starts_with("drop:");
        let is_default = !TOPICS[topic].contains(':');
        let drops_by_default = is_default && self.default_policy == SlowConsumer::DropOldest;
        !drops && !drops_by_default
    }
}

/// The same relations hold as a configuration has to keep (`server::config`).
fn draw_config(prng: &mut Prng) -> ShardConfig {
    let message_bytes_max = pick(prng, &[512, 2048, 2048, 16 * 1024, 16 * 1024, 160 * 1024]);
    let beside = EGRESS_CONTROL_RESERVE_BYTES + ENVELOPE_BYTES_MAX;
    let bytes_max = message_bytes_max + beside + pick(prng, &[0, 2000, 60_000]);
    let total_bytes_max = bytes_max * pick(prng, &[1, 2, 64]);
    let default = pick(prng, &SlowConsumer::ALL);
    let namespaces = BTreeMap::from([
        ("keep".to_owned(), SlowConsumer::Close),
        ("drop".to_owned(), SlowConsumer::DropOldest),
        ("last".to_owned(), SlowConsumer::Conflate),
    ]);
    ShardConfig {
        listeners: 1 + prng.below(2) as u16,
        connections_max: pick(prng, &[1, 4, 24, 64]),
        arena_bytes: pick(prng, &[64, 1000, 64 * 1024]),
        egress: EgressLimits { bytes_max, total_bytes_max },
        message: Limits {
            message_bytes_max,
            fragments_max: pick(prng, &[1, 3, 1000]),
            ..Limits::default()
        },
        deflate: draw_deflate(prng, message_bytes_max),
        head_bytes_max: pick(prng, &[1024, 8192]),
        ingress_total_bytes_max: pick(
            prng,
            &[message_bytes_max, 3 * message_bytes_max, 1 << 20, 16 << 20],
        ),
        publish_bytes_max: pick(prng, &[message_bytes_max, message_bytes_max, 64]),
        subscriptions_max: pick(prng, &[1, 3, 8]),
        topics_max: pick(prng, &[1, 3, 64]),
        home_topics_max: pick(prng, &[1, 3, 64]),
        fanout_budget: pick(prng, &[1, 3, 10, FANOUT_BUDGET]),
        policies: Policies { default, namespaces },
        heartbeat_interval_ms: pick(prng, &[256, 2_000, 25_000]),
        heartbeat_timeout_ms: pick(prng, &[256, 2_000, 10_000]),
        handshake_timeout_ms: pick(prng, &[200, 10_000]),
        close_timeout_ms: pick(prng, &[200, 5_000]),
    }
}

/// What unfinished messages of so many clients never go beyond, as far as the model can say.
fn ingress_bytes(config: &ShardConfig, clients: usize) -> usize {
    match config.deflate {
        None => 1 << 20,
        // As it came, as what it becomes, as a window, and with what came behind it.
        Some(_) => clients * (3 * config.message.message_bytes_max + 128 * 1024),
    }
}

/// Half of the runs compress. Turns have room for little, so that messages take many.
fn draw_deflate(prng: &mut Prng, message_bytes_max: usize) -> Option<DeflateConfig> {
    let compression = CompressionConfig {
        level: pick(prng, &[1, 4, 6]),
        threshold_bytes: pick(prng, &[1, 64, 512]),
        turn_bytes_max: pick(prng, &[300, 10_000, 1 << 20]),
    };
    // A run has no time for messages that take thousands of turns each.
    let slice_bytes_max = pick(prng, &[16, 500, 256 * 1024]).max(message_bytes_max / 200);
    let bytes_max = slice_bytes_max * pick(prng, &[1, 3, 100]);
    let policy = Policy {
        server_window_bits: pick(prng, &[9, 15]),
        client_window_bits: pick(prng, &[9, 15]),
        client_takeover: prng.below(2) == 0,
    };
    let takeovers_max = pick(prng, &[1, 2, 100]);
    let inflating = InflateTurn { bytes_max, slice_bytes_max };
    let stopwatch = Stopwatch::STILL;
    let config = DeflateConfig { compression, inflating, policy, takeovers_max, stopwatch };
    (prng.below(2) == 0).then_some(config)
}

/// Some actions are wholly off, but for those without which nothing happens.
fn draw_weights(prng: &mut Prng) -> Vec<(Action, u64)> {
    let weights = ACTIONS.iter().map(|(action, weight)| {
        let is_vital = matches!(action, Action::Connect | Action::Idle | Action::Advance);
        let is_deadly = matches!(
            action,
            Action::Violate
                | Action::SayClose
                | Action::HalfClose
                | Action::Reset
                | Action::Vanish
                | Action::LongAdvance
        );
        let factor = if is_vital {
            4
        } else if is_deadly {
            pick(prng, &[0, 0, 1, 1, 4])
        } else {
            pick(prng, &[0, 1, 4, 4, 4, 16])
        };
        (*action, weight * factor)
    });
    weights.filter(|(_, weight)| *weight > 0).collect()
}
