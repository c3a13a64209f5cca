//! What the conductor and the rings tell each other while a run is under way.
//!
//! The conductor sets the stage; rings look at it once per turn and publish what they have counted.
//! Nothing here waits, and no message depends on it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::histogram::LatencyHistogram;
use super::report::FaultLog;
use super::tally::{Schedule, Tally, Window};

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Stage {
    /// Connections are opened.
    Opening,
    /// Messages are sent.
    Loading,
    /// What was due is sent, nothing new becomes due, and what is on its way arrives.
    Draining,
    /// Nothing more is sent. When all rings have said how much was, what is outstanding is known.
    Settling,
    /// Over.
    Ended,
}

const STAGES: [Stage; 5] =
    [Stage::Opening, Stage::Loading, Stage::Draining, Stage::Settling, Stage::Ended];

/// See the module's header.
pub(super) struct Board {
    stage: AtomicU8,
    load_from_ns: AtomicU64,
    measured_from_ns: AtomicU64,
    until_ns: AtomicU64,
    pub(super) rings: Box<[RingBoard]>,
}

/// What one ring shows.
pub(super) struct RingBoard {
    established: AtomicU32,
    failed: AtomicU32,
    lost: AtomicU32,
    upgraded: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    /// Messages that have still to come; known when all rings are silent.
    outstanding: AtomicU64,
    /// It sends nothing more, and how much it has sent is known.
    is_silent: AtomicBool,
    slow: Mutex<Slow>,
}

/// What is too big to be shown each turn.
pub(super) struct Slow {
    pub(super) faults: FaultLog,
    /// Latencies since the conductor last took them.
    pub(super) latency: LatencyHistogram,
}

/// The sums over all rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) established: u64,
    pub(super) failed: u64,
    pub(super) lost: u64,
    pub(super) upgraded: u64,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) outstanding: u64,
    pub(super) are_silent: bool,
}

impl Board {
    pub(super) fn new(rings: u16) -> Self {
        Board {
            stage: AtomicU8::new(Stage::Opening as u8),
            load_from_ns: AtomicU64::new(Window::NEVER.from_ns),
            measured_from_ns: AtomicU64::new(Window::NEVER.from_ns),
            until_ns: AtomicU64::new(Window::NEVER.until_ns),
            rings: (0..rings).map(|_| RingBoard::new()).collect(),
        }
    }

    pub(super) fn stage(&self) -> Stage {
        STAGES[usize::from(self.stage.load(Ordering::Acquire))]
    }

    pub(super) fn advance(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
    }

    /// Set before the stage that it belongs to. Both windows end at the same moment.
    pub(super) fn set_schedule(&self, schedule: Schedule) {
        self.load_from_ns.store(schedule.load.from_ns, Ordering::Relaxed);
        self.measured_from_ns.store(schedule.measured.from_ns, Ordering::Relaxed);
        self.until_ns.store(schedule.measured.until_ns, Ordering::Relaxed);
    }

    pub(super) fn schedule(&self) -> Schedule {
        let until_ns = self.until_ns.load(Ordering::Relaxed);
        let from = |from: &AtomicU64| Window { from_ns: from.load(Ordering::Relaxed), until_ns };
        Schedule { load: from(&self.load_from_ns), measured: from(&self.measured_from_ns) }
    }

    pub(super) fn sums(&self) -> Sums {
        let mut sums = Sums { are_silent: true, ..Sums::default() };
        for ring in &self.rings {
            sums.established += u64::from(ring.established.load(Ordering::Relaxed));
            sums.failed += u64::from(ring.failed.load(Ordering::Relaxed));
            sums.lost += u64::from(ring.lost.load(Ordering::Relaxed));
            sums.upgraded += ring.upgraded.load(Ordering::Relaxed);
            sums.sent += ring.sent.load(Ordering::Relaxed);
            sums.received += ring.received.load(Ordering::Relaxed);
            sums.outstanding += ring.outstanding.load(Ordering::Relaxed);
            sums.are_silent &= ring.is_silent.load(Ordering::Acquire);
        }
        sums
    }

    /// The faults so far, and the latencies since the last call.
    pub(super) fn take_slow(&self) -> Slow {
        let mut all = Slow { faults: FaultLog::default(), latency: LatencyHistogram::new() };
        for ring in &self.rings {
            let mut slow = ring.slow.lock().expect("nobody panics with it");
            all.faults.merge(&slow.faults);
            all.latency.merge(&slow.latency);
            slow.latency.reset();
        }
        all
    }
}

impl RingBoard {
    fn new() -> Self {
        RingBoard {
            established: AtomicU32::new(0),
            failed: AtomicU32::new(0),
            lost: AtomicU32::new(0),
            upgraded: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            outstanding: AtomicU64::new(u64::MAX >> 16),
            is_silent: AtomicBool::new(false),
            slow: Mutex::new(Slow {
                faults: FaultLog::default(),
                latency: LatencyHistogram::new(),
            }),
        }
    }

    /// Shows the counts.
    pub(super) fn show(&self, tally: &Tally) {
        self.established.store(tally.established, Ordering::Relaxed);
        self.failed.store(tally.failed, Ordering::Relaxed);
        self.lost.store(tally.lost, Ordering::Relaxed);
        self.upgraded.store(tally.upgraded, Ordering::Relaxed);
        self.sent.store(tally.sent, Ordering::Relaxed);
        self.received.store(tally.received, Ordering::Relaxed);
    }

    /// Shows faults, and adds latencies.
    pub(super) fn show_slow(&self, faults: &FaultLog, latency: &LatencyHistogram) {
        let mut slow = self.slow.lock().expect("nobody panics with it");
        slow.faults = faults.clone();
        slow.latency.merge(latency);
    }

    pub(super) fn set_silent(&self) {
        self.is_silent.store(true, Ordering::Release);
    }

    pub(super) fn set_outstanding(&self, messages: u64) {
        self.outstanding.store(messages, Ordering::Relaxed);
    }
}
