//! Streams in which messages may be compressed: whatever they are, and however they and the turns
//! are cut, the events are the same.

use miniz_oxide::deflate::compress_to_vec;
use ringwire::ws::deflate::Agreement;
use ringwire::ws::partial::InflateTurn;
use ringwire::ws::{Limits, Protocol, Role};

use super::choices::Choices;
use super::protocol::cut;
use super::stream::{feed_in_turns, frame};

/// Above it a stream is not fed octet by octet.
const OCTETWISE_BYTES_MAX: usize = 2000;
/// Above it no frame is put together.
const BUILT_BYTES_MAX: usize = 50_000;
/// First octets of frames; the last stands for octets that are no frame.
const FIRSTS: [u8; 16] = [
    0xc1, 0xc2, 0x41, 0x42, 0x81, 0x82, 0x00, 0x80, 0x89, 0x8a, 0x88, 0xc1, 0xc2, 0xc9, 0xc0, 0xff,
];

/// Input: our role, what was agreed on, limits, turns, how the stream is cut, and its frames.
pub(crate) fn check(octets: &[u8]) {
    let mut choices = Choices::new(octets);
    let role = choices.one_of(&[Role::Server, Role::Client]);
    let agreement = Agreement {
        send_window_bits: 15,
        recv_window_bits: choices.one_of(&[15, 9, 8]),
        recv_takeover: choices.below(2) == 1,
    };
    let limits = Limits {
        message_bytes_max: choices.one_of(&[1 << 20, 125, 1000, 65_536]),
        fragments_max: choices.one_of(&[1000, 1, 3]),
        inflate_ratio_max: choices.one_of(&[2000, 1, 200]),
    };
    let slice_bytes_max = choices.one_of(&[1 << 18, 1, 7, 1000]);
    let turn = InflateTurn { bytes_max: 3 * slice_bytes_max, slice_bytes_max };
    let seed = choices.number();
    let stream = build(role, &mut choices);

    let feed = |turn, pieces: Vec<&[u8]>| {
        feed_in_turns(Protocol::with_deflate(role, agreement), turn, &limits, pieces)
    };
    let whole = feed(InflateTurn::default(), vec![&stream]);
    assert_eq!(feed(turn, cut(&stream, seed as u64)), whole, "cut by {seed}, {turn:?}");
    // Not in so many pieces that an input takes seconds.
    let even = (1 + seed % 2000).max(stream.len() / OCTETWISE_BYTES_MAX);
    assert_eq!(feed(turn, stream.chunks(even).collect()), whole, "cut evenly");
    if stream.len() <= OCTETWISE_BYTES_MAX {
        let turn = InflateTurn::default();
        assert_eq!(feed(turn, stream.chunks(1).collect()), whole, "octet by octet");
    }
}

/// Frames with the lengths and masks that they should have, some of them compressed.
fn build(role: Role, choices: &mut Choices<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    while !choices.is_empty() && stream.len() < BUILT_BYTES_MAX {
        let (first, how) = (choices.one_of(&FIRSTS), choices.below(4));
        let len = usize::from(choices.octet());
        let (times, key) = (usize::from(choices.octet()), choices.octet());
        let octets = choices.take(len);
        let payload = match how {
            0 => octets.to_vec(),
            1 => compress_to_vec(octets, 6),
            2 => compress_to_vec(&octets.repeat(times), 6),
            // Without its last block, which is how most senders end.
            _ => [&compress_to_vec(octets, 0)[..], &[0]].concat(),
        };
        if first == 0xff {
            stream.extend(payload);
            continue;
        }
        let mask = [key, key.rotate_left(3), !key, key ^ 0x35];
        stream.extend(frame(first, &payload, (role == Role::Server).then_some(mask)));
    }
    stream
}
