//! Ringwire: a WebSocket server for Linux on io_uring.

pub mod base;
pub mod limits;
pub mod ring;
pub mod ws;
