//! What a connection holds: nothing between messages, and what has arrived inside one.

use crate::support::{Seen, feed_piece, frame};
use ringwire::limits::{PARTIAL_PAYLOAD_KEPT_BYTES, PARTIALS_POOLED_MAX};
use ringwire::ws::{Limits, PartialPool, Protocol, Role};

const LIMITS: Limits =
    Limits { message_bytes_max: 16 << 20, fragments_max: 100, inflate_ratio_max: 200 };
const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);
/// The state itself, without a payload.
const STATE_BYTES_MAX: usize = 512;

struct Connection {
    protocol: Protocol,
    pool: PartialPool,
    seen: Vec<Seen>,
}

impl Connection {
    fn new() -> Self {
        let protocol = Protocol::new(Role::Server);
        Connection { protocol, pool: PartialPool::new(), seen: Vec::new() }
    }

    fn feed(&mut self, piece: &[u8]) {
        feed_piece(&mut self.protocol, &LIMITS, &mut self.pool, piece, &mut self.seen).unwrap();
    }
}

#[test]
fn a_protocol_is_two_words_and_idle_it_holds_nothing() {
    assert!(size_of::<Protocol>() <= 16);
    let mut connection = Connection::new();
    assert_eq!(connection.protocol.partial_bytes(), 0);
    let mut stream = frame(0x81, b"hello", MASK);
    stream.extend(frame(0x89, b"", MASK));
    connection.feed(&stream);
    assert_eq!(connection.protocol.partial_bytes(), 0);
    assert!(connection.pool.is_empty(), "whole frames need no state");
    for octet in stream.chunks(1) {
        connection.feed(octet);
    }
    assert_eq!(connection.protocol.partial_bytes(), 0);
    assert_eq!((connection.seen.len(), connection.pool.len()), (4, 1));
}

#[test]
fn an_announced_length_costs_nothing() {
    let mut connection = Connection::new();
    connection.feed(&frame(0x82, &vec![0; LIMITS.message_bytes_max], MASK)[..14 + 10]);
    let held = connection.protocol.partial_bytes();
    assert!((10..STATE_BYTES_MAX).contains(&held), "{held}");
}

#[test]
fn the_payload_grows_by_doubling_and_not_beyond_the_message() {
    let mut connection = Connection::new();
    let bytes = 300_000;
    let octets = frame(0x82, &vec![7; bytes], MASK);
    let mut growths = 0;
    let mut held = 0;
    let mut arrived = 0;
    for piece in octets.chunks(100) {
        connection.feed(piece);
        arrived += piece.len();
        let now = connection.protocol.partial_bytes();
        assert!(now <= STATE_BYTES_MAX + (2 * arrived).min(bytes), "{now} for {arrived}");
        growths += usize::from(now > held);
        held = now;
    }
    assert!(growths < 15, "{growths}");
    assert_eq!(connection.seen, [Seen::Binary(vec![7; bytes])]);
    assert_eq!(connection.protocol.partial_bytes(), 0);
    assert!(connection.pool.heap_bytes() <= STATE_BYTES_MAX, "a big payload is not kept");
}

#[test]
fn a_straddling_frame_reuses_the_pooled_state() {
    let mut connection = Connection::new();
    let octets = frame(0x82, &[7; 4000], MASK);
    for at in [1, 5, 7, 8, 9, 2000, 4007] {
        let (front, back) = octets.split_at(at);
        connection.feed(front);
        assert!(connection.pool.is_empty());
        connection.feed(back);
        assert_eq!(connection.pool.len(), 1);
        assert!(connection.pool.heap_bytes() <= STATE_BYTES_MAX + PARTIAL_PAYLOAD_KEPT_BYTES);
    }
    assert_eq!(connection.seen, vec![Seen::Binary(vec![7; 4000]); 7]);
}

#[test]
fn a_cut_control_frame_leaves_the_unfinished_message_alone() {
    let mut connection = Connection::new();
    connection.feed(&frame(0x01, "\u{20ac}".as_bytes().split_at(2).0, MASK));
    for octet in frame(0x89, &[0xff; 125], MASK).chunks(1) {
        connection.feed(octet);
    }
    assert!(connection.protocol.partial_bytes() > 0);
    connection.feed(&frame(0x80, "\u{20ac}".as_bytes().split_at(2).1, MASK));
    assert_eq!(connection.seen, [Seen::Ping(vec![0xff; 125]), Seen::Text("\u{20ac}".into())]);
    assert_eq!(connection.protocol.partial_bytes(), 0);
}

#[test]
fn release_in_the_middle_gives_everything_back() {
    let octets = frame(0x82, &[7; 500], MASK);
    for at in 1..octets.len() {
        let mut connection = Connection::new();
        connection.feed(&octets[..at]);
        assert!(connection.protocol.partial_bytes() > 0);
        connection.protocol.release(&mut connection.pool);
        assert_eq!((connection.protocol.partial_bytes(), connection.pool.len()), (0, 1));
    }
}

#[test]
fn a_close_frame_inside_a_message_gives_the_message_back() {
    let mut connection = Connection::new();
    connection.feed(&frame(0x02, &[7; 500], MASK));
    assert!(connection.protocol.partial_bytes() > 500);
    connection.feed(&frame(0x88, &[], MASK));
    assert!(connection.protocol.has_ended());
    assert_eq!((connection.protocol.partial_bytes(), connection.pool.len()), (0, 1));
}

#[test]
fn the_pool_is_bounded() {
    let mut pool = PartialPool::new();
    let mut protocols: Vec<_> =
        (0..2 * PARTIALS_POOLED_MAX).map(|_| Protocol::new(Role::Server)).collect();
    for protocol in &mut protocols {
        feed_piece(protocol, &LIMITS, &mut pool, &[0x82], &mut Vec::new()).unwrap();
    }
    for protocol in &mut protocols {
        protocol.release(&mut pool);
    }
    assert_eq!(pool.len(), PARTIALS_POOLED_MAX);
}
