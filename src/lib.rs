//! Ringwire: a WebSocket server for Linux on io_uring.

pub mod base;
pub mod limits;
pub mod metrics;
pub mod ring;
