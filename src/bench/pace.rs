//! When messages are due that wait for no answer.

use super::plan::Pace;

/// Messages that a late generator sends in one turn, so that it goes on receiving between them.
const BATCH_MAX: u32 = 4096;

/// Gives the moments at which messages of one ring are due. What is late stays due at its moment:
/// latency counts from there.
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
    /// The pacer of a ring that has `senders` of the run's `senders_total`; none for a closed loop
    /// or a ring without senders.
    pub(super) fn new(pace: Pace, senders: u32, senders_total: u32, at_ns: u64) -> Option<Pacer> {
        if senders == 0 {
            return None;
        }
        let share = f64::from(senders) / f64::from(senders_total);
        let (batch, interval_ns) = match pace {
            Pace::Closed { .. } => return None,
            Pace::Open { per_second } => (1, 1e9 / (per_second * share)),
            Pace::Together { every } => (senders, every.as_nanos() as f64),
        };
        Some(Pacer { batch, interval_ns, began_ns: at_ns, moments: 0, given: 0, budget: 0 })
    }

    /// A new turn begins.
    pub(super) fn begin_turn(&mut self) {
        self.budget = BATCH_MAX;
    }

    /// When the next message is due.
    pub(super) fn next_ns(&self) -> u64 {
        self.began_ns + (self.moments as f64 * self.interval_ns) as u64
    }

    /// Everything that was due before this moment has been given out.
    pub(super) fn is_done(&self, until_ns: u64) -> bool {
        self.next_ns() >= until_ns
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

    #[test]
    fn a_late_turn_gets_the_moments_that_it_missed() {
        let pace = Pace::Open { per_second: 1000.0 };
        let mut pacer = Pacer::new(pace, 1, 2, 5_000_000).unwrap();
        pacer.begin_turn();
        assert_eq!(pacer.take(4_999_999, u64::MAX), None);
        let due: Vec<u64> = std::iter::from_fn(|| pacer.take(9_000_000, u64::MAX)).collect();
        assert_eq!(due, [5_000_000, 7_000_000, 9_000_000], "half of 1,000 a second");
        assert_eq!(pacer.next_ns(), 11_000_000);
        assert_eq!(pacer.take(11_000_000, 11_000_000), None, "it is due when all is over");
        assert!(pacer.is_done(11_000_000) && !pacer.is_done(11_000_001));
    }

    #[test]
    fn together_means_everybody_at_the_same_moment() {
        let pace = Pace::Together { every: Duration::from_secs(5) };
        let mut pacer = Pacer::new(pace, 3, 30, 0).unwrap();
        pacer.begin_turn();
        let due: Vec<u64> = std::iter::from_fn(|| pacer.take(5_000_000_000, u64::MAX)).collect();
        assert_eq!(due, [0, 0, 0, 5_000_000_000, 5_000_000_000, 5_000_000_000]);
    }

    #[test]
    fn a_turn_sends_no_more_than_its_budget() {
        let mut pacer = Pacer::new(Pace::Open { per_second: 1e6 }, 1, 1, 0).unwrap();
        pacer.begin_turn();
        assert_eq!(
            std::iter::from_fn(|| pacer.take(u64::MAX / 2, u64::MAX)).count() as u32,
            BATCH_MAX
        );
        assert!(Pacer::new(Pace::Closed { in_flight: 1 }, 1, 1, 0).is_none());
    }
}
