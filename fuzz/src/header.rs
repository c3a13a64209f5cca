//! Headers and masks of frames, against tungstenite's decoder and an octet-by-octet mask.

use std::io::Cursor;

use ringwire::ws::header::{
    HEADER_BYTES_MAX, Header, decode, encode_header, frame_bytes, mark_compressed,
};
use ringwire::ws::{Role, mask};
use tungstenite::protocol::frame::FrameHeader;

/// Input: our role and whether compression was agreed on, then what the peer sent.
pub(crate) fn check(octets: &[u8]) {
    let Some((&first, octets)) = octets.split_first() else { return };
    let role = if first & 1 == 0 { Role::Server } else { Role::Client };
    let deflates = first & 2 != 0;
    let whole = decode(octets, role, deflates);
    for len in 0..octets.len().min(HEADER_BYTES_MAX) {
        let early = decode(&octets[..len], role, deflates);
        assert!(early == Ok(None) || early == whole, "{early:?} of {len} octets, then {whole:?}");
    }
    assert!(whole != Ok(None) || octets.len() < HEADER_BYTES_MAX, "a header has an end");
    if let Ok(Some(header)) = whole {
        assert!(deflates || !header.is_compressed);
        check_header(octets, role, &header);
        check_mask(header.mask.unwrap_or_default(), &octets[header.header_bytes..]);
    }
}

fn check_header(octets: &[u8], role: Role, header: &Header) {
    let Header { fin, opcode, payload_len, mask, is_compressed, header_bytes } = *header;
    assert_eq!(mask.is_some(), role == Role::Server);
    let mut out = [0xee; HEADER_BYTES_MAX];
    let len = encode_header(&mut out, fin, opcode, payload_len, mask);
    if is_compressed {
        mark_compressed(&mut out);
    }
    assert_eq!(out[..len], octets[..header_bytes], "a header has one form");
    if payload_len < 1 << 40 {
        let payload_bytes = payload_len as usize;
        assert_eq!(frame_bytes(payload_bytes, mask.is_some()), header_bytes + payload_bytes);
    }
    let mut cursor = Cursor::new(octets);
    let other = FrameHeader::parse(&mut cursor).expect("what we take, others do");
    let (other, other_len) = other.expect("it is whole");
    assert_eq!((other.is_final, other.mask, other_len), (fin, mask, payload_len));
    assert_eq!((other.rsv1, other.rsv2, other.rsv3), (is_compressed, false, false));
    assert_eq!(u8::from(other.opcode), opcode as u8);
    assert_eq!(cursor.position(), header_bytes as u64);
}

/// In one piece and in two, aligned in any way.
fn check_mask(key: [u8; 4], payload: &[u8]) {
    let naive: Vec<u8> = payload.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b).collect();
    for cut in [0, 1, 7, payload.len() / 2, payload.len()] {
        let mut pieces = payload.to_vec();
        let (front, back) = pieces.split_at_mut(cut.min(payload.len()));
        mask::apply(key, 0, front);
        mask::apply(key, front.len(), back);
        assert_eq!(pieces, naive);
    }
}
