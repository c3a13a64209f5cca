//! The last minutes of the server, for whoever comes to look only now. Pure: the time is given.
//!
//! Invariants: Y1: at most [`HISTORY_SAMPLES`] samples are held, in the order of their times; Y2:
//! two that follow each other are about [`HISTORY_INTERVAL_MS`] apart, however often one is
//! offered.

use crate::limits::{HISTORY_INTERVAL_MS, HISTORY_SAMPLES};
use crate::metrics::{Board, Metric};
use serde::Serialize;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The latest samples.
#[derive(Debug, Default)]
pub(super) struct History {
    samples: VecDeque<Sample>,
    /// By shard: microseconds of the processor, at the time of the newest sample.
    busy: Box<[u64]>,
}

#[derive(Debug)]
struct Sample {
    at: Instant,
    /// Of every metric.
    totals: Box<[u64]>,
    /// Part of the time since the sample before that the busiest shard had the processor.
    busy_ratio_max: f64,
}

/// What the last minutes looked like. All lists are of the same length, oldest first.
#[derive(Debug, Default, Serialize)]
pub(super) struct Shown {
    interval_seconds: f64,
    /// The time between the first sample and the last.
    pub(super) seconds: f64,
    connections_open: Vec<u64>,
    egress_queued_bytes: Vec<u64>,
    loop_busy_ratio_max: Vec<f64>,
    accepts_per_second: Vec<f64>,
    closes_per_second: Vec<f64>,
    messages_received_per_second: Vec<f64>,
    messages_sent_per_second: Vec<f64>,
    deliveries_per_second: Vec<f64>,
    received_bytes_per_second: Vec<f64>,
    sent_bytes_per_second: Vec<f64>,
}

impl History {
    /// Takes a sample if it is time for one; the oldest goes when there are enough.
    pub(super) fn sample(&mut self, now: Instant, board: &Board) {
        // Whoever calls is late now and then, which must not cost a whole interval.
        let interval = Duration::from_millis(HISTORY_INTERVAL_MS * 3 / 4);
        let since = self.samples.back().map(|newest| now.duration_since(newest.at));
        if since.is_some_and(|since| since < interval) {
            return;
        }
        if self.samples.len() == HISTORY_SAMPLES {
            self.samples.pop_front();
        }
        let busy: Box<[u64]> = board.per_shard(Metric::LoopBusyMicroseconds).collect();
        let busy_ratio_max = since.map_or(0.0, |since| {
            let grown = busy.iter().zip(&self.busy).map(|(new, old)| new.wrapping_sub(*old));
            grown.max().unwrap_or(0) as f64 / since.as_micros().max(1) as f64
        });
        let totals = Metric::ALL.iter().map(|metric| board.total(*metric)).collect();
        self.samples.push_back(Sample { at: now, totals, busy_ratio_max: busy_ratio_max.min(1.0) });
        self.busy = busy;
    }

    /// How much a counter has grown since the oldest sample.
    pub(super) fn recent(&self, metric: Metric, total: u64) -> u64 {
        // What was there before the first sample has come since the start, not long before it.
        self.samples.front().map_or(total, |oldest| total.wrapping_sub(oldest.of(metric)))
    }

    /// All of it.
    pub(super) fn shown(&self) -> Shown {
        let gauge = |metric| self.steps().map(|(_, new)| new.of(metric)).collect();
        let rate =
            |metrics: &[Metric]| self.steps().map(|step| per_second(step, metrics)).collect();
        let closes: Vec<Metric> = super::causes::closes().collect();
        let (first, last) = (self.samples.front(), self.samples.back());
        let seconds = first.zip(last).map_or(0.0, |(first, last)| between(first, last));
        Shown {
            interval_seconds: HISTORY_INTERVAL_MS as f64 / 1000.0,
            seconds,
            connections_open: gauge(Metric::ConnectionsOpen),
            egress_queued_bytes: gauge(Metric::EgressQueuedBytes),
            loop_busy_ratio_max: self.steps().map(|(_, new)| new.busy_ratio_max).collect(),
            accepts_per_second: rate(&[Metric::ConnectionsAccepted]),
            closes_per_second: rate(&closes),
            messages_received_per_second: rate(&[Metric::MessagesReceived]),
            messages_sent_per_second: rate(&[Metric::MessagesSent]),
            deliveries_per_second: rate(&[Metric::Deliveries]),
            received_bytes_per_second: rate(&[Metric::ReceivedBytes]),
            sent_bytes_per_second: rate(&[Metric::SentBytes]),
        }
    }

    fn steps(&self) -> impl Iterator<Item = (&Sample, &Sample)> {
        self.samples.iter().zip(self.samples.iter().skip(1))
    }
}

impl Sample {
    fn of(&self, metric: Metric) -> u64 {
        self.totals[metric.index()]
    }
}

fn between(old: &Sample, new: &Sample) -> f64 {
    new.at.duration_since(old.at).as_secs_f64()
}

/// To a tenth: more would only be longer.
fn per_second((old, new): (&Sample, &Sample), metrics: &[Metric]) -> f64 {
    let grown = |metric: &Metric| new.of(*metric).wrapping_sub(old.of(*metric));
    let grown: u64 = metrics.iter().map(grown).sum();
    let seconds = between(old, new);
    if seconds > 0.0 { (grown as f64 / seconds * 10.0).round() / 10.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ShardId;
    use crate::metrics::ShardCounters;

    #[test]
    fn a_history_is_as_long_as_it_may_be_and_shows_rates_levels_and_recent_counts() {
        let (board, start) = (Board::new(2), Instant::now());
        let (mut history, mut counters) = (History::default(), ShardCounters::new());
        assert_eq!(history.shown().connections_open.len(), 0);
        assert_eq!(history.recent(Metric::ClosedNormal, 7), 7);
        let seconds = 4 * HISTORY_SAMPLES as u64;
        for second in 0..=seconds {
            counters.add(Metric::MessagesSent, if second < seconds / 3 { 9 } else { 100 });
            counters.add(Metric::ClosedNormal, 1);
            counters.add(Metric::ClosedAbnormal, 2);
            counters.add(Metric::LoopBusyMicroseconds, 250_000);
            counters.set(Metric::ConnectionsOpen, second);
            board.publish(ShardId(1), &mut counters);
            history.sample(start + Duration::from_secs(second), &board);
            assert!(history.samples.len() <= HISTORY_SAMPLES);
        }
        let shown = history.shown();
        assert_eq!(shown.seconds, 300.0);
        assert_eq!(shown.connections_open.len(), HISTORY_SAMPLES - 1);
        assert_eq!(shown.connections_open.last(), Some(&seconds));
        assert!(shown.messages_sent_per_second.iter().all(|rate| *rate == 100.0));
        assert!(shown.closes_per_second.iter().all(|rate| *rate == 3.0));
        assert!(shown.loop_busy_ratio_max.iter().all(|ratio| *ratio == 0.25));
        assert_eq!(
            history.recent(Metric::ClosedAbnormal, board.total(Metric::ClosedAbnormal)),
            600
        );
    }
}
