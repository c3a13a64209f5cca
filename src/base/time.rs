//! Time as the pure layers see it: given to them, never read by them.

use crate::limits::TICK_MS;

/// One reading of the clocks, taken by the shell once per turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a monotonic clock since the process started.
    pub monotonic_ms: u64,
    /// Milliseconds since the Unix epoch, for time stamps that people read.
    pub unix_ms: u64,
}

/// A point on the monotonic clock in units of [`TICK_MS`]; wraps after eight years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tick(pub u32);

/// Reads a monotonic clock in nanoseconds, for what is much shorter than a turn. Given to the pure
/// layers like any other time.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(pub fn() -> u64);

impl Stopwatch {
    /// One that stands still, where nobody asks how long something took.
    pub const STILL: Stopwatch = Stopwatch(|| 0);

    /// What it shows.
    pub fn ns(self) -> u64 {
        (self.0)()
    }
}

impl Now {
    /// The tick that has begun.
    pub fn tick(self) -> Tick {
        Tick((self.monotonic_ms / TICK_MS) as u32)
    }
}

impl Tick {
    /// The tick at which `ms` milliseconds have certainly passed since any moment of this one.
    pub fn after_ms(self, ms: u64) -> Tick {
        Tick(self.0.saturating_add((ms.div_ceil(TICK_MS) + 1) as u32))
    }

    /// The last tick that begins within `ms` milliseconds of any moment of this one, for what must
    /// not be late.
    pub fn before_ms(self, ms: u64) -> Tick {
        Tick(self.0.saturating_add((ms / TICK_MS) as u32))
    }

    /// The first millisecond of this tick on the monotonic clock.
    pub fn start_ms(self) -> u64 {
        u64::from(self.0) * TICK_MS
    }
}
