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
    samples: VecDeque<(Instant, [u64; RATED.len()])>,
}

impl Rates {
    /// Takes a sample; the oldest goes when there are enough.
    pub fn sample(&mut self, now: Instant, board: &Board) {
        if self.samples.len() == RATE_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back((now, RATED.map(|(_, metric)| board.total(metric))));
    }

    /// Growth per second between the oldest sample and the newest; zero before there are two.
    pub fn per_second(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let span = self.samples.front().zip(self.samples.back());
        RATED.iter().enumerate().map(move |(index, (name, _))| {
            let Some(((from, old), (to, new))) = span else { return (*name, 0.0) };
            let seconds = to.duration_since(*from).as_secs_f64();
            let grown = new[index].wrapping_sub(old[index]) as f64;
            (*name, if seconds > 0.0 { grown / seconds } else { 0.0 })
        })
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
}
