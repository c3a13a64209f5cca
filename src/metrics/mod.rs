//! What the process counts: a closed catalog of series and plain counters for each shard.
//!
//! A shard counts into its own array ([`ShardCounters`], no atomics) and publishes what has changed
//! to the [`Board`] once per turn. Readers sum the board; they never touch a shard's memory. How
//! the numbers are written for Prometheus is the control plane's business.

pub mod catalog;
pub mod counters;
pub mod families;
pub mod timings;

#[cfg(test)]
mod document;

pub use catalog::Metric;
pub use counters::{Board, ShardCounters};
pub use families::{Family, Kind};
pub use timings::Timing;
