//! A small blocking WebSocket client for the command's own tools: one connection, one thread.
//!
//! Owns the stream and the sans-IO protocol on it. Pings are answered while it receives. It never
//! waits without a limit unless the caller asks for that, never reconnects, and speaks no TLS.
//! Invariants: C1 every frame has a fresh mask from the system; C2 nothing is sent after a close.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::time::{Duration, Instant};

use super::stream::Stream;
use super::url::Url;
use crate::limits::{
    CLIENT_CLOSE_TIMEOUT_MS, CLIENT_MESSAGE_BYTES_MAX, CLIENT_READ_BYTES, CLIENT_TIMEOUT_MS,
    FRAGMENTS_MAX, HEAD_BYTES_MAX, INFLATE_RATIO_MAX,
};
use crate::ws::client::{Response, UpgradeFault, parse_response, write_request};
use crate::ws::close::{CONTROL_BYTES_MAX, CloseCode, write_payload};
use crate::ws::{
    Event, HEADER_BYTES_MAX, Kind, Limits, Opcode, PartialPool, PeerFault, Protocol, Role,
    UpgradeKey, encode_header, frame_bytes, mask,
};

const SUBPROTOCOL: &str = "ringwire.v1.json";
/// Random octets read at a time: masks for some frames, not for a page of them.
const RANDOM_BYTES: usize = 256;

/// See the module's header.
pub struct Client {
    stream: Stream,
    protocol: Protocol,
    pool: PartialPool,
    /// What was read and is not dealt with yet is at `start..end`.
    input: Vec<u8>,
    start: usize,
    end: usize,
    random: BufReader<File>,
    has_closed: bool,
}

/// What the server had to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message.
    Message(Kind, Vec<u8>),
    /// It closes, or answers our close. The connection is over.
    Closed(Option<CloseCode>, String),
    /// Nothing within the time that was given.
    Silence,
}

/// Why there is no connection, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody is there, or the network does not let us.
    #[error("cannot connect to {place}: {source}; is the server running there?")]
    Connect {
        /// Where.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// The server is there and speaks no WebSocket with us.
    #[error("no WebSocket: {0}")]
    Upgrade(#[from] UpgradeFault),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The server ended it without a close.
    #[error("the server ended the connection without a close")]
    Ended,
    /// The server broke the protocol.
    #[error("the server broke the protocol: {0}")]
    Fault(#[from] PeerFault),
    /// A message larger than this client sends.
    #[error("a message of {0} bytes is too large; {CLIENT_MESSAGE_BYTES_MAX} is the most")]
    TooLarge(usize),
    /// The server takes too long.
    #[error("the server did not {0} in time")]
    TimedOut(&'static str),
    /// No randomness.
    #[error("cannot read /dev/urandom: {0}")]
    Random(io::Error),
}

const LIMITS: Limits = Limits {
    message_bytes_max: CLIENT_MESSAGE_BYTES_MAX,
    fragments_max: FRAGMENTS_MAX,
    inflate_ratio_max: INFLATE_RATIO_MAX,
};

impl Client {
    /// Connects and does the opening handshake, both within the usual time.
    pub fn connect(url: &Url) -> Result<Client, ClientError> {
        Client::connect_within(url, Duration::from_millis(CLIENT_TIMEOUT_MS))
    }

    /// The same within a given time.
    pub fn connect_within(url: &Url, timeout: Duration) -> Result<Client, ClientError> {
        let deadline = Instant::now() + timeout;
        let random = File::open("/dev/urandom").map_err(ClientError::Random)?;
        let stream = Stream::connect(&url.place, deadline)
            .map_err(|source| ClientError::Connect { place: url.place.to_string(), source })?;
        stream.set_write_timeout(timeout)?;
        let mut client = Client {
            stream,
            protocol: Protocol::new(Role::Client),
            pool: PartialPool::new(),
            input: vec![0; CLIENT_READ_BYTES],
            start: 0,
            end: 0,
            random: BufReader::with_capacity(RANDOM_BYTES, random),
            has_closed: false,
        };
        client.upgrade(url, deadline)?;
        Ok(client)
    }

    /// Sends a text message.
    pub fn send_text(&mut self, text: &str) -> Result<(), ClientError> {
        self.send(Kind::Text, text.as_bytes())
    }

    /// Sends a message.
    pub fn send(&mut self, kind: Kind, payload: &[u8]) -> Result<(), ClientError> {
        if payload.len() > CLIENT_MESSAGE_BYTES_MAX {
            return Err(ClientError::TooLarge(payload.len()));
        }
        self.frame(Opcode::from(kind), payload)
    }

    /// Waits for what comes next: until `deadline`, or as long as it takes.
    pub fn receive(&mut self, deadline: Option<Instant>) -> Result<Received, ClientError> {
        loop {
            if let Some(received) = self.next_in_buffer()? {
                if let Received::Closed(code, _) = &received {
                    self.answer_close(*code);
                }
                return Ok(received);
            }
            match self.read(deadline) {
                Ok(0) => return Err(ClientError::Ended),
                Ok(read) => (self.start, self.end) = (0, read),
                Err(error) if is_timeout(&error) => return Ok(Received::Silence),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Closes and waits for the server's answer, passing over what was under way.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), ClientError> {
        if self.has_closed {
            return Ok(());
        }
        self.close_frame(Some(code), reason)?;
        let deadline = Instant::now() + Duration::from_millis(CLIENT_CLOSE_TIMEOUT_MS);
        loop {
            match self.receive(Some(deadline))? {
                Received::Message(..) if Instant::now() < deadline => {}
                Received::Closed(..) => return Ok(()),
                Received::Message(..) | Received::Silence => {
                    return Err(ClientError::TimedOut("answer the close"));
                }
            }
        }
    }

    fn upgrade(&mut self, url: &Url, deadline: Instant) -> Result<(), ClientError> {
        let mut nonce = [0; 16];
        self.random.read_exact(&mut nonce).map_err(ClientError::Random)?;
        let key = UpgradeKey::from_nonce(nonce);
        let mut request = Vec::new();
        write_request(&mut request, &url.host, &url.target, &key, Some(SUBPROTOCOL), &[]);
        self.stream.write_all(&request)?;
        loop {
            let read = self.read_more(deadline).map_err(|error| {
                if is_timeout(&error) {
                    ClientError::TimedOut("answer the handshake")
                } else {
                    error.into()
                }
            })?;
            if read == 0 {
                return Err(ClientError::Ended);
            }
            let head = &self.input[..self.end];
            match parse_response(head, HEAD_BYTES_MAX, &key, Some(SUBPROTOCOL), false)? {
                Response::Incomplete => {}
                Response::Accepted { consumed, .. } => {
                    self.start = consumed;
                    return Ok(());
                }
            }
        }
    }

    /// The next message or close among what was read. Pings are answered on the way.
    fn next_in_buffer(&mut self) -> Result<Option<Received>, ClientError> {
        while self.start < self.end {
            let unread = &mut self.input[self.start..self.end];
            let step = match self.protocol.step(unread, &LIMITS, &mut self.pool) {
                Ok(step) => step,
                Err(fault) => {
                    // Whether it still hears why does not change what is told here.
                    let _ = self.close_frame(Some(fault.close_code()), fault.label());
                    return Err(fault.into());
                }
            };
            self.start += step.consumed;
            match step.event {
                None | Some(Event::Pong(_)) => {}
                Some(Event::Message(message)) => {
                    return Ok(Some(Received::Message(message.kind, message.payload.to_vec())));
                }
                Some(Event::Ping(payload)) => {
                    let payload = payload.to_vec();
                    if !self.has_closed {
                        self.frame(Opcode::Pong, &payload)?;
                    }
                }
                Some(Event::Close { code, reason }) => {
                    return Ok(Some(Received::Closed(code, reason.to_owned())));
                }
            }
        }
        Ok(None)
    }

    /// The server is the one that ends the TCP connection (RFC 6455, section 7.1.1); it gets some
    /// time for that, and then it does not matter any more.
    fn answer_close(&mut self, code: Option<CloseCode>) {
        if !self.has_closed && self.close_frame(code, "").is_err() {
            return;
        }
        let deadline = Instant::now() + Duration::from_millis(CLIENT_CLOSE_TIMEOUT_MS);
        while matches!(self.read(Some(deadline)), Ok(read) if read > 0) {
            if Instant::now() >= deadline {
                return;
            }
        }
    }

    fn close_frame(&mut self, code: Option<CloseCode>, reason: &str) -> Result<(), ClientError> {
        let mut payload = [0; CONTROL_BYTES_MAX];
        let len = code.map_or(0, |code| write_payload(&mut payload, code, reason));
        let outcome = self.frame(Opcode::Close, &payload[..len]);
        self.has_closed = true;
        outcome
    }

    fn frame(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), ClientError> {
        assert!(!self.has_closed, "C2");
        let mut key = [0; 4];
        self.random.read_exact(&mut key).map_err(ClientError::Random)?;
        let mut header = [0; HEADER_BYTES_MAX];
        let len = encode_header(&mut header, true, opcode, payload.len() as u64, Some(key));
        let mut frame = Vec::with_capacity(frame_bytes(payload.len(), true));
        frame.extend_from_slice(&header[..len]);
        frame.extend_from_slice(payload);
        mask::apply(key, 0, &mut frame[len..]);
        self.stream.write_all(&frame).map_err(|error| {
            if is_timeout(&error) { ClientError::TimedOut("take a message") } else { error.into() }
        })
    }

    /// Reads over what was dealt with.
    fn read(&mut self, deadline: Option<Instant>) -> io::Result<usize> {
        self.stream.read_until(&mut self.input, deadline)
    }

    /// Reads behind what is there. There is room: a head that fills the input is refused.
    fn read_more(&mut self, deadline: Instant) -> io::Result<usize> {
        let read = self.stream.read_until(&mut self.input[self.end..], Some(deadline))?;
        self.end += read;
        Ok(read)
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
