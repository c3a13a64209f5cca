//! The clock of a run: nanoseconds since it began, the same for all rings.

use std::time::Instant;

/// See the module's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Instant,
}

impl Clock {
    /// A clock that starts at zero.
    pub(super) fn start() -> Self {
        Clock { began: Instant::now() }
    }

    /// Nanoseconds since the start; below 2^48 for the first three days.
    pub(super) fn now_ns(self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }
}
