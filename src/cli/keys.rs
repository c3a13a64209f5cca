//! The catalog of what an operator may set: one entry gives the flag, the environment variable, the
//! key of the file, the help, the bounds and the row of `docs/configuration.md`.
//!
//! Invariant K1: a value that an entry's form accepts fits the type that it is stored as.

use std::ops::RangeInclusive;

use super::settings::Settings;
use crate::limits::{
    MESSAGE_BYTES_MAX, RECV_BUFFER_BYTES, RECV_BUFFERS, RECV_BUFFERS_MAX, SHARDS_MAX,
    SLOTS_PER_SHARD_MAX, SUBSCRIPTIONS_MAX, TICK_MS,
};
use crate::pubsub::policy::SlowConsumer;

const DAY_MS: u64 = 24 * 3600 * 1000;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Something that may be set.
#[derive(Debug)]
pub struct Key {
    /// The table of the file that it stands in.
    pub section: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// The flag, without the dashes.
    pub flag: &'static str,
    /// What the flag's value is called in the help.
    pub value_name: &'static str,
    /// What it counts in, or nothing.
    pub unit: &'static str,
    /// What it takes and where that goes.
    pub form: Form,
    /// What holds when it is not set.
    pub default: Default,
    /// What it means.
    pub help: &'static str,
}

/// What holds when a key is not set.
#[derive(Debug)]
pub enum Default {
    /// This number.
    Number(u64),
    /// This text, or a description of what is done.
    Text(&'static str),
}

/// What a key takes, and where it is stored.
#[derive(Debug)]
pub enum Form {
    /// A number within bounds.
    Integer(RangeInclusive<u64>, fn(&mut Settings, u64)),
    /// A power of two within bounds.
    PowerOfTwo(RangeInclusive<u64>, fn(&mut Settings, u64)),
    /// A list of addresses for clients.
    Addresses(fn(&mut Settings, Vec<String>)),
    /// The address of the admin interface, or `none`.
    AdminAddress(fn(&mut Settings, String)),
    /// A filter of log events.
    LogFilter(fn(&mut Settings, String)),
    /// What becomes of slow consumers.
    Policy(fn(&mut Settings, SlowConsumer)),
    /// The same for one namespace: `NAME=POLICY` in flags and the environment.
    NamespacePolicies(fn(&mut Settings, String, SlowConsumer)),
}

/// All of them, in the order of their documentation.
pub static KEYS: &[Key] = &[
    Key {
        section: "server",
        name: "listen",
        flag: "listen",
        value_name: "ADDR",
        unit: "",
        form: Form::Addresses(|s, v| s.server.listen = Some(v)),
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
        default: Default::Number(10_000),
        help: "Connections of the whole server; the next one is answered 503",
    },
    Key {
        section: "server",
        name: "log",
        flag: "log",
        value_name: "FILTER",
        unit: "",
        form: Form::LogFilter(|s, v| s.server.log = Some(v)),
        default: Default::Text("info"),
        help: "What is logged: a level, or a list of target=level",
    },
    Key {
        section: "server",
        name: "drain_timeout_ms",
        flag: "drain-timeout-ms",
        value_name: "MS",
        unit: "ms",
        form: Form::Integer(0..=DAY_MS, |s, v| s.server.drain_timeout_ms = Some(v)),
        default: Default::Number(30_000),
        help: "How long connections may take to close when the server is told to end",
    },
    Key {
        section: "limits",
        name: "message_bytes_max",
        flag: "message-bytes-max",
        value_name: "BYTES",
        unit: "bytes",
        form: Form::Integer(125..=1024 * MIB, |s, v| s.limits.message_bytes_max = Some(v as usize)),
        default: Default::Number(MESSAGE_BYTES_MAX as u64),
        help: "A client's message; a larger one closes the connection with 1009",
    },
    Key {
        section: "limits",
        name: "egress_bytes_max",
        flag: "egress-bytes-max",
        value_name: "BYTES",
        unit: "bytes",
        form: Form::Integer(4 * KIB..=4096 * MIB, |s, v| {
            s.limits.egress_bytes_max = Some(v as usize);
        }),
        default: Default::Text("1048576, or four messages of message_bytes_max if that is more"),
        help: "What may wait for one connection before the slow-consumer policy applies",
    },
    Key {
        section: "limits",
        name: "egress_total_bytes_max",
        flag: "egress-total-bytes-max",
        value_name: "BYTES",
        unit: "bytes",
        form: Form::Integer(4 * KIB..=1024 * 1024 * MIB, |s, v| {
            s.limits.egress_total_bytes_max = Some(v as usize);
        }),
        default: Default::Text("536870912, or 2 x shards x egress_bytes_max if that is more"),
        help: "What may wait for all connections together",
    },
    Key {
        section: "limits",
        name: "subscriptions_max",
        flag: "subscriptions-max",
        value_name: "N",
        unit: "",
        form: Form::Integer(1..=1 << 20, |s, v| s.limits.subscriptions_max = Some(v as usize)),
        default: Default::Number(SUBSCRIPTIONS_MAX as u64),
        help: "Topics that one connection may subscribe to",
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
        default: Default::Number(RECV_BUFFER_BYTES as u64),
        help: "Size of one receive buffer",
    },
    Key {
        section: "heartbeat",
        name: "interval_ms",
        flag: "heartbeat-interval-ms",
        value_name: "MS",
        unit: "ms",
        form: Form::Integer(4 * TICK_MS..=DAY_MS, |s, v| s.heartbeat.interval_ms = Some(v)),
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
        default: Default::Text("as slow_consumer.default"),
        help: "The same for the topics of one namespace",
    },
];

/// Half of what the tables hold: SO_REUSEPORT spreads connections unevenly.
const CONNECTIONS_MAX: u64 = (SHARDS_MAX as u64) * (SLOTS_PER_SHARD_MAX as u64 / 2);

impl Key {
    /// Its name in messages and documentation.
    pub fn path(&self) -> String {
        match self.form {
            Form::NamespacePolicies(_) => format!("{}.NAME.{}", self.section, self.name),
            Form::Integer(..)
            | Form::PowerOfTwo(..)
            | Form::Addresses(_)
            | Form::AdminAddress(_)
            | Form::LogFilter(_)
            | Form::Policy(_) => format!("{}.{}", self.section, self.name),
        }
    }

    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("RINGWIRE_{}_{}", self.section, self.name).to_ascii_uppercase()
    }

    /// Whether it takes several values.
    pub fn is_list(&self) -> bool {
        matches!(self.form, Form::Addresses(_) | Form::NamespacePolicies(_))
    }

    /// Whether it takes a number.
    pub fn is_number(&self) -> bool {
        matches!(self.form, Form::Integer(..) | Form::PowerOfTwo(..))
    }

    /// What it takes, for people.
    pub fn allowed(&self) -> String {
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        match &self.form {
            Form::Integer(bounds, _) => {
                format!("an integer from {} to {}{unit}", bounds.start(), bounds.end())
            }
            Form::PowerOfTwo(bounds, _) => {
                format!("a power of two from {} to {}{unit}", bounds.start(), bounds.end())
            }
            Form::Addresses(_) => {
                "an IP address with a port, such as 127.0.0.1:9001 or [::]:9001, or unix:/path"
                    .to_owned()
            }
            Form::AdminAddress(_) => {
                "a loopback address with a port, such as 127.0.0.1:9002, unix:/path, or none"
                    .to_owned()
            }
            Form::LogFilter(_) => "off, error, warn, info, debug or trace, or a list of \
                                   target=level with commas between them"
                .to_owned(),
            Form::Policy(_) => "close, drop_oldest or conflate".to_owned(),
            Form::NamespacePolicies(_) => {
                "NAME=POLICY, where NAME has no colon and POLICY is close, drop_oldest or conflate"
                    .to_owned()
            }
        }
    }

    /// What holds when it is not set, for people.
    pub fn default_text(&self) -> String {
        match self.default {
            Default::Number(number) => number.to_string(),
            Default::Text(text) => text.to_owned(),
        }
    }
}
