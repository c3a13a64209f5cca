//! Why connections ended, handshakes were refused and deliveries dropped: in words, with counts.

use super::history::History;
use crate::metrics::families::{self, Family};
use crate::metrics::{Board, Metric};
use serde::Serialize;

/// One cause, and how often it was one.
#[derive(Debug, Serialize)]
pub(super) struct Cause {
    /// As the metric's label has it.
    label: &'static str,
    /// For people.
    meaning: &'static str,
    /// Since the oldest sample of the history.
    recent: u64,
    /// Since the start.
    total: u64,
}

/// The series of all closes.
pub(super) fn closes() -> impl Iterator<Item = Metric> {
    of(&families::CLOSED)
}

/// The causes of a family that have been one at all, the most recent ones first.
pub(super) fn causes(family: &'static Family, board: &Board, history: &History) -> Vec<Cause> {
    let cause = |metric: Metric| {
        let (_, label) = metric.label()?;
        let total = board.total(metric);
        let recent = history.recent(metric, total);
        (total > 0).then(|| Cause { label, meaning: meaning(label), recent, total })
    };
    let mut causes: Vec<Cause> = of(family).filter_map(cause).collect();
    causes.sort_by_key(|cause| std::cmp::Reverse((cause.recent, cause.total)));
    causes
}

fn of(family: &'static Family) -> impl Iterator<Item = Metric> {
    Metric::ALL.iter().copied().filter(move |metric| metric.family() == family)
}

/// What the label of a close, a refusal or a drop means.
fn meaning(label: &str) -> &'static str {
    match label {
        "1000" => "closed normally",
        "1001" => "going away (a drain, or the client left)",
        "1002" => "broke the protocol",
        "1003" => "data of a kind that is not taken",
        "1005" => "closed without a code",
        "1006" => "gone without a close",
        "1007" => "text that is not UTF-8",
        "1008" => "broke a policy",
        "1009" => "message too large",
        "1011" => "a fault of the server",
        "1013" => "no memory for unfinished messages",
        "4001" => "slow consumer",
        "4002" => "heartbeat lost",
        "4003" => "position lost",
        "4004" => "token expired",
        "4500" => "does not speak the protocol",
        "4501" => "not authorised",
        "4502" => "over a limit",
        "4503" => "disconnected by the operator",
        "bad_request" => "no valid request",
        "unauthorized" => "no credentials, or bad ones",
        "forbidden" => "this origin may not connect",
        "not_found" => "no such path",
        "method_not_allowed" => "not a GET",
        "upgrade_required" => "not a WebSocket request",
        "wrong_version" => "another version of WebSocket",
        "head_too_large" => "request head too large",
        "too_many_from_address" => "too many from one address",
        "unavailable" => "full or draining",
        "timeout" => "the request did not come in time",
        "application" => "refused by the application",
        "close" => "the subscriber was closed",
        "drop_oldest" => "the oldest were dropped",
        "conflate" => "only the newest was kept",
        _ => "another cause",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ShardId;
    use crate::metrics::ShardCounters;

    #[test]
    fn every_cause_is_told_in_words_of_its_own() {
        let mut seen = std::collections::HashSet::new();
        for family in [&families::CLOSED, &families::REFUSED, &families::DELIVERIES_DROPPED] {
            for metric in of(family) {
                let (_, label) = metric.label().expect("they have labels");
                assert!(seen.insert(meaning(label)), "{label}: {}", meaning(label));
                assert_eq!(meaning(label) == "another cause", label == "other", "{label}");
            }
        }
    }

    #[test]
    fn what_has_been_a_cause_is_listed_with_the_most_frequent_first() {
        let (board, mut counters) = (Board::new(1), ShardCounters::new());
        counters.add(Metric::ClosedNormal, 2);
        counters.add(Metric::ClosedSlowConsumer, 5);
        counters.add(Metric::RefusedTimeout, 9);
        board.publish(ShardId(0), &mut counters);
        let listed = causes(&families::CLOSED, &board, &History::default());
        let seen: Vec<_> = listed.iter().map(|cause| (cause.label, cause.total)).collect();
        assert_eq!(seen, [("4001", 5), ("1000", 2)]);
    }
}
