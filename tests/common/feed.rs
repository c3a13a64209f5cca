//! A subscriber that reads much: finds messages by scanning, without a parser or a copy.
//!
//! Frames are checked as strictly as by `frame::take`. Of a message only what order is about is
//! looked at: its offset and its data.

use std::io::Read;
use std::net::TcpStream;

use super::frame::{CLOSE, PING, TEXT};
use super::json::JsonClient;
use super::raw::{AGAIN, HUNG_UP};

const BUFFER_BYTES: usize = 256 * 1024;

/// See the module's header.
pub(crate) struct Feed {
    stream: TcpStream,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

/// One frame of a feed.
#[derive(Debug)]
pub(crate) enum Item<'a> {
    /// A message of a topic.
    Message { offset: u64, data: &'a [u8] },
    /// The server closes with this code.
    Close(u16),
}

/// How the stream goes on after a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Something came.
    Open,
    /// Nothing came, within the stream's own limit (none at all when it does not block).
    Silent,
    /// It has ended or was reset; so many octets of an unfinished frame were left.
    Ended { unfinished: usize },
}

impl Feed {
    /// Goes on with a connection from where its owner has read to.
    pub(crate) fn new(client: JsonClient) -> Feed {
        let (stream, ahead) = client.into_raw().into_parts();
        let mut buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        buffer[..ahead.len()].copy_from_slice(&ahead);
        Feed { stream, buffer, start: 0, end: ahead.len() }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Hands out the whole frames that are there, then reads once.
    pub(crate) fn read(&mut self, mut on: impl FnMut(Item<'_>)) -> Flow {
        self.scan(&mut on);
        let flow = match self.stream.read(&mut self.buffer[self.end..]) {
            Ok(0) => Flow::Ended { unfinished: self.end - self.start },
            Ok(count) => {
                self.end += count;
                Flow::Open
            }
            Err(error) if AGAIN.contains(&error.kind()) => Flow::Silent,
            Err(error) if HUNG_UP.contains(&error.kind()) => {
                Flow::Ended { unfinished: self.end - self.start }
            }
            Err(error) => panic!("reading: {error}"),
        };
        self.scan(&mut on);
        flow
    }

    fn scan(&mut self, on: &mut impl FnMut(Item<'_>)) {
        while let Some((first, payload, after)) = frame(&self.buffer[self.start..self.end]) {
            let payload = &self.buffer[self.start + payload..self.start + after];
            match first & 0x0f {
                TEXT => on(message(payload)),
                CLOSE => on(Item::Close(u16::from_be_bytes([payload[0], payload[1]]))),
                // Who reads slowly has other things to do than to answer.
                PING => {}
                opcode => panic!("opcode {opcode} where only messages are expected"),
            }
            self.start += after;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        assert!(self.end < self.buffer.len(), "a frame of more than {BUFFER_BYTES} octets");
    }
}

/// The first octet, where the payload starts and where it ends, of a whole frame at the front.
fn frame(octets: &[u8]) -> Option<(u8, usize, usize)> {
    let (first, second) = (*octets.first()?, *octets.get(1)?);
    assert_eq!(first & 0xf0, 0x80, "not a whole message without reserved bits: {first:#x}");
    let (start, len) = match second {
        0..126 => (2, usize::from(second)),
        126 => {
            let len = u16::from_be_bytes(octets.get(2..4)?.try_into().ok()?);
            assert!(len > 125, "a length that is not minimal");
            (4, usize::from(len))
        }
        127.. => panic!("masked, or larger than anything that was published: {second}"),
    };
    (octets.len() >= start + len).then_some((first, start, start + len))
}

/// What stands behind `key` in a message.
pub(crate) fn after<'a>(text: &'a [u8], key: &[u8]) -> &'a [u8] {
    let at = text.windows(key.len()).position(|window| window == key);
    let Some(at) = at else {
        panic!("no {} in {}", String::from_utf8_lossy(key), String::from_utf8_lossy(text))
    };
    &text[at + key.len()..]
}

/// The number at the front.
pub(crate) fn number(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|octet| octet.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

fn message(text: &[u8]) -> Item<'_> {
    assert!(text.starts_with(b"{\"type\":\"message\","), "{}", String::from_utf8_lossy(text));
    // These tests publish flat objects: the first closing brace ends one.
    let data = after(text, b"\"data\":");
    let end = data.iter().position(|octet| *octet == b'}').expect("an object");
    Item::Message { offset: number(after(text, b"\"offset\":")), data: &data[..=end] }
}
