//! WebSocket frames, encoded and decoded naively and independently of the code under test.
//!
//! The encoder can say everything that is wrong; the decoder accepts only what a server may send.

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// How the payload's length is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    /// The only right way.
    Minimal,
    /// In 16 bits, whatever it is.
    Sixteen,
    /// In 64 bits, whatever it is.
    SixtyFour,
    /// In 64 bits, and this value rather than the payload's.
    Claimed(u64),
}

/// A frame to be sent. Masked, final and without reserved bits unless told otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    fin: bool,
    reserved: u8,
    opcode: u8,
    mask: Option<[u8; 4]>,
    length: Length,
    payload: Vec<u8>,
}

/// A frame that came from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Frame {
        let payload = payload.as_ref().to_vec();
        let mask = Some([0x37, 0xfa, 0x21, 0x3d]);
        Frame { fin: true, reserved: 0, opcode, mask, length: Length::Minimal, payload }
    }

    pub(crate) fn text(payload: impl AsRef<[u8]>) -> Frame {
        Frame::new(TEXT, payload)
    }

    pub(crate) fn ping(payload: impl AsRef<[u8]>) -> Frame {
        Frame::new(PING, payload)
    }

    pub(crate) fn pong(payload: impl AsRef<[u8]>) -> Frame {
        Frame::new(PONG, payload)
    }

    pub(crate) fn close(code: u16) -> Frame {
        Frame::new(CLOSE, close_payload(code, b""))
    }

    /// More fragments follow.
    pub(crate) fn open_ended(self) -> Frame {
        Frame { fin: false, ..self }
    }

    /// RSV1 = 4, RSV2 = 2, RSV3 = 1.
    pub(crate) fn reserved(self, reserved: u8) -> Frame {
        Frame { reserved, ..self }
    }

    pub(crate) fn unmasked(self) -> Frame {
        Frame { mask: None, ..self }
    }

    pub(crate) fn masked_with(self, key: [u8; 4]) -> Frame {
        Frame { mask: Some(key), ..self }
    }

    pub(crate) fn length(self, length: Length) -> Frame {
        Frame { length, ..self }
    }

    pub(crate) fn octets(&self) -> Vec<u8> {
        let mut out = vec![u8::from(self.fin) << 7 | self.reserved << 4 | self.opcode];
        let masked = u8::from(self.mask.is_some()) << 7;
        let len = self.payload.len();
        match self.length {
            Length::Minimal if len < 126 => out.push(masked | len as u8),
            Length::Minimal if len > 0xffff => push_length_64(&mut out, masked, len as u64),
            Length::Minimal | Length::Sixteen => {
                out.push(masked | 126);
                out.extend(u16::try_from(len).expect("fits 16 bits").to_be_bytes());
            }
            Length::SixtyFour => push_length_64(&mut out, masked, len as u64),
            Length::Claimed(claimed) => push_length_64(&mut out, masked, claimed),
        }
        let key = self.mask.unwrap_or_default();
        out.extend(self.mask.iter().flatten());
        out.extend(self.payload.iter().enumerate().map(|(index, octet)| octet ^ key[index % 4]));
        out
    }
}

fn push_length_64(out: &mut Vec<u8>, masked: u8, len: u64) {
    out.push(masked | 127);
    out.extend(len.to_be_bytes());
}

/// The payload of a close frame.
pub(crate) fn close_payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

/// Takes one frame off the front; `None` when it is not all there. Panics at what a server may not
/// send: reserved bits, reserved opcodes, masks, lengths in too many octets, long control frames.
pub(crate) fn take(buffer: &mut Vec<u8>) -> Option<Received> {
    let (first, second) = (*buffer.first()?, *buffer.get(1)?);
    assert_eq!(first & 0x70, 0, "a frame from the server has reserved bits");
    assert_eq!(second & 0x80, 0, "a frame from the server is masked");
    let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
    assert!(matches!(opcode, 0..=2 | 8..=10), "opcode {opcode} from the server");
    let (start, len) = match second {
        126 => (4, u16::from_be_bytes(buffer.get(2..4)?.try_into().ok()?).into()),
        127 => (10, u64::from_be_bytes(buffer.get(2..10)?.try_into().ok()?)),
        len => (2, u64::from(len)),
    };
    let minimal = if len < 126 {
        2
    } else if len <= 0xffff {
        4
    } else {
        10
    };
    assert_eq!(start, minimal, "a length of {len} from the server is not minimal");
    assert!(opcode < 8 || (fin && len < 126), "a control frame from the server is no such thing");
    let end = start + usize::try_from(len).expect("a length below 2^63");
    let payload = buffer.get(start..end)?.to_vec();
    buffer.drain(..end);
    Some(Received { fin, opcode, payload })
}

impl Received {
    /// The status code of a close frame; 1005 when it has none.
    pub(crate) fn close_code(&self) -> u16 {
        assert_eq!(self.opcode, CLOSE, "not a close frame: {self:?}");
        match self.payload[..] {
            [] => 1005,
            [high, low, ..] => u16::from_be_bytes([high, low]),
            [_] => panic!("a close frame from the server with half a code"),
        }
    }
}
