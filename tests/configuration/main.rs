//! Every key of the configuration, set in a file, and what it changes in the server that runs.
//!
//! The list of tests is held against the catalog: a key without one fails here. So does a test that
//! does not set its key, or passes where it is left out.

#[path = "../common/mod.rs"]
mod common;

mod compression;
mod effect;
mod file;
mod heartbeats;
mod limits;
mod server;
mod slow;

use std::collections::BTreeSet;

use ringwire::cli::keys::KEYS;

macro_rules! effects {
    ($($path:literal => $module:ident::$test:ident,)*) => {
        const LISTED: &[&str] = &[$($path),*];
        mod effect_of {
            $(#[test]
            fn $test() {
                crate::effect::check($path, crate::$module::$test);
            })*
        }
    };
}

effects! {
    "server.listen" => server::listen,
    "server.admin" => server::admin,
    "server.shards" => server::shards,
    "server.max_connections" => server::max_connections,
    "server.log" => server::log,
    "server.log_format" => server::log_format,
    "server.drain_timeout_ms" => server::drain_timeout,
    "server.drain_rate_per_s" => server::drain_rate,
    "server.drain_retry_ms" => server::drain_retry,
    "server.backlog" => server::backlog,
    "server.unix_mode" => server::unix_mode,
    "server.allow_overcommit" => server::allow_overcommit,
    "limits.message_bytes_max" => limits::message_bytes_max,
    "limits.fragments_max" => limits::fragments_max,
    "limits.head_bytes_max" => limits::head_bytes_max,
    "limits.egress_bytes_max" => slow::egress_bytes_max,
    "limits.egress_total_bytes_max" => slow::egress_total_bytes_max,
    "limits.ingress_total_bytes_max" => limits::ingress_total_bytes_max,
    "limits.subscriptions_max" => limits::subscriptions_max,
    "limits.topics_max" => limits::topics_max,
    "limits.recv_buffers" => limits::recv_buffers,
    "limits.recv_buffer_bytes" => limits::recv_buffer_bytes,
    "compression.enabled" => compression::enabled,
    "compression.level" => compression::level,
    "compression.threshold_bytes" => compression::threshold_bytes,
    "compression.ratio_max" => compression::ratio_max,
    "compression.server_window_bits" => compression::server_window_bits,
    "compression.client_window_bits" => compression::client_window_bits,
    "compression.takeover_connections_max" => compression::takeover_connections_max,
    "heartbeat.interval_ms" => heartbeats::interval,
    "heartbeat.timeout_ms" => heartbeats::timeout,
    "timeouts.handshake_ms" => heartbeats::handshake,
    "timeouts.close_ms" => heartbeats::close,
    "slow_consumer.default" => slow::default_policy,
    "namespaces.NAME.slow_consumer" => slow::namespace_policy,
}

#[test]
fn every_key_has_a_test_of_its_effect() {
    let listed: BTreeSet<String> = LISTED.iter().map(|path| (*path).to_owned()).collect();
    let known: BTreeSet<String> = KEYS.iter().map(|key| key.path()).collect();
    assert_eq!(listed, known, "left: keys with a test here; right: keys of the catalog");
}
