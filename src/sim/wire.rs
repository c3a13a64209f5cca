//! WebSocket from the client's side, in its own few lines: what is said of the server's frames must
//! not depend on the server's code.

/// The opcodes that clients use.
pub const TEXT: u8 = 0x1;
/// See [`TEXT`].
pub const BINARY: u8 = 0x2;
/// See [`TEXT`].
pub const CLOSE: u8 = 0x8;
/// See [`TEXT`].
pub const PING: u8 = 0x9;
/// See [`TEXT`].
pub const PONG: u8 = 0xa;
/// The bit of a frame that says that its message is compressed.
pub const RSV1: u8 = 0x40;
/// The bit of a frame that ends its message.
pub const FIN: u8 = 0x80;

const MASK: [u8; 4] = [0x5a, 0x01, 0xff, 0x80];

/// A frame of the server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Without FIN, which is always set.
    pub opcode: u8,
    /// What is compressed is not what the message says.
    pub is_compressed: bool,
    /// Its octets.
    pub payload: Vec<u8>,
}

/// The request head of a client that upgrades; `fields` are lines of their own.
pub fn head(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
    )
}

/// Appends one masked frame with this first octet (FIN and opcode).
pub fn write_frame(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    out.push(first);
    match payload.len() {
        len @ 0..126 => out.push(0x80 | len as u8),
        len @ 126..65536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(octet, mask)| octet ^ mask));
}

/// The length of the response head that `octets` begin with, once it is whole.
pub fn response_len(octets: &[u8]) -> Option<usize> {
    octets.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// The first frame of `octets` and how long it is, if it is whole. `Err`: no server may say that.
/// `deflates`: compression was agreed on.
pub fn parse(octets: &[u8], deflates: bool) -> Result<Option<(Frame, usize)>, &'static str> {
    let [first, second, rest @ ..] = octets else { return Ok(None) };
    let is_compressed = first & RSV1 != 0;
    let may_be = deflates && [TEXT, BINARY].contains(&(first & 0xf));
    if first & 0xb0 != FIN || (is_compressed && !may_be) {
        return Err("a frame of the server's is whole and has no reserved bits");
    }
    let number = |octets: &[u8]| octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet));
    let (start, len) = match *second {
        len @ 0..=125 => (0, usize::from(len)),
        126 if rest.len() >= 2 => (2, number(&rest[..2])),
        127 if rest.len() >= 8 => (8, number(&rest[..8])),
        126 | 127 => return Ok(None),
        128.. => return Err("a server does not mask"),
    };
    let opcode = first & 0xf;
    if ![TEXT, BINARY, CLOSE, PING, PONG].contains(&opcode) {
        return Err("an opcode that no server sends");
    }
    let Some(payload) = rest.get(start..start + len) else { return Ok(None) };
    Ok(Some((Frame { opcode, is_compressed, payload: payload.to_vec() }, 2 + start + len)))
}
