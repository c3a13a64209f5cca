//! One run of the generator: its exit code and its report.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use serde_json::Value;

use crate::common::{Process, command};

/// No run here is asked to take so long.
const LIMIT: Duration = Duration::from_secs(60);

/// A run under way.
pub(crate) struct Started {
    pub(crate) process: Process,
    json: PathBuf,
}

/// A run that has ended by itself.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) report: Value,
}

/// Starts `ringwire bench` with these arguments.
pub(crate) fn start(arguments: &[&str]) -> Started {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let name = format!("bench-{}-{}.json", std::process::id(), RUNS.fetch_add(1, Relaxed));
    let json = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut command = command("bench");
    command.args(arguments).arg("--quiet").arg("--json").arg(&json);
    let mut command = interruptible(&command);
    Started { process: Process::spawn("ringwire bench", &mut command), json }
}

/// The same command where an interrupt is heard, which a shell in the background has turned off for
/// all that it starts.
fn interruptible(command: &Command) -> Command {
    let mut heard = Command::new("env");
    heard.arg("--default-signal=INT").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => heard.env(name, value),
            None => heard.env_remove(name),
        };
    }
    heard.current_dir(command.get_current_dir().expect("it has one"));
    heard
}

/// Runs `ringwire bench` with these arguments, to its end.
pub(crate) fn bench(arguments: &[&str]) -> Run {
    start(arguments).finish()
}

impl Started {
    pub(crate) fn exit(&mut self) -> ExitStatus {
        self.process.exit(LIMIT)
    }

    pub(crate) fn finish(mut self) -> Run {
        let status = self.exit();
        let code = status.code().unwrap_or_else(|| panic!("ended by a signal: {status}"));
        let text = std::fs::read_to_string(&self.json);
        let text = text.unwrap_or_else(|error| panic!("no report, code {code}: {error}"));
        let report = serde_json::from_str(&text).expect("a report is JSON");
        Run { code, report }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // A run that failed has written none.
        let _ = std::fs::remove_file(&self.json);
    }
}

impl Run {
    /// A number of the report, by its JSON pointer.
    pub(crate) fn number(&self, pointer: &str) -> f64 {
        let value = self.report.pointer(pointer).and_then(Value::as_f64);
        value.unwrap_or_else(|| panic!("no number at {pointer}: {:#}", self.report))
    }

    /// A count of the report, by its JSON pointer.
    pub(crate) fn count(&self, pointer: &str) -> u64 {
        let value = self.report.pointer(pointer).and_then(Value::as_u64);
        value.unwrap_or_else(|| panic!("no count at {pointer}: {:#}", self.report))
    }

    /// Latency in milliseconds.
    pub(crate) fn latency_ms(&self, name: &str) -> f64 {
        self.number(&format!("/latency_us/{name}")) / 1e3
    }

    /// The first fault of a cause in words.
    pub(crate) fn example(&self, cause: &str) -> &str {
        let faults = self.report["faults"].as_array().expect("a list");
        let fault = faults.iter().find(|fault| fault["cause"] == cause);
        let example = fault.and_then(|fault| fault["example"].as_str());
        example.unwrap_or_else(|| panic!("no example of {cause}: {faults:?}"))
    }

    /// Exactly these faults were found, so often each, and the exit code says whether there are
    /// any.
    #[track_caller]
    pub(crate) fn expect_faults(&self, wanted: &[(&str, u64)]) -> &Run {
        let faults = self.report["faults"].as_array().expect("a list");
        let found: Vec<(&str, u64)> = faults
            .iter()
            .map(|fault| (fault["cause"].as_str().unwrap(), fault["count"].as_u64().unwrap()))
            .collect();
        assert_eq!(found, wanted, "{:#}", self.report["faults"]);
        assert_eq!(self.code, i32::from(!wanted.is_empty()), "{:#}", self.report);
        assert_eq!(self.report["ok"], wanted.is_empty());
        self
    }

    /// Nothing was wrong, and each message came back once.
    #[track_caller]
    pub(crate) fn expect_clean(&self) -> &Run {
        self.expect_faults(&[]);
        assert_eq!(self.count("/connections/failed") + self.count("/connections/lost"), 0);
        self
    }

    /// Messages sent and received in the whole run.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.count("/messages/sent_total"), self.count("/messages/received_total"))
    }
}
