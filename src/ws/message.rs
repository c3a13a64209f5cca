//! What a step over received bytes gives: facts about the peer, lent from where the bytes are.

use super::close::{self, CloseCode};
use super::fault::PeerFault;
use super::opcode::{Control, Kind};

/// A whole message. A text's payload is UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Text or binary.
    pub kind: Kind,
    /// The unmasked octets.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The payload as text; `None` for a binary message. It is checked once more, vectorised,
    /// because this type is open and `unsafe` isn't worth the few nanoseconds.
    pub fn text(&self) -> Option<&'a str> {
        match self.kind {
            Kind::Text => simdutf8::basic::from_utf8(self.payload).ok(),
            Kind::Binary => None,
        }
    }
}

/// What the peer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// It sent a message.
    Message(Message<'a>),
    /// It asks for a pong with this payload.
    Ping(&'a [u8]),
    /// It answered a ping, or sent an unsolicited pong.
    Pong(&'a [u8]),
    /// It closes. Nothing that follows is to be read.
    Close {
        /// Its code, if it gave one.
        code: Option<CloseCode>,
        /// Its reason, maybe empty.
        reason: &'a str,
    },
}

/// The outcome of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// Octets of the input that are dealt with.
    pub consumed: usize,
    /// `None` when the whole input is dealt with and nothing (more) happened.
    pub event: Option<Event<'a>>,
}

pub(super) fn control_event(control: Control, payload: &[u8]) -> Result<Event<'_>, PeerFault> {
    match control {
        Control::Ping => Ok(Event::Ping(payload)),
        Control::Pong => Ok(Event::Pong(payload)),
        Control::Close => {
            let (code, reason) = close::parse_payload(payload)?;
            Ok(Event::Close { code, reason })
        }
    }
}
