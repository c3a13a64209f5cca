//! RFC 6455 once more, as naively as it can be read: all of the stream at once, octet by octet,
//! nothing kept between frames but the message so far.

use ringwire::ws::{Limits, PeerFault, Role};

use super::stream::{Outcome, Seen};

struct Unfinished {
    is_text: bool,
    frames: u32,
    payload: Vec<u8>,
}

/// What a stream means, up to its end, a close frame or the first fault.
pub(crate) fn read(role: Role, limits: &Limits, bytes: &[u8]) -> Outcome {
    let mut seen = Vec::new();
    let fault = read_frames(role, limits, bytes, &mut seen).err();
    Outcome { seen, fault }
}

fn read_frames(
    role: Role,
    limits: &Limits,
    mut bytes: &[u8],
    seen: &mut Vec<Seen>,
) -> Result<(), PeerFault> {
    let mut message: Option<Unfinished> = None;
    loop {
        let Some((first, len, mask, rest)) = header(role, bytes)? else { return Ok(()) };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        if opcode < 8 {
            let so_far = message.as_ref().map_or((0, 0), |m| (m.payload.len(), m.frames));
            match (opcode, &message) {
                (0, None) => return Err(PeerFault::UnexpectedContinuation),
                (1 | 2, Some(_)) => return Err(PeerFault::ExpectedContinuation),
                _ => {}
            }
            if so_far.1 + 1 > limits.fragments_max {
                return Err(PeerFault::TooManyFragments);
            }
            if len + so_far.0 as u64 > limits.message_bytes_max as u64 {
                return Err(PeerFault::MessageTooLarge);
            }
        }
        let here = rest.len().min(usize::try_from(len).unwrap_or(usize::MAX));
        let payload: Vec<u8> = (0..here).map(|at| rest[at] ^ mask[at % 4]).collect();
        let is_whole = here as u64 == len;
        bytes = &rest[here..];
        if opcode >= 8 {
            if !is_whole {
                return Ok(());
            }
            if control(opcode, payload, seen)? {
                return Ok(());
            }
            continue;
        }
        let new = || Unfinished { is_text: opcode == 1, frames: 0, payload: Vec::new() };
        let mut so_far = message.take().unwrap_or_else(new);
        so_far.frames += 1;
        so_far.payload.extend(payload);
        let utf8 = std::str::from_utf8(&so_far.payload);
        let is_over = fin && is_whole;
        if so_far.is_text && utf8.is_err_and(|error| is_over || error.error_len().is_some()) {
            return Err(PeerFault::InvalidUtf8);
        }
        match (is_whole, fin) {
            (false, _) => return Ok(()),
            (true, false) => message = Some(so_far),
            (true, true) if so_far.is_text => {
                seen.push(Seen::Text(String::from_utf8(so_far.payload).expect("just checked")));
            }
            (true, true) => seen.push(Seen::Binary(so_far.payload)),
        }
    }
}

type Head<'a> = (u8, u64, [u8; 4], &'a [u8]);

/// First octet, length, mask (zero for none), and what follows.
fn header(role: Role, bytes: &[u8]) -> Result<Option<Head<'_>>, PeerFault> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let opcode = first & 0x0f;
    if first & 0x70 != 0 {
        return Err(PeerFault::ReservedBits);
    }
    if ![0, 1, 2, 8, 9, 10].contains(&opcode) {
        return Err(PeerFault::ReservedOpcode);
    }
    if opcode >= 8 && first & 0x80 == 0 {
        return Err(PeerFault::ControlFragmented);
    }
    let Some(&second) = bytes.get(1) else { return Ok(None) };
    let is_masked = second & 0x80 != 0;
    if is_masked && role == Role::Client {
        return Err(PeerFault::Masked);
    }
    if !is_masked && role == Role::Server {
        return Err(PeerFault::Unmasked);
    }
    let short = second & 0x7f;
    if opcode >= 8 && short > 125 {
        return Err(PeerFault::ControlTooLong);
    }
    let length_octets = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some(octets) = bytes.get(2..2 + length_octets) else { return Ok(None) };
    let long = octets.iter().fold(0, |sum: u64, octet| sum << 8 | u64::from(*octet));
    let len = if length_octets == 0 { u64::from(short) } else { long };
    if len >> 63 != 0 {
        return Err(PeerFault::LengthOverflow);
    }
    if (short == 126 && len < 126) || (short == 127 && len < 65_536) {
        return Err(PeerFault::LengthNotMinimal);
    }
    let start = 2 + length_octets;
    if !is_masked {
        return Ok(Some((first, len, [0; 4], &bytes[start..])));
    }
    let Some(mask) = bytes.get(start..start + 4) else { return Ok(None) };
    let mask = mask.try_into().expect("four octets");
    Ok(Some((first, len, mask, &bytes[start + 4..])))
}

/// A control frame; true when it closes.
fn control(opcode: u8, payload: Vec<u8>, seen: &mut Vec<Seen>) -> Result<bool, PeerFault> {
    match opcode {
        9 => seen.push(Seen::Ping(payload)),
        10 => seen.push(Seen::Pong(payload)),
        _ if payload.is_empty() => seen.push(Seen::Close(None, String::new())),
        _ if payload.len() == 1 => return Err(PeerFault::BadClosePayload),
        _ => {
            let code = u16::from(payload[0]) << 8 | u16::from(payload[1]);
            let is_known = [1000, 1001, 1002, 1003].contains(&code)
                || (1007..1015).contains(&code)
                || (3000..5000).contains(&code);
            if !is_known {
                return Err(PeerFault::BadCloseCode);
            }
            let reason = String::from_utf8(payload[2..].to_vec());
            let reason = reason.map_err(|_| PeerFault::BadCloseReason)?;
            seen.push(Seen::Close(Some(code), reason));
        }
    }
    Ok(opcode == 8)
}
