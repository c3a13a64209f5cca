//! What an operator should read in the log of what the shards count: the data plane logs nothing,
//! so that nobody can make it log.
//!
//! Invariant: each cause is told at most once in [`NOTICE_PAUSE_MS`], with how often it happened.

use std::time::{Duration, Instant};

use super::bridge::Bridge;
use super::event::Event;
use crate::limits::{NOTICE_LOOK_MS, NOTICE_PAUSE_MS};
use crate::metrics::{Board, Metric};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// Clients come and go so.
    Usual,
    /// Something is short or broken on this side.
    Serious,
}

/// What is told, by the series that counts it.
const CAUSES: [(Metric, Weight, &str); 11] = {
    use Weight::{Serious, Usual};
    [
        (Metric::AcceptFailures, Serious, "the kernel failed accepts"),
        (Metric::AcceptTableFull, Serious, "a shard had no descriptor left for clients"),
        (Metric::RefusedUnavailable, Serious, "clients were turned away for want of room"),
        (Metric::LaneFull, Serious, "a lane between shards was full, publishers had to wait"),
        (Metric::RecvStarved, Serious, "receives waited for buffers"),
        (Metric::CqOverflow, Serious, "completion queues overflowed"),
        (Metric::ErrorInternal, Serious, "requests failed for a reason of ours"),
        (Metric::ClosedInternal, Serious, "connections were closed for a reason of ours"),
        (Metric::DroppedByClose, Usual, "messages were dropped with slow consumers"),
        (Metric::SlowConsumersClosed, Usual, "slow consumers were closed"),
        (Metric::HeartbeatsLost, Usual, "clients vanished without a close"),
    ]
};

/// Logs them until `stop`.
pub(super) async fn tell(bridge: &Bridge, stop: &Event) {
    let mut notices = Notices::default();
    loop {
        let pause = tokio::time::sleep(Duration::from_millis(NOTICE_LOOK_MS));
        if stop.unless_raised(pause).await.is_none() {
            return;
        }
        for Notice { weight, text, times, total } in notices.due(Instant::now(), &bridge.board) {
            match weight {
                Weight::Usual => tracing::info!(times, total, "{text}"),
                Weight::Serious => tracing::warn!(times, total, "{text}"),
            }
        }
    }
}

/// One line of the log.
#[derive(Debug, PartialEq, Eq)]
struct Notice {
    weight: Weight,
    text: &'static str,
    /// How often since it was told last.
    times: u64,
    /// How often since the start.
    total: u64,
}

/// What was told of each cause, and when.
#[derive(Debug, Default)]
struct Notices {
    told: [(u64, Option<Instant>); CAUSES.len()],
}

impl Notices {
    fn due(&mut self, now: Instant, board: &Board) -> Vec<Notice> {
        let pause = Duration::from_millis(NOTICE_PAUSE_MS);
        let mut due = Vec::new();
        for ((metric, weight, text), (told, at)) in CAUSES.iter().zip(&mut self.told) {
            let total = board.total(*metric);
            let may_be_told = at.is_none_or(|at| now.duration_since(at) >= pause);
            if total != *told && may_be_told {
                let times = total - *told;
                due.push(Notice { weight: *weight, text, times, total });
                (*told, *at) = (total, Some(now));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ShardId;
    use crate::metrics::ShardCounters;

    #[test]
    fn a_cause_is_told_at_once_and_then_in_sum() {
        let (board, start) = (Board::new(1), Instant::now());
        let (mut notices, mut counters) = (Notices::default(), ShardCounters::new());
        assert_eq!(notices.due(start, &board), []);
        let mut told = Vec::new();
        for second in 0..25 {
            counters.add(Metric::AcceptTableFull, 3);
            board.publish(ShardId(0), &mut counters);
            let now = start + Duration::from_secs(second);
            told.extend(notices.due(now, &board).into_iter().map(|n| (second, n.times, n.total)));
        }
        assert_eq!(told, [(0, 3, 3), (10, 30, 33), (20, 30, 63)]);
    }

    #[test]
    fn causes_are_told_apart() {
        let (board, mut counters) = (Board::new(1), ShardCounters::new());
        counters.inc(Metric::SlowConsumersClosed);
        counters.add(Metric::AcceptFailures, 2);
        board.publish(ShardId(0), &mut counters);
        let due = Notices::default().due(Instant::now(), &board);
        let seen: Vec<_> = due.iter().map(|notice| (notice.weight, notice.times)).collect();
        assert_eq!(seen, [(Weight::Serious, 2), (Weight::Usual, 1)]);
    }
}
