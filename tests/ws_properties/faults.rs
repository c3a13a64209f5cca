//! Each fault of a peer from octets written by hand, and what must not be one.

use crate::support::{Outcome, Seen, feed};
use ringwire::ws::{CloseCode, Limits, PeerFault, Role};
use std::collections::HashSet;

const LIMITS: Limits = Limits { message_bytes_max: 1000, fragments_max: 3, inflate_ratio_max: 200 };

/// (what, our role, the peer's octets up to the one that shows it, the fault)
const TABLE: &[(&str, Role, &[u8], PeerFault)] = &[
    ("rsv1", Role::Client, b"\xc1", PeerFault::ReservedBits),
    ("rsv2", Role::Client, b"\xa1", PeerFault::ReservedBits),
    ("rsv3 on a ping", Role::Client, b"\x99", PeerFault::ReservedBits),
    ("opcode 3", Role::Client, b"\x83", PeerFault::ReservedOpcode),
    ("opcode 7", Role::Client, b"\x87", PeerFault::ReservedOpcode),
    ("opcode b", Role::Client, b"\x8b", PeerFault::ReservedOpcode),
    ("opcode f", Role::Client, b"\x8f", PeerFault::ReservedOpcode),
    ("ping without fin", Role::Client, b"\x09", PeerFault::ControlFragmented),
    ("close without fin", Role::Client, b"\x08", PeerFault::ControlFragmented),
    ("ping of 126", Role::Client, b"\x89\x7e", PeerFault::ControlTooLong),
    ("pong of 64 bits", Role::Client, b"\x8a\x7f", PeerFault::ControlTooLong),
    ("close of 126", Role::Server, b"\x88\xfe", PeerFault::ControlTooLong),
    ("unmasked at a server", Role::Server, b"\x81\x00", PeerFault::Unmasked),
    ("unmasked ping at a server", Role::Server, b"\x89\x00", PeerFault::Unmasked),
    ("masked at a client", Role::Client, b"\x81\x80", PeerFault::Masked),
    ("125 in 16 bits", Role::Client, b"\x82\x7e\x00\x7d", PeerFault::LengthNotMinimal),
    (
        "65535 in 64 bits",
        Role::Client,
        b"\x82\x7f\0\0\0\0\0\0\xff\xff",
        PeerFault::LengthNotMinimal,
    ),
    ("2^63", Role::Client, b"\x82\x7f\x80\0\0\0\0\0\0\0", PeerFault::LengthOverflow),
    (
        "2^64 - 1",
        Role::Client,
        b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
        PeerFault::LengthOverflow,
    ),
    (
        "2^63 - 1",
        Role::Client,
        b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff",
        PeerFault::MessageTooLarge,
    ),
    ("1001", Role::Client, b"\x82\x7e\x03\xe9", PeerFault::MessageTooLarge),
    ("1 and 1000", Role::Client, b"\x02\x01a\x80\x7e\x03\xe8", PeerFault::MessageTooLarge),
    ("lone continuation", Role::Client, b"\x80\x00", PeerFault::UnexpectedContinuation),
    ("lone open continuation", Role::Client, b"\x00\x00", PeerFault::UnexpectedContinuation),
    (
        "continuation after a message",
        Role::Client,
        b"\x82\x01a\x80\x00",
        PeerFault::UnexpectedContinuation,
    ),
    ("text inside text", Role::Client, b"\x01\x01a\x81\x01", PeerFault::ExpectedContinuation),
    (
        "binary after a ping inside",
        Role::Client,
        b"\x01\x01a\x89\x00\x02\x01",
        PeerFault::ExpectedContinuation,
    ),
    ("four frames", Role::Client, b"\x02\x00\x00\x00\x00\x00\x00\x00", PeerFault::TooManyFragments),
    (
        "four with the last",
        Role::Client,
        b"\x02\x00\x00\x00\x00\x00\x80\x00",
        PeerFault::TooManyFragments,
    ),
    ("text ff", Role::Client, b"\x81\x01\xff", PeerFault::InvalidUtf8),
    ("surrogate", Role::Client, b"\x81\x03\xed\xa0", PeerFault::InvalidUtf8),
    ("cut character", Role::Client, b"\x81\x02\xe2\x82", PeerFault::InvalidUtf8),
    (
        "cut character in fragments",
        Role::Client,
        b"\x01\x01\xe2\x80\x01\x82",
        PeerFault::InvalidUtf8,
    ),
    ("bad first fragment", Role::Client, b"\x01\x02a\xf5", PeerFault::InvalidUtf8),
    (
        "early: f4 90 of a long frame",
        Role::Client,
        b"\x81\x7e\x03\x00ok\xf4\x90",
        PeerFault::InvalidUtf8,
    ),
    (
        "early: ed a0 over fragments",
        Role::Client,
        b"\x01\x01\xed\x00\x05\xa0",
        PeerFault::InvalidUtf8,
    ),
    ("masked text", Role::Server, b"\x81\x81\x01\x02\x03\x04\xfe", PeerFault::InvalidUtf8),
    ("half a code", Role::Client, b"\x88\x01\x03", PeerFault::BadClosePayload),
    ("code 0", Role::Client, b"\x88\x02\x00\x00", PeerFault::BadCloseCode),
    ("code 999", Role::Client, b"\x88\x02\x03\xe7", PeerFault::BadCloseCode),
    ("code 1005", Role::Client, b"\x88\x02\x03\xed", PeerFault::BadCloseCode),
    ("code 1006", Role::Client, b"\x88\x02\x03\xee", PeerFault::BadCloseCode),
    ("code 1015", Role::Client, b"\x88\x02\x03\xf7", PeerFault::BadCloseCode),
    ("code 2999", Role::Client, b"\x88\x02\x0b\xb7", PeerFault::BadCloseCode),
    ("code 5000", Role::Client, b"\x88\x02\x13\x88", PeerFault::BadCloseCode),
    ("reason", Role::Client, b"\x88\x04\x03\xe8\xc3\x28", PeerFault::BadCloseReason),
];

#[test]
fn each_fault_by_hand() {
    for &(what, role, octets, fault) in TABLE {
        let whole = feed(role, &LIMITS, [octets]);
        assert_eq!(whole.fault, Some(fault), "{what}");
        assert_eq!(feed(role, &LIMITS, octets.chunks(1)), whole, "{what}, octet by octet");
        let before = feed(role, &LIMITS, [&octets[..octets.len() - 1]]);
        assert_eq!(before.fault, None, "{what}: the last octet is what shows it");
    }
    let mut covered: HashSet<_> = TABLE.iter().map(|row| row.3).collect();
    covered.extend(crate::deflate::FAULTS.iter().map(|row| row.2));
    // It takes more octets than one would write by hand: `deflate` has its test.
    covered.insert(PeerFault::DeflateRatio);
    assert_eq!(covered.len(), PeerFault::ALL.len(), "the table has a row for each fault");
}

#[test]
fn events_before_a_fault_are_given() {
    let outcome = feed(Role::Client, &LIMITS, [&b"\x82\x01a\x89\x01b\x83\x00"[..]]);
    let seen = vec![Seen::Binary(b"a".to_vec()), Seen::Ping(b"b".to_vec())];
    assert_eq!(outcome, Outcome { seen, fault: Some(PeerFault::ReservedOpcode) });
}

#[test]
fn what_is_allowed_at_the_edge() {
    let longest = [&b"\x82\x7e\x03\xe8"[..], &[7; 1000]].concat();
    let ping = [&b"\x89\x7d"[..], &[7; 125]].concat();
    let rows: [(&[u8], Seen); 7] = [
        (&longest, Seen::Binary(vec![7; 1000])),
        (&ping, Seen::Ping(vec![7; 125])),
        (b"\x02\x00\x00\x01a\x80\x00", Seen::Binary(b"a".to_vec())),
        (b"\x01\x01\xce\x80\x01\xba", Seen::Text("\u{3ba}".into())),
        (b"\x81\x00", Seen::Text(String::new())),
        (b"\x88\x00", Seen::Close(None, String::new())),
        (b"\x88\x02\x03\xf6", Seen::Close(Some(1014), String::new())),
    ];
    for (octets, seen) in rows {
        let expected = Outcome { seen: vec![seen], fault: None };
        assert_eq!(feed(Role::Client, &LIMITS, [octets]), expected);
        assert_eq!(feed(Role::Client, &LIMITS, octets.chunks(1)), expected);
    }
}

#[test]
fn nothing_is_read_after_a_close_frame() {
    let octets = b"\x88\x02\x03\xe8\x83\xff\xff";
    let expected = vec![Seen::Close(Some(CloseCode::NORMAL.0), String::new())];
    for pieces in [vec![&octets[..]], octets.chunks(1).collect()] {
        let outcome = feed(Role::Client, &LIMITS, pieces);
        assert_eq!(outcome, Outcome { seen: expected.clone(), fault: None });
    }
}
