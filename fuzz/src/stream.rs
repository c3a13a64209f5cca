//! Streams of frames: a naive encoder, the loop that a caller of `Protocol` runs, and tungstenite
//! as another reader. The property tests of `ws` use them as well.

use std::io::{Cursor, Read, Write};

use ringwire::ws::deflate::Inflater;
use ringwire::ws::partial::InflateTurn;
use ringwire::ws::{Event, Kind, Limits, PartialPool, PeerFault, Protocol, Role};
use tungstenite::protocol::{Role as OracleRole, WebSocket, WebSocketConfig};

/// Octets of a protocol's state without a payload, with room to spare.
const STATE_BYTES_MAX: usize = 1024;

/// An event that owns its octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

impl Seen {
    fn of(event: Event<'_>) -> Seen {
        match event {
            Event::Message(message) => match message.kind {
                Kind::Text => {
                    let text = message.text().expect("a text message is UTF-8");
                    assert_eq!(text.as_bytes(), message.payload);
                    Seen::Text(text.to_owned())
                }
                Kind::Binary => {
                    assert_eq!(message.text(), None);
                    Seen::Binary(message.payload.to_vec())
                }
            },
            Event::Ping(payload) => Seen::Ping(payload.to_vec()),
            Event::Pong(payload) => Seen::Pong(payload.to_vec()),
            Event::Close { code, reason } => {
                Seen::Close(code.map(|code| code.0), reason.to_owned())
            }
        }
    }
}

/// What came of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) seen: Vec<Seen>,
    pub(crate) fault: Option<PeerFault>,
}

/// Feeds the pieces to a new protocol as a connection would. Asserts the contract of `step`, that
/// no more is held than the limits allow, and that everything is given back at the end.
pub(crate) fn feed<'p>(
    role: Role,
    limits: &Limits,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Outcome {
    feed_to(Protocol::new(role), limits, pieces)
}

/// The same for a protocol that was made elsewhere.
pub(crate) fn feed_to<'p>(
    protocol: Protocol,
    limits: &Limits,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Outcome {
    feed_in_turns(protocol, InflateTurn::default(), limits, pieces)
}

/// The same in turns that have room for so much inflating.
pub(crate) fn feed_in_turns<'p>(
    mut protocol: Protocol,
    turn: InflateTurn,
    limits: &Limits,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Outcome {
    let (mut pool, deflates) = (PartialPool::inflating(turn), protocol.deflate().is_some());
    let mut outcome = Outcome { seen: Vec::new(), fault: None };
    for piece in pieces {
        outcome.fault =
            feed_piece(&mut protocol, limits, &mut pool, piece, &mut outcome.seen).err();
        if protocol.has_ended() {
            break;
        }
    }
    protocol.release(&mut pool);
    assert_eq!(protocol.partial_bytes(), 0);
    let kept_bytes_max = ringwire::limits::PARTIAL_PAYLOAD_KEPT_BYTES;
    let for_inflating = if deflates { kept_bytes_max + Inflater::HEAP_BYTES } else { 0 };
    assert!(
        pool.heap_bytes() <= STATE_BYTES_MAX + kept_bytes_max + for_inflating,
        "the pool keeps no big payload"
    );
    outcome
}

/// Feeds one piece until there is no event.
pub(crate) fn feed_piece(
    protocol: &mut Protocol,
    limits: &Limits,
    pool: &mut PartialPool,
    piece: &[u8],
    seen: &mut Vec<Seen>,
) -> Result<(), PeerFault> {
    // A buffer of its own, exactly as long as the piece.
    let mut input = piece.to_vec();
    let mut at = 0;
    loop {
        let step = protocol.step(&mut input[at..], limits, pool)?;
        at += step.consumed;
        let event = step.event.map(Seen::of);
        let kept_bytes_max = ringwire::limits::PARTIAL_PAYLOAD_KEPT_BYTES;
        let buffer_bytes_max = limits.message_bytes_max.max(kept_bytes_max);
        let held_bytes_max = STATE_BYTES_MAX
            + match protocol.deflate() {
                None => buffer_bytes_max,
                // As it came, what it became, what was before it, and what makes it so.
                Some(agreement) => {
                    let window_bytes = if agreement.recv_takeover { 1 << 15 } else { 0 };
                    let payload_bytes_max = buffer_bytes_max + buffer_bytes_max / 16 + 128;
                    payload_bytes_max + buffer_bytes_max + window_bytes + Inflater::HEAP_BYTES
                }
            };
        assert!(protocol.partial_bytes() <= held_bytes_max, "no more than the limits allow");
        let Some(event) = event else {
            if protocol.is_stalled() {
                // A new turn.
                pool.refill();
                continue;
            }
            break;
        };
        seen.push(event);
        if protocol.has_ended() {
            return Ok(());
        }
    }
    assert_eq!(at, piece.len(), "without an event the whole input is consumed");
    Ok(())
}

/// A frame by the figure of RFC 6455, section 5.2: `first` is the whole first octet.
pub(crate) fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut out = vec![first];
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        len @ 0..=125 => out.push(masked | len as u8),
        len @ 126..=65_535 => {
            out.push(masked | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(masked | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    match mask {
        None => out.extend(payload),
        Some(mask) => {
            out.extend(mask);
            out.extend(payload.iter().enumerate().map(|(at, octet)| octet ^ mask[at % 4]));
        }
    }
    out
}

/// A socket whose peer sent `bytes` and takes whatever is written.
struct Socket(Cursor<Vec<u8>>);

impl Read for Socket {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(out)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What tungstenite makes of a stream, up to its end or the first error.
pub(crate) fn oracle(role: Role, limits: &Limits, bytes: &[u8]) -> Vec<Seen> {
    let role = match role {
        Role::Server => OracleRole::Server,
        Role::Client => OracleRole::Client,
    };
    let bytes_max = Some(limits.message_bytes_max);
    let config = WebSocketConfig::default().max_message_size(bytes_max).max_frame_size(bytes_max);
    let socket = Socket(Cursor::new(bytes.to_vec()));
    let mut socket = WebSocket::from_raw_socket(socket, role, Some(config));
    let mut seen = Vec::new();
    while let Ok(message) = socket.read() {
        seen.push(match message {
            tungstenite::Message::Text(text) => Seen::Text(text.as_str().to_owned()),
            tungstenite::Message::Binary(payload) => Seen::Binary(payload.to_vec()),
            tungstenite::Message::Ping(payload) => Seen::Ping(payload.to_vec()),
            tungstenite::Message::Pong(payload) => Seen::Pong(payload.to_vec()),
            tungstenite::Message::Close(None) => Seen::Close(None, String::new()),
            tungstenite::Message::Close(Some(frame)) => {
                Seen::Close(Some(frame.code.into()), frame.reason.as_str().to_owned())
            }
            tungstenite::Message::Frame(_) => unreachable!("never read"),
        });
    }
    seen
}
