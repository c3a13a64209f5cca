//! What the benchmarks without a kernel share: a shard whose completions are made by hand, and what
//! its clients send.
//!
//! Uses the public part of the library only. Owns no clock: time is turned on by the caller.

#![allow(dead_code, reason = "each benchmark uses its own part of the rig")]

pub(crate) mod machine;
pub(crate) mod scenes;
pub(crate) mod wire;

pub(crate) use machine::{Echo, Machine, Relay};
