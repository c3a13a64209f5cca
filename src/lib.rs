//! Ringwire: a WebSocket server for Linux on io_uring.

pub mod base;
pub mod control;
pub mod limits;
pub mod metrics;
pub mod pubsub;
pub mod ring;
