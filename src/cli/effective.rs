//! What is in force: the settings over the defaults, checked as a whole.
//!
//! Owns how totals that are not set follow from what they have to hold and from the host's memory.

use std::ffi::OsString;

use super::CliError;
use super::engine_args::EngineArgs;
use super::log::LogFormat;
use super::settings::Settings;
use crate::control::listen::AdminAddr;
use crate::limits::{EGRESS_TOTAL_BYTES_MAX, INGRESS_TOTAL_BYTES_MAX};
use crate::ring::ListenAddr;
use crate::server::config::{ADMIN_PORT, Config, ConfigError};

/// What a connection's egress limit is made to hold of the largest messages, unless it is set.
const MESSAGES_PER_EGRESS: usize = 4;
/// Parts of the host's memory that totals take at most unless they are set, so that a small host
/// starts without any setting.
const EGRESS_PART: u64 = 4;
const INGRESS_PART: u64 = 16;
/// What is logged unless a filter is set.
const LOG: &str = "info";

/// See the module's header.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The server's configuration, checked.
    pub config: Config,
    /// The filter of log events.
    pub log: String,
    /// How the log is written.
    pub log_format: LogFormat,
    /// Whether to start although the memory plan does not fit.
    pub allow_overcommit: bool,
}

impl Effective {
    /// What flags, environment and file make of the defaults, and what they said.
    pub fn load(
        args: &EngineArgs,
        defaults: &Config,
        memory_bytes: Option<u64>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(Settings, Effective), CliError> {
        let settings = Settings::load(args, environment)?;
        let effective = Effective::of(&settings, defaults.clone(), memory_bytes)?;
        Ok((settings, effective))
    }

    /// What the settings make of the defaults on a host of this memory.
    pub fn of(
        settings: &Settings,
        defaults: Config,
        memory_bytes: Option<u64>,
    ) -> Result<Effective, CliError> {
        let config = configure(settings, defaults, memory_bytes)?;
        config.check().map_err(|error| misfit(settings, &error))?;
        Ok(Effective {
            config,
            log: settings.server.log.clone().unwrap_or_else(|| LOG.to_owned()),
            log_format: settings.server.log_format.unwrap_or_default(),
            allow_overcommit: settings.server.allow_overcommit.unwrap_or(false),
        })
    }
}

/// The error with the place where the first of its keys that is set was set.
fn misfit(settings: &Settings, error: &ConfigError) -> CliError {
    let keys = error.keys();
    match keys.iter().find_map(|key| settings.origins.get(key)) {
        Some(origin) => CliError::usage(format!("{origin}: {error}")),
        None => CliError::usage(error),
    }
}

fn configure(
    settings: &Settings,
    defaults: Config,
    memory_bytes: Option<u64>,
) -> Result<Config, CliError> {
    let mut config = defaults;
    let (server, limits) = (&settings.server, &settings.limits);
    if let Some(listen) = &server.listen {
        config.listen = listen.iter().map(|addr| listen_addr(addr)).collect::<Result<_, _>>()?;
    }
    config.admin = match server.admin.as_deref() {
        Some("none") => None,
        Some(addr) => Some(addr.parse().map_err(CliError::usage)?),
        None => Some(AdminAddr::Tcp(([127, 0, 0, 1], ADMIN_PORT).into())),
    };
    set(&mut config.shards, server.shards);
    set(&mut config.connections_max, server.max_connections);
    set(&mut config.drain_timeout_ms, server.drain_timeout_ms);
    set(&mut config.drain_rate_per_s, server.drain_rate_per_s);
    set(&mut config.drain_retry_ms, server.drain_retry_ms);
    set(&mut config.backlog, server.backlog);
    set(&mut config.unix_mode, server.unix_mode);
    set(&mut config.message_bytes_max, limits.message_bytes_max);
    set(&mut config.fragments_max, limits.fragments_max);
    set(&mut config.head_bytes_max, limits.head_bytes_max);
    set(&mut config.subscriptions_max, limits.subscriptions_max);
    set(&mut config.topics_max, limits.topics_max);
    set(&mut config.recv_buffers, limits.recv_buffers);
    set(&mut config.recv_buffer_bytes, limits.recv_buffer_bytes);
    let (compression, set_to) = (&settings.compression, &mut config.compression);
    set(&mut set_to.is_enabled, compression.enabled);
    set(&mut set_to.level, compression.level);
    set(&mut set_to.threshold_bytes, compression.threshold_bytes);
    set(&mut set_to.ratio_max, compression.ratio_max);
    set(&mut set_to.server_window_bits, compression.server_window_bits);
    set(&mut set_to.client_window_bits, compression.client_window_bits);
    set(&mut set_to.takeover_connections_max, compression.takeover_connections_max);
    set(&mut config.heartbeat_interval_ms, settings.heartbeat.interval_ms);
    set(&mut config.heartbeat_timeout_ms, settings.heartbeat.timeout_ms);
    set(&mut config.handshake_timeout_ms, settings.timeouts.handshake_ms);
    set(&mut config.close_timeout_ms, settings.timeouts.close_ms);
    set(&mut config.policies.default, settings.slow_consumer.default);
    config.policies.namespaces.extend(settings.namespaces.clone());
    set_totals(&mut config, settings, memory_bytes);
    Ok(config)
}

/// A total that is not set is as large as usual, or as small as the host; but it holds what it has
/// to hold.
fn set_totals(config: &mut Config, settings: &Settings, memory_bytes: Option<u64>) {
    let limits = &settings.limits;
    let for_messages = config.message_bytes_max.saturating_mul(MESSAGES_PER_EGRESS);
    config.egress_bytes_max = config.egress_bytes_max.max(for_messages);
    set(&mut config.egress_bytes_max, limits.egress_bytes_max);
    let shards = usize::from(config.shards);
    let of_all = |bytes: usize| bytes.saturating_mul(shards).saturating_mul(2);
    let usual = |bytes: usize, part: u64| {
        memory_bytes.map_or(bytes, |memory| bytes.min((memory / part) as usize))
    };
    config.egress_total_bytes_max =
        usual(EGRESS_TOTAL_BYTES_MAX, EGRESS_PART).max(of_all(config.egress_bytes_max));
    config.ingress_total_bytes_max =
        usual(INGRESS_TOTAL_BYTES_MAX, INGRESS_PART).max(of_all(config.message_bytes_max));
    set(&mut config.egress_total_bytes_max, limits.egress_total_bytes_max);
    set(&mut config.ingress_total_bytes_max, limits.ingress_total_bytes_max);
}

fn set<T>(value: &mut T, setting: Option<T>) {
    if let Some(setting) = setting {
        *value = setting;
    }
}

fn listen_addr(addr: &str) -> Result<ListenAddr, CliError> {
    if let Some(path) = addr.strip_prefix("unix:") {
        return Ok(ListenAddr::Unix(path.into()));
    }
    let wrong =
        |_| CliError::usage(format!("{addr:?} is no address; write 127.0.0.1:9001 or unix:/path"));
    addr.parse().map(ListenAddr::Tcp).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(settings: &Settings, memory_bytes: Option<u64>) -> Config {
        Effective::of(settings, Config::default(), memory_bytes).unwrap().config
    }

    #[test]
    fn no_settings_are_the_documented_defaults() {
        let config = of(&Settings::default(), None);
        assert_eq!(config.listen, Config::default().listen);
        assert_eq!(config.admin, Some("127.0.0.1:9002".parse().unwrap()));
        assert_eq!(config.egress_bytes_max, crate::limits::EGRESS_BYTES_MAX);
        assert_eq!(config.egress_total_bytes_max, EGRESS_TOTAL_BYTES_MAX);
    }

    #[test]
    fn totals_grow_with_what_they_hold_unless_they_are_set() {
        let mut settings = Settings::default();
        settings.server.shards = Some(56);
        settings.limits.message_bytes_max = Some(16 << 20);
        let config = of(&settings, None);
        assert_eq!(config.egress_bytes_max, 64 << 20);
        assert_eq!(config.egress_total_bytes_max, 2 * 56 * (64 << 20));
        settings.limits.egress_total_bytes_max = Some(1 << 20);
        let error = Effective::of(&settings, Config::default(), None).unwrap_err();
        let told = "limits.egress_total_bytes_max is 1048576, too small";
        assert!(error.to_string().starts_with(told), "{error}");
    }

    #[test]
    fn totals_shrink_with_the_host_but_hold_what_they_have_to() {
        let mut settings = Settings::default();
        settings.server.shards = Some(1);
        let config = of(&settings, Some(1 << 30));
        assert_eq!(config.egress_total_bytes_max, 256 << 20);
        assert_eq!(config.ingress_total_bytes_max, 64 << 20);
        let config = of(&settings, Some(1 << 20));
        assert_eq!(config.egress_total_bytes_max, 2 << 20);
        assert_eq!(config.ingress_total_bytes_max, 128 << 10);
        settings.limits.egress_total_bytes_max = Some(1 << 30);
        assert_eq!(of(&settings, Some(1 << 20)).egress_total_bytes_max, 1 << 30);
    }
}
