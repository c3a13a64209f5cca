//! What was due and never sent: how much, and since when it waited.
//!
//! Latency counts from the moment at which a message was due. One that was never sent has waited
//! until it was given up, at least: without it, a run beyond what generator or server can do would
//! tell of those messages only that got through.

use super::histogram::LatencyRecorder;
use super::pace::Pacer;
use super::report::{FaultCause, FaultLog};
use super::tally::{Schedule, Window};

/// Parts of the window that are told apart: what waited is known to a thousandth of the window.
const PARTS: u64 = 1000;

/// See the module's header. The memory is that of the parts, however much there is.
#[derive(Debug)]
pub(super) struct Unsent {
    /// As it was when the first one was counted; it may end sooner, and never begins anew.
    window: Window,
    /// By part of the window, how many were due in it.
    parts: Vec<u64>,
}

impl Default for Unsent {
    fn default() -> Self {
        Unsent { window: Window::NEVER, parts: Vec::new() }
    }
}

impl Unsent {
    /// One was due at `due_ns` and could not be sent.
    #[cold]
    pub(super) fn add(&mut self, due_ns: u64, measured: Window) {
        self.divide(measured);
        if self.window.holds(due_ns) {
            let (from_ns, until_ns) = (self.window.from_ns, self.window.until_ns);
            let part = (due_ns - from_ns) as u128 * u128::from(PARTS);
            self.parts[(part / u128::from(until_ns - from_ns)) as usize] += 1;
        }
    }

    /// What a pacer has not given out is not sent any more, which is a fault.
    pub(super) fn add_rest(&mut self, pacer: &Pacer, schedule: Schedule, faults: &mut FaultLog) {
        self.divide(schedule.measured);
        let until_ns = schedule.load.until_ns;
        let left = pacer.left_between(0, until_ns);
        faults.add_many(FaultCause::Overrun, left, || {
            format!("{left} that one ring was to send, or to connect, were not begun in time")
        });
        for part in 0..self.parts.len() {
            let (from_ns, end_ns) = self.part(part);
            self.parts[part] += pacer.left_between(from_ns, end_ns.min(until_ns));
        }
    }

    /// They have waited until now; nothing is added any more.
    pub(super) fn record(&self, now_ns: u64, latency: &mut LatencyRecorder) {
        for (part, count) in self.parts.iter().enumerate() {
            let (from_ns, end_ns) = self.part(part);
            latency.record_many(now_ns.saturating_sub(from_ns.midpoint(end_ns)), *count);
        }
    }

    fn divide(&mut self, measured: Window) {
        if self.parts.is_empty() {
            self.window = measured;
            self.parts = vec![0; PARTS as usize];
        }
    }

    /// From when until when a part is.
    fn part(&self, part: usize) -> (u64, u64) {
        let Window { from_ns, until_ns } = self.window;
        let length_ns = u128::from(until_ns.saturating_sub(from_ns));
        // Rounded up: the first moment whose part this is.
        let begin = |part: usize| (length_ns * part as u128).div_ceil(u128::from(PARTS)) as u64;
        (from_ns + begin(part), from_ns + begin(part + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::histogram::LatencyHistogram;
    use crate::bench::plan::Pace;

    const MEASURED: Window = Window { from_ns: 1_000_000, until_ns: 3_000_000 };
    const SCHEDULE: Schedule =
        Schedule { load: Window { from_ns: 0, ..MEASURED }, measured: MEASURED };

    fn latency(unsent: &Unsent, now_ns: u64) -> LatencyHistogram {
        let (mut recorder, mut total) = (LatencyRecorder::new(), LatencyHistogram::new());
        unsent.record(now_ns, &mut recorder);
        recorder.add_to(&mut total);
        total
    }

    #[test]
    fn what_was_given_up_has_waited_since_it_was_due() {
        // One each microsecond of three milliseconds, the first of which is no part of the window.
        let mut pacer = Pacer::new(Pace::Open { per_second: 1e6 }, (1, 1), 0.0, 0).unwrap();
        pacer.begin_turn();
        for _ in 0..1_500 {
            pacer.take(u64::MAX, u64::MAX).unwrap();
        }
        let (mut unsent, mut faults) = (Unsent::default(), FaultLog::default());
        // Two of those that were given out found no room.
        unsent.add(999_999, MEASURED);
        unsent.add(1_000_000, MEASURED);
        unsent.add_rest(&pacer, SCHEDULE, &mut faults);
        assert_eq!(faults.count(FaultCause::Overrun), 1_500, "who found none says so itself");
        let latency = latency(&unsent, 5_000_000);
        assert_eq!(latency.count(), 1 + 1_500);
        // From 1.5 ms on, and until 5 ms: 2 to 3.5 ms, spread evenly, and one of 4 ms.
        let near = |found: Option<u64>, expected_ns: u64| {
            assert!(found.unwrap().abs_diff(expected_ns) <= 10_000, "{found:?} {expected_ns}");
        };
        near(latency.min_ns(), 2_000_000);
        near(latency.percentile_ns(50.0), 2_750_000);
        near(latency.percentile_ns(90.0), 3_350_000);
        near(latency.max_ns(), 4_000_000);
    }

    #[test]
    fn nothing_that_was_sent_is_counted() {
        let mut pacer = Pacer::new(Pace::Open { per_second: 1e6 }, (1, 1), 0.0, 0).unwrap();
        pacer.begin_turn();
        while pacer.take(u64::MAX, MEASURED.until_ns).is_some() {}
        let (mut unsent, mut faults) = (Unsent::default(), FaultLog::default());
        unsent.add_rest(&pacer, SCHEDULE, &mut faults);
        assert_eq!((faults.total(), latency(&unsent, 5_000_000).count()), (0, 0));
        assert_eq!(latency(&Unsent::default(), 1).count(), 0);
    }
}
