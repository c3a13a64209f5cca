//! What the server says, written by hand: the order of the members is part of the interface, and
//! `id` and `data` have to come out as they went in.

use std::fmt::{Arguments, Display};
use std::io::Write as _;

use crate::base::ErrorCode;
use crate::handler::Publication;
use crate::limits::{ENVELOPE_BYTES_MAX, TOPIC_BYTES_MAX};
use crate::pubsub::envelope::Position;

/// What a message is longer than its `data`, at most: fixed text, two numbers of 20 digits, a topic
/// of quotation marks alone, and a name of 255 octets that are all escaped to six.
const ENVELOPE_BYTES: usize = 64 + 2 * 20 + 2 * TOPIC_BYTES_MAX + 6 * 255;
const _: () = assert!(ENVELOPE_BYTES <= ENVELOPE_BYTES_MAX);

/// Digits of the greatest number.
const NUMBER_DIGITS_MAX: usize = 20;

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut at = 0;
    while at < 100 {
        pairs[at] = [b'0' + (at / 10) as u8, b'0' + (at % 10) as u8];
        at += 1;
    }
    pairs
};

/// Appends one message to a buffer.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    /// The first message of a connection. Nobody is logged in, so the user is nobody.
    pub(super) fn welcome(mut self, instance: u64, conn: u64, heartbeat_ms: u64) {
        self.text("{\"type\":\"welcome\",\"protocol\":\"ringwire.v1\",\"session\":\"");
        self.args(format_args!("{instance:016x}{conn:016x}"));
        self.text("\",\"user\":null,\"heartbeat_ms\":");
        self.args(format_args!("{heartbeat_ms}}}"));
    }

    /// A subscription stands. `id` is empty where there was none.
    pub(super) fn subscribed(mut self, id: &str, topic: &str, at: Position, recovered: bool) {
        self.text("{\"type\":\"subscribed\"");
        self.id(Some(id).filter(|id| !id.is_empty()));
        self.topic(topic);
        let (epoch, offset) = (at.epoch.0, at.offset);
        self.args(format_args!(",\"epoch\":\"{epoch:016x}\",\"offset\":{offset}"));
        self.args(format_args!(",\"recovered\":{recovered}}}"));
    }

    /// Done; a publish has a place.
    pub(super) fn ack(mut self, id: &str, topic: &str, offset: Option<u64>) {
        self.text("{\"type\":\"ack\"");
        self.id(Some(id));
        self.topic(topic);
        if let Some(offset) = offset {
            self.text(",\"offset\":");
            self.number(offset);
        }
        self.text("}");
    }

    pub(super) fn pong(mut self, id: Option<&str>) {
        self.text("{\"type\":\"pong\"");
        self.id(id);
        self.text("}");
    }

    /// `why` is a text of ours and has nothing to escape.
    pub(super) fn error(mut self, id: Option<&str>, code: ErrorCode, why: impl Display) {
        self.text("{\"type\":\"error\"");
        self.id(id);
        self.args(format_args!(",\"code\":\"{}\",\"message\":\"{why}\"}}", code.as_str()));
    }

    /// A message of a topic.
    pub(super) fn message(mut self, publication: &Publication<'_>) {
        let Publication { topic, position, unix_ms, from, data, kind: _ } = *publication;
        self.text("{\"type\":\"message\"");
        self.topic(topic);
        self.text(",\"offset\":");
        self.number(position.offset);
        self.text(",\"ts\":");
        self.number(unix_ms);
        if !from.is_empty() {
            self.text(",\"from\":");
            self.string(from);
        }
        self.text(",\"data\":");
        self.0.extend_from_slice(data);
        self.text("}");
    }

    fn id(&mut self, id: Option<&str>) {
        if let Some(id) = id {
            self.text(",\"id\":");
            self.text(id);
        }
    }

    fn topic(&mut self, topic: &str) {
        self.text(",\"topic\":");
        self.string(topic);
    }

    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// In decimal. By hand, two digits at a time: this is in every message twice, and formatting
    /// costs twenty times as much.
    fn number(&mut self, mut value: u64) {
        let mut digits = [0; NUMBER_DIGITS_MAX];
        let mut at = NUMBER_DIGITS_MAX;
        while value >= 10 {
            at -= 2;
            digits[at..at + 2].copy_from_slice(&PAIRS[(value % 100) as usize]);
            value /= 100;
        }
        // Nothing is left of an even number of digits; of the number 0 there is.
        if value > 0 || at == NUMBER_DIGITS_MAX {
            at -= 1;
            digits[at] = b'0' + value as u8;
        }
        self.0.extend_from_slice(&digits[at..]);
    }

    fn string(&mut self, value: &str) {
        // Looks at all octets, because that takes several at a time.
        let is_special = |octet: u8| (octet < 0x20) | (octet == b'"') | (octet == b'\\');
        if !value.bytes().fold(false, |any, octet| any | is_special(octet)) {
            self.0.push(b'"');
            self.0.extend_from_slice(value.as_bytes());
            return self.0.push(b'"');
        }
        serde_json::to_writer(&mut *self.0, value).expect("a Vec takes every write");
    }

    fn args(&mut self, args: Arguments<'_>) {
        self.0.write_fmt(args).expect("a Vec takes every write");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::Kind;
    use crate::pubsub::envelope::Epoch;

    #[test]
    fn numbers_of_every_length_are_written_as_everybody_writes_them() {
        let powers = (0..20).map(|power| 10_u64.pow(power));
        let around = powers.flat_map(|power| [power - 1, power, power + 1, power / 7 * 3]);
        for number in around.chain([u64::MAX, 1_790_000_000_000]) {
            let mut out = Vec::new();
            Writer(&mut out).number(number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }

    #[test]
    fn the_envelope_is_never_longer_than_planned() {
        let (topic, from) = ("\"".repeat(TOPIC_BYTES_MAX), "\u{1}".repeat(255));
        let position = Position { epoch: Epoch(u64::MAX), offset: u64::MAX };
        let publication = Publication {
            topic: &topic,
            position,
            unix_ms: u64::MAX,
            from: &from,
            data: b"",
            kind: Kind::Text,
        };
        let mut out = Vec::new();
        Writer(&mut out).message(&publication);
        assert!(out.len() <= ENVELOPE_BYTES, "{}", out.len());
        assert!(out.len() + 32 > ENVELOPE_BYTES, "{}", out.len());
    }
}
