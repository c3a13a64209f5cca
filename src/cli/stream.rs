//! A blocking TCP or Unix stream whose waits have deadlines.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};

use super::url::Place;

/// Silence after which the kernel asks whether the other host is still there: a subscriber may hear
/// nothing for hours, and has to notice all the same when the server's host has gone.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// See the module's header.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(name, port) if name.contains(':') => write!(f, "[{name}]:{port}"),
            Place::Tcp(name, port) => write!(f, "{name}:{port}"),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Stream {
    /// Connects to the first address of the place that answers.
    pub(super) fn connect(place: &Place, deadline: Instant) -> io::Result<Stream> {
        match place {
            Place::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
            Place::Tcp(name, port) => connect_tcp(name, *port, deadline).map(Stream::Tcp),
        }
    }

    pub(super) fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(tcp) => tcp.set_write_timeout(Some(timeout)),
            Stream::Unix(unix) => unix.set_write_timeout(Some(timeout)),
        }
    }

    /// Reads what is there, waiting for it at most until the deadline.
    pub(super) fn read_until(
        &mut self,
        buffer: &mut [u8],
        deadline: Option<Instant>,
    ) -> io::Result<usize> {
        loop {
            // A timeout of zero would mean none.
            let left = deadline.map(|deadline| {
                deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
            });
            let outcome = match self {
                Stream::Tcp(tcp) => tcp.set_read_timeout(left).and_then(|()| tcp.read(buffer)),
                Stream::Unix(unix) => unix.set_read_timeout(left).and_then(|()| unix.read(buffer)),
            };
            match outcome {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    pub(super) fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(tcp) => tcp.write_all(octets),
            Stream::Unix(unix) => unix.write_all(octets),
        }
    }
}

fn connect_tcp(name: &str, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for addr in (name, port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&addr, left) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
                SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
