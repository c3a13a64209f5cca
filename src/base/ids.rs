//! Identifiers of shards and connections, and the one place where they are packed.
//!
//! `ConnId` = shard 10 | slot 22 | generation 32. A slot is reused; a generation is not (a shard
//! counts its connections and gives each the next number), so a stale identifier never names a
//! live connection.

use crate::limits::{SHARDS_MAX, SLOTS_PER_SHARD_MAX};

const SLOT_BITS: u32 = 22;
const GENERATION_BITS: u32 = 32;

const _: () = assert!(SLOTS_PER_SHARD_MAX as u64 <= 1 << SLOT_BITS);
// The number after the last shard's stands for the control plane.
const _: () = assert!((SHARDS_MAX as u64) < 1 << (64 - SLOT_BITS - GENERATION_BITS));

/// Index of a shard within the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// Index of a connection in its shard's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);

/// Which connection of those that have used a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generation(pub u32);

/// A connection within one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnKey {
    /// Where it lives.
    pub slot: Slot,
    /// Which of the slot's connections it is.
    pub generation: Generation,
}

/// A connection within the process, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId(u64);

impl ConnKey {
    /// No connection: no table hands out generation 0 for the last slot.
    pub const NOBODY: ConnKey =
        ConnKey { slot: Slot((1 << SLOT_BITS) - 1), generation: Generation(0) };
}

impl ShardId {
    /// The shard as an index into per-shard arrays.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl Slot {
    /// The slot as an index into per-slot arrays.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl ConnId {
    /// Packs a shard and a connection of it.
    pub fn new(shard: ShardId, key: ConnKey) -> Self {
        debug_assert!(u64::from(key.slot.0) < 1 << SLOT_BITS);
        let shard = u64::from(shard.0) << (SLOT_BITS + GENERATION_BITS);
        let slot = u64::from(key.slot.0) << GENERATION_BITS;
        ConnId(shard | slot | u64::from(key.generation.0))
    }

    /// The shard that owns the connection.
    pub fn shard(self) -> ShardId {
        ShardId((self.0 >> (SLOT_BITS + GENERATION_BITS)) as u16)
    }

    /// The connection within its shard.
    pub fn key(self) -> ConnKey {
        ConnKey {
            slot: Slot((self.0 >> GENERATION_BITS) as u32 & ((1 << SLOT_BITS) - 1)),
            generation: Generation(self.0 as u32),
        }
    }

    /// The packed word: unique in the life of the process.
    pub fn to_bits(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_id_gives_back_its_parts_at_the_edges() {
        for shard in [0, 1, SHARDS_MAX] {
            for slot in [0, 1, SLOTS_PER_SHARD_MAX - 1] {
                for generation in [0, 1, u32::MAX] {
                    let key = ConnKey { slot: Slot(slot), generation: Generation(generation) };
                    let id = ConnId::new(ShardId(shard), key);
                    assert_eq!((id.shard(), id.key()), (ShardId(shard), key));
                }
            }
        }
    }
}
