//! The other end: client threads that connect and reset, in two patterns.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// How connections arrive.
#[derive(Clone, Copy)]
pub(super) struct Arrivals {
    pub(super) name: &'static str,
    pub(super) clients: usize,
    /// Connections that a client keeps open before it waits for the oldest to be closed.
    pub(super) window: usize,
}

/// In a storm, and at leisure.
pub(super) const ARRIVALS: [Arrivals; 2] = [
    Arrivals { name: "bursts: 2 clients, 64 open each", clients: 2, window: 64 },
    Arrivals { name: "one at a time: 1 client, 1 open", clients: 1, window: 1 },
];

/// Lets closing reset the connection, so that no port waits in TIME_WAIT.
pub(super) fn reset_on_close(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// Tells clients to stop, and the server when they have.
pub(super) struct Session {
    stop: AtomicBool,
    running: AtomicUsize,
}

impl Session {
    pub(super) fn new(clients: usize) -> Self {
        Session { stop: AtomicBool::new(false), running: AtomicUsize::new(clients) }
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.running.load(Ordering::Acquire) == 0
    }
}

/// Connects as fast as it can until told to stop; then waits for the server to close the rest, so
/// that a connection which an accept forgot makes this fail.
pub(super) fn client(server: SocketAddr, window: usize, session: &Session) -> io::Result<()> {
    let outcome = connect_and_reset(server, window, session);
    session.running.fetch_sub(1, Ordering::Release);
    outcome
}

fn connect_and_reset(server: SocketAddr, window: usize, session: &Session) -> io::Result<()> {
    let mut open: VecDeque<TcpStream> = VecDeque::with_capacity(window);
    while !session.stop.load(Ordering::Relaxed) {
        if open.len() == window
            && let Some(oldest) = open.pop_front()
        {
            await_close(oldest)?;
        }
        let stream = TcpStream::connect(server)?;
        reset_on_close(&stream)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        open.push_back(stream);
    }
    open.into_iter().try_for_each(await_close)
}

fn await_close(mut stream: TcpStream) -> io::Result<()> {
    assert_eq!(stream.read(&mut [0])?, 0, "the server only closes");
    Ok(())
}
