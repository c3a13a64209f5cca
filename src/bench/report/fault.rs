//! What can be wrong with a run, counted by cause with the first example of each.
//!
//! A log is bounded by the number of causes: every fault is counted, one of each kind is kept in
//! words, and those words are cut to [`EXAMPLE_CHARS_MAX`].

use serde::{Deserialize, Serialize};

/// Characters of an example: enough for a frame's head and a sentence.
pub const EXAMPLE_CHARS_MAX: usize = 400;

/// Why a run is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultCause {
    /// A message was sent and never came.
    Lost,
    /// A message came twice.
    Duplicated,
    /// A message came after a later one of the same connection or topic.
    Reordered,
    /// A message came with other bytes than were sent.
    Corrupted,
    /// The server broke RFC 6455 or the protocol above it.
    Protocol,
    /// The server answered a request of the protocol with an error.
    Refused,
    /// No TCP connection came about.
    ConnectFailed,
    /// TCP connected, and HTTP said something else than 101, or did not agree to compression.
    UpgradeRefused,
    /// The server ended an established connection.
    ClosedEarly,
    /// Something did not happen within its time.
    TimedOut,
    /// Something was due that could not be sent: too much waited already, or the time was over.
    Overrun,
}

impl FaultCause {
    /// Every cause, in the order of reports.
    pub const ALL: [Self; 11] = [
        Self::Lost,
        Self::Duplicated,
        Self::Reordered,
        Self::Corrupted,
        Self::Protocol,
        Self::Refused,
        Self::ConnectFailed,
        Self::UpgradeRefused,
        Self::ClosedEarly,
        Self::TimedOut,
        Self::Overrun,
    ];

    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Duplicated => "duplicated",
            Self::Reordered => "reordered",
            Self::Corrupted => "corrupted",
            Self::Protocol => "protocol",
            Self::Refused => "refused",
            Self::ConnectFailed => "connect_failed",
            Self::UpgradeRefused => "upgrade_refused",
            Self::ClosedEarly => "closed_early",
            Self::TimedOut => "timed_out",
            Self::Overrun => "overrun",
        }
    }

    /// What it means, in words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Lost => "sent and never received",
            Self::Duplicated => "received more than once",
            Self::Reordered => "received after a later one",
            Self::Corrupted => "received with other bytes than were sent",
            Self::Protocol => "the server broke the protocol",
            Self::Refused => "the server answered with an error",
            Self::ConnectFailed => "TCP did not connect",
            Self::UpgradeRefused => "the handshake was not answered with 101",
            Self::ClosedEarly => "the server ended an established connection",
            Self::TimedOut => "did not happen within its time",
            Self::Overrun => "due, and could not be sent",
        }
    }
}

/// Faults of one cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Why.
    pub cause: FaultCause,
    /// How many.
    pub count: u64,
    /// The first of them in words, where there is more to say than the cause.
    pub example: Option<String>,
}

/// Counts faults where they are seen: one log per ring, merged for the report.
#[derive(Clone, Debug, Default)]
pub struct FaultLog {
    counts: [u64; FaultCause::ALL.len()],
    examples: [Option<String>; FaultCause::ALL.len()],
}

impl FaultLog {
    /// Counts one fault; `example` is asked only for the first of a cause.
    pub fn add(&mut self, cause: FaultCause, example: impl FnOnce() -> String) {
        self.add_many(cause, 1, example);
    }

    /// Counts `count` faults of one kind; `example` is asked only for the first of a cause.
    pub fn add_many(&mut self, cause: FaultCause, count: u64, example: impl FnOnce() -> String) {
        if count == 0 {
            return;
        }
        let at = cause as usize;
        self.counts[at] += count;
        self.examples[at].get_or_insert_with(|| cut(example()));
    }

    /// One fault of a cause has turned out to be none.
    pub fn take_back(&mut self, cause: FaultCause) {
        let count = &mut self.counts[cause as usize];
        *count = count.checked_sub(1).expect("bug: it was never counted");
    }

    /// Adds what another ring has seen; examples of this one stay.
    pub fn merge(&mut self, other: &Self) {
        for (at, count) in other.counts.iter().enumerate() {
            self.counts[at] += count;
            if self.examples[at].is_none() {
                self.examples[at].clone_from(&other.examples[at]);
            }
        }
    }

    /// How many there are of one cause.
    pub fn count(&self, cause: FaultCause) -> u64 {
        self.counts[cause as usize]
    }

    /// How many there are of all causes.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The causes that occurred, in the order of [`FaultCause::ALL`].
    pub fn faults(&self) -> Vec<Fault> {
        let occurred = FaultCause::ALL.into_iter().filter(|cause| self.count(*cause) > 0);
        let fault = |cause| Fault {
            cause,
            count: self.count(cause),
            example: self.examples[cause as usize].clone(),
        };
        occurred.map(fault).collect()
    }
}

/// Cuts an example to its bound; an ellipsis says so.
fn cut(mut example: String) -> String {
    if let Some((end, _)) = example.char_indices().nth(EXAMPLE_CHARS_MAX) {
        example.truncate(end);
        example.push('…');
    }
    example
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_json_and_the_list_is_whole() {
        for (at, cause) in FaultCause::ALL.into_iter().enumerate() {
            assert_eq!(serde_json::to_value(cause).expect("a string"), cause.as_str());
            assert_eq!(cause as usize, at, "FaultCause::ALL is in the order of the enum");
        }
        let unknown = serde_json::from_str::<FaultCause>("\"else\"").expect_err("no such cause");
        for cause in FaultCause::ALL {
            let named = unknown.to_string().contains(&format!("`{}`", cause.as_str()));
            assert!(named, "{unknown}");
        }
        assert_eq!(unknown.to_string().matches('`').count(), 2 * (FaultCause::ALL.len() + 1));
    }

    #[test]
    fn all_are_counted_and_the_first_of_a_cause_is_told() {
        let mut log = FaultLog::default();
        log.add(FaultCause::TimedOut, || "first".into());
        log.add(FaultCause::TimedOut, || unreachable!("only the first is told"));
        log.add_many(FaultCause::Lost, 0, || unreachable!("none is no fault"));
        let mut other = FaultLog::default();
        other.add_many(FaultCause::Lost, 5, || "x".repeat(10_000));
        other.add(FaultCause::TimedOut, || "another".into());
        log.merge(&other);
        assert_eq!((log.total(), log.count(FaultCause::TimedOut)), (8, 3));
        let faults = log.faults();
        assert_eq!(faults.len(), 2);
        assert_eq!((faults[0].cause, faults[0].count), (FaultCause::Lost, 5));
        let long = faults[0].example.as_ref().expect("an example");
        assert_eq!(long.chars().count(), EXAMPLE_CHARS_MAX + 1);
        assert_eq!(faults[1].example.as_deref(), Some("first"));
    }
}
