//! What the end-to-end tests share: the real binary as a process, and clients that are independent
//! of the code under test (their own naive encoder, decoder and HTTP).
//!
//! Nothing waits without a limit, nothing sleeps to let something happen, all ports are chosen by
//! the system, and every process is ended by its own id when its owner is dropped.

#![allow(dead_code, reason = "each test binary uses its own part of the harness")]
#![allow(unused_imports, reason = "each test binary uses its own part of the harness")]

mod feed;
mod figures;
mod file;
mod frame;
mod gate;
mod http;
mod json;
mod process;
mod raw;
mod server;
mod stock;
mod witness;

use std::time::{Duration, Instant};

pub(crate) use feed::{Feed, Flow, Item};
pub(crate) use figures::{Figure, assert_shows};
pub(crate) use file::File;
pub(crate) use frame::{
    BINARY, CLOSE, CONTINUATION, Frame, Length, PING, PONG, Received, TEXT, close_payload,
};
pub(crate) use gate::Gate;
pub(crate) use http::{Metrics, Response, request, try_request};
pub(crate) use json::JsonClient;
pub(crate) use process::Process;
pub(crate) use raw::{Event, Head, RawClient, upgrade_head};
pub(crate) use server::{Server, command, memory_bytes, resident_bytes};
pub(crate) use stock::Client;
pub(crate) use witness::Witness;

/// The limit of what should happen at once. Generous, because machines that test are busy; what is
/// about time itself is measured by its own test.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// How long to pause between two looks at something that reports no change.
const POLL: Duration = Duration::from_millis(10);

/// A moment after which waiting is a failure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(limit: Duration) -> Self {
        Deadline(Instant::now() + limit)
    }

    /// What is left; `None` when it has passed.
    pub(crate) fn left(self) -> Option<Duration> {
        self.0.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }
}

/// A number from the environment, by which a run is made larger than the usual one.
pub(crate) fn number_from_env(name: &str, usual: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|why| panic!("{name}={text}: {why}")),
        Err(_) => usual,
    }
}

/// Looks until there is something to see; `None` when the limit has passed.
pub(crate) fn poll<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Deadline::after(limit);
    loop {
        if let Some(seen) = look() {
            return Some(seen);
        }
        deadline.left()?;
        std::thread::sleep(POLL);
    }
}

/// A small generator of pseudo-random numbers (xorshift64*), so that a failing run can be repeated
/// from its seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound
    }

    pub(crate) fn octets(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.next() >> 40) as u8).collect()
    }
}
