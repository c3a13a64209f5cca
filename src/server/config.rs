//! What an operator or a library user may set, with defaults and bounds.
//!
//! Invariant C1: a configuration that passed [`Config::check`] contradicts itself nowhere; each
//! thing that can be wrong has an error that says what to change.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use super::compression::Compression;
use crate::control::listen::AdminAddr;
use crate::limits::{self, SHARDS_MAX};
use crate::pubsub::policy::Policies;
use crate::ring::{ListenAddr, Listener};
use crate::ws::deflate::{WINDOW_BITS_MAX, WINDOW_BITS_MIN};

/// The port for clients, by default.
pub const CLIENT_PORT: u16 = 9001;
/// The port of the admin interface, by default.
pub const ADMIN_PORT: u16 = 9002;

/// The configuration of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect.
    pub listen: Vec<ListenAddr>,
    /// Sockets that somebody else listens on, such as the service manager. Every shard accepts from
    /// each, and a drain leaves them listening.
    pub inherited: Vec<Arc<Listener>>,
    /// Where operators connect; none for no admin interface.
    pub admin: Option<AdminAddr>,
    /// Threads of the data plane, with one ring each. May exceed the number of cores.
    pub shards: u16,
    /// Connections of all shards together.
    pub connections_max: u32,
    /// Octets of a client's message.
    pub message_bytes_max: usize,
    /// Frames of a client's message.
    pub fragments_max: u32,
    /// Compressed messages.
    pub compression: Compression,
    /// Octets of a request head.
    pub head_bytes_max: usize,
    /// Octets that may wait for one connection.
    pub egress_bytes_max: usize,
    /// Octets that may wait for all connections together.
    pub egress_total_bytes_max: usize,
    /// Octets of unfinished messages of all connections together.
    pub ingress_total_bytes_max: usize,
    /// Topics that one connection may subscribe to.
    pub subscriptions_max: usize,
    /// Different topics of the whole server.
    pub topics_max: usize,
    /// Receive buffers of one shard, a power of two.
    pub recv_buffers: u16,
    /// Octets of a receive buffer.
    pub recv_buffer_bytes: u32,
    /// What namespaces say of slow consumers.
    pub policies: Policies,
    /// Silence after which a ping is sent, in milliseconds.
    pub heartbeat_interval_ms: u64,
    /// Time for the answer to a ping, in milliseconds.
    pub heartbeat_timeout_ms: u64,
    /// Time for the opening handshake, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// Time for the closing handshake, in milliseconds.
    pub close_timeout_ms: u64,
    /// Time for all connections to end when the server goes down, in milliseconds: the rest of them
    /// are told at once shortly before.
    pub drain_timeout_ms: u64,
    /// Connections of all shards that a drain tells to go in a second.
    pub drain_rate_per_s: u32,
    /// A drain advises clients to come back after a random time of up to this; 0 for no advice.
    pub drain_retry_ms: u64,
    /// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
    pub backlog: u32,
    /// Permissions of Unix sockets for clients.
    pub unix_mode: u32,
    /// Whether SIGTERM, SIGINT and SIGUSR2 drain the server.
    pub handles_signals: bool,
    /// Whether the service manager, if there is one, is told how the server is.
    pub notifies_manager: bool,
    /// The first shard stands still while this file exists: a hook for tests of the watchdog.
    #[doc(hidden)]
    pub hang_while_exists: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        let client = SocketAddr::from((Ipv4Addr::LOCALHOST, CLIENT_PORT));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Config {
            listen: vec![ListenAddr::Tcp(client)],
            inherited: Vec::new(),
            admin: None,
            shards: cores.min(usize::from(SHARDS_MAX)) as u16,
            connections_max: 10_000,
            message_bytes_max: limits::MESSAGE_BYTES_MAX,
            fragments_max: limits::FRAGMENTS_MAX,
            compression: Compression::default(),
            head_bytes_max: limits::HEAD_BYTES_MAX,
            egress_bytes_max: limits::EGRESS_BYTES_MAX,
            egress_total_bytes_max: limits::EGRESS_TOTAL_BYTES_MAX,
            ingress_total_bytes_max: limits::INGRESS_TOTAL_BYTES_MAX,
            subscriptions_max: limits::SUBSCRIPTIONS_MAX,
            topics_max: limits::TOPICS_MAX,
            recv_buffers: limits::RECV_BUFFERS,
            recv_buffer_bytes: limits::RECV_BUFFER_BYTES,
            policies: Policies::default(),
            heartbeat_interval_ms: 25_000,
            heartbeat_timeout_ms: 10_000,
            handshake_timeout_ms: 10_000,
            close_timeout_ms: 5_000,
            drain_timeout_ms: 30_000,
            drain_rate_per_s: limits::DRAIN_RATE_PER_S,
            drain_retry_ms: 5_000,
            backlog: 4096,
            unix_mode: 0o660,
            handles_signals: true,
            notifies_manager: true,
            hang_while_exists: None,
        }
    }
}

/// What is wrong with a configuration, and what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nothing to listen on.
    #[error("there is no address to listen on; give one, such as --listen 127.0.0.1:9001")]
    NoListener,
    /// Two listeners on one address.
    #[error("{addr} is given twice; give each of server.listen and server.admin its own address")]
    SameAddress {
        /// Which.
        addr: String,
    },
    /// A number is outside its bounds.
    #[error("{key} is {value}, but it may be {least} to {most}{unit}")]
    OutOfBounds {
        /// The key.
        key: &'static str,
        /// What it is.
        value: u64,
        /// The least that it may be.
        least: u64,
        /// The most that it may be.
        most: u64,
        /// What it counts.
        unit: &'static str,
    },
    /// A number has to be a power of two.
    #[error("{key} is {value}, but it has to be a power of two; {next} is the next")]
    NotAPowerOfTwo {
        /// The key.
        key: &'static str,
        /// What it is.
        value: u64,
        /// The next power of two.
        next: u64,
    },
    /// One number has to be larger than another.
    #[error("{key} is {value}, too small for {because}; set it to {least} or more")]
    TooSmallFor {
        /// The key.
        key: &'static str,
        /// What it is.
        value: u64,
        /// What needs more.
        because: String,
        /// What would do.
        least: u64,
    },
}

impl ConfigError {
    /// The keys that it speaks of, by their paths in the file.
    pub fn keys(&self) -> Vec<String> {
        let text = match self {
            ConfigError::NoListener => "server.listen",
            ConfigError::SameAddress { .. } => "server.admin server.listen",
            ConfigError::OutOfBounds { key, .. } | ConfigError::NotAPowerOfTwo { key, .. } => key,
            ConfigError::TooSmallFor { key, because, .. } => &format!("{key} {because}"),
        };
        let is_path = |word: &&str| word.contains('.');
        text.split_whitespace().filter(is_path).map(str::to_owned).collect()
    }
}

impl Config {
    /// Sockets that each shard accepts from.
    pub fn listeners(&self) -> usize {
        self.listen.len() + self.inherited.len()
    }

    /// Checks all bounds and relations.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.listeners() == 0 {
            return Err(ConfigError::NoListener);
        }
        self.check_addresses()?;
        self.check_bounds()?;
        if !self.recv_buffers.is_power_of_two() {
            let value = u64::from(self.recv_buffers);
            let next = value.next_power_of_two();
            return Err(ConfigError::NotAPowerOfTwo { key: "limits.recv_buffers", value, next });
        }
        let pool = u64::from(self.recv_buffers) * u64::from(self.recv_buffer_bytes);
        if pool > limits::RECV_POOL_BYTES_MAX {
            return Err(ConfigError::OutOfBounds {
                key: "limits.recv_buffers x limits.recv_buffer_bytes",
                value: pool,
                least: 1,
                most: limits::RECV_POOL_BYTES_MAX,
                unit: " bytes",
            });
        }
        let beside = limits::EGRESS_CONTROL_RESERVE_BYTES + limits::ENVELOPE_BYTES_MAX;
        at_least(
            "limits.egress_bytes_max",
            self.egress_bytes_max,
            self.message_bytes_max + beside,
            || format!("a message of limits.message_bytes_max = {}", self.message_bytes_max),
        )?;
        let shards = usize::from(self.shards);
        at_least(
            "limits.egress_total_bytes_max",
            self.egress_total_bytes_max,
            self.egress_bytes_max * shards,
            || format!("one connection of limits.egress_bytes_max on each of {shards} shards"),
        )?;
        at_least(
            "limits.ingress_total_bytes_max",
            self.ingress_total_bytes_max,
            self.message_bytes_max * shards,
            || format!("one message of limits.message_bytes_max on each of {shards} shards"),
        )
    }

    /// Port 0 is another one each time.
    fn check_addresses(&self) -> Result<(), ConfigError> {
        let clients = self.listen.iter().map(|addr| match addr {
            ListenAddr::Tcp(addr) => AdminAddr::Tcp(*addr),
            ListenAddr::Unix(path) => AdminAddr::Unix(path.clone()),
        });
        let mut seen = Vec::new();
        for addr in clients.chain(self.admin.clone()) {
            let is_chosen_later = matches!(&addr, AdminAddr::Tcp(addr) if addr.port() == 0);
            if !is_chosen_later && seen.contains(&addr) {
                return Err(ConfigError::SameAddress { addr: addr.to_string() });
            }
            seen.push(addr);
        }
        Ok(())
    }

    fn check_bounds(&self) -> Result<(), ConfigError> {
        const KIB: u64 = 1024;
        const MIB: u64 = 1024 * KIB;
        let day_ms = 24 * 3600 * 1000;
        let tick_ms = limits::TICK_MS;
        let connections_most = u64::from(self.shards) * u64::from(limits::SLOTS_PER_SHARD_MAX / 2);
        let count = "";
        let bytes = " bytes";
        let ms = " ms";
        let rows: [(&'static str, u64, u64, u64, &'static str); 24] = [
            ("server.shards", self.shards.into(), 1, u64::from(SHARDS_MAX), count),
            ("server.max_connections", self.connections_max.into(), 1, connections_most, count),
            ("limits.message_bytes_max", self.message_bytes_max as u64, 125, 1024 * MIB, bytes),
            ("limits.fragments_max", self.fragments_max.into(), 1, 1 << 24, count),
            ("limits.head_bytes_max", self.head_bytes_max as u64, KIB, MIB, bytes),
            ("limits.egress_bytes_max", self.egress_bytes_max as u64, 4 * KIB, 4096 * MIB, bytes),
            ("limits.subscriptions_max", self.subscriptions_max as u64, 1, 1 << 20, count),
            ("limits.topics_max", self.topics_max as u64, 1, 1 << 24, count),
            (
                "limits.recv_buffers",
                self.recv_buffers.into(),
                8,
                limits::RECV_BUFFERS_MAX.into(),
                count,
            ),
            ("limits.recv_buffer_bytes", self.recv_buffer_bytes.into(), 256, MIB, bytes),
            ("heartbeat.interval_ms", self.heartbeat_interval_ms, 4 * tick_ms, day_ms, ms),
            ("heartbeat.timeout_ms", self.heartbeat_timeout_ms, 4 * tick_ms, day_ms, ms),
            ("timeouts.handshake_ms", self.handshake_timeout_ms, tick_ms, day_ms, ms),
            ("compression.level", self.compression.level.into(), 1, 9, count),
            (
                "compression.threshold_bytes",
                self.compression.threshold_bytes as u64,
                1,
                1024 * MIB,
                bytes,
            ),
            ("compression.ratio_max", self.compression.ratio_max.into(), 1, 2000, count),
            (
                "compression.server_window_bits",
                self.compression.server_window_bits.into(),
                WINDOW_BITS_MIN.into(),
                WINDOW_BITS_MAX.into(),
                count,
            ),
            (
                "compression.client_window_bits",
                self.compression.client_window_bits.into(),
                WINDOW_BITS_MIN.into(),
                WINDOW_BITS_MAX.into(),
                count,
            ),
            (
                "compression.takeover_connections_max",
                self.compression.takeover_connections_max.into(),
                0,
                connections_most,
                count,
            ),
            ("server.backlog", self.backlog.into(), 1, 65_535, count),
            ("timeouts.close_ms", self.close_timeout_ms, tick_ms, day_ms, ms),
            ("server.drain_timeout_ms", self.drain_timeout_ms, 0, day_ms, ms),
            ("server.drain_rate_per_s", self.drain_rate_per_s.into(), 1, 1_000_000, count),
            ("server.drain_retry_ms", self.drain_retry_ms, 0, day_ms, ms),
        ];
        if u64::from(self.connections_max) > connections_most && self.shards > 0 {
            let each = u64::from(limits::SLOTS_PER_SHARD_MAX / 2);
            let least = u64::from(self.connections_max).div_ceil(each) as usize;
            return at_least("server.shards", self.shards.into(), least, || {
                format!("server.max_connections = {}", self.connections_max)
            });
        }
        for (key, value, least, most, unit) in rows {
            if !(least..=most).contains(&value) {
                return Err(ConfigError::OutOfBounds { key, value, least, most, unit });
            }
        }
        Ok(())
    }
}

fn at_least(
    key: &'static str,
    value: usize,
    least: usize,
    because: impl FnOnce() -> String,
) -> Result<(), ConfigError> {
    if value >= least {
        return Ok(());
    }
    let (value, least) = (value as u64, least as u64);
    Err(ConfigError::TooSmallFor { key, value, because: because(), least })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config { shards: 2, ..Config::default() };
        change(&mut config);
        config.check().expect_err("it is wrong").to_string()
    }

    #[test]
    fn a_pool_that_no_arena_could_mirror_is_refused() {
        let error = error_of(|c| (c.recv_buffers, c.recv_buffer_bytes) = (32_768, 1 << 20));
        assert_eq!(
            error,
            "limits.recv_buffers x limits.recv_buffer_bytes is 34359738368, \
             but it may be 1 to 1073741824 bytes"
        );
    }

    #[test]
    fn the_default_is_sound() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn each_error_says_what_to_change() {
        assert_eq!(
            error_of(|c| c.admin = Some(AdminAddr::Tcp(([127, 0, 0, 1], CLIENT_PORT).into()))),
            "127.0.0.1:9001 is given twice; give each of server.listen and server.admin its own \
             address"
        );
        assert_eq!(
            error_of(|c| c.listen.clear()),
            "there is no address to listen on; give one, such as --listen 127.0.0.1:9001"
        );
        assert_eq!(error_of(|c| c.shards = 0), "server.shards is 0, but it may be 1 to 1023");
        assert_eq!(
            error_of(|c| c.handshake_timeout_ms = 1),
            "timeouts.handshake_ms is 1, but it may be 64 to 86400000 ms"
        );
        assert_eq!(
            error_of(|c| c.recv_buffers = 100),
            "limits.recv_buffers is 100, but it has to be a power of two; 128 is the next"
        );
        assert_eq!(
            error_of(|c| c.message_bytes_max = 1 << 20),
            "limits.egress_bytes_max is 1048576, too small for a message of \
             limits.message_bytes_max = 1048576; set it to 1053696 or more"
        );
        assert_eq!(
            error_of(|c| c.egress_total_bytes_max = 1 << 20),
            "limits.egress_total_bytes_max is 1048576, too small for one connection of \
             limits.egress_bytes_max on each of 2 shards; set it to 2097152 or more"
        );
    }
}
