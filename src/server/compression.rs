//! What an operator may set of compressed messages (permessage-deflate, RFC 7692).

use std::sync::OnceLock;
use std::time::Instant;

use crate::base::Stopwatch;
use crate::conn::compression::CompressionConfig;
use crate::limits::{
    COMPRESS_BUDGET_BYTES, COMPRESSION_LEVEL, COMPRESSION_THRESHOLD_BYTES, INFLATE_RATIO_MAX,
};
use crate::shard::DeflateConfig;
use crate::ws::deflate::{Policy, WINDOW_BITS_MAX};
use crate::ws::partial::InflateTurn;

/// Compressed messages. See `docs/adr/0004-compression.md` for what they cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// Whether it is agreed to at all.
    pub is_enabled: bool,
    /// From 1 (fastest) to 9.
    pub level: u8,
    /// Messages of fewer octets are sent as they are.
    pub threshold_bytes: usize,
    /// Octets that a client's message may become for each of its own.
    pub ratio_max: u32,
    /// Base-2 logarithm of our compressor's window.
    pub server_window_bits: u8,
    /// Base-2 logarithm of a client's window, where the client lets us say.
    pub client_window_bits: u8,
    /// Connections that may refer to their earlier messages.
    pub takeover_connections_max: u32,
}

/// Nanoseconds since the first call.
fn monotonic_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

impl Default for Compression {
    fn default() -> Self {
        Compression {
            is_enabled: false,
            level: COMPRESSION_LEVEL,
            threshold_bytes: COMPRESSION_THRESHOLD_BYTES,
            ratio_max: INFLATE_RATIO_MAX,
            server_window_bits: WINDOW_BITS_MAX,
            client_window_bits: WINDOW_BITS_MAX,
            takeover_connections_max: 0,
        }
    }
}

impl Compression {
    /// What each of so many shards is told.
    pub(super) fn of_shard(&self, shards: u16) -> Option<DeflateConfig> {
        let (level, threshold_bytes) = (self.level, self.threshold_bytes);
        self.is_enabled.then(|| DeflateConfig {
            compression: CompressionConfig {
                level,
                threshold_bytes,
                turn_bytes_max: COMPRESS_BUDGET_BYTES,
            },
            inflating: InflateTurn::default(),
            policy: Policy {
                server_window_bits: self.server_window_bits,
                client_window_bits: self.client_window_bits,
                client_takeover: self.takeover_connections_max > 0,
            },
            takeovers_max: self.takeover_connections_max.div_ceil(shards.into()),
            stopwatch: Stopwatch(monotonic_ns),
        })
    }

    /// What the windows of all connections that may have one hold at most.
    pub(super) fn windows_bytes(&self, shards: u16) -> u64 {
        let of_shard = self.of_shard(shards).map_or(0, |config| u64::from(config.takeovers_max));
        // A client that does not offer `client_max_window_bits` can't be told of a smaller one.
        (of_shard * u64::from(shards)) << WINDOW_BITS_MAX
    }
}
