//! New values for a shard that runs: taken from its lane, in force from the next turn on.
//!
//! Nobody is dropped for them, unless more waits for all together than may from now on: then the
//! slowest go, as always. What is over a limit that was lowered stays and is not added to; a
//! connection's deadline that has been set already is kept, and the next one follows the new
//! values.

use std::sync::Arc;

use super::core::ShardConfig;
use super::shard::Shard;
use crate::conn::outbox::EgressLimits;
use crate::handler::Handler;
use crate::pubsub::tuning::Tuning;
use crate::ws::protocol::Limits;

impl ShardConfig {
    /// The same sizes with other values. Every field of the tuning is used, or this does not
    /// compile.
    fn tuned(&self, tuning: &Tuning) -> ShardConfig {
        let Tuning {
            connections_total_max: _,
            egress_bytes_max,
            egress_total_bytes_max,
            message_bytes_max,
            fragments_max,
            head_bytes_max,
            ingress_total_bytes_max,
            publish_bytes_max,
            subscriptions_max,
            topics_max,
            home_topics_max,
            policies,
            heartbeat_interval_ms,
            heartbeat_timeout_ms,
            handshake_timeout_ms,
            close_timeout_ms,
        } = tuning.clone();
        let total_bytes_max = egress_total_bytes_max;
        ShardConfig {
            egress: EgressLimits { bytes_max: egress_bytes_max, total_bytes_max },
            message: Limits { message_bytes_max, fragments_max, ..self.message },
            head_bytes_max,
            ingress_total_bytes_max,
            publish_bytes_max,
            subscriptions_max,
            topics_max,
            home_topics_max,
            policies,
            heartbeat_interval_ms,
            heartbeat_timeout_ms,
            handshake_timeout_ms,
            close_timeout_ms,
            ..self.clone()
        }
    }
}

impl<H: Handler> Shard<H> {
    /// Takes the new values over.
    pub(super) fn retune(&mut self, tuning: &Tuning) {
        let core = &mut self.core;
        let config = core.config.tuned(tuning);
        core.admission.set_max(tuning.connections_total_max);
        core.outbox.set_limits(config.egress);
        core.registry.set_topics_max(config.topics_max);
        if core.config.policies != config.policies {
            core.registry.set_policies(&config.policies);
        }
        self.home.set_topics_max(config.home_topics_max);
        core.config = Arc::new(config);
    }
}
