//! What a shard is told of the configuration: at its start, and when it is read anew.

use super::config::Config;
use super::plan;
use crate::conn::outbox::EgressLimits;
use crate::control::bridge::InForce;
use crate::control::drain::DrainRules;
use crate::limits::FANOUT_BUDGET;
use crate::pubsub::tuning::Tuning;
use crate::shard::ShardConfig;
use crate::ws::protocol::Limits;

impl Config {
    /// This configuration, which is in force, with all of `wanted` that a running server takes
    /// over. Each field is decided on here. Tables were sized at the start for `connections_most`.
    pub fn with_live_of(&self, wanted: &Config, connections_most: u32) -> Config {
        let running = self.clone();
        let wanted = wanted.clone();
        Config {
            connections_max: wanted.connections_max.min(connections_most),
            message_bytes_max: wanted.message_bytes_max,
            fragments_max: wanted.fragments_max,
            head_bytes_max: wanted.head_bytes_max,
            egress_bytes_max: wanted.egress_bytes_max,
            egress_total_bytes_max: wanted.egress_total_bytes_max,
            ingress_total_bytes_max: wanted.ingress_total_bytes_max,
            subscriptions_max: wanted.subscriptions_max,
            topics_max: wanted.topics_max,
            policies: wanted.policies,
            heartbeat_interval_ms: wanted.heartbeat_interval_ms,
            heartbeat_timeout_ms: wanted.heartbeat_timeout_ms,
            handshake_timeout_ms: wanted.handshake_timeout_ms,
            close_timeout_ms: wanted.close_timeout_ms,
            drain_timeout_ms: wanted.drain_timeout_ms,
            drain_rate_per_s: wanted.drain_rate_per_s,
            drain_retry_ms: wanted.drain_retry_ms,
            listen: running.listen,
            inherited: running.inherited,
            admin: running.admin,
            shards: running.shards,
            recv_buffers: running.recv_buffers,
            recv_buffer_bytes: running.recv_buffer_bytes,
            compression: running.compression,
            backlog: running.backlog,
            unix_mode: running.unix_mode,
            handles_signals: running.handles_signals,
            notifies_manager: running.notifies_manager,
            hang_while_exists: running.hang_while_exists,
        }
    }

    /// What the control plane goes by.
    pub fn in_force(&self) -> InForce {
        InForce {
            connections_max: u64::from(self.connections_max),
            egress_bytes_max: self.egress_total_bytes_max as u64,
            drain: DrainRules {
                rate_per_s: self.drain_rate_per_s,
                timeout_ms: self.drain_timeout_ms,
                close_timeout_ms: self.close_timeout_ms,
                retry_ms_max: self.drain_retry_ms,
            },
        }
    }

    /// What each shard gets of it while it runs.
    pub fn tuning(&self) -> Tuning {
        let shards = usize::from(self.shards);
        Tuning {
            connections_total_max: self.connections_max as usize,
            egress_bytes_max: self.egress_bytes_max,
            egress_total_bytes_max: self.egress_total_bytes_max / shards,
            message_bytes_max: self.message_bytes_max,
            fragments_max: self.fragments_max,
            head_bytes_max: self.head_bytes_max,
            ingress_total_bytes_max: self.ingress_total_bytes_max / shards,
            publish_bytes_max: self.message_bytes_max,
            subscriptions_max: self.subscriptions_max,
            topics_max: self.topics_max,
            home_topics_max: plan::home_topics_per_shard(self),
            policies: self.policies.clone(),
            heartbeat_interval_ms: self.heartbeat_interval_ms,
            heartbeat_timeout_ms: self.heartbeat_timeout_ms,
            handshake_timeout_ms: self.handshake_timeout_ms,
            close_timeout_ms: self.close_timeout_ms,
        }
    }
}

/// What each shard starts with.
pub(super) fn shard_config(config: &Config) -> ShardConfig {
    let tuning = config.tuning();
    ShardConfig {
        listeners: config.listeners() as u16,
        connections_max: plan::connections_per_shard(config),
        arena_bytes: plan::arena_bytes(config),
        egress: EgressLimits {
            bytes_max: tuning.egress_bytes_max,
            total_bytes_max: tuning.egress_total_bytes_max,
        },
        message: Limits {
            message_bytes_max: tuning.message_bytes_max,
            fragments_max: tuning.fragments_max,
            inflate_ratio_max: config.compression.ratio_max,
        },
        deflate: config.compression.of_shard(config.shards),
        head_bytes_max: tuning.head_bytes_max,
        ingress_total_bytes_max: tuning.ingress_total_bytes_max,
        publish_bytes_max: tuning.publish_bytes_max,
        subscriptions_max: tuning.subscriptions_max,
        topics_max: tuning.topics_max,
        home_topics_max: tuning.home_topics_max,
        fanout_budget: FANOUT_BUDGET,
        policies: tuning.policies,
        heartbeat_interval_ms: tuning.heartbeat_interval_ms,
        heartbeat_timeout_ms: tuning.heartbeat_timeout_ms,
        handshake_timeout_ms: tuning.handshake_timeout_ms,
        close_timeout_ms: tuning.close_timeout_ms,
    }
}
