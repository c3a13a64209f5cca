//! The line that is written while a run goes on: how far it is, how fast, and what went wrong.
//!
//! A line is at most [`PROGRESS_COLUMNS_MAX`] wide, so that it can be written over itself. What
//! does not fit is left out from the right, but what went wrong goes before what goes well.

use super::fault::{FaultCause, FaultLog};
use super::text::shortened;
use super::units::{amount, duration, grouped, latency, rate};

/// Columns of a line at most.
pub const PROGRESS_COLUMNS_MAX: usize = 100;

/// Causes of faults that are named at most; how many more there are is told.
const CAUSES_MAX: usize = 3;

/// What a run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Connections are being established.
    Connecting,
    /// Load that does not count yet.
    WarmingUp,
    /// What counts.
    Measuring,
    /// Waiting for what is still on its way, and closing.
    Finishing,
}

impl Phase {
    /// The word at the beginning of the line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::WarmingUp => "warming up",
            Self::Measuring => "measuring",
            Self::Finishing => "finishing",
        }
    }
}

/// One look at a run.
#[derive(Clone, Debug)]
pub struct Progress<'a> {
    /// What it is at.
    pub phase: Phase,
    /// Seconds since the run began.
    pub elapsed_seconds: f64,
    /// Seconds until its end, where that is known.
    pub remaining_seconds: Option<f64>,
    /// Connections that are open.
    pub established: u64,
    /// Connections that are to be.
    pub asked: u64,
    /// Connections established in the last second; shown while connecting, and where it is what
    /// the run is about (`Some`).
    pub connects_per_second: Option<f64>,
    /// Messages sent in the last second; `None` where the scenario sends none.
    pub sent_per_second: Option<f64>,
    /// Messages received in the last second; `None` where the scenario receives none.
    pub received_per_second: Option<f64>,
    /// Latency that one of a hundred exceeded in the last second.
    pub p99_us: Option<f64>,
    /// What went wrong so far.
    pub faults: &'a FaultLog,
}

impl Progress<'_> {
    /// The line, without an end of line.
    pub fn line(&self) -> String {
        let mut line = format!(
            "{:>9} {:<10}  {}/{} open",
            clock(self.elapsed_seconds),
            self.phase.as_str(),
            grouped(self.established),
            grouped(self.asked)
        );
        // As many causes as fit; what goes well comes after what went wrong.
        (1..=CAUSES_MAX).rev().any(|causes| append(&mut line, self.faults_by_cause(causes)));
        append(&mut line, self.remaining_seconds.map(|s| format!("{} left", duration(s.ceil()))));
        append(
            &mut line,
            self.connects_per_second.map(|opened| format!("opening {}", rate(opened))),
        );
        append(&mut line, self.received_per_second.map(|count| format!("recv {}", rate(count))));
        append(&mut line, self.sent_per_second.map(|count| format!("sent {}", rate(count))));
        append(&mut line, self.p99_us.map(|us| format!("p99 {}", latency(us))));
        shortened(&line, PROGRESS_COLUMNS_MAX)
    }

    /// The most frequent causes, `causes_max` of them by name.
    fn faults_by_cause(&self, causes_max: usize) -> Option<String> {
        let mut counts: Vec<(FaultCause, u64)> = FaultCause::ALL
            .into_iter()
            .map(|cause| (cause, self.faults.count(cause)))
            .filter(|(_, count)| *count > 0)
            .collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let name = |(cause, count): &(FaultCause, u64)| {
            format!("{} {}", cause.as_str(), amount(*count as f64))
        };
        let named: Vec<String> = counts.iter().take(causes_max).map(name).collect();
        let more = counts.len() - named.len();
        let more = if more > 0 { format!(" +{more}") } else { String::new() };
        (!named.is_empty()).then(|| format!("! {}{more}", named.join(", ")))
    }
}

/// Puts `part` behind the line where there is one and it fits; true when it did.
fn append(line: &mut String, part: Option<String>) -> bool {
    let Some(part) = part else { return false };
    let fits = line.chars().count() + 2 + part.chars().count() <= PROGRESS_COLUMNS_MAX;
    if fits {
        line.push_str("  ");
        line.push_str(&part);
    }
    fits
}

/// `0:07`, `12:34`, `1:02:03`.
fn clock(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    let (hours, minutes, seconds) = (whole / 3_600, whole / 60 % 60, whole % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(faults: &FaultLog) -> Progress<'_> {
        Progress {
            phase: Phase::Measuring,
            elapsed_seconds: 7.3,
            remaining_seconds: Some(4.7),
            established: 64,
            asked: 64,
            connects_per_second: None,
            sent_per_second: Some(381_500.0),
            received_per_second: Some(381_400.0),
            p99_us: Some(141.2),
            faults,
        }
    }

    #[test]
    fn a_good_run_says_how_far_and_how_fast() {
        let faults = FaultLog::default();
        assert_eq!(
            progress(&faults).line(),
            "     0:07 measuring   64/64 open  5 s left  recv 381 k/s  sent 382 k/s  p99 141 µs"
        );
        let connecting = Progress {
            phase: Phase::Connecting,
            established: 234_567,
            asked: 1_000_000,
            connects_per_second: Some(22_900.0),
            sent_per_second: None,
            received_per_second: None,
            p99_us: None,
            remaining_seconds: Some(33.4),
            ..progress(&faults)
        };
        assert_eq!(
            connecting.line(),
            "     0:07 connecting  234,567/1,000,000 open  34 s left  opening 22.9 k/s"
        );
    }

    #[test]
    fn what_went_wrong_is_named_the_most_frequent_first() {
        let mut faults = FaultLog::default();
        faults.add(FaultCause::Lost, String::new);
        faults.add_many(FaultCause::TimedOut, 1_234, String::new);
        let line = progress(&faults).line();
        assert!(line.contains("  ! timed_out 1.23 k, lost 1  "), "{line}");
    }

    #[test]
    fn a_line_never_breaks() {
        let mut faults = FaultLog::default();
        for cause in FaultCause::ALL {
            faults.add_many(cause, 123_456_789, String::new);
        }
        let full = Progress {
            phase: Phase::Connecting,
            elapsed_seconds: 1e6,
            remaining_seconds: Some(1e6),
            established: 123_456_789,
            asked: 123_456_789,
            connects_per_second: Some(1e9),
            ..progress(&faults)
        };
        for progress in [full, progress(&faults)] {
            let line = progress.line();
            assert!(line.chars().count() <= PROGRESS_COLUMNS_MAX, "{line}");
            assert!(line.contains("! lost 123 M, duplicated 123 M"), "{line}");
        }
    }

    #[test]
    fn clocks_have_hours_only_when_there_are_any() {
        let said = [0.0, 59.9, 754.0, 3_723.0].map(clock);
        assert_eq!(said, ["0:00", "0:59", "12:34", "1:02:03"]);
    }
}
