//! From an operator's settings to a running server, and the lines that say where it is.
//!
//! What is printed to standard error is an interface: one line for each listener, then
//! `ringwire: ready`.

use super::settings::Settings;
use super::{CliError, show_warnings};
use crate::base::ShardId;
use crate::control::listen::AdminAddr;
use crate::handler::Handler;
use crate::ring::ListenAddr;
use crate::server::config::{ADMIN_PORT, Config};
use crate::server::plan::Plan;
use crate::server::{Running, Server, ServerError};

/// What a connection's egress limit is made to hold of the largest messages, unless it is set.
const MESSAGES_PER_EGRESS: usize = 4;

/// Runs a server until it is told to end.
pub fn launch<H, F>(settings: &Settings, defaults: Config, make: F) -> Result<(), CliError>
where
    H: Handler,
    F: Fn(&Config, ShardId) -> H + Send + Sync + 'static,
{
    start_logging(settings)?;
    show_warnings(settings);
    let config = configure(settings, defaults)?;
    eprintln!("ringwire: memory plan: {}", Plan::of(&config));
    let seen = config.clone();
    let running = Server::builder().config(config).handler(move |shard| make(&seen, shard)).start();
    let running = running.map_err(server_error)?;
    announce(&running);
    running.wait().map_err(server_error)
}

/// The configuration that the settings make of the defaults. A total that is not set grows with
/// what it has to hold.
pub fn configure(settings: &Settings, defaults: Config) -> Result<Config, CliError> {
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
    set(&mut config.message_bytes_max, limits.message_bytes_max);
    let for_messages = config.message_bytes_max.saturating_mul(MESSAGES_PER_EGRESS);
    config.egress_bytes_max = config.egress_bytes_max.max(for_messages);
    set(&mut config.egress_bytes_max, limits.egress_bytes_max);
    let shards = usize::from(config.shards);
    let of_all = |bytes: usize| bytes.saturating_mul(shards).saturating_mul(2);
    config.egress_total_bytes_max =
        config.egress_total_bytes_max.max(of_all(config.egress_bytes_max));
    config.ingress_total_bytes_max =
        config.ingress_total_bytes_max.max(of_all(config.message_bytes_max));
    set(&mut config.egress_total_bytes_max, limits.egress_total_bytes_max);
    set(&mut config.subscriptions_max, limits.subscriptions_max);
    set(&mut config.recv_buffers, limits.recv_buffers);
    set(&mut config.recv_buffer_bytes, limits.recv_buffer_bytes);
    set(&mut config.heartbeat_interval_ms, settings.heartbeat.interval_ms);
    set(&mut config.heartbeat_timeout_ms, settings.heartbeat.timeout_ms);
    set(&mut config.handshake_timeout_ms, settings.timeouts.handshake_ms);
    set(&mut config.close_timeout_ms, settings.timeouts.close_ms);
    set(&mut config.policies.default, settings.slow_consumer.default);
    config.policies.namespaces.extend(settings.namespaces.clone());
    config.check().map_err(CliError::usage)?;
    Ok(config)
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

fn start_logging(settings: &Settings) -> Result<(), CliError> {
    let filter = settings.server.log.as_deref().unwrap_or("info");
    let filter = tracing_subscriber::EnvFilter::try_new(filter).map_err(CliError::usage)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber in one process (tests) is not worth a failure.
    let _already_set = log.try_init();
    Ok(())
}

fn server_error(error: ServerError) -> CliError {
    match error {
        ServerError::Config(_) | ServerError::Environment(_) => CliError::usage(error),
        ServerError::Listen { .. } | ServerError::Kernel { .. } => CliError::runtime(error),
    }
}

fn announce(running: &Running) {
    for warning in running.warnings() {
        eprintln!("ringwire: warning: {warning}");
    }
    for addr in running.local_addrs() {
        match addr {
            ListenAddr::Tcp(addr) => eprintln!("ringwire: listening on ws://{addr}"),
            ListenAddr::Unix(path) => eprintln!("ringwire: listening on unix:{}", path.display()),
        }
    }
    match running.admin_addr() {
        Some(AdminAddr::Tcp(addr)) => eprintln!("ringwire: admin on http://{addr}"),
        Some(AdminAddr::Unix(path)) => eprintln!("ringwire: admin on unix:{}", path.display()),
        None => {}
    }
    eprintln!("ringwire: ready");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_settings_are_the_documented_defaults() {
        let config = configure(&Settings::default(), Config::default()).unwrap();
        assert_eq!(config.listen, Config::default().listen);
        assert_eq!(config.admin, Some("127.0.0.1:9002".parse().unwrap()));
        assert_eq!(config.egress_bytes_max, crate::limits::EGRESS_BYTES_MAX);
    }

    #[test]
    fn totals_grow_with_what_they_hold_unless_they_are_set() {
        let mut settings = Settings::default();
        settings.server.shards = Some(56);
        settings.limits.message_bytes_max = Some(16 << 20);
        let config = configure(&settings, Config::default()).unwrap();
        assert_eq!(config.egress_bytes_max, 64 << 20);
        assert_eq!(config.egress_total_bytes_max, 2 * 56 * (64 << 20));
        settings.limits.egress_total_bytes_max = Some(1 << 20);
        let error = configure(&settings, Config::default()).unwrap_err();
        assert!(error.to_string().starts_with("egress_total_bytes_max is 1048576, too small"));
    }
}
