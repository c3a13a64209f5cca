//! Processes that a comparison starts: pinned to a core, bounded in time, ended by their own id.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Failure;

/// How long a server may take until it accepts connections.
const START_MAX: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// Ports are tried from here on, below those that the system gives to clients.
const PORTS: std::ops::Range<u16> = 21_000..31_000;

/// A process, ended when dropped.
pub(crate) struct Running {
    child: Child,
}

impl Running {
    /// Starts a program on one core, with its output in a file.
    pub(crate) fn start(words: &[String], cpu: usize, said: &File) -> Result<Running, Failure> {
        let file = || said.try_clone().map_err(|error| format!("its output: {error}"));
        let child = Command::new("taskset")
            .args(["-c", &cpu.to_string()])
            .args(words)
            .stdin(Stdio::null())
            .stdout(file()?)
            .stderr(file()?)
            .spawn()
            .map_err(|error| format!("taskset: {error}"))?;
        Ok(Running { child })
    }

    /// taskset(1) becomes the program, so the process is the same.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the port accepts connections.
    pub(crate) fn await_port(&mut self, port: u16) -> Result<(), Failure> {
        let (addr, start) = (SocketAddr::from((Ipv4Addr::LOCALHOST, port)), Instant::now());
        loop {
            if TcpStream::connect_timeout(&addr, POLL).is_ok() {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the server ended with {status}"));
            }
            if start.elapsed() > START_MAX {
                return Err(format!("the server does not listen after {START_MAX:?}"));
            }
            thread::sleep(POLL);
        }
    }

    /// Waits for the end.
    pub(crate) fn await_end(&mut self, limit: Duration) -> Result<ExitStatus, Failure> {
        let start = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if start.elapsed() < limit => thread::sleep(POLL),
                Ok(None) => return Err(format!("has not ended after {limit:?}")),
                Err(error) => return Err(format!("can't be waited for: {error}")),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on; another one each time, so that no run meets the remains of an
/// earlier one.
pub(crate) fn free_port() -> Result<u16, Failure> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Runs of a comparison that was started a moment ago are avoided as well.
    let first = std::process::id() % u32::from(PORTS.end - PORTS.start);
    for _ in PORTS {
        let offset = u32::from(NEXT.fetch_add(1, Ordering::Relaxed)) + first;
        let port = PORTS.start + (offset % u32::from(PORTS.end - PORTS.start)) as u16;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no port is free".into())
}
