//! What of a shard's configuration may change while it runs.
//!
//! Stands beside the envelopes because it travels in one: plain numbers and policies, made by the
//! server from a checked configuration, the shard's own part of totals already taken.

use super::policy::Policies;

/// See the module's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Connections of all shards together.
    pub connections_total_max: usize,
    /// Octets that may wait for one connection.
    pub egress_bytes_max: usize,
    /// Octets that may wait for all connections of the shard.
    pub egress_total_bytes_max: usize,
    /// Octets of a client's message.
    pub message_bytes_max: usize,
    /// Frames of a client's message.
    pub fragments_max: u32,
    /// Octets of a request head.
    pub head_bytes_max: usize,
    /// Octets of all unfinished messages of the shard.
    pub ingress_total_bytes_max: usize,
    /// Octets of a message's data that may be published.
    pub publish_bytes_max: usize,
    /// Topics of one connection.
    pub subscriptions_max: usize,
    /// Different topics that connections of the shard may subscribe to.
    pub topics_max: usize,
    /// Topics whose home is the shard.
    pub home_topics_max: usize,
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
