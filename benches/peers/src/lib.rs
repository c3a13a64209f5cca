//! What the peers written in Rust share: arguments, the opening handshake and frames for those that
//! are made by hand, and the relay for those that are made of a library with channels.

pub mod args;
pub mod frame;
pub mod http;
pub mod relay;
pub mod topics;

/// All of them use the allocator that Ringwire uses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
