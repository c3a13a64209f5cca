//! How fast some counters have grown over the last seconds. Pure: the time is given.
//!
//! Invariant: at most [`RATE_SAMPLES`] samples are held, in the order of their times.

use crate::limits::RATE_SAMPLES;
use crate::metrics::{Board, Metric};
use std::collections::VecDeque;
use std::time::Instant;

/// The counters that the status shows as rates, with the names it gives them.
pub const RATED: [(&str, Metric); 8] = [
    ("accepts_per_second", Metric::ConnectionsAccepted),
    ("messages_received_per_second", Metric::MessagesReceived),
    ("messages_sent_per_second", Metric::MessagesSent),
    ("received_bytes_per_second", Metric::ReceivedBytes),
    ("sent_bytes_per_second", Metric::SentBytes),
    ("publishes_per_second", Metric::PublishesAccepted),
    ("deliveries_per_second", Metric::Deliveries),
    ("turns_per_second", Metric::Turns),
];

/// The latest samples.
#[derive(Debug, Default)]
pub struct Rates {
    samples: VecDeque<Sample>,
}

#[derive(Debug)]
struct Sample {
    at: Instant,
    totals: [u64; RATED.len()],
    /// By shard: microseconds of the processor.
    busy: Box<[u64]>,
}

impl Rates {
    /// Takes a sample; the oldest goes when there are enough.
    pub fn sample(&mut self, now: Instant, board: &Board) {
        if self.samples.len() == RATE_SAMPLES {
            self.samples.pop_front();
        }
        let totals = RATED.map(|(_, metric)| board.total(metric));
        let busy = board.per_shard(Metric::LoopBusyMicroseconds).collect();
        self.samples.push_back(Sample { at: now, totals, busy });
    }

    /// Growth per second between the oldest sample and the newest; zero before there are two.
    pub fn per_second(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let seconds = self.seconds();
        RATED.iter().enumerate().map(move |(index, (name, _))| {
            let Some((old, new)) = self.span() else { return (*name, 0.0) };
            let grown = new.totals[index].wrapping_sub(old.totals[index]) as f64;
            (*name, if seconds > 0.0 { grown / seconds } else { 0.0 })
        })
    }

    /// Part of the time that each shard had the processor; nothing before there are two samples.
    pub fn busy_ratios(&self) -> impl Iterator<Item = f64> {
        let span = self.span().filter(|_| self.seconds() > 0.0);
        let most_us = self.seconds() * 1e6;
        span.into_iter()
            .flat_map(|(old, new)| old.busy.iter().zip(&new.busy))
            .map(move |(old, new)| (new.wrapping_sub(*old) as f64 / most_us).min(1.0))
    }

    fn span(&self) -> Option<(&Sample, &Sample)> {
        self.samples.front().zip(self.samples.back())
    }

    fn seconds(&self) -> f64 {
        let between = |(old, new): (&Sample, &Sample)| new.at.duration_since(old.at).as_secs_f64();
        self.span().map_or(0.0, between)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ShardId;
    use crate::metrics::ShardCounters;
    use std::time::Duration;

    #[test]
    fn the_rate_is_over_the_window_and_old_samples_leave_it() {
        let (board, start) = (Board::new(1), Instant::now());
        let (mut rates, mut counters) = (Rates::default(), ShardCounters::new());
        let sent = |rates: &Rates| rates.per_second().find(|(n, _)| n.starts_with("messages_sent"));
        assert_eq!(sent(&rates).map(|(_, rate)| rate), Some(0.0));
        for second in 0..100u64 {
            counters.add(Metric::MessagesSent, if second < 50 { 1000 } else { 40 });
            board.publish(ShardId(0), &mut counters);
            rates.sample(start + Duration::from_secs(second), &board);
            assert!(rates.samples.len() <= RATE_SAMPLES);
        }
        assert_eq!(sent(&rates).map(|(_, rate)| rate), Some(40.0));
    }

    #[test]
    fn a_shard_that_had_the_processor_half_of_the_time_is_half_busy() {
        let (board, start) = (Board::new(2), Instant::now());
        let (mut rates, mut counters) = (Rates::default(), ShardCounters::new());
        assert_eq!(rates.busy_ratios().count(), 0);
        for second in 0..30u64 {
            counters.add(Metric::LoopBusyMicroseconds, 500_000);
            board.publish(ShardId(1), &mut counters);
            rates.sample(start + Duration::from_secs(second), &board);
        }
        assert_eq!(rates.busy_ratios().collect::<Vec<_>>(), [0.0, 0.5]);
    }
}
