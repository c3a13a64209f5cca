//! What a shard is made of beside its connections and its handler.
//!
//! Lives apart from them so that a handler can be lent one connection and all of this at once.

use std::collections::VecDeque;
use std::sync::Arc;

use super::admission::Admission;
use super::inflating::Inflating;
use crate::base::prng::Prng;
use crate::base::wheel::Wheel;
use crate::base::{ConnKey, Now, ShardId, Stopwatch, Tick};
use crate::conn::compression::CompressionConfig;
use crate::conn::outbox::EgressLimits;
use crate::conn::{CloseReason, Outbox};
use crate::metrics::{Metric, ShardCounters};
use crate::pubsub::envelope::Request;
use crate::pubsub::policy::Policies;
use crate::pubsub::press::Press;
use crate::pubsub::registry::Registry;
use crate::ring::{ListenerId, Op, OpQueue};
use crate::shard::drain::Drain;
use crate::shard::mailbox::Mailbox;
use crate::ws::deflate::{Policy, WINDOW_BITS_MAX};
use crate::ws::partial::{InflateTurn, PartialPool};
use crate::ws::protocol::Limits;

/// The sizes and times of a shard. The same for all shards of a server.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Listeners to accept from.
    pub listeners: u16,
    /// Connections of this shard, without those that are only refused.
    pub connections_max: u32,
    /// Octets of the arena that fast sends are staged in.
    pub arena_bytes: usize,
    /// What may wait to be sent.
    pub egress: EgressLimits,
    /// What a client's message may be.
    pub message: Limits,
    /// Compressed messages, where they are agreed on.
    pub deflate: Option<DeflateConfig>,
    /// Octets of a request head.
    pub head_bytes_max: usize,
    /// Octets of all unfinished messages of the shard.
    pub ingress_total_bytes_max: usize,
    /// Octets of a message's data that may be published.
    pub publish_bytes_max: usize,
    /// Topics of one connection.
    pub subscriptions_max: usize,
    /// Different topics that connections of one shard may subscribe to.
    pub topics_max: usize,
    /// Topics whose home is one shard.
    pub home_topics_max: usize,
    /// Messages that are handed to subscribers in one turn, counted once for each of them.
    pub fanout_budget: usize,
    /// What namespaces say of slow consumers.
    pub policies: Policies,
    /// Silence after which a ping is sent.
    pub heartbeat_interval_ms: u64,
    /// Time for the answer to a ping.
    pub heartbeat_timeout_ms: u64,
    /// Time for the opening handshake.
    pub handshake_timeout_ms: u64,
    /// Time for the closing handshake, and for last words to go out.
    pub close_timeout_ms: u64,
}

/// What a connection holds that may refer to its earlier messages: the largest window, and what is
/// around it.
const TAKEOVER_BYTES: usize = (1 << WINDOW_BITS_MAX) + 1024;

/// Compressed messages of a shard (RFC 7692).
#[derive(Clone, Copy, Debug)]
pub struct DeflateConfig {
    /// What clients are sent.
    pub compression: CompressionConfig,
    /// How much of what clients send is inflated in a turn.
    pub inflating: InflateTurn,
    /// What is agreed to.
    pub policy: Policy,
    /// Connections of this shard that may refer to their earlier messages, each at the price of a
    /// window; those beyond are told not to.
    pub takeovers_max: u32,
    /// Tells how long compressing and inflating take.
    pub stopwatch: Stopwatch,
}

/// What a handler has asked for, to be done when it has returned.
#[derive(Debug)]
pub(super) enum Command {
    Close { reason: CloseReason, text: Box<str> },
    PauseForLane { home: usize },
    SteerRecv,
}

/// A connection that publishes faster than a home can take it.
pub(super) struct LanePaused {
    pub(super) conn: ConnKey,
    pub(super) home: usize,
}

/// See the module's header.
pub(crate) struct Core {
    pub(super) me: ShardId,
    pub(super) shards: usize,
    pub(super) now: Now,
    pub(super) config: Arc<ShardConfig>,
    pub(super) admission: Arc<Admission>,
    pub(super) outbox: Outbox,
    pub(super) mailbox: Mailbox,
    /// Memory of parcels and frames.
    pub(super) press: Press,
    pub(super) registry: Registry,
    pub(super) counters: ShardCounters,
    pub(super) wheel: Wheel,
    pub(super) pool: PartialPool,
    /// Connections whose messages are not all inflated yet.
    pub(super) inflating: Inflating,
    /// Connections that may refer to their earlier messages.
    pub(super) takeovers: u32,
    pub(super) prng: Prng,
    pub(super) ops: OpQueue,
    /// Closes go after the sends of the turn: a descriptor's number is used again at once.
    /// So many a turn as its budget allows; there are never more than slots and accepts.
    pub(super) closes: VecDeque<Op>,
    pub(super) commands: Vec<Command>,
    pub(super) starved: Vec<ConnKey>,
    /// Ending connections whose last words go out with this turn.
    pub(super) flushing: Vec<ConnKey>,
    pub(super) lane_paused: Vec<LanePaused>,
    /// Who the last submit showed to be too slow; closed when the next turn has begun, because
    /// until then nothing can be staged.
    pub(super) too_slow: Vec<ConnKey>,
    /// Connections whose handler was told to slow down during the turn.
    pub(super) congested: Vec<ConnKey>,
    /// Participants whose requests wait for room in another lane, as a bitmap.
    pub(super) stalled: Vec<u64>,
    /// The shard stood still a while ago: until this tick it hears what came meanwhile, and gives
    /// nobody up.
    pub(super) patient_until: Tick,
    /// Accepting failed: not before this moment is it tried again.
    pub(super) deaf_until_ms: u64,
    /// Listeners that do not accept at present.
    pub(super) deaf: Vec<ListenerId>,
    /// WebSocket connections that are open.
    pub(super) open: usize,
    /// Octets held for unfinished messages.
    pub(super) ingress_bytes: usize,
    pub(super) stage: Life,
}

/// Where a shard is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Connections are welcome.
    Serving,
    /// No new ones; the present ones are told to go.
    Draining(Drain),
}

impl Core {
    /// Sends a request where room was seen before.
    pub(super) fn request(&mut self, to: usize, request: Request) {
        self.counters.inc(Metric::LaneRequests);
        assert!(self.mailbox.request(to, request).is_ok(), "room was seen before");
    }

    /// Accounts for the memory of unfinished messages of one connection.
    pub(super) fn account_ingress(&mut self, before: usize, after: usize) {
        self.ingress_bytes = self.ingress_bytes + after - before;
    }

    /// More than may be is held of unfinished messages. Windows of clients come on top: the memory
    /// plan has room for those that are allowed, and they stay as long as their connections.
    pub(super) fn holds_too_much(&self) -> bool {
        let (held, most) = (self.ingress_bytes, self.config.ingress_total_bytes_max);
        let windows = || self.config.deflate.map_or(0, |deflate| deflate.takeovers_max as usize);
        held > most && held > most + windows() * TAKEOVER_BYTES
    }
}
