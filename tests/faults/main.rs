//! Faults of the real kernel and of peers on it, against the real binary: the server stays up,
//! clients that the fault does not touch lose nothing and see no disorder, what was used is given
//! back, and the metric that counts the fault has moved.
//!
//! Heavy ones run small by default. In the sizes that are promised, one after the other:
//!
//! ```text
//! FAULTS_FULL=1 cargo test --release --test faults -- --nocapture
//! ```
//!
//! Some need root, for network namespaces, control groups and limits of other processes; without
//! it they say that they were not run.

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, reason = "those tests look closer at a report than these")]
#[path = "../bench/run.rs"]
mod run;

mod admin;
mod baseline;
mod ending;
mod exhaustion;
mod links;
mod memory;
mod network;
mod peers;
mod stalled;
mod stopped;
mod storms;
mod tun;
#[path = "../slow_consumers/watch.rs"]
mod watch;
mod witnesses;

use std::io::Write;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

const OPEN: &str = "ringwire_connections_open";
const QUEUED: &str = "ringwire_egress_queued_bytes";
const CLOSED: &str = "ringwire_connections_closed_total";
const REFUSED: &str = "ringwire_handshakes_refused_total";
const HEARTBEATS_LOST: &str = "ringwire_heartbeats_lost_total";

/// Heartbeats that no test here waits for.
const PATIENT: [&str; 4] =
    ["--heartbeat-interval-ms", "3600000", "--heartbeat-timeout-ms", "3600000"];

/// Whether everything runs in the size that is promised.
fn is_full() -> bool {
    std::env::var_os("FAULTS_FULL").is_some_and(|value| value != "0")
}

/// One of two sizes.
fn sized<T>(usual: T, full: T) -> T {
    if is_full() { full } else { usual }
}

/// Held by a test while it runs: those that load the whole machine run alone when they are full
/// size, and those that change what all of the host has in any size.
enum Turn {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

static MACHINE: RwLock<()> = RwLock::new(());

fn beside_others() -> Turn {
    Turn::Shared { _guard: MACHINE.read().unwrap_or_else(PoisonError::into_inner) }
}

fn heavy() -> Turn {
    if is_full() { alone() } else { beside_others() }
}

fn alone() -> Turn {
    Turn::Alone { _guard: MACHINE.write().unwrap_or_else(PoisonError::into_inner) }
}

/// Says something also where a test's output is kept back because it passes.
fn shout(what: &str) {
    // Who has closed its standard error does not want to hear it.
    let _ = writeln!(std::io::stderr(), "\n{what}");
}
