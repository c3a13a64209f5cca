//! A naive frame encoder, and the loop that a caller of `Protocol` runs.

use ringwire::ws::{Event, Kind, Limits, PartialPool, PeerFault, Protocol, Role};

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
    pub seen: Vec<Seen>,
    pub fault: Option<PeerFault>,
}

/// Feeds the pieces to a new protocol as a connection would. Asserts the contract of `step`, that
/// no more is held than the limits allow, and that everything is given back at the end.
pub(crate) fn feed<'p>(
    role: Role,
    limits: &Limits,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Outcome {
    let (mut pool, mut protocol) = (PartialPool::new(), Protocol::new(role));
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
    assert!(pool.heap_bytes() <= 1024 + ringwire::limits::PARTIAL_PAYLOAD_KEPT_BYTES);
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
        let Some(event) = step.event else { break };
        seen.push(Seen::of(event));
        let kept_bytes_max = ringwire::limits::PARTIAL_PAYLOAD_KEPT_BYTES;
        let held_bytes_max = 1024 + limits.message_bytes_max.max(kept_bytes_max);
        assert!(protocol.partial_bytes() <= held_bytes_max);
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

/// Cuts `bytes` at the given places.
pub(crate) fn cut<'a>(bytes: &'a [u8], cuts: &[proptest::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// Limits that the generated streams stay under.
pub(crate) const ROOMY: Limits = Limits { message_bytes_max: 1 << 20, fragments_max: 1000 };
