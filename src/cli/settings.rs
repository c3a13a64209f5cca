//! What an operator has set, by flag, environment and file, and which of them wins.
//!
//! Owns the layers: each is a [`Settings`] in which what was not said is `None`. It knows no
//! defaults and no relations between values; those are the server's. Invariants: S1 every value was
//! accepted by its key's form; S2 every value has an origin.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::engine_args::EngineArgs;
use super::file;
use super::keys::KEYS;
use super::log::LogFormat;
use super::nearest::nearest;
use super::origin::{Origin, SettingsError};
use super::value::store;
use crate::pubsub::policy::SlowConsumer;

/// Names the file that is read when the flag `--config` is not given.
pub const CONFIG_VARIABLE: &str = "RINGWIRE_CONFIG";
/// Names a file while which exists the first shard stands still: for tests of the watchdog.
pub const HANG_VARIABLE: &str = "RINGWIRE_TEST_HANG_WHILE_EXISTS";
/// Variables of other parts of the command.
const OTHER_VARIABLES: [&str; 5] =
    [CONFIG_VARIABLE, HANG_VARIABLE, "RINGWIRE_URL", "RINGWIRE_ADMIN_URL", "RINGWIRE_BLESS"];
/// How far a variable may be from a known one to be taken for a slip: an orchestrator may well put
/// variables of its own with our prefix into the environment, so an unknown one is no error.
const SLIP_DISTANCE_MAX: usize = 2;

/// See the module's header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `[server]`
    pub server: ServerSettings,
    /// `[limits]`
    pub limits: LimitsSettings,
    /// `[compression]`
    pub compression: CompressionSettings,
    /// `[heartbeat]`
    pub heartbeat: HeartbeatSettings,
    /// `[timeouts]`
    pub timeouts: TimeoutsSettings,
    /// `[slow_consumer]`
    pub slow_consumer: SlowConsumerSettings,
    /// `[namespaces.NAME]`: the policies by name.
    pub namespaces: BTreeMap<String, SlowConsumer>,
    /// Where each value came from, by its path in the file.
    pub origins: BTreeMap<String, Origin>,
    /// What looks like a slip but may be meant; to be shown.
    pub warnings: Vec<String>,
}

/// `[server]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerSettings {
    /// Addresses for clients: `IP:PORT` or `unix:/path`.
    pub listen: Option<Vec<String>>,
    /// The admin interface: an address that `AdminAddr` parses, or `none`.
    pub admin: Option<String>,
    /// Threads.
    pub shards: Option<u16>,
    /// Connections of all shards.
    pub max_connections: Option<u32>,
    /// A level, or `target=level,...`.
    pub log: Option<String>,
    /// Connections that may wait to be accepted, by listener.
    pub backlog: Option<u32>,
    /// Permissions of Unix sockets for clients.
    pub unix_mode: Option<u32>,
    /// Whether to start although the memory plan does not fit.
    pub allow_overcommit: Option<bool>,
    /// How it is written.
    pub log_format: Option<LogFormat>,
    /// Time for connections to close at the end.
    pub drain_timeout_ms: Option<u64>,
    /// Connections told to go in a second of it.
    pub drain_rate_per_s: Option<u32>,
    /// Advice to come back.
    pub drain_retry_ms: Option<u64>,
}

/// `[limits]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitsSettings {
    /// Octets of a client's message.
    pub message_bytes_max: Option<usize>,
    /// Frames of one.
    pub fragments_max: Option<u32>,
    /// Octets of a request head.
    pub head_bytes_max: Option<usize>,
    /// Octets that may wait for a connection.
    pub egress_bytes_max: Option<usize>,
    /// Octets that may wait for all.
    pub egress_total_bytes_max: Option<usize>,
    /// Octets of all unfinished messages.
    pub ingress_total_bytes_max: Option<usize>,
    /// Topics of the server.
    pub topics_max: Option<usize>,
    /// Topics of a connection.
    pub subscriptions_max: Option<usize>,
    /// Receive buffers of a shard.
    pub recv_buffers: Option<u16>,
    /// Octets of one.
    pub recv_buffer_bytes: Option<u32>,
}

/// `[compression]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompressionSettings {
    /// Whether it is agreed to.
    pub enabled: Option<bool>,
    /// How hard.
    pub level: Option<u8>,
    /// Octets from which on.
    pub threshold_bytes: Option<usize>,
    /// Octets for each octet received.
    pub ratio_max: Option<u32>,
    /// Our compressor's window.
    pub server_window_bits: Option<u8>,
    /// Clients' windows.
    pub client_window_bits: Option<u8>,
    /// Connections that refer to their earlier messages.
    pub takeover_connections_max: Option<u32>,
}

/// `[heartbeat]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeartbeatSettings {
    /// Silence before a ping.
    pub interval_ms: Option<u64>,
    /// Time for its answer.
    pub timeout_ms: Option<u64>,
}

/// `[timeouts]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeoutsSettings {
    /// Time for the opening handshake.
    pub handshake_ms: Option<u64>,
    /// Time for the closing handshake.
    pub close_ms: Option<u64>,
}

/// `[slow_consumer]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlowConsumerSettings {
    /// For namespaces without a policy of their own.
    pub default: Option<SlowConsumer>,
}

impl Settings {
    /// All layers: flags before environment before file.
    pub fn load(
        args: &EngineArgs,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Settings, SettingsError> {
        let ours = |(name, _): &(OsString, OsString)| name.as_encoded_bytes().starts_with(PREFIX);
        let environment: Vec<_> = environment.into_iter().filter(ours).collect();
        let named = environment.iter().find(|(name, _)| name == CONFIG_VARIABLE);
        let named = named.map(|(_, path)| path.into()).filter(|path| *path != OsString::new());
        let below = match args.config.clone().or(named) {
            Some(path) => file::read(&path)?,
            None => Settings::default(),
        };
        let environment = Settings::from_env(environment)?;
        Ok(Settings::from_args(args)?.merge(environment).merge(below))
    }

    /// What flags say.
    pub fn from_args(args: &EngineArgs) -> Result<Settings, SettingsError> {
        let mut settings = Settings::default();
        for (key, values) in &args.flags {
            store(&mut settings, key, values, &Origin::Flag(key.flag))?;
        }
        Ok(settings)
    }

    /// What the environment says. An empty variable says nothing.
    pub fn from_env(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Settings, SettingsError> {
        let mut settings = Settings::default();
        for (name, value) in environment {
            let Some(name) = name.to_str().filter(|name| name.as_bytes().starts_with(PREFIX))
            else {
                continue;
            };
            let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
                settings.warnings.extend(slip(name));
                continue;
            };
            // A character that is not UTF-8 becomes one that no form accepts.
            let value = value.to_string_lossy();
            let values: Vec<String> = if key.is_list() {
                value.split(',').map(|value| value.trim().to_owned()).collect()
            } else {
                vec![value.trim().to_owned()]
            };
            if values != [""] {
                store(&mut settings, key, &values, &Origin::Variable(name.to_owned()))?;
            }
        }
        Ok(settings)
    }

    /// These settings, and where they say nothing those of a `weaker` layer. Lists are taken whole;
    /// namespaces one by one.
    pub fn merge(self, weaker: Settings) -> Settings {
        Settings {
            server: self.server.or(weaker.server),
            limits: self.limits.or(weaker.limits),
            compression: self.compression.or(weaker.compression),
            heartbeat: HeartbeatSettings {
                interval_ms: self.heartbeat.interval_ms.or(weaker.heartbeat.interval_ms),
                timeout_ms: self.heartbeat.timeout_ms.or(weaker.heartbeat.timeout_ms),
            },
            timeouts: TimeoutsSettings {
                handshake_ms: self.timeouts.handshake_ms.or(weaker.timeouts.handshake_ms),
                close_ms: self.timeouts.close_ms.or(weaker.timeouts.close_ms),
            },
            slow_consumer: SlowConsumerSettings {
                default: self.slow_consumer.default.or(weaker.slow_consumer.default),
            },
            namespaces: over(self.namespaces, weaker.namespaces),
            origins: over(self.origins, weaker.origins),
            warnings: [self.warnings, weaker.warnings].concat(),
        }
    }
}

const PREFIX: &[u8] = b"RINGWIRE_";

fn over<V>(stronger: BTreeMap<String, V>, mut weaker: BTreeMap<String, V>) -> BTreeMap<String, V> {
    weaker.extend(stronger);
    weaker
}

fn slip(name: &str) -> Option<String> {
    if OTHER_VARIABLES.contains(&name) {
        return None;
    }
    let known = KEYS.iter().map(|key| key.variable());
    let near = nearest(name, known, SLIP_DISTANCE_MAX)?;
    Some(format!("{name} in the environment is ignored; did you mean {near}?"))
}

impl ServerSettings {
    fn or(self, weaker: Self) -> Self {
        ServerSettings {
            listen: self.listen.or(weaker.listen),
            admin: self.admin.or(weaker.admin),
            shards: self.shards.or(weaker.shards),
            max_connections: self.max_connections.or(weaker.max_connections),
            log: self.log.or(weaker.log),
            backlog: self.backlog.or(weaker.backlog),
            unix_mode: self.unix_mode.or(weaker.unix_mode),
            allow_overcommit: self.allow_overcommit.or(weaker.allow_overcommit),
            log_format: self.log_format.or(weaker.log_format),
            drain_timeout_ms: self.drain_timeout_ms.or(weaker.drain_timeout_ms),
            drain_rate_per_s: self.drain_rate_per_s.or(weaker.drain_rate_per_s),
            drain_retry_ms: self.drain_retry_ms.or(weaker.drain_retry_ms),
        }
    }
}

impl LimitsSettings {
    fn or(self, weaker: Self) -> Self {
        LimitsSettings {
            message_bytes_max: self.message_bytes_max.or(weaker.message_bytes_max),
            fragments_max: self.fragments_max.or(weaker.fragments_max),
            head_bytes_max: self.head_bytes_max.or(weaker.head_bytes_max),
            egress_bytes_max: self.egress_bytes_max.or(weaker.egress_bytes_max),
            egress_total_bytes_max: self.egress_total_bytes_max.or(weaker.egress_total_bytes_max),
            ingress_total_bytes_max: self
                .ingress_total_bytes_max
                .or(weaker.ingress_total_bytes_max),
            topics_max: self.topics_max.or(weaker.topics_max),
            subscriptions_max: self.subscriptions_max.or(weaker.subscriptions_max),
            recv_buffers: self.recv_buffers.or(weaker.recv_buffers),
            recv_buffer_bytes: self.recv_buffer_bytes.or(weaker.recv_buffer_bytes),
        }
    }
}

impl CompressionSettings {
    fn or(self, weaker: Self) -> Self {
        CompressionSettings {
            enabled: self.enabled.or(weaker.enabled),
            level: self.level.or(weaker.level),
            threshold_bytes: self.threshold_bytes.or(weaker.threshold_bytes),
            ratio_max: self.ratio_max.or(weaker.ratio_max),
            server_window_bits: self.server_window_bits.or(weaker.server_window_bits),
            client_window_bits: self.client_window_bits.or(weaker.client_window_bits),
            takeover_connections_max: self
                .takeover_connections_max
                .or(weaker.takeover_connections_max),
        }
    }
}
