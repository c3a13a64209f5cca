//! The control plane: one thread on tokio-uring beside the shards, for what is rare and may block.
//!
//! It owns the admin interface and the signals. It never touches a connection or a topic: it asks
//! the shards through the [`Bridge`] and reads their counters from the board.

pub mod admin;
pub mod bridge;
pub mod event;
pub mod http;
pub mod listen;
pub mod plane;
pub mod prometheus;
pub mod query;
pub mod rates;
pub mod routes;
pub mod signals;
pub mod status;

#[cfg(test)]
mod tests;

pub use admin::{AdminLimits, serve};
pub use bridge::{Ask, Bridge, Refused, Sequenced, ServerState, Stage, TopicInfo};
pub use event::Event;
pub use listen::{AdminAddr, AdminAddrError, AdminListener};
