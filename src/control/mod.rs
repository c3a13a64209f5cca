//! The control plane: one thread on tokio-uring beside the shards, for what is rare and may block.
//!
//! It owns the admin interface, the signals and the threads that jobs may block. It never touches a
//! connection or a topic: it asks the shards over the [`Link`] and reads their counters from the
//! board.

pub mod admin;
pub mod bridge;
mod busiest;
mod causes;
pub mod drain;
pub mod event;
mod history;
pub mod http;
mod jobs;
pub mod link;
pub mod listen;
pub mod log_limit;
mod notices;
pub mod notify;
mod overview;
mod page;
pub mod plane;
pub mod prometheus;
pub mod query;
mod questions;
pub mod rates;
pub mod reload;
pub mod routes;
pub mod signals;
pub mod status;
mod times;

#[cfg(test)]
mod tests;

pub use admin::{AdminLimits, serve};
pub use bridge::{Ask, Bridge, InForce, Refused, Sequenced, ServerState, Stage, TopicInfo};
pub use drain::DrainRules;
pub use event::Event;
pub use link::{Link, LinkParts};
pub use listen::{AdminAddr, AdminAddrError, AdminListener};
pub use notify::Notifier;
pub use plane::PlaneConfig;
