//! A client of a world, with the socket between it and its shard.
//!
//! Speaks WebSocket in its own few lines, so that what it says of the server's frames does not
//! depend on the server's code.

use crate::base::ConnKey;
use crate::ring::{KernelFault, RecvEnd, ShutdownHow};

const MASK: [u8; 4] = [0x5a, 0x01, 0xff, 0x80];

/// A frame of the server's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

/// See the module's header.
pub(crate) struct Client {
    pub(super) shard: usize,
    conn: Option<ConnKey>,
    /// Written by the client, not yet received by the shard.
    input: Vec<u8>,
    /// Octets that the shard gets at a time.
    pub(crate) input_step: usize,
    /// Sent by the shard, not yet looked at.
    output: Vec<u8>,
    /// Octets that the socket takes before it is full; counts down.
    pub(crate) room: usize,
    is_armed: bool,
    has_ended: bool,
    is_eof_told: bool,
    is_shut: bool,
    pub(crate) is_closed: bool,
    queued: Option<(ConnKey, Vec<u8>)>,
}

/// The request head of a client that upgrades.
pub(super) fn head(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
    )
}

impl Client {
    pub(super) fn new(shard: usize, head: &str) -> Self {
        Client {
            shard,
            conn: None,
            input: head.into(),
            input_step: 4096,
            output: Vec::new(),
            room: usize::MAX,
            is_armed: false,
            has_ended: false,
            is_eof_told: false,
            is_shut: false,
            is_closed: false,
            queued: None,
        }
    }

    /// Writes one masked frame with this first octet (FIN and opcode).
    pub(crate) fn write_frame(&mut self, first: u8, payload: &[u8]) {
        self.input.push(first);
        match payload.len() {
            len @ 0..126 => self.input.push(0x80 | len as u8),
            len @ 126..65536 => {
                self.input.push(0x80 | 126);
                self.input.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                self.input.push(0x80 | 127);
                self.input.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        self.input.extend_from_slice(&MASK);
        let masked = payload.iter().zip(MASK.iter().cycle()).map(|(octet, mask)| octet ^ mask);
        self.input.extend(masked);
    }

    /// Writes a close frame.
    pub(crate) fn write_close(&mut self, code: u16) {
        self.write_frame(0x88, &code.to_be_bytes());
    }

    /// Closes its half of the stream.
    pub(crate) fn end(&mut self) {
        self.has_ended = true;
    }

    /// True while the shard wants its octets.
    pub(crate) fn is_armed(&self) -> bool {
        self.is_armed
    }

    /// The HTTP response that has come.
    pub(crate) fn take_response(&mut self) -> String {
        let end = self.output.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.expect("a whole response head") + 4;
        let head = self.output.drain(..end).collect();
        String::from_utf8(head).expect("a response is ASCII")
    }

    /// The frames that have come whole.
    pub(crate) fn take_frames(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some((frame, used)) = parse(&self.output) {
            self.output.drain(..used);
            frames.push(frame);
        }
        frames
    }

    pub(super) fn is(&self, shard: usize, conn: ConnKey) -> bool {
        self.shard == shard && self.conn == Some(conn) && !self.is_closed
    }

    pub(super) fn arm(&mut self, conn: ConnKey) {
        assert!(!self.is_armed, "O1: one receive per connection");
        assert!(!self.is_closed);
        self.conn = Some(conn);
        self.is_armed = true;
    }

    pub(super) fn disarm(&mut self) -> bool {
        std::mem::take(&mut self.is_armed)
    }

    pub(super) fn take_fast(&mut self, octets: &[u8]) -> usize {
        assert!(self.queued.is_none(), "O2: one send per connection");
        assert!(!self.is_closed);
        self.take(octets)
    }

    pub(super) fn take_queued(&mut self, conn: ConnKey, octets: Vec<u8>) {
        assert!(self.queued.is_none(), "O2: one send per connection");
        assert!(!self.is_closed);
        self.queued = Some((conn, octets));
    }

    pub(super) fn shut(&mut self, how: ShutdownHow) {
        self.is_shut = true;
        self.has_ended |= how == ShutdownHow::Both;
    }

    pub(super) fn close(&mut self) {
        assert!(!self.is_closed, "O3: closed once");
        assert!(!self.is_armed && self.queued.is_none(), "O3: nothing is outstanding");
        self.is_closed = true;
    }

    pub(super) fn next_input(&mut self) -> Option<(ConnKey, Vec<u8>)> {
        if !self.is_armed || self.input.is_empty() {
            return None;
        }
        let step = self.input_step.min(self.input.len());
        Some((self.conn?, self.input.drain(..step).collect()))
    }

    pub(super) fn end_of_input(&mut self) -> Option<(ConnKey, RecvEnd)> {
        if !self.has_ended || !self.input.is_empty() || !self.disarm() {
            return None;
        }
        assert!(!self.is_eof_told, "armed again after the end");
        self.is_eof_told = true;
        Some((self.conn?, RecvEnd::Eof))
    }

    pub(super) fn next_output(
        &mut self,
        broken: KernelFault,
    ) -> Option<(ConnKey, Result<u32, KernelFault>)> {
        let (conn, octets) = self.queued.take()?;
        if self.is_shut {
            return Some((conn, Err(broken)));
        }
        if self.room == 0 {
            self.queued = Some((conn, octets));
            return None;
        }
        let taken = self.take(&octets);
        Some((conn, Ok(taken as u32)))
    }

    fn take(&mut self, octets: &[u8]) -> usize {
        let taken = octets.len().min(self.room);
        self.room -= taken;
        self.output.extend_from_slice(&octets[..taken]);
        taken
    }
}

/// The first frame of `octets` and how long it is, if it is whole.
fn parse(octets: &[u8]) -> Option<(Frame, usize)> {
    let (&first, &second) = (octets.first()?, octets.get(1)?);
    assert_eq!(first & 0xf0, 0x80, "one whole frame, no reserved bits");
    let number = |octets: &[u8]| octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet));
    let (start, len) = match second {
        0..=125 => (2, usize::from(second)),
        126 => (4, number(octets.get(2..4)?)),
        127 => (10, number(octets.get(2..10)?)),
        128.. => panic!("a server does not mask"),
    };
    let payload = octets.get(start..start + len)?.to_vec();
    Some((Frame { opcode: first & 0xf, payload }, start + len))
}
