//! Whole streams, cut in several ways, against the naive reader and tungstenite.

use ringwire::base::prng::Prng;
use ringwire::ws::header::{HEADER_BYTES_MAX, encode_header};
use ringwire::ws::{Limits, Opcode, Role, close, mask};

use super::choices::Choices;
use super::naive;
use super::stream::{Outcome, Seen, feed, frame, oracle};

/// Above it a stream is not fed octet by octet.
const OCTETWISE_BYTES_MAX: usize = 3000;
/// Above it no frame is put together: a slow input finds nothing.
const BUILT_BYTES_MAX: usize = 100_000;
/// Above it no long one is.
const BUILT_LONG_BYTES_MAX: usize = 66_000;
/// First octets of frames; the last stands for octets that are no frame.
const FIRSTS: [u8; 16] = [
    0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a, 0x88, 0x81, 0x01, 0x00, 0x80, 0x09, 0xc1, 0xff,
];

/// We are the server.
pub(crate) fn check_server(octets: &[u8]) {
    check(Role::Server, octets);
}

/// We are the client.
pub(crate) fn check_client(octets: &[u8]) {
    check(Role::Client, octets);
}

/// Input: limits, how the stream is cut, and the stream: as it is, or as a list of frames whose
/// lengths and masks are put in.
fn check(role: Role, octets: &[u8]) {
    let mut choices = Choices::new(octets);
    let bytes_max = choices.one_of(&[1 << 20, 0, 1, 125, 126, 1000, 65_535, 65_536]);
    let fragments_max = choices.one_of(&[1000, 1, 2, 5]);
    let limits = Limits { message_bytes_max: bytes_max, fragments_max, ..Limits::default() };
    let (is_built, seed) = (choices.below(2) == 1, choices.number());
    let stream = if is_built { build(role, &mut choices) } else { choices.rest().to_vec() };

    let whole = feed(role, &limits, [&stream[..]]);
    assert_eq!(whole, naive::read(role, &limits, &stream), "the naive reader sees it otherwise");
    assert_eq!(feed(role, &limits, cut(&stream, seed as u64)), whole, "cut by {seed}");
    // Not in so many pieces that an input takes seconds.
    let even = (1 + seed % 2000).max(stream.len() / OCTETWISE_BYTES_MAX);
    assert_eq!(feed(role, &limits, stream.chunks(even)), whole, "cut evenly");
    if stream.len() <= OCTETWISE_BYTES_MAX {
        assert_eq!(feed(role, &limits, stream.chunks(1)), whole, "octet by octet");
    }
    if bytes_max == 1 << 20 && limits.fragments_max == 1000 {
        check_oracle(role, &limits, &stream, &whole);
    }
    check_round_trip(role, &whole);
}

/// The other implementation is the laxer: it takes lengths that are not minimal, for one.
fn check_oracle(role: Role, limits: &Limits, stream: &[u8], whole: &Outcome) {
    let oracle = oracle(role, limits, stream);
    assert!(oracle.starts_with(&whole.seen), "{oracle:?} does not begin with {whole:?}");
    assert!(whole.fault.is_some() || oracle == whole.seen, "{oracle:?} goes on after {whole:?}");
}

/// What was seen, written by our own encoder, is seen again.
fn check_round_trip(role: Role, whole: &Outcome) {
    let key = (role == Role::Server).then_some([0x5a, 0x01, 0xff, 0x80]);
    let mut stream = Vec::new();
    let mut write = |opcode, payload: &[u8]| {
        let mut header = [0; HEADER_BYTES_MAX];
        let len = encode_header(&mut header, true, opcode, payload.len() as u64, key);
        stream.extend_from_slice(&header[..len]);
        let start = stream.len();
        stream.extend_from_slice(payload);
        mask::apply(key.unwrap_or_default(), 0, &mut stream[start..]);
    };
    for seen in &whole.seen {
        match seen {
            Seen::Text(text) => write(Opcode::Text, text.as_bytes()),
            Seen::Binary(payload) => write(Opcode::Binary, payload),
            Seen::Ping(payload) => write(Opcode::Ping, payload),
            Seen::Pong(payload) => write(Opcode::Pong, payload),
            Seen::Close(None, _) => write(Opcode::Close, &[]),
            Seen::Close(Some(code), reason) => {
                let mut payload = [0; close::CONTROL_BYTES_MAX];
                let len = close::write_payload(&mut payload, close::CloseCode(*code), reason);
                write(Opcode::Close, &payload[..len]);
            }
        }
    }
    let limits = Limits { message_bytes_max: 1 << 20, fragments_max: 1, ..Limits::default() };
    let again = feed(role, &limits, [&stream[..]]);
    assert_eq!((&again.seen, again.fault), (&whole.seen, None));
}

/// Frames with the lengths and masks that they should have.
fn build(role: Role, choices: &mut Choices<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    while !choices.is_empty() && stream.len() < BUILT_BYTES_MAX {
        let (first, len) = (choices.one_of(&FIRSTS), choices.octet());
        let key = choices.octet();
        let payload = match len {
            0..=199 => choices.take(usize::from(len)).to_vec(),
            200.. => {
                let octets = choices.take(1 + usize::from(len) % 4);
                let long = [126, 127, 300, 1000, 65_535, 65_536][usize::from(len) % 6];
                let long = if stream.len() < BUILT_LONG_BYTES_MAX { long } else { long % 1001 };
                octets.iter().copied().cycle().take(long).collect()
            }
        };
        if first == 0xff {
            stream.extend(payload);
        } else {
            let mask = [key, key.rotate_left(3), !key, key ^ 0x35];
            stream.extend(frame(first, &payload, (role == Role::Server).then_some(mask)));
        }
    }
    stream
}

/// Pieces of lengths between 1 and 1, 16 or 4096.
pub(crate) fn cut(mut stream: &[u8], seed: u64) -> Vec<&[u8]> {
    let mut prng = Prng::new(seed);
    let mut pieces = Vec::new();
    while !stream.is_empty() {
        let longest = [2, 16, 4096][prng.below(3) as usize];
        let len = 1 + prng.below(longest) as usize;
        let (piece, rest) = stream.split_at(len.min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}
