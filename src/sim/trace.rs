//! What a run was, as one number; and, for who replays it, as text.
//!
//! Mixed in, in the order in which it happened: the kind of each fact and whom it is about, the
//! kind of each order, every octet that a shard sent at once and that a client got. Two runs of one
//! seed with the same hash were the same run.

use std::fmt::Arguments;
use std::hash::{DefaultHasher, Hash, Hasher};

/// See the module's header.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    hash: u64,
    /// Whether it is printed as well.
    pub prints: bool,
}

impl Trace {
    /// The number so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Takes in a number.
    pub fn mix(&mut self, word: u64) {
        let mixed = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.hash = mixed ^ (mixed >> 29);
    }

    /// Takes in which of its kinds a value is.
    pub fn mix_kind<T>(&mut self, value: &T) {
        let mut hasher = DefaultHasher::new();
        std::mem::discriminant(value).hash(&mut hasher);
        self.mix(hasher.finish());
    }

    /// Takes in octets.
    pub fn mix_octets(&mut self, octets: &[u8]) {
        let (words, rest) = octets.as_chunks::<8>();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        let tail = rest.iter().fold(rest.len() as u64, |sum, octet| sum << 8 | u64::from(*octet));
        self.mix(tail);
    }

    /// A line for who reads along.
    pub fn say(&mut self, line: Arguments<'_>) {
        if self.prints {
            println!("{line}");
        }
    }
}
