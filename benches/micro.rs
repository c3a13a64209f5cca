//! How long the parts of the hot path take, one by one, and the whole shard in memory.
//!
//! ```text
//! cargo bench --bench micro                      all, about five minutes
//! cargo bench --bench micro -- unmask            those whose name contains `unmask`
//! cargo bench --bench micro -- --save-baseline before        and later, to compare with it:
//! cargo bench --bench micro -- --baseline before
//! ```
//!
//! No system calls, no sockets, one thread: what a shard does between two `io_uring_enter`. Run any
//! other way (`cargo test`) each runs once, so that it can't rot. Counts of instructions, which do
//! not depend on what else the machine does, are in `instructions.rs`.

#[path = "micro/fanout.rs"]
mod fanout;
#[path = "micro/frames.rs"]
mod frames;
#[path = "micro/lanes.rs"]
mod lanes;
#[path = "micro/octets.rs"]
mod octets;
#[path = "rig/mod.rs"]
mod rig;
#[path = "micro/timers.rs"]
mod timers;
#[path = "micro/upgrade.rs"]
mod upgrade;
#[path = "micro/whole.rs"]
mod whole;

use std::time::Duration;

use criterion::Criterion;

/// As in `main.rs`: what allocates is measured with the server's allocator.
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    let mut criterion = criterion.configure_from_args();
    octets::all(&mut criterion);
    frames::all(&mut criterion);
    upgrade::all(&mut criterion);
    timers::all(&mut criterion);
    lanes::all(&mut criterion);
    fanout::all(&mut criterion);
    whole::all(&mut criterion);
    criterion.final_summary();
}
