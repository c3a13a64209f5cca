//! The WebSocket layer against independent oracles: hand-made octets, a naive encoder that shares
//! no code with the crate, and tungstenite reading the same stream.

mod deflate;
mod faults;
mod handshake;
mod memory;
#[path = "../../fuzz/src/stream.rs"]
mod stream;
mod streams;
mod support;
