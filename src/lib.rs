//! Ringwire: a WebSocket server for Linux on io_uring.

#[doc(hidden)]
pub mod base;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod conn;
#[doc(hidden)]
pub mod control;
pub mod handler;
#[doc(hidden)]
pub mod limits;
#[doc(hidden)]
pub mod metrics;
#[doc(hidden)]
pub mod pubsub;
#[doc(hidden)]
pub mod ring;
#[doc(hidden)]
pub mod shard;
#[doc(hidden)]
pub mod ws;
