//! One thing that was looked at, and what is to be said of it.

use serde::Serialize;

/// How the host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// So many connections do not fit.
    Short,
    /// It works, but worse than it could.
    Advice,
    /// The host does not say, as in some containers.
    Unknown,
    /// As it should be.
    Good,
}

impl Verdict {
    /// In the order of the report.
    pub const ALL: [Verdict; 4] =
        [Verdict::Short, Verdict::Advice, Verdict::Unknown, Verdict::Good];

    /// How a line of the report begins.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Short => "SHORT",
            Verdict::Advice => "advice",
            Verdict::Unknown => "unknown",
            Verdict::Good => "ok",
        }
    }
}

/// See the module's header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What the host has.
    pub is: String,
    /// What so many connections need.
    pub needs: String,
    /// Why they need it.
    pub why: &'static str,
    /// What to type, one line for each way; empty when nothing has to change.
    pub fix: Vec<String>,
}

impl Finding {
    /// A finding that is good so far.
    pub(super) fn new(
        check: &'static str,
        is: impl ToString,
        needs: impl ToString,
        why: &'static str,
    ) -> Finding {
        let (is, needs) = (is.to_string(), needs.to_string());
        Finding { check, verdict: Verdict::Good, is, needs, why, fix: Vec::new() }
    }

    /// The same about something that the host may not tell.
    pub(super) fn maybe(
        check: &'static str,
        is: Option<impl ToString>,
        needs: impl ToString,
        why: &'static str,
    ) -> Finding {
        match is {
            Some(is) => Finding::new(check, is, needs, why),
            None => {
                let finding = Finding::new(check, "unknown", needs, why);
                Finding { verdict: Verdict::Unknown, ..finding }
            }
        }
    }

    /// The same, but so, and this is what mends it, when it is `wrong`.
    pub(super) fn unless_wrong(
        mut self,
        wrong: bool,
        verdict: Verdict,
        fix: impl IntoIterator<Item = String>,
    ) -> Finding {
        if wrong {
            self.verdict = verdict;
            self.fix = fix.into_iter().collect();
        }
        self
    }
}

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Numbers as `sysctl` shows them.
pub(super) fn spaced(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}
