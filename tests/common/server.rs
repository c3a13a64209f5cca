//! The real binary as a server: started, found, asked, ended.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::http::{self, Metrics, Response};
use super::process::Process;
use super::{SOON, poll};

/// The binary under test, unless `RINGWIRE_BIN` names another one.
const RINGWIRE: &str = env!("CARGO_BIN_EXE_ringwire");

/// What a test's server gets unless the test says otherwise: small, and on the system's ports.
const USUAL_FLAGS: &[(&str, &str)] = &[
    ("--listen", "127.0.0.1:0"),
    ("--admin", "127.0.0.1:0"),
    ("--shards", "1"),
    ("--max-connections", "256"),
];

/// Variables by which the surroundings could change what a process does.
const FOREIGN_VARIABLES: &[&str] =
    &["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"];

/// A running server, ended when dropped.
pub(crate) struct Server {
    process: Process,
    /// Where clients connect.
    pub(crate) ws: SocketAddr,
    /// Where the operator asks.
    pub(crate) admin: SocketAddr,
}

/// Octets of memory that a process occupies.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    memory_bytes(pid, "VmRSS:")
}

/// One of the figures of proc_pid_status(5) that are in kB, in octets.
pub(crate) fn memory_bytes(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    let status = status.expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")).expect("a figure in kB");
    kib.trim().parse::<u64>().expect("a number") * 1024
}

/// The binary, with nothing of the surroundings that would configure it.
pub(crate) fn command(subcommand: &str) -> Command {
    let mut command =
        Command::new(std::env::var_os("RINGWIRE_BIN").unwrap_or_else(|| RINGWIRE.into()));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RINGWIRE_") {
            command.env_remove(name);
        }
    }
    for name in FOREIGN_VARIABLES {
        command.env_remove(name);
    }
    command.arg(subcommand).current_dir(Path::new(env!("CARGO_TARGET_TMPDIR")));
    command
}

impl Server {
    /// `ringwire echo` with these flags.
    pub(crate) fn echo(flags: &[&str]) -> Server {
        Server::start("echo", flags)
    }

    /// `ringwire serve` with these flags.
    pub(crate) fn serve(flags: &[&str]) -> Server {
        Server::start("serve", flags)
    }

    /// Starts and waits until the server says that it is ready.
    pub(crate) fn start(subcommand: &str, flags: &[&str]) -> Server {
        Server::start_by(command(subcommand), subcommand, flags)
    }

    /// The same by a command that a test has made its own.
    pub(crate) fn start_by(mut command: Command, subcommand: &str, flags: &[&str]) -> Server {
        command.args(flags);
        for (flag, value) in USUAL_FLAGS {
            if !flags.contains(flag) {
                command.args([flag, value]);
            }
        }
        let process = Process::spawn(&format!("ringwire {subcommand}"), &mut command);
        process.error_line("ringwire: ready", SOON);
        let addr = |prefix: &str| {
            let said = process.has_said(prefix).into_iter().next();
            let said = said.unwrap_or_else(|| panic!("no line `{prefix}...` before `ready`"));
            said.trim().parse().expect("an address with a port")
        };
        let ws = addr("ringwire: listening on ws://");
        Server { ws, admin: addr("ringwire: admin on http://"), process }
    }

    /// The URL for clients.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.ws)
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        http::request(self.admin, "GET", path, "")
    }

    /// Like `get`; `None` when the admin listener is gone.
    pub(crate) fn try_get(&self, path: &str) -> Option<Response> {
        http::try_request(self.admin, "GET", path, "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Response {
        http::request(self.admin, "POST", path, body)
    }

    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::scrape(self.admin)
    }

    /// The value of one metric now.
    pub(crate) fn metric(&self, family: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().value(family, labels)
    }

    /// Waits until a metric has exactly this value. A shard publishes its counters at the end of a
    /// turn, so what a client has just seen may be counted a moment later.
    pub(crate) fn await_metric(
        &self,
        family: &str,
        labels: &[(&str, &str)],
        wanted: f64,
        limit: Duration,
    ) {
        let mut last = f64::NAN;
        let seen = poll(limit, || {
            last = self.metric(family, labels);
            (last == wanted).then_some(())
        });
        assert!(seen.is_some(), "{family} {labels:?} is {last}, not {wanted}, after {limit:?}");
    }

    /// Octets of memory that the process occupies.
    pub(crate) fn resident_bytes(&self) -> u64 {
        resident_bytes(self.pid())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it listens on, as it said.
    pub(crate) fn listening(&self) -> Vec<String> {
        self.process.has_said("ringwire: listening on ")
    }

    /// What the server has written to standard error.
    pub(crate) fn log(&self) -> Vec<String> {
        self.process.said()
    }

    /// The first line of standard error from here on that has this part.
    pub(crate) fn await_line(&self, part: &str) -> String {
        self.process.error_line_with(part, SOON)
    }

    /// What the server said at start that it may need of memory.
    pub(crate) fn planned_bytes(&self) -> u64 {
        let said = self.process.has_said("ringwire: memory plan: ");
        let said = said.first().expect("a memory plan");
        let number = said.split(' ').next().and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("not a number of bytes: {said}"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    pub(crate) fn exit(&mut self, limit: Duration) -> ExitStatus {
        self.process.exit(limit)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Ends the server by SIGTERM and asserts that it had nothing to complain about.
    pub(crate) fn stop(mut self) {
        assert!(self.is_running(), "the server did not survive");
        self.terminate();
        self.process.succeed(SOON);
    }
}
