//! The table of keys. Its order is that of the documentation.

mod compression;

use std::collections::BTreeMap;

use super::keys::{Default, Form, Key, Reload};
use crate::limits::{
    DRAIN_RATE_PER_S, HEAD_BYTES_MAX, RECV_BUFFER_BYTES, RECV_BUFFERS, RECV_BUFFERS_MAX,
    SHARDS_MAX, SLOTS_PER_SHARD_MAX, SUBSCRIPTIONS_MAX, TICK_MS, TOPICS_MAX,
};
use crate::pubsub::policy::SlowConsumer;
use crate::ring::ListenAddr;

const DAY_MS: u64 = 24 * 3600 * 1000;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// Half of what the tables hold: SO_REUSEPORT spreads connections unevenly.
const CONNECTIONS_MAX: u64 = (SHARDS_MAX as u64) * (SLOTS_PER_SHARD_MAX as u64 / 2);
/// Octets that may wait for one connection.
const EGRESS_BYTES_MAX: u64 = 4096 * MIB;
/// Octets that may wait for all: at least what a total that is not set becomes.
const TOTAL_BYTES_MAX: u64 = 16 * 1024 * 1024 * MIB;
const _: () = assert!(TOTAL_BYTES_MAX >= 2 * SHARDS_MAX as u64 * EGRESS_BYTES_MAX);

/// All of them, in the order of their documentation.
pub static KEYS: &[Key] = &[
    Key {
        section: "server",
        name: "listen",
        flag: "listen",
        value_name: "ADDR",
        unit: "",
        form: Form::Addresses(|s, v| s.server.listen = Some(v)),
        reload: Reload::Restart,
        shown: |e| list(e.config.listen.iter().map(address)),
        default: Default::Text("127.0.0.1:9001"),
        help: "Where clients connect: an IP address with a port, or unix:/path",
    },
    Key {
        section: "server",
        name: "admin",
        flag: "admin",
        value_name: "ADDR",
        unit: "",
        form: Form::AdminAddress(|s, v| s.server.admin = Some(v)),
        reload: Reload::Restart,
        shown: |e| text(&e.config.admin.as_ref().map_or("none".into(), ToString::to_string)),
        default: Default::Text("127.0.0.1:9002"),
        help: "Where the operator asks: a loopback address with a port, unix:/path, or none",
    },
    Key {
        section: "server",
        name: "shards",
        flag: "shards",
        value_name: "N",
        unit: "",
        form: Form::Integer(1..=SHARDS_MAX as u64, |s, v| s.server.shards = Some(v as u16)),
        reload: Reload::Restart,
        shown: |e| e.config.shards.to_string(),
        default: Default::Text("one for each core"),
        help: "Threads that serve connections, each with a ring and a table of descriptors",
    },
    Key {
        section: "server",
        name: "max_connections",
        flag: "max-connections",
        value_name: "N",
        unit: "",
        form: Form::Integer(1..=CONNECTIONS_MAX, |s, v| s.server.max_connections = Some(v as u32)),
        reload: Reload::Live,
        shown: |e| e.config.connections_max.to_string(),
        default: Default::Number(10_000),
        help: "Connections of the whole server; the next one is answered 503. A reload may set it \
               as far up as it was at the start",
    },
    Key {
        section: "server",
        name: "log",
        flag: "log",
        value_name: "FILTER",
        unit: "",
        form: Form::LogFilter(|s, v| s.server.log = Some(v)),
        reload: Reload::Live,
        shown: |e| text(&e.log),
        default: Default::Text("info"),
        help: "What is logged: a level, or a list of target=level",
    },
    Key {
        section: "server",
        name: "log_format",
        flag: "log-format",
        value_name: "FORMAT",
        unit: "",
        form: Form::LogFormat(|s, v| s.server.log_format = Some(v)),
        reload: Reload::Restart,
        shown: |e| text(e.log_format.name()),
        default: Default::Text("auto"),
        help: "How the log is written: text, json, journal (text with levels that journald reads), \
               or auto: journal where journald reads it, else text",
    },
    Key {
        section: "server",
        name: "drain_timeout_ms",
        flag: "drain-timeout-ms",
        value_name: "MS",
        unit: "ms",
        form: Form::Integer(0..=DAY_MS, |s, v| s.server.drain_timeout_ms = Some(v)),
        reload: Reload::Live,
        shown: |e| e.config.drain_timeout_ms.to_string(),
        default: Default::Number(30_000),
        help: "How long connections may take to close when the server is told to end; who has not \
               been told shortly before is told then",
    },
    Key {
        section: "server",
        name: "drain_rate_per_s",
        flag: "drain-rate-per-s",
        value_name: "N",
        unit: "connections/s",
        form: Form::Integer(1..=1_000_000, |s, v| s.server.drain_rate_per_s = Some(v as u32)),
        reload: Reload::Live,
        shown: |e| e.config.drain_rate_per_s.to_string(),
        default: Default::Number(DRAIN_RATE_PER_S as u64),
        help: "Connections of the whole server that are told to go in a second of a drain",
    },
    Key {
        section: "server",
        name: "drain_retry_ms",
        flag: "drain-retry-ms",
        value_name: "MS",
        unit: "ms",
        form: Form::Integer(0..=DAY_MS, |s, v| s.server.drain_retry_ms = Some(v)),
        reload: Reload::Live,
        shown: |e| e.config.drain_retry_ms.to_string(),
        default: Default::Number(5_000),
        help: "A drain advises each client to come back after a random time of up to this; 0 for \
               no advice",
    },
    Key {
        section: "server",
        name: "backlog",
        flag: "backlog",
        value_name: "N",
        unit: "",
        form: Form::Integer(1..=65_535, |s, v| s.server.backlog = Some(v as u32)),
        reload: Reload::Restart,
        shown: |e| e.config.backlog.to_string(),
        default: Default::Number(4096),
        help: "Connections that may wait to be accepted, for each listener of each shard; \
               net.core.somaxconn caps it",
    },
    Key {
        section: "server",
        name: "unix_mode",
        flag: "unix-mode",
        value_name: "MODE",
        unit: "",
        form: Form::Mode(|s, v| s.server.unix_mode = Some(v)),
        reload: Reload::Restart,
        shown: |e| text(&format!("{:04o}", e.config.unix_mode)),
        default: Default::Text("0660"),
        help: "Permissions of Unix sockets for clients",
    },
    Key {
        section: "server",
        name: "allow_overcommit",
        flag: "allow-overcommit",
        value_name: "BOOL",
        unit: "",
        form: Form::Switch(|s, v| s.server.allow_overcommit = Some(v)),
        reload: Reload::Live,
        shown: |e| e.allow_overcommit.to_string(),
        default: Default::Text("false"),
        help: "Start, or reload, although the limits allow more memory than this host has",
    },
    Key {
        section: "limits",
        name: "message_bytes_max",
        flag: "message-bytes-max",
        value_name: "BYTES",
        unit: "bytes",
        form: Form::Integer(125..=1024 * MIB, |s, v| s.limits.message_bytes_max = Some(v as usize)),
        reload: Reload::Live,
        shown: |e| e.config.message_bytes_max.to_string(),
        default: Default::Text("65536; 16777216 for echo"),
        help: "A client's message; a larger one closes the connection with 1009",
    },
    Key {
        section: "limits",
        name: "fragments_max",
        flag: "fragments-max",
        value_name: "N",
        unit: "",
        form: Form::Integer(1..=1 << 24, |s, v| s.limits.fragments_max = Some(v as u32)),
        reload: Reload::Live,
        shown: |e| e.config.fragments_max.to_string(),
        default: Default::Text("65536; 131072 for echo"),
        help: "Frames of a client's message; one more closes the connection with 1008",
    },
    Key {
        section: "limits",
        name: "head_bytes_max",
        flag: "head-bytes-max",
        value_name: "BYTES",
        unit: "bytes",
        form: Form::Integer(KIB..=MIB, |s, v| s.limits.head_bytes_max = Some(v as usize)),
        reload: Reload::Live,
        shown: |e| e.config.head_bytes_max.to_string(),
        default: Default::Number(HEAD_BYTES_MAX as u64),
        help: "The head of an opening handshake; a larger one is answered 431",
    },
    Key {
        section: "limits",
        name: "egress_bytes_max",
        flag: "egress-bytes-max",
        value_name: "BYTES",
        unit: "bytes",
        form: Form::Integer(4 * KIB..=EGRESS_BYTES_MAX, |s, v| {
            s.limits.egress_bytes_max = Some(v as usize);
        }),
        reload: Reload::Live,
        shown: |e| e.config.egress_bytes_max.to_string(),
        default: Default::Text("1048576, or four messages of message_bytes_max if that is more"),
        help: "What may wait for one connection before the slow-consumer policy applies",
    },
    Key {
        section: "limits",
        name: "egress_total_bytes_max",
        flag: "egress-total-bytes-max",
        value_name: "BYTES",
        unit: "bytes",
        form: Form::Integer(4 * KIB..=TOTAL_BYTES_MAX, |s, v| {
            s.limits.egress_total_bytes_max = Some(v as usize);
        }),
        reload: Reload::Live,
        shown: |e| e.config.egress_total_bytes_max.to_string(),
        default: Default::Text(
            "536870912, or a quarter of the host's memory if that is less, or 2 x \
                                shards x egress_bytes_max if that is more",
        ),
        help: "What may wait for all connections together",
    },
    Key {
        section: "limits",
        name: "ingress_total_bytes_max",
        flag: "ingress-total-bytes-max",
        value_name: "BYTES",
        unit: "bytes",
        form: Form::Integer(KIB..=TOTAL_BYTES_MAX, |s, v| {
            s.limits.ingress_total_bytes_max = Some(v as usize);
        }),
        reload: Reload::Live,
        shown: |e| e.config.ingress_total_bytes_max.to_string(),
        default: Default::Text(
            "134217728, or a sixteenth of the host's memory if that is less, or \
                                2 x shards x message_bytes_max if that is more",
        ),
        help: "Unfinished messages of all connections together; beyond it connections with one \
               are closed with 1013 and handshakes answered 503",
    },
    Key {
        section: "limits",
        name: "subscriptions_max",
        flag: "subscriptions-max",
        value_name: "N",
        unit: "",
        form: Form::Integer(1..=1 << 20, |s, v| s.limits.subscriptions_max = Some(v as usize)),
        reload: Reload::Live,
        shown: |e| e.config.subscriptions_max.to_string(),
        default: Default::Number(SUBSCRIPTIONS_MAX as u64),
        help: "Topics that one connection may subscribe to",
    },
    Key {
        section: "limits",
        name: "topics_max",
        flag: "topics-max",
        value_name: "N",
        unit: "",
        form: Form::Integer(1..=1 << 24, |s, v| s.limits.topics_max = Some(v as usize)),
        reload: Reload::Live,
        shown: |e| e.config.topics_max.to_string(),
        default: Default::Number(TOPICS_MAX as u64),
        help: "Different topics of the whole server",
    },
    Key {
        section: "limits",
        name: "recv_buffers",
        flag: "recv-buffers",
        value_name: "N",
        unit: "",
        form: Form::PowerOfTwo(8..=RECV_BUFFERS_MAX as u64, |s, v| {
            s.limits.recv_buffers = Some(v as u16);
        }),
        reload: Reload::Restart,
        shown: |e| e.config.recv_buffers.to_string(),
        default: Default::Number(RECV_BUFFERS as u64),
        help: "Receive buffers of a shard, shared by its connections",
    },
    Key {
        section: "limits",
        name: "recv_buffer_bytes",
        flag: "recv-buffer-bytes",
        value_name: "BYTES",
        unit: "bytes",
        form: Form::Integer(256..=MIB, |s, v| s.limits.recv_buffer_bytes = Some(v as u32)),
        reload: Reload::Restart,
        shown: |e| e.config.recv_buffer_bytes.to_string(),
        default: Default::Number(RECV_BUFFER_BYTES as u64),
        help: "Size of one receive buffer",
    },
    compression::ENABLED,
    compression::LEVEL,
    compression::THRESHOLD_BYTES,
    compression::RATIO_MAX,
    compression::SERVER_WINDOW_BITS,
    compression::CLIENT_WINDOW_BITS,
    compression::TAKEOVER_CONNECTIONS_MAX,
    Key {
        section: "heartbeat",
        name: "interval_ms",
        flag: "heartbeat-interval-ms",
        value_name: "MS",
        unit: "ms",
        form: Form::Integer(4 * TICK_MS..=DAY_MS, |s, v| s.heartbeat.interval_ms = Some(v)),
        reload: Reload::Live,
        shown: |e| e.config.heartbeat_interval_ms.to_string(),
        default: Default::Number(25_000),
        help: "Silence of a client after which it is sent a ping",
    },
    Key {
        section: "heartbeat",
        name: "timeout_ms",
        flag: "heartbeat-timeout-ms",
        value_name: "MS",
        unit: "ms",
        form: Form::Integer(4 * TICK_MS..=DAY_MS, |s, v| s.heartbeat.timeout_ms = Some(v)),
        reload: Reload::Live,
        shown: |e| e.config.heartbeat_timeout_ms.to_string(),
        default: Default::Number(10_000),
        help: "How long a client may take to answer the ping; then it is closed with 4002",
    },
    Key {
        section: "timeouts",
        name: "handshake_ms",
        flag: "handshake-timeout-ms",
        value_name: "MS",
        unit: "ms",
        form: Form::Integer(TICK_MS..=DAY_MS, |s, v| s.timeouts.handshake_ms = Some(v)),
        reload: Reload::Live,
        shown: |e| e.config.handshake_timeout_ms.to_string(),
        default: Default::Number(10_000),
        help: "How long the opening handshake may take",
    },
    Key {
        section: "timeouts",
        name: "close_ms",
        flag: "close-timeout-ms",
        value_name: "MS",
        unit: "ms",
        form: Form::Integer(TICK_MS..=DAY_MS, |s, v| s.timeouts.close_ms = Some(v)),
        reload: Reload::Live,
        shown: |e| e.config.close_timeout_ms.to_string(),
        default: Default::Number(5_000),
        help: "How long the closing handshake may take, and last words to go out",
    },
    Key {
        section: "slow_consumer",
        name: "default",
        flag: "slow-consumer",
        value_name: "POLICY",
        unit: "",
        form: Form::Policy(|s, v| s.slow_consumer.default = Some(v)),
        reload: Reload::Live,
        shown: |e| text(e.config.policies.default.name()),
        default: Default::Text("close"),
        help: "What becomes of a subscriber that reads too slowly: close, drop_oldest or conflate",
    },
    Key {
        section: "namespaces",
        name: "slow_consumer",
        flag: "namespace",
        value_name: "NAME=POLICY",
        unit: "",
        form: Form::NamespacePolicies(|s, name, v| {
            s.namespaces.insert(name, v);
        }),
        reload: Reload::Live,
        shown: |e| namespaces(&e.config.policies.namespaces),
        default: Default::Text("as slow_consumer.default"),
        help: "The same for the topics of one namespace",
    },
];

/// A TOML string that may also be a key: a basic one. No setting holds control characters.
pub(super) fn text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn list(texts: impl Iterator<Item = String>) -> String {
    let texts: Vec<String> = texts.map(|entry| text(&entry)).collect();
    format!("[{}]", texts.join(", "))
}

fn namespaces(policies: &BTreeMap<String, SlowConsumer>) -> String {
    let each = policies.iter().map(|(name, policy)| format!("{name}={policy}"));
    each.collect::<Vec<_>>().join(",")
}

/// An address for clients, as an operator writes it.
pub(super) fn address(addr: &ListenAddr) -> String {
    match addr {
        ListenAddr::Tcp(addr) => addr.to_string(),
        ListenAddr::Unix(path) => format!("unix:{}", path.display()),
    }
}
