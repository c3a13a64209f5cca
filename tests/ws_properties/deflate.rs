//! Compressed messages among plain ones: however the stream is cut, and whatever is wrong with
//! them.

use proptest::prelude::*;
use ringwire::ws::deflate::Agreement;
use ringwire::ws::{Limits, PeerFault, Protocol, Role};

use crate::support::{Outcome, Seen, cut, feed_to, frame};

const LIMITS: Limits =
    Limits { message_bytes_max: 200_000, fragments_max: 100, inflate_ratio_max: 100 };
const AGREEMENT: Agreement =
    Agreement { send_window_bits: 15, recv_window_bits: 15, recv_takeover: false };

fn client() -> Protocol {
    Protocol::with_deflate(Role::Client, AGREEMENT)
}

fn compressed(message: &[u8]) -> Vec<u8> {
    miniz_oxide::deflate::compress_to_vec(message, 6)
}

/// (what, the peer's octets, the fault)
pub(crate) const FAULTS: &[(&str, &[u8], PeerFault)] = &[
    ("no block", b"\xc1\x02\xff\xff", PeerFault::DeflateCorrupt),
    ("cut off", b"\xc1\x03\xf2\x48\xcd", PeerFault::DeflateCorrupt),
    ("refers to what was never sent", b"\xc1\x05\xf2\x00\x11\x00\x00", PeerFault::DeflateCorrupt),
    ("a ping", b"\xc9", PeerFault::ReservedBits),
    ("a close", b"\xc8", PeerFault::ReservedBits),
    ("a continuation", b"\x41\x00\xc0", PeerFault::ReservedBits),
    ("rsv2", b"\xe1", PeerFault::ReservedBits),
    // 1100 zeros without the last octet: what was inflated of it is not given.
    (
        "without its end",
        b"\xc2\x0b\x62\x60\x18\x05\xa3\x60\x14\x8c\x02\xca\x01",
        PeerFault::DeflateCorrupt,
    ),
    ("not utf-8", b"\xc1\x03\xfa\x0f\x00", PeerFault::InvalidUtf8),
];

#[test]
fn each_fault_by_hand() {
    for &(what, octets, fault) in FAULTS {
        let whole = feed_to(client(), &LIMITS, [octets]);
        assert_eq!(whole.fault, Some(fault), "{what}");
        assert_eq!(feed_to(client(), &LIMITS, octets.chunks(1)), whole, "{what}, octet by octet");
    }
}

#[test]
fn a_ratio_beyond_the_limit_is_one_too_many_octets_for_its_size() {
    let sparse = frame(0xc2, &compressed(&[0; 150_000]), None);
    let outcome = feed_to(client(), &LIMITS, [&sparse[..]]);
    assert_eq!(outcome.fault, Some(PeerFault::DeflateRatio));
    let roomy = Limits { inflate_ratio_max: 1100, ..LIMITS };
    let outcome = feed_to(client(), &roomy, [&sparse[..]]);
    assert_eq!(outcome, Outcome { seen: vec![Seen::Binary(vec![0; 150_000])], fault: None });
}

/// Messages as text or binary, compressed or not, in so many frames.
fn messages() -> impl Strategy<Value = Vec<(bool, bool, Vec<u8>, usize)>> {
    let octets = prop_oneof![
        prop::collection::vec(b'a'..b'd', 0..40),
        prop::collection::vec(b'a'..b'd', 100..5000),
        (1..100_000_usize).prop_map(|len| vec![b'x'; len / 2 + len % 7]),
    ];
    prop::collection::vec((any::<bool>(), any::<bool>(), octets, 1..5_usize), 1..8)
}

proptest! {
    #[test]
    fn events_do_not_depend_on_the_cutting(
        messages in messages(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let limits = Limits { inflate_ratio_max: 1100, ..LIMITS };
        let (mut stream, mut seen) = (Vec::new(), Vec::new());
        for (is_text, is_compressed, message, frames) in messages {
            let opcode = if is_text { 1 } else { 2 };
            let payload = if is_compressed { compressed(&message) } else { message.clone() };
            let step = payload.len() / frames + 1;
            let chunks: Vec<&[u8]> = payload.chunks(step).collect();
            for (index, chunk) in chunks.iter().enumerate() {
                let fin = if index + 1 == chunks.len() { 0x80 } else { 0 };
                let first = if index == 0 { opcode } else { 0 };
                let rsv1 = if index == 0 && is_compressed { 0x40 } else { 0 };
                stream.extend(frame(fin | rsv1 | first, chunk, None));
            }
            if chunks.is_empty() {
                stream.extend(frame(0x80 | opcode, &[], None));
            }
            seen.push(match is_text {
                true => Seen::Text(String::from_utf8(message).expect("ASCII")),
                false => Seen::Binary(message),
            });
        }
        let expected = Outcome { seen, fault: None };
        prop_assert_eq!(&feed_to(client(), &limits, [&stream[..]]), &expected);
        prop_assert_eq!(feed_to(client(), &limits, cut(&stream, &cuts)), expected);
    }

    #[test]
    fn any_octets_give_one_outcome(
        octets in prop::collection::vec(any::<u8>(), 1..200),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream = frame(0xc2, &octets, None);
        let whole = feed_to(client(), &LIMITS, [&stream[..]]);
        prop_assert_eq!(feed_to(client(), &LIMITS, cut(&stream, &cuts)), whole);
    }
}
