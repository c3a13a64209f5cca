//! What a subscription's answer needs to know of its request, as a token of opaque octets:
//! one octet that says whether a position follows, the position, and the request's `id`.

use super::request::Since;
use crate::limits::{REQUEST_ID_BYTES_MAX, TOKEN_HEADER_BYTES_MAX};
use crate::pubsub::envelope::{Epoch, Position, Token};

/// Where a subscriber goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resume {
    /// It begins now.
    Fresh,
    /// It has everything up to here.
    From(Position),
    /// It names an epoch that no server of this protocol has ever given.
    FromNowhere,
}

const FRESH: u8 = 0;
const FROM: u8 = 1;
const FROM_NOWHERE: u8 = 2;

/// A token in the making.
pub(super) struct Packed {
    octets: [u8; TOKEN_HEADER_BYTES_MAX + REQUEST_ID_BYTES_MAX],
    len: usize,
}

impl Packed {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.octets[..self.len]
    }

    fn push(&mut self, octets: &[u8]) {
        self.octets[self.len..][..octets.len()].copy_from_slice(octets);
        self.len += octets.len();
    }
}

impl Resume {
    pub(super) fn of(since: Option<Since>) -> Self {
        match since {
            None => Resume::Fresh,
            Some(Since { epoch: Some(epoch), offset }) => {
                Resume::From(Position { epoch: Epoch(epoch), offset })
            }
            Some(Since { epoch: None, .. }) => Resume::FromNowhere,
        }
    }

    /// With no history, nothing is missed only where nothing has happened since.
    pub(super) fn misses_nothing_at(self, now: Position) -> bool {
        match self {
            Resume::Fresh => true,
            Resume::From(position) => position == now,
            Resume::FromNowhere => false,
        }
    }

    pub(super) fn pack(self, id: Option<&str>) -> Packed {
        let mut packed = Packed { octets: [0; _], len: 0 };
        match self {
            Resume::Fresh => packed.push(&[FRESH]),
            Resume::From(Position { epoch: Epoch(epoch), offset }) => {
                packed.push(&[FROM]);
                packed.push(&epoch.to_be_bytes());
                packed.push(&offset.to_be_bytes());
            }
            Resume::FromNowhere => packed.push(&[FROM_NOWHERE]),
        }
        packed.push(id.unwrap_or_default().as_bytes());
        packed
    }

    /// Takes a token of [`Self::pack`] apart; the `id` is empty where there was none.
    pub(super) fn unpack(token: &Token) -> (Self, &str) {
        let number = |octets: &[u8; 8]| u64::from_be_bytes(*octets);
        match token.as_bytes() {
            [FRESH, id @ ..] => (Resume::Fresh, text_of(id)),
            [FROM_NOWHERE, id @ ..] => (Resume::FromNowhere, text_of(id)),
            [FROM, rest @ ..] => {
                let (epoch, rest) = rest.split_first_chunk().expect("packed with a position");
                let (offset, id) = rest.split_first_chunk().expect("packed with a position");
                let position = Position { epoch: Epoch(number(epoch)), offset: number(offset) };
                (Resume::From(position), text_of(id))
            }
            _ => panic!("a subscription without a token of ours"),
        }
    }
}

/// An `id` that has come back.
pub(super) fn text_of(id: &[u8]) -> &str {
    std::str::from_utf8(id).expect("packed from a str")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gives_back_what_was_packed() {
        let position = Position { epoch: Epoch(u64::MAX), offset: u64::MAX - 1 };
        let longest = "7".repeat(REQUEST_ID_BYTES_MAX);
        for resume in [Resume::Fresh, Resume::From(position), Resume::FromNowhere] {
            for id in [None, Some("1"), Some("\"\u{e9}\""), Some(&*longest)] {
                let token = Token::new(resume.pack(id).as_bytes());
                assert_eq!(Resume::unpack(&token), (resume, id.unwrap_or_default()));
            }
        }
    }
}
