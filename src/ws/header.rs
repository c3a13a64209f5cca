//! The header of a frame (RFC 6455, section 5.2): 2 to 14 octets.
//!
//! Decoding looks at octets in order and reports a fault at the first octet that shows it, so the
//! verdict does not depend on how the stream was cut.

use super::fault::PeerFault;
use super::opcode::{Kind, Opcode};
use super::protocol::Role;

/// Octets of the longest header.
pub const HEADER_BYTES_MAX: usize = 14;

const FIN: u8 = 0x80;
/// "Per-message compressed" (RFC 7692, section 6), where that was agreed on.
const RSV1: u8 = 0x40;
const RSV2_AND_3: u8 = 0x30;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;
const FIN_TEXT: u8 = FIN | Opcode::Text as u8;
const FIN_BINARY: u8 = FIN | Opcode::Binary as u8;

/// A decoded header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The last frame of its message.
    pub fin: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// Octets of the payload; below 2^63.
    pub payload_len: u64,
    /// The masking key, present from clients.
    pub mask: Option<[u8; 4]>,
    /// The message that begins with this frame is compressed (RFC 7692).
    pub is_compressed: bool,
    /// Octets of the header itself.
    pub header_bytes: usize,
}

/// Decodes the header at the start of `input`; `None` when more octets are needed. `role` is ours:
/// a server takes masked frames only and a client unmasked ones only. `deflates`: compression was
/// agreed on.
pub fn decode(input: &[u8], role: Role, deflates: bool) -> Result<Option<Header>, PeerFault> {
    let Some(&first) = input.first() else { return Ok(None) };
    let is_compressed = first & RSV1 != 0;
    // 5.2: "If a nonzero value is received and none of the negotiated extensions defines the
    // meaning of such a nonzero value, the receiving endpoint MUST fail the connection".
    if first & RSV2_AND_3 != 0 || (is_compressed && !deflates) {
        return Err(PeerFault::ReservedBits);
    }
    let opcode = Opcode::from_bits(first & OPCODE).ok_or(PeerFault::ReservedOpcode)?;
    // RFC 7692, section 6.1: only the first frame of a message says so, and control frames never.
    if is_compressed && (opcode.is_control() || opcode == Opcode::Continuation) {
        return Err(PeerFault::ReservedBits);
    }
    let fin = first & FIN != 0;
    // 5.5: "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be
    // fragmented."
    if opcode.is_control() && !fin {
        return Err(PeerFault::ControlFragmented);
    }
    let Some(&second) = input.get(1) else { return Ok(None) };
    let masked = second & MASKED != 0;
    match (role, masked) {
        (Role::Server, true) | (Role::Client, false) => {}
        // 5.1: "The server MUST close the connection upon receiving a frame that is not masked."
        (Role::Server, false) => return Err(PeerFault::Unmasked),
        // 5.1: "A client MUST close a connection if it detects a masked frame."
        (Role::Client, true) => return Err(PeerFault::Masked),
    }
    let short = second & LENGTH;
    if opcode.is_control() && short >= LENGTH_16 {
        return Err(PeerFault::ControlTooLong);
    }
    let Some((payload_len, at)) = decode_length(short, input)? else { return Ok(None) };
    if !masked {
        let header_bytes = at;
        return Ok(Some(Header {
            fin,
            opcode,
            payload_len,
            mask: None,
            is_compressed,
            header_bytes,
        }));
    }
    let Some(&mask) = input[at..].first_chunk::<4>() else { return Ok(None) };
    let header_bytes = at + 4;
    Ok(Some(Header { fin, opcode, payload_len, mask: Some(mask), is_compressed, header_bytes }))
}

/// The frame of a whole message, all of it there, with a length of 7 or 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShortMessage {
    pub(super) kind: Kind,
    pub(super) mask: Option<[u8; 4]>,
    pub(super) header_bytes: usize,
    pub(super) payload_bytes: usize,
}

/// Sees whether `input` begins with what nearly every message is: one frame that is all there.
/// `None` says nothing but that [`decode`] has to look.
#[inline]
pub(super) fn peek_message(input: &[u8], role: Role) -> Option<ShortMessage> {
    let &[first, second, a, b, ..] = input else { return None };
    let kind = match first {
        FIN_TEXT => Kind::Text,
        FIN_BINARY => Kind::Binary,
        _ => return None,
    };
    let short = second & LENGTH;
    let (payload_bytes, at) = match short {
        LENGTH_64 => return None,
        LENGTH_16 => (usize::from(u16::from_be_bytes([a, b])), 4),
        short => (usize::from(short), 2),
    };
    let is_minimal = short != LENGTH_16 || payload_bytes >= usize::from(LENGTH_16);
    let is_masked = second & MASKED != 0;
    if !is_minimal || is_masked != (role == Role::Server) {
        return None;
    }
    let (mask, header_bytes) = match is_masked {
        true => (Some(*input[at..].first_chunk::<4>()?), at + 4),
        false => (None, at),
    };
    let is_whole = input.len() >= header_bytes + payload_bytes;
    is_whole.then_some(ShortMessage { kind, mask, header_bytes, payload_bytes })
}

/// The payload's length and where the header goes on after it.
fn decode_length(short: u8, input: &[u8]) -> Result<Option<(u64, usize)>, PeerFault> {
    match short {
        LENGTH_16 => {
            let Some(&octets) = input[2..].first_chunk::<2>() else { return Ok(None) };
            let len = u16::from_be_bytes(octets);
            // 5.2: "in all cases, the minimal number of bytes MUST be used to encode the length".
            if len < u16::from(LENGTH_16) {
                return Err(PeerFault::LengthNotMinimal);
            }
            Ok(Some((u64::from(len), 4)))
        }
        LENGTH_64 => {
            let Some(&octets) = input[2..].first_chunk::<8>() else { return Ok(None) };
            let len = u64::from_be_bytes(octets);
            // 5.2: "the most significant bit MUST be 0".
            if len > i64::MAX as u64 {
                return Err(PeerFault::LengthOverflow);
            }
            if len <= u64::from(u16::MAX) {
                return Err(PeerFault::LengthNotMinimal);
            }
            Ok(Some((len, 10)))
        }
        short => Ok(Some((u64::from(short), 2))),
    }
}

/// Encodes a header in its minimal form and gives its length.
pub fn encode_header(
    out: &mut [u8; HEADER_BYTES_MAX],
    fin: bool,
    opcode: Opcode,
    payload_len: u64,
    mask: Option<[u8; 4]>,
) -> usize {
    assert!(payload_len <= i64::MAX as u64, "5.2: the most significant bit must be 0");
    assert!(!opcode.is_control() || (fin && payload_len < u64::from(LENGTH_16)), "5.5");
    out[0] = if fin { FIN } else { 0 } | opcode as u8;
    let masked = if mask.is_some() { MASKED } else { 0 };
    let mut at = 2;
    if payload_len < u64::from(LENGTH_16) {
        out[1] = masked | payload_len as u8;
    } else if let Ok(len) = u16::try_from(payload_len) {
        out[1] = masked | LENGTH_16;
        out[2..4].copy_from_slice(&len.to_be_bytes());
        at = 4;
    } else {
        out[1] = masked | LENGTH_64;
        out[2..10].copy_from_slice(&payload_len.to_be_bytes());
        at = 10;
    }
    if let Some(mask) = mask {
        out[at..at + 4].copy_from_slice(&mask);
        at += 4;
    }
    at
}

/// Octets of the header of a frame of ours to a client: one that is not masked.
pub fn header_bytes(frame: &[u8]) -> usize {
    match frame[1] & LENGTH {
        LENGTH_16 => 4,
        LENGTH_64 => 10,
        _ => 2,
    }
}

/// Marks an encoded header: the message that begins with this frame is compressed (RFC 7692).
pub fn mark_compressed(header: &mut [u8]) {
    header[0] |= RSV1;
}

/// Octets of a whole frame on the wire.
pub fn frame_bytes(payload_len: usize, masked: bool) -> usize {
    let length = match payload_len {
        0..126 => 0,
        126..65_536 => 2,
        65_536.. => 8,
    };
    2 + length + if masked { 4 } else { 0 } + payload_len
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPCODES: [Opcode; 6] = [
        Opcode::Continuation,
        Opcode::Text,
        Opcode::Binary,
        Opcode::Close,
        Opcode::Ping,
        Opcode::Pong,
    ];

    /// The figure of section 5.2, octet by octet.
    fn naive(fin: bool, opcode: u8, len: u64, mask: Option<[u8; 4]>) -> Vec<u8> {
        let mut out = vec![if fin { 128 + opcode } else { opcode }];
        let masked = if mask.is_some() { 128 } else { 0 };
        let octet = |shift: u32| (len >> shift) as u8;
        if len <= 125 {
            out.push(masked + octet(0));
        } else if len <= 65_535 {
            out.extend([masked + 126, octet(8), octet(0)]);
        } else {
            out.push(masked + 127);
            out.extend((0..8).rev().map(|index| octet(8 * index)));
        }
        out.extend(mask.into_iter().flatten());
        out
    }

    fn lengths() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..=126_u64,
            120..=300_u64,
            65_500..=65_600_u64,
            0..=i64::MAX as u64,
            Just(i64::MAX as u64)
        ]
    }

    proptest! {
        #[test]
        fn equals_the_figure_and_decodes_from_any_prefix(
            fin: bool,
            opcode in prop::sample::select(OPCODES.to_vec()),
            len in lengths(),
            mask: Option<[u8; 4]>,
            tail in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let (fin, payload_len) =
                if opcode.is_control() { (true, len % 126) } else { (fin, len) };
            let mut out = [0xee; HEADER_BYTES_MAX];
            let header_bytes = encode_header(&mut out, fin, opcode, payload_len, mask);
            prop_assert_eq!(&out[..header_bytes], naive(fin, opcode as u8, payload_len, mask));

            let role = if mask.is_some() { Role::Server } else { Role::Client };
            for prefix in 0..header_bytes {
                prop_assert_eq!(decode(&out[..prefix], role, false), Ok(None));
            }
            let is_compressed = false;
            let header = Header { fin, opcode, payload_len, mask, is_compressed, header_bytes };
            let followed = [&out[..header_bytes], &tail].concat();
            prop_assert_eq!(decode(&followed, role, false), Ok(Some(header)));
            if let Ok(len) = usize::try_from(payload_len) && len < 1 << 40 {
                prop_assert_eq!(frame_bytes(len, mask.is_some()), header_bytes + len);
            }
        }

        #[test]
        fn any_octets_give_one_verdict(
            octets: [u8; HEADER_BYTES_MAX],
            server: bool,
            deflates: bool,
        ) {
            let role = if server { Role::Server } else { Role::Client };
            let whole = decode(&octets, role, deflates);
            prop_assert_ne!(whole, Ok(None));
            for prefix in 0..octets.len() {
                let partial = decode(&octets[..prefix], role, deflates);
                prop_assert!(partial == Ok(None) || partial == whole);
            }
            if let Ok(Some(header)) = whole {
                let mut again =
                    naive(header.fin, header.opcode as u8, header.payload_len, header.mask);
                if header.is_compressed {
                    prop_assert!(deflates && matches!(octets[0] & 0x0f, 1 | 2));
                    mark_compressed(&mut again);
                }
                prop_assert_eq!(&octets[..header.header_bytes], again);
            }
        }
    }
}
