//! The loop of a shard's thread: the only place where the pure shard meets the ring and the clocks.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::base::Now;
use crate::control::event::Event;
use crate::handler::Handler;
use crate::metrics::{Board, Metric, Timing};
use crate::ring::{Driver, DriverStats, Wait};
use crate::shard::{Shard, Sleep};

/// The clocks of a shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    started: Instant,
}

impl Clock {
    pub(super) fn new(started: Instant) -> Self {
        Clock { started }
    }

    pub(super) fn now(self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            monotonic_ms: self.started.elapsed().as_millis() as u64,
            unix_ms: unix.as_millis() as u64,
        }
    }
}

/// Turns after which a shard that never sleeps looks whether it is to end.
const TURNS_PER_LOOK: u32 = 256;

/// How often a shard looks how much of the processor it has had: that is a system call, and a busy
/// shard turns ten thousand times a second.
const LOAD_LOOK: Duration = Duration::from_millis(100);

/// How often a shard that a test made hang looks whether it still is to.
const HANG_LOOK: Duration = Duration::from_millis(20);

/// When a shard ends.
pub(super) struct Rules {
    /// Raised to end it without a drain.
    pub(super) kill: Event,
    /// See the configuration: only tests of the watchdog set it.
    pub(super) hang_while_exists: Option<PathBuf>,
}

/// Runs a shard until it is drained, its drain takes too long, or it is killed.
pub(super) fn run<H: Handler>(
    shard: &mut Shard<H>,
    driver: &mut Driver,
    clock: Clock,
    board: &Arc<Board>,
    rules: &Rules,
) -> io::Result<()> {
    shard.counters().set(Metric::ShardsRunning, 1);
    let result = turns(shard, driver, clock, board, rules);
    shard.counters().set(Metric::ShardsRunning, 0);
    shard.publish_counters(board);
    result
}

fn turns<H: Handler>(
    shard: &mut Shard<H>,
    driver: &mut Driver,
    clock: Clock,
    board: &Arc<Board>,
    rules: &Rules,
) -> io::Result<()> {
    let mut counted = DriverStats::default();
    let mut woke = Instant::now();
    let mut load = Load { looked: woke, had: cpu_time() };
    let mut is_listening = true;
    let mut turns = 0u32;
    shard.begin(clock.now());
    loop {
        let sleep = shard.turn();
        if shard.is_draining() {
            if std::mem::replace(&mut is_listening, false) {
                driver.stop_listening();
            }
            if shard.is_drained() || shard.is_drain_overdue() {
                // The others may sleep, and wait for the last one to wake them.
                let (orders, staging) = shard.orders();
                return driver.submit(orders, staging, Wait::Now);
            }
        }
        // Looking takes a lock that all shards share, so a busy shard looks now and then only. Who
        // is killed is woken.
        turns = turns.wrapping_add(1);
        let may_look = sleep != Sleep::No || turns.is_multiple_of(TURNS_PER_LOOK);
        if may_look && rules.kill.is_raised() {
            return Ok(());
        }
        rules.hang();
        count(shard, *driver.stats(), &mut counted);
        let busy_us = woke.elapsed().as_micros() as u64;
        shard.counters().observe(Timing::Turn, busy_us);
        shard.counters().add(Metric::LoopBusyMicroseconds, load.more_us(woke));
        shard.publish_counters(board);
        let wait = match sleep {
            Sleep::No => Wait::Now,
            Sleep::UntilMs(at) => {
                Wait::Until(Duration::from_millis(at.saturating_sub(clock.now().monotonic_ms)))
            }
        };
        let (orders, staging) = shard.orders();
        driver.submit(orders, staging, wait)?;
        woke = Instant::now();
        shard.begin(clock.now());
        driver.completions(|completion| shard.on(completion));
    }
}

/// How much of the processor a shard has had. Not the time of its turns: the kernel sends what a
/// turn has ordered while the thread submits it and waits, which is most of the work of a fan-out.
struct Load {
    looked: Instant,
    had: Duration,
}

impl Load {
    /// Microseconds since the last look; nothing if that was a moment ago.
    fn more_us(&mut self, now: Instant) -> u64 {
        if now.duration_since(self.looked) < LOAD_LOOK {
            return 0;
        }
        let had = cpu_time();
        let more = had.saturating_sub(std::mem::replace(&mut self.had, had));
        self.looked = now;
        more.as_micros() as u64
    }
}

/// The processor's time of this thread, the kernel's work for it included.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    time.expect("every thread has this clock").into()
}

impl Rules {
    fn hang(&self) {
        let Some(path) = &self.hang_while_exists else { return };
        while path.exists() {
            std::thread::sleep(HANG_LOOK);
        }
    }
}

/// Carries what the driver has counted since the last turn into the shard's counters.
fn count<H: Handler>(shard: &mut Shard<H>, stats: DriverStats, counted: &mut DriverStats) {
    let counters = shard.counters();
    counters.add(Metric::CqOverflow, stats.cq_overflows - counted.cq_overflows);
    counters.add(Metric::SqFull, stats.sq_full - counted.sq_full);
    counters.add(Metric::StaleCompletions, stats.cancels_late - counted.cancels_late);
    *counted = stats;
}
