//! Every limit of the system as a constant, with the relations between them asserted.
//!
//! What an operator may change has its default here and its bounds in `server::config`.

/// Shards of one process: ten bits of a connection identifier.
pub const SHARDS_MAX: u16 = 1024;
/// Connections of one shard; 2^20 is what one table of direct descriptors holds.
pub const SLOTS_PER_SHARD_MAX: u32 = 1 << 20;
/// Slots beside the configured connections that serve only to refuse politely (HTTP 503).
pub const REFUSAL_SLOTS: u32 = 64;

/// Length of a timer tick.
pub const TICK_MS: u64 = 64;

/// Entries of a shard's submission queue; a turn with more operations submits in between.
pub const SQ_ENTRIES: u32 = 1024;
/// Entries of a shard's completion queue. Multishot operations are not bounded by the SQ.
pub const CQ_ENTRIES: u32 = 4096;
/// Buffers of a shard's receive pool, by default.
pub const RECV_BUFFERS: u16 = 256;
/// Octets of one receive buffer, by default.
pub const RECV_BUFFER_BYTES: u32 = 4096;
/// The kernel's bound on a ring of provided buffers.
pub const RECV_BUFFERS_MAX: u16 = 32768;
/// Accepts in flight per TCP listener (each owns the address that the kernel fills in): ADR 0002.
pub const ACCEPTS_IN_FLIGHT: u16 = 16;

/// Octets of a request head (RFC 6455, section 4.1), by default.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Header fields of a request head.
pub const HEAD_FIELDS_MAX: usize = 64;
/// Octets of a client's message, by default.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Frames of one message.
pub const FRAGMENTS_MAX: u32 = 65_536;

/// Octets of a topic's name.
pub const TOPIC_BYTES_MAX: usize = 200;

const _: () = assert!(CQ_ENTRIES >= 2 * SQ_ENTRIES);
const _: () = assert!(CQ_ENTRIES > RECV_BUFFERS as u32 + ACCEPTS_IN_FLIGHT as u32);
const _: () = assert!(RECV_BUFFERS <= RECV_BUFFERS_MAX && RECV_BUFFERS.is_power_of_two());
