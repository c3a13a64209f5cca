//! A child process: its output as lines with a time limit, its end by its own id.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Deadline, poll};

/// Lines that are kept to be shown when a test fails.
const KEPT_LINES_MAX: usize = 200;

/// See the module's header.
pub(crate) struct Process {
    name: String,
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
    kept: Arc<Mutex<VecDeque<String>>>,
}

impl Process {
    pub(crate) fn spawn(name: &str, command: &mut Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        let out = lines(child.stdout.take().expect("piped"), "out", &kept);
        let err = lines(child.stderr.take().expect("piped"), "err", &kept);
        Process { name: name.to_owned(), child, out, err, kept }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of standard output.
    pub(crate) fn line(&self, limit: Duration) -> String {
        self.out.recv_timeout(limit).unwrap_or_else(|why| self.fail(&format!("no line: {why}")))
    }

    /// The next line of standard output, if one comes in time.
    pub(crate) fn try_line(&self, limit: Duration) -> Option<String> {
        self.out.recv_timeout(limit).ok()
    }

    /// The rest of the first line of standard error from here on that starts with `prefix`.
    pub(crate) fn error_line(&self, prefix: &str, limit: Duration) -> String {
        let deadline = Deadline::after(limit);
        loop {
            let left = deadline.left().unwrap_or_default();
            match self.err.recv_timeout(left) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(prefix) {
                        return rest.to_owned();
                    }
                }
                Err(why) => self.fail(&format!("no line `{prefix}...`: {why}")),
            }
        }
    }

    /// The first line of standard error from here on that has this part.
    pub(crate) fn error_line_with(&self, part: &str, limit: Duration) -> String {
        let deadline = Deadline::after(limit);
        loop {
            let left = deadline.left().unwrap_or_default();
            match self.err.recv_timeout(left) {
                Ok(line) if line.contains(part) => return line,
                Ok(_) => {}
                Err(why) => self.fail(&format!("no line with `{part}`: {why}")),
            }
        }
    }

    /// The rest of each line of standard error that starts with `prefix`, among those that were
    /// written before one that was waited for, and are not long ago.
    pub(crate) fn has_said(&self, prefix: &str) -> Vec<String> {
        let kept = self.kept.lock().expect("no holder of this lock panics");
        let said = kept.iter().filter_map(|line| line.strip_prefix("err: "));
        said.filter_map(|line| line.strip_prefix(prefix)).map(str::to_owned).collect()
    }

    /// What it has written to standard error, as far as it was not long ago.
    pub(crate) fn said(&self) -> Vec<String> {
        self.has_said("")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.id().try_into().expect("a process id"));
        kill(pid, signal).expect("the process is there to be signalled");
    }

    /// How the process ended, which it has to do within the limit.
    pub(crate) fn exit(&mut self, limit: Duration) -> ExitStatus {
        let ended = poll(limit, || self.child.try_wait().expect("our own child"));
        ended.unwrap_or_else(|| self.fail(&format!("has not ended within {limit:?}")))
    }

    /// Asserts that the process ends well within the limit.
    pub(crate) fn succeed(&mut self, limit: Duration) {
        let status = self.exit(limit);
        if !status.success() {
            self.fail(&format!("ended with {status}"));
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_none()
    }

    fn fail(&self, what: &str) -> ! {
        panic!("{}: {what}", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let kept = self.kept.lock().map(|kept| kept.iter().cloned().collect::<Vec<_>>());
            eprintln!("-- {} said:\n{}\n--", self.name, kept.unwrap_or_default().join("\n"));
        }
    }
}

fn lines(
    pipe: impl Read + Send + 'static,
    name: &'static str,
    kept: &Arc<Mutex<VecDeque<String>>>,
) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let kept = Arc::clone(kept);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut kept = kept.lock().expect("no holder of this lock panics");
            kept.push_back(format!("{name}: {line}"));
            if kept.len() > KEPT_LINES_MAX {
                kept.pop_front();
            }
            // Nobody may be listening any more; the pipe is emptied all the same.
            let _ = sender.send(line);
        }
    });
    receiver
}
