//! The event loop of one shard, pure: completions and the time in, operations out.
//!
//! Makes no syscall and reads no clock, so many shards can run in one thread of a test. One turn:
//! completions, lanes, timers, fan-out, flush, doorbells, in this order, each with a budget.

mod admission;
pub mod api;
#[cfg(any(test, feature = "sim"))]
pub mod audit;
mod core;
#[cfg(test)]
mod deflate_tests;
mod drain;
#[cfg(test)]
mod drain_tests;
mod ending;
mod fanout;
mod homework;
mod inflating;
mod ingress;
mod lanes;
pub mod mailbox;
mod sending;
#[allow(clippy::module_inception)]
mod shard;
#[cfg(test)]
mod tests;
mod timers;
mod tuning;
#[cfg(test)]
mod tuning_tests;
mod upgrading;

pub use self::core::{DeflateConfig, ShardConfig};
pub use admission::Admission;
pub use shard::{Shard, Sleep};
