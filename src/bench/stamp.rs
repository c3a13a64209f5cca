//! What a message of a run carries: who sent it, its number, when, and a filler that follows from
//! these, so that loss, duplication, disorder and corruption are seen by whoever receives it.
//!
//! A binary payload begins with 16 octets: publisher 32 | sequence 32, then time 48 | check 16. A
//! text has the same in 32 hexadecimal digits. The filler is a piece of one table; where it begins
//! depends on the check, so a payload that was mixed with another one does not match. Its octets
//! are random, or, for messages that are to be compressed, like those of JSON.

use crate::base::prng::Prng;
use crate::ws::opcode::Kind;

/// Octets that a binary payload has at least.
pub const BINARY_BYTES_MIN: usize = 16;
/// Octets that a text has at least.
pub const TEXT_BYTES_MIN: usize = 32;

/// Places where a filler can begin.
const OFFSETS: usize = 4096;
const TIME_BITS: u32 = 48;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// What is stamped on a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Who sent it.
    pub publisher: u32,
    /// The number of the message, from 0 for each publisher.
    pub sequence: u32,
    /// When it was sent, or was to be sent, on the clock of the run.
    pub sent_ns: u64,
}

/// The payload is not one that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// How payloads are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Any octets.
    Binary,
    /// Printable ASCII without quotes and backslashes: valid in a text frame and in JSON.
    Text,
}

/// What a filler is a piece of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filler {
    /// Random characters, which hardly compress.
    Random,
    /// Names and numbers as in a document, which does.
    Words,
}

/// Writes and reads payloads of one form and size.
#[derive(Clone, Debug)]
pub struct Codec {
    form: Form,
    bytes: usize,
    table: std::sync::Arc<[u8]>,
}

impl Codec {
    /// Payloads of `bytes` octets, which is checked against the form's minimum.
    pub fn new(form: Form, bytes: usize, filler: Filler) -> Codec {
        assert!(bytes >= form.bytes_min(), "a payload has room for its stamp");
        let mut prng = Prng::new(0x5249_4e47);
        let table = match filler {
            Filler::Random => (0..bytes + OFFSETS).map(|_| printable(&mut prng)).collect(),
            Filler::Words => words(&mut prng, bytes + OFFSETS).into(),
        };
        Codec { form, bytes, table }
    }

    /// Octets of a payload.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The form of the payloads.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Appends a payload.
    pub fn write(&self, out: &mut Vec<u8>, stamp: Stamp) {
        let (words, check) = encode(stamp);
        match self.form {
            Form::Binary => out.extend_from_slice(&words),
            Form::Text => out.extend_from_slice(&to_digits(words)),
        }
        out.extend_from_slice(self.filler(check));
    }

    /// Reads a payload and checks all of it.
    pub fn read(&self, payload: &[u8]) -> Result<Stamp, Corrupt> {
        if payload.len() != self.bytes {
            return Err(Corrupt);
        }
        let (head, filler) = payload.split_at(self.form.bytes_min());
        let words = match self.form {
            Form::Binary => head.try_into().expect("split there"),
            Form::Text => from_digits(head.try_into().expect("split there"))?,
        };
        let (stamp, check) = decode(words)?;
        if filler == self.filler(check) { Ok(stamp) } else { Err(Corrupt) }
    }

    fn filler(&self, check: u16) -> &[u8] {
        &self.table[usize::from(check) % OFFSETS..][..self.bytes - self.form.bytes_min()]
    }
}

impl Form {
    /// What messages with such a payload are, unless it is wrapped in something else.
    pub fn kind(self) -> Kind {
        match self {
            Form::Binary => Kind::Binary,
            Form::Text => Kind::Text,
        }
    }

    /// Octets that a payload has at least.
    pub fn bytes_min(self) -> usize {
        match self {
            Form::Binary => BINARY_BYTES_MIN,
            Form::Text => TEXT_BYTES_MIN,
        }
    }
}

fn printable(prng: &mut Prng) -> u8 {
    loop {
        let octet = b' ' + prng.below(95) as u8;
        if !matches!(octet, b'"' | b'\\' | 127) {
            return octet;
        }
    }
}

/// Quotes as prices are sent, with apostrophes for what JSON has quotation marks for.
fn words(prng: &mut Prng, len: usize) -> Vec<u8> {
    const NAMES: [&str; 8] = ["symbol", "bid", "ask", "last", "volume", "open", "high", "low"];
    let mut out = Vec::with_capacity(len + 32);
    while out.len() < len {
        for name in NAMES {
            let number = 100_000 + prng.below(900_000);
            out.extend_from_slice(format!("'{name}':{number},").as_bytes());
        }
    }
    out.truncate(len);
    out
}

fn encode(stamp: Stamp) -> ([u8; 16], u16) {
    let who = u64::from(stamp.publisher) << 32 | u64::from(stamp.sequence);
    let time = stamp.sent_ns & ((1 << TIME_BITS) - 1);
    let check = check(who, time);
    let mut words = [0; 16];
    words[..8].copy_from_slice(&who.to_le_bytes());
    words[8..].copy_from_slice(&(time | u64::from(check) << TIME_BITS).to_le_bytes());
    (words, check)
}

fn decode(words: [u8; 16]) -> Result<(Stamp, u16), Corrupt> {
    let (who, time) = words.split_at(8);
    let who = u64::from_le_bytes(who.try_into().expect("eight octets"));
    let word = u64::from_le_bytes(time.try_into().expect("eight octets"));
    let (time, found) = (word & ((1 << TIME_BITS) - 1), (word >> TIME_BITS) as u16);
    if found != check(who, time) {
        return Err(Corrupt);
    }
    Ok((Stamp { publisher: (who >> 32) as u32, sequence: who as u32, sent_ns: time }, found))
}

/// Sixteen bits that follow from all the others.
fn check(who: u64, time: u64) -> u16 {
    let mixed = (who ^ time.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 48) as u16 ^ (mixed >> 16) as u16
}

fn to_digits(words: [u8; 16]) -> [u8; 32] {
    let mut digits = [0; 32];
    for (pair, octet) in digits.as_chunks_mut::<2>().0.iter_mut().zip(words) {
        *pair = [DIGITS[usize::from(octet >> 4)], DIGITS[usize::from(octet & 15)]];
    }
    digits
}

fn from_digits(digits: [u8; 32]) -> Result<[u8; 16], Corrupt> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(Corrupt),
    };
    let mut words = [0; 16];
    for (octet, [high, low]) in words.iter_mut().zip(digits.as_chunks::<2>().0) {
        *octet = value(*high)? << 4 | value(*low)?;
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_change_of_an_octet_is_seen(
            publisher: u32,
            sequence: u32,
            sent_ns in 0..1_u64 << TIME_BITS,
            bytes in TEXT_BYTES_MIN..300,
            at: prop::sample::Index,
            flip in 1..=255_u8,
        ) {
            let stamp = Stamp { publisher, sequence, sent_ns };
            let all = [Form::Binary, Form::Text].map(|form| {
                [(form, Filler::Random), (form, Filler::Words)]
            });
            for (form, filler) in all.into_iter().flatten() {
                let codec = Codec::new(form, bytes, filler);
                let mut payload = Vec::new();
                codec.write(&mut payload, stamp);
                prop_assert_eq!(payload.len(), bytes);
                prop_assert_eq!(codec.read(&payload), Ok(stamp));
                payload[at.index(bytes)] ^= flip;
                // Sixteen bits of check can't tell all headers apart; a change that goes unseen
                // must at least not look like the message that was sent.
                prop_assert_ne!(codec.read(&payload), Ok(stamp));
                payload.pop();
                prop_assert_eq!(codec.read(&payload), Err(Corrupt));
            }
        }
    }

    #[test]
    fn a_change_of_the_header_is_nearly_always_called_corrupt() {
        let codec = Codec::new(Form::Binary, 64, Filler::Random);
        let mut payload = Vec::new();
        codec.write(&mut payload, Stamp { publisher: 7, sequence: 99, sent_ns: 123_456_789 });
        let mut unseen = 0;
        for bit in 0..128 {
            let mut changed = payload.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            unseen += u32::from(codec.read(&changed).is_ok());
        }
        assert_eq!(unseen, 0);
    }

    #[test]
    fn a_text_can_stand_in_json() {
        for filler in [Filler::Random, Filler::Words] {
            let codec = Codec::new(Form::Text, 5000, filler);
            let mut text = Vec::new();
            codec.write(&mut text, Stamp { publisher: 1, sequence: 2, sent_ns: 3 });
            let text = String::from_utf8(text).unwrap();
            assert_eq!(serde_json::to_string(&text).unwrap(), format!("\"{text}\""));
        }
    }
}
