//! What one ring has counted.

use super::histogram::LatencyRecorder;
use super::report::FaultLog;
use crate::ws::partial::InflatedCounts;

/// A span of the run's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from_ns: u64,
    pub(super) until_ns: u64,
}

impl Window {
    /// No moment is in it.
    pub(super) const NEVER: Window = Window { from_ns: u64::MAX, until_ns: u64::MAX };

    pub(super) fn holds(self, at_ns: u64) -> bool {
        self.from_ns <= at_ns && at_ns < self.until_ns
    }

    pub(super) fn seconds(self) -> f64 {
        self.until_ns.saturating_sub(self.from_ns) as f64 / 1e9
    }
}

/// When messages are sent, and which part of that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// New messages are sent, the warm-up included.
    pub(super) load: Window,
    /// The measured window, at the end of that.
    pub(super) measured: Window,
}

impl Schedule {
    /// Nothing is sent yet.
    pub(super) const NEVER: Schedule = Schedule { load: Window::NEVER, measured: Window::NEVER };
}

/// See the module's header.
pub(super) struct Tally {
    /// Connections that are ready now.
    pub(super) established: u32,
    /// Connections that never became ready.
    pub(super) failed: u32,
    /// Connections that were ready and ended by no wish of ours.
    pub(super) lost: u32,
    /// Upgrades that were accepted, over the whole run and in the window.
    pub(super) upgraded: u64,
    pub(super) window_upgraded: u64,
    /// Messages, or handshakes begun where that is what the run is about.
    pub(super) sent: u64,
    pub(super) window_sent: u64,
    /// Good messages: not those that came twice or corrupted.
    pub(super) received: u64,
    pub(super) window_received: u64,
    pub(super) pings: u64,
    /// Messages that came compressed, over the whole run.
    pub(super) inflated: InflatedCounts,
    /// Receives that found no buffer.
    pub(super) starved: u64,
    pub(super) faults: FaultLog,
    /// Of messages that were due in the window, or of handshakes where that is what the run is
    /// about.
    pub(super) latency: LatencyRecorder,
}

impl Tally {
    pub(super) fn new() -> Self {
        Tally {
            established: 0,
            failed: 0,
            lost: 0,
            upgraded: 0,
            window_upgraded: 0,
            sent: 0,
            window_sent: 0,
            received: 0,
            window_received: 0,
            pings: 0,
            inflated: InflatedCounts::default(),
            starved: 0,
            faults: FaultLog::default(),
            latency: LatencyRecorder::new(),
        }
    }
}
