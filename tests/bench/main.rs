//! `ringwire bench` as a user starts it: what it reports against what is known to have happened.
//!
//! The faulty server is the test's own: it says how many messages it dropped, doubled, swapped or
//! changed and how long it kept them, so each figure of a report has an oracle. The real server's
//! oracle is its own counters. `benches/truth.sh` holds the generator against other tools.

#[path = "../common/mod.rs"]
mod common;

mod closing;
mod deflate;
mod ends;
mod faults;
mod faulty;
mod latency;
mod run;
mod servers;
