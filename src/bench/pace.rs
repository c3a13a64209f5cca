//! When messages and connects are due that wait for no answer.
//!
//! Rings share a rate by their parts of the senders, and each begins later than the one before it
//! by its part of an interval: together they send one after the other and not in step.

use super::plan::{Pace, Plan};

/// Messages that a late generator sends in one turn, so that it goes on receiving between them.
const BATCH_MAX: u32 = 4096;

/// Gives the moments at which one ring is to act. What is late stays due at its moment: latency
/// counts from there.
#[derive(Clone, Debug)]
pub(super) struct Pacer {
    /// Messages at each moment.
    batch: u32,
    interval_ns: f64,
    began_ns: u64,
    /// Moments that are over.
    moments: u64,
    /// Messages of the present moment that were given out.
    given: u32,
    /// Messages that one turn may still send.
    budget: u32,
}

impl Pacer {
    /// The pacer of a ring that has `senders` of the run's `senders_total`, to which `before` of
    /// one are those of the rings before it; none for a closed loop or a ring without senders.
    pub(super) fn new(
        pace: Pace,
        (senders, senders_total): (u32, u32),
        before: f64,
        at_ns: u64,
    ) -> Option<Pacer> {
        if senders == 0 {
            return None;
        }
        let share = f64::from(senders) / f64::from(senders_total);
        match pace {
            Pace::Closed { .. } => None,
            Pace::Open { per_second } => Some(Pacer::at_rate(per_second * share, before, at_ns)),
            // All rings at the same moments.
            Pace::Together { every } => Some(Pacer::every(every.as_nanos() as f64, senders, at_ns)),
        }
    }

    /// The pacer of connects for a ring that has `count` of the run's connections from `first` on;
    /// none when they are not to be paced.
    pub(super) fn of_connects(plan: &Plan, first: u32, count: u32, at_ns: u64) -> Option<Pacer> {
        let share = f64::from(count) / f64::from(plan.connections);
        let before = plan.part_before(first);
        plan.connect_rate.map(|rate| Pacer::at_rate(rate * share, before, at_ns))
    }

    fn at_rate(per_second: f64, before: f64, at_ns: u64) -> Pacer {
        let interval_ns = 1e9 / per_second;
        Pacer::every(interval_ns, 1, at_ns.saturating_add((before * interval_ns).round() as u64))
    }

    fn every(interval_ns: f64, batch: u32, began_ns: u64) -> Pacer {
        Pacer { batch, interval_ns, began_ns, moments: 0, given: 0, budget: 0 }
    }

    /// A new turn begins.
    pub(super) fn begin_turn(&mut self) {
        self.budget = BATCH_MAX;
    }

    /// When the next message is due.
    pub(super) fn next_ns(&self) -> u64 {
        self.moment_ns(self.moments)
    }

    /// Everything that was due before this moment has been given out.
    pub(super) fn is_done(&self, until_ns: u64) -> bool {
        self.next_ns() >= until_ns
    }

    /// Messages that are due from one moment on and before another and were not given out.
    pub(super) fn left_between(&self, from_ns: u64, until_ns: u64) -> u64 {
        let given = self.moments * u64::from(self.batch) + u64::from(self.given);
        let due_before = |at_ns| self.moments_before(at_ns) * u64::from(self.batch);
        due_before(until_ns).saturating_sub(given.max(due_before(from_ns)))
    }

    fn moment_ns(&self, moment: u64) -> u64 {
        self.began_ns.saturating_add((moment as f64 * self.interval_ns).round() as u64)
    }

    /// How many moments are before this one.
    fn moments_before(&self, at_ns: u64) -> u64 {
        let mut moments = (at_ns.saturating_sub(self.began_ns) as f64 / self.interval_ns) as u64;
        // The quotient is rounded, and moments are whole nanoseconds.
        while moments > 0 && self.moment_ns(moments - 1) >= at_ns {
            moments -= 1;
        }
        while self.moment_ns(moments) < at_ns {
            moments += 1;
        }
        moments
    }

    /// The moment of the next message that is due by now and before the end, which is thereby given
    /// out.
    pub(super) fn take(&mut self, now_ns: u64, until_ns: u64) -> Option<u64> {
        let due_ns = self.next_ns();
        if due_ns > now_ns || due_ns >= until_ns || self.budget == 0 {
            return None;
        }
        self.budget -= 1;
        self.given += 1;
        if self.given == self.batch {
            self.given = 0;
            self.moments += 1;
        }
        Some(due_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: u64 = 1_000_000_000;

    /// What is due by a moment, however many turns that takes.
    fn due(pacer: &mut Pacer, now_ns: u64, until_ns: u64) -> Vec<u64> {
        let mut all = Vec::new();
        loop {
            pacer.begin_turn();
            let before = all.len();
            all.extend(std::iter::from_fn(|| pacer.take(now_ns, until_ns)));
            if all.len() == before {
                return all;
            }
        }
    }

    #[test]
    fn a_late_turn_gets_the_moments_that_it_missed() {
        let pace = Pace::Open { per_second: 1000.0 };
        let mut pacer = Pacer::new(pace, (1, 2), 0.0, 5_000_000).unwrap();
        pacer.begin_turn();
        assert_eq!(pacer.take(4_999_999, u64::MAX), None);
        let late = due(&mut pacer, 9_000_000, u64::MAX);
        assert_eq!(late, [5_000_000, 7_000_000, 9_000_000], "half of 1,000 a second");
        assert_eq!(pacer.next_ns(), 11_000_000);
        assert_eq!(pacer.take(11_000_000, 11_000_000), None, "it is due when all is over");
        assert!(pacer.is_done(11_000_000) && !pacer.is_done(11_000_001));
    }

    #[test]
    fn rings_keep_a_rate_together_and_do_not_act_in_step() {
        for (rings, per_second) in [(1_u32, 7.0), (3, 100.0), (4, 1000.0), (16, 2.0), (1000, 3.0)] {
            let pace = Pace::Open { per_second };
            let ring = |ring| Pacer::new(pace, (1, rings), f64::from(ring) / f64::from(rings), 0);
            let mut all: Vec<u64> = (0..rings)
                .flat_map(|at| due(&mut ring(at).unwrap(), u64::MAX, 5 * SECOND))
                .collect();
            all.sort_unstable();
            assert_eq!(all.len() as f64, 5.0 * per_second, "{rings} rings");
            let interval_ns = SECOND as f64 / per_second;
            for (at, due_ns) in all.into_iter().enumerate() {
                let off_ns = due_ns as f64 - at as f64 * interval_ns;
                assert!(off_ns.abs() < 2.0, "{rings} rings, message {at}: {due_ns}");
            }
        }
    }

    #[test]
    fn what_is_left_is_what_would_still_be_given_out() {
        let open = Pace::Open { per_second: 3e6 };
        let together = Pace::Together { every: Duration::from_micros(7) };
        for (pace, senders) in [(open, 1), (together, 5)] {
            let mut pacer = Pacer::new(pace, (senders, 2 * senders), 0.5, 1_000).unwrap();
            pacer.begin_turn();
            for _ in 0..7 {
                pacer.take(u64::MAX, u64::MAX).unwrap();
            }
            let rest = due(&mut pacer.clone(), u64::MAX, 300_000);
            for (from_ns, until_ns) in [(0, 300_000), (0, 900), (5_000, 100_001), (200, 2_000)] {
                let within = |due_ns: &&u64| (from_ns..until_ns).contains(*due_ns);
                let expected = rest.iter().filter(within).count() as u64;
                assert_eq!(pacer.left_between(from_ns, until_ns), expected, "from {from_ns}");
            }
        }
    }

    #[test]
    fn together_means_everybody_at_the_same_moment() {
        let pace = Pace::Together { every: Duration::from_secs(5) };
        let mut pacer = Pacer::new(pace, (3, 30), 0.5, 0).unwrap();
        let at = [0, 0, 0, 5 * SECOND, 5 * SECOND, 5 * SECOND];
        assert_eq!(due(&mut pacer, 5 * SECOND, u64::MAX), at);
    }

    #[test]
    fn a_turn_sends_no_more_than_its_budget() {
        let mut pacer = Pacer::new(Pace::Open { per_second: 1e6 }, (1, 1), 0.0, 0).unwrap();
        pacer.begin_turn();
        assert_eq!(
            std::iter::from_fn(|| pacer.take(u64::MAX / 2, u64::MAX)).count() as u32,
            BATCH_MAX
        );
        assert!(Pacer::new(Pace::Closed { in_flight: 1 }, (1, 1), 0.0, 0).is_none());
    }
}
