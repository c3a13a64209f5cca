//! Signals that drain or end the process, as something to wait for.
//!
//! Installing them replaces their default action (immediate death) for the rest of the process.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask the process to drain or to end.
#[derive(Debug)]
pub struct Termination {
    terminate: Signal,
    interrupt: Signal,
    drain: Signal,
}

/// SIGHUP, which asks for the configuration to be read anew.
#[derive(Debug)]
pub struct Hangup(Signal);

impl Hangup {
    /// Takes the signal over; one that comes after this is not lost. Needs a runtime.
    pub fn install() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Hangup)
    }

    /// Waits for the next. Several that come at once may be one.
    pub async fn next(&mut self) {
        // The stream of a signal ends with the runtime only.
        let _came: Option<()> = self.0.recv().await;
    }
}

/// Which one came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// SIGTERM: a service manager.
    Terminate,
    /// SIGINT: a person at a terminal.
    Interrupt,
    /// SIGUSR2: an operator who takes the server out of service before it is stopped.
    Drain,
}

impl Termination {
    /// Takes the signals over; one that comes after this is not lost. Needs a runtime.
    pub fn install() -> io::Result<Self> {
        Ok(Termination {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            drain: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for the next of them.
    pub async fn next(&mut self) -> Received {
        poll_fn(|cx| {
            if self.terminate.poll_recv(cx).is_ready() {
                return Poll::Ready(Received::Terminate);
            }
            if self.interrupt.poll_recv(cx).is_ready() {
                return Poll::Ready(Received::Interrupt);
            }
            self.drain.poll_recv(cx).map(|_| Received::Drain)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, id};

    fn kill(signal: &str) {
        let status = Command::new("kill").args([signal, &id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    #[test]
    fn all_signals_are_heard_and_the_process_lives_on() {
        tokio_uring::start(async {
            let mut termination = Termination::install().expect("installed");
            kill("-TERM");
            assert_eq!(termination.next().await, Received::Terminate);
            kill("-INT");
            assert_eq!(termination.next().await, Received::Interrupt);
            kill("-USR2");
            assert_eq!(termination.next().await, Received::Drain);
        });
    }
}
