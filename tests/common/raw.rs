//! A client on a bare TCP stream that says what it is told and reads with a time limit.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use socket2::{Domain, Socket, Type};

use super::frame::{self, CLOSE, Frame, PING, Received};
use super::{Deadline, SOON};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Receive buffer of a narrow connection; the kernel doubles it for its own bookkeeping.
const NARROW_BYTES: usize = 32 * 1024;
pub(super) const HUNG_UP: [ErrorKind; 2] = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
/// What a read with a limit says when it has passed, or a signal came.
pub(super) const AGAIN: [ErrorKind; 3] =
    [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::Interrupted];

/// See the module's header.
pub(crate) struct RawClient {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What the stream had to say.
#[derive(Debug)]
pub(crate) enum Event {
    Frame(Received),
    /// The other end has closed or reset the stream.
    Ended,
    /// Nothing, within the limit.
    Silence,
}

/// The head of an HTTP response.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
}

impl Head {
    /// A field's value; `name` in lower case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Parses what stands before the empty line.
    pub(crate) fn parse(text: &str) -> Head {
        let mut lines = text.split("\r\n");
        let status_line = lines.next().expect("split gives one part");
        let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status = status.and_then(|digits| digits.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line: {status_line:?}"));
        let field = |line: &str| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("field: {line:?}"));
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        Head { status, fields: lines.filter(|line| !line.is_empty()).map(field).collect() }
    }
}

/// The head of a right and plain handshake.
pub(crate) fn upgrade_head(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

impl RawClient {
    /// A TCP connection on which nothing has been said.
    pub(crate) fn connect(addr: SocketAddr) -> RawClient {
        let stream = TcpStream::connect_timeout(&addr, SOON).expect("the server accepts");
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_write_timeout(Some(SOON)).expect("a TCP socket");
        RawClient { stream, buffer: Vec::new() }
    }

    /// An upgraded connection; checks the server's proof that it has understood.
    pub(crate) fn open(addr: SocketAddr, path: &str) -> RawClient {
        RawClient::connect(addr).upgrade(path)
    }

    /// A connection over a Unix socket. The standard library's type for TCP streams does the same
    /// system calls on it, so that everything here can be used.
    pub(crate) fn connect_unix(path: &Path) -> RawClient {
        let stream = UnixStream::connect(path).expect("the server accepts");
        let stream = TcpStream::from(OwnedFd::from(stream));
        stream.set_write_timeout(Some(SOON)).expect("a socket");
        RawClient { stream, buffer: Vec::new() }
    }

    /// A connection whose receive window stays small: the server can't
    /// send much before somebody reads.
    pub(crate) fn connect_narrow(addr: SocketAddr) -> RawClient {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(NARROW_BYTES).expect("a TCP socket");
        socket.connect(&addr.into()).expect("the server accepts");
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_write_timeout(Some(SOON)).expect("a TCP socket");
        RawClient { stream, buffer: Vec::new() }
    }

    /// Upgrades a connection on which nothing has been said.
    pub(crate) fn upgrade(mut self, path: &str) -> RawClient {
        self.send(upgrade_head(path).as_bytes());
        self.expect_upgraded();
        self
    }

    /// A second handle on the same stream, to read while the first one writes. What the first one
    /// has read ahead moves over.
    pub(crate) fn sharing(other: &mut RawClient) -> RawClient {
        let stream = other.stream.try_clone().expect("a descriptor more");
        RawClient { stream, buffer: std::mem::take(&mut other.buffer) }
    }

    pub(crate) fn expect_upgraded(&mut self) {
        let head = self.head(SOON).expect("an answer to the handshake");
        assert_eq!(head.status, 101, "{head:?}");
        let accept = STANDARD.encode(Sha1::digest(format!("{KEY}{GUID}")));
        assert_eq!(head.field("sec-websocket-accept"), Some(accept.as_str()));
        assert!(head.field("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")));
        assert!(
            head.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade"))
        );
        assert_eq!(head.field("sec-websocket-extensions"), None, "none was offered");
        assert_eq!(head.field("sec-websocket-protocol"), None, "none was offered");
    }

    /// The stream, and what was read ahead of what was asked for.
    pub(crate) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.buffer)
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends all of it; the server has to take it.
    pub(crate) fn send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).expect("the server takes what we send");
    }

    /// Sends to a server that may have hung up already; false when it has.
    pub(crate) fn try_send(&mut self, octets: &[u8]) -> bool {
        self.stream.write_all(octets).is_ok()
    }

    pub(crate) fn send_frame(&mut self, frame: &Frame) {
        self.send(&frame.octets());
    }

    /// Says that nothing more will come.
    pub(crate) fn finish_sending(&mut self) {
        // A server that has closed already has made this impossible, and needless.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Breaks the connection: the server sees a reset.
    pub(crate) fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("a TCP socket");
    }

    /// Reads once: how many octets came; `Some(0)` at the end; `None` when the limit has passed.
    fn fill(&mut self, deadline: Deadline) -> Option<usize> {
        let mut octets = [0; 64 * 1024];
        loop {
            self.stream.set_read_timeout(Some(deadline.left()?)).expect("a time above zero");
            match self.stream.read(&mut octets) {
                Ok(count) => {
                    self.buffer.extend_from_slice(&octets[..count]);
                    return Some(count);
                }
                Err(error) if HUNG_UP.contains(&error.kind()) => return Some(0),
                Err(error) if AGAIN.contains(&error.kind()) => {}
                Err(error) => panic!("reading: {error}"),
            }
        }
    }

    /// The head of a response; `None` when the stream ended without one. Panics when the limit has
    /// passed.
    pub(crate) fn head(&mut self, limit: Duration) -> Option<Head> {
        let deadline = Deadline::after(limit);
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                let text = String::from_utf8(head).expect("a head in ASCII");
                return Some(Head::parse(text.trim_end()));
            }
            assert!(self.buffer.len() <= HEAD_BYTES_MAX, "the response's head does not end");
            if self.fill(deadline).unwrap_or_else(|| panic!("no head within {limit:?}")) == 0 {
                return None;
            }
        }
    }

    /// The next frame, the end, or silence.
    pub(crate) fn event(&mut self, limit: Duration) -> Event {
        let deadline = Deadline::after(limit);
        loop {
            if let Some(frame) = frame::take(&mut self.buffer) {
                return Event::Frame(frame);
            }
            match self.fill(deadline) {
                None => return Event::Silence,
                Some(0) => return Event::Ended,
                Some(_) => {}
            }
        }
    }

    /// The next frame, which has to come.
    pub(crate) fn frame(&mut self) -> Received {
        match self.event(SOON) {
            Event::Frame(frame) => frame,
            other @ (Event::Ended | Event::Silence) => panic!("{other:?} instead of a frame"),
        }
    }

    /// The next frame other than a ping; pings are answered.
    pub(crate) fn frame_after_pings(&mut self) -> Received {
        loop {
            let frame = self.frame();
            if frame.opcode != PING {
                return frame;
            }
            self.send_frame(&Frame::pong(&frame.payload));
        }
    }

    /// A whole message; its fragments put together, pings answered. Its opcode and payload.
    pub(crate) fn message(&mut self) -> (u8, Vec<u8>) {
        let first = self.frame_after_pings();
        let (opcode, mut payload, mut fin) = (first.opcode, first.payload, first.fin);
        while !fin {
            let next = self.frame_after_pings();
            assert_eq!(next.opcode, frame::CONTINUATION, "{next:?} inside of a message");
            payload.extend(next.payload);
            fin = next.fin;
        }
        (opcode, payload)
    }

    /// The code of the close frame that has to come, whatever comes before it.
    pub(crate) fn close_code(&mut self, limit: Duration) -> u16 {
        self.close_code_of(limit, "a close is due")
    }

    fn close_code_of(&mut self, limit: Duration, what: &str) -> u16 {
        let deadline = Deadline::after(limit);
        loop {
            match self.event(deadline.left().unwrap_or_default()) {
                Event::Frame(frame) if frame.opcode == CLOSE => return frame.close_code(),
                Event::Frame(_) => {}
                other @ (Event::Ended | Event::Silence) => {
                    panic!("{other:?} instead of a close frame, limit {limit:?}: {what}")
                }
            }
        }
    }

    /// The server closes with this code; we agree; then the stream ends.
    pub(crate) fn expect_close(&mut self, code: u16, what: &str) {
        assert_eq!(self.close_code_of(SOON, what), code, "close code: {what}");
        self.try_send(&Frame::close(code).octets());
        self.expect_end(what);
    }

    /// The stream ends, and no frame comes before that: a close frame was the last.
    pub(crate) fn expect_end(&mut self, what: &str) {
        match self.event(SOON) {
            Event::Ended => assert!(self.buffer.is_empty(), "half a frame at the end: {what}"),
            Event::Frame(frame) => panic!("{frame:?} after the close frame: {what}"),
            Event::Silence => panic!("the connection stays open: {what}"),
        }
    }

    /// The stream ends, whatever octets come before that (after a refused handshake: a body).
    pub(crate) fn expect_hang_up(&mut self, what: &str) {
        let deadline = Deadline::after(SOON);
        loop {
            match self.fill(deadline) {
                Some(0) => return,
                Some(_) => self.buffer.clear(),
                None => panic!("the connection stays open: {what}"),
            }
        }
    }

    /// True when the other end has hung up within `limit`; octets before that are dropped.
    pub(crate) fn has_hung_up(&mut self, limit: Duration) -> bool {
        let deadline = Deadline::after(limit);
        loop {
            match self.fill(deadline) {
                Some(0) => return true,
                Some(_) => {}
                None => return false,
            }
        }
    }
}
