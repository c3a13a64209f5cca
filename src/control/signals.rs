//! Signals that end the process, as an event.
//!
//! Installing them replaces their default action (immediate death) for the rest of the process.

use super::event::Event;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask the process to end.
#[derive(Debug)]
pub struct Termination {
    terminate: Signal,
    interrupt: Signal,
}

/// Which one came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// SIGTERM: a service manager.
    Terminate,
    /// SIGINT: a person at a terminal.
    Interrupt,
}

impl Termination {
    /// Takes both signals over; one that comes after this is not lost. Needs a runtime.
    pub fn install() -> io::Result<Self> {
        Ok(Termination {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next of them. A second one after the first means: do not drain, end now.
    pub async fn next(&mut self) -> Received {
        poll_fn(|cx| {
            if self.terminate.poll_recv(cx).is_ready() {
                return Poll::Ready(Received::Terminate);
            }
            self.interrupt.poll_recv(cx).map(|_| Received::Interrupt)
        })
        .await
    }

    /// Waits for the first and raises `drain`.
    pub async fn raise(&mut self, drain: &Event) -> Received {
        let received = self.next().await;
        drain.raise();
        received
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
    fn both_signals_raise_the_event_and_the_process_lives_on() {
        tokio_uring::start(async {
            let mut termination = Termination::install().expect("installed");
            let drain = Event::new();
            kill("-TERM");
            assert_eq!(termination.raise(&drain).await, Received::Terminate);
            assert!(drain.is_raised());
            kill("-INT");
            assert_eq!(termination.next().await, Received::Interrupt);
        });
    }
}
