//! permessage-deflate (RFC 7692): what is agreed on, compressing and inflating.
//!
//! Owns no connection and no message: [`offer`] speaks of header fields, [`Deflater`] and
//! [`Inflater`] of one message at a time. Both are shared by all connections of a shard, because
//! nothing is carried over from one message to the next: a connection that is idle owns no window.
//! The exception is opt-in: a client may be allowed to refer to its earlier messages, and then its
//! connection keeps the last of them ([`Window`]), at most 32 KiB and for no more connections than
//! are told.
//!
//! Our own compressor never refers to earlier messages, whatever the peer would allow (see
//! `docs/adr/0004-compression.md`): what a slow consumer's policy has dropped would be missing in
//! the peer's window, and a message for many could not be compressed once.

mod deflater;
mod inflater;
pub mod offer;
#[cfg(test)]
mod tests;
mod window;

pub use deflater::Deflater;
pub use inflater::{Bounds, Inflater, Progress};
pub use offer::{Agreement, Policy};
pub use window::Window;

/// Base-2 logarithm of the largest window (RFC 7692, section 7.1.2).
pub const WINDOW_BITS_MAX: u8 = 15;
/// And of the smallest one that a compressor of ours can keep to: zlib's has no smaller one.
pub const WINDOW_BITS_MIN: u8 = 9;

/// What a sender takes off the end of a message, and a receiver puts back (RFC 7692, 7.2.1): the
/// length, zero, of an empty block without compression.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
