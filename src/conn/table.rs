//! The connections of one shard, by slot.
//!
//! Owns a slab sized once at start (memory is touched as slots are used) and the generation
//! counter. Invariant T1: a key names a connection only as long as it lives; no generation is used
//! twice before 2^32 connections have come and gone.

use slab::Slab;

use super::link::Link;
use super::phase::Phase;
use crate::base::{ConnKey, Generation, Slot, Tick};
use crate::ring::{FileSlot, PeerAddr};
use crate::ws::protocol::Protocol;

/// What a connection's phase owns. Each phase has its own payload and no other.
#[derive(Debug)]
pub enum Stage {
    /// What has come of the request head.
    Upgrading {
        /// Where it did not come in one piece.
        head: Option<Box<PartialHead>>,
        /// When the connection was accepted: milliseconds of the monotonic clock, the low half.
        since_ms: u32,
    },
    /// The receiving side of the protocol.
    Open { protocol: Protocol },
    /// The same, waiting for the peer's close frame.
    Closing { protocol: Protocol },
    /// Nothing.
    Ended,
}

/// The octets of a request head that came in pieces. Boxed where it is kept: one word in the slot
/// of every connection, instead of three.
#[derive(Debug, Default)]
pub struct PartialHead(pub Vec<u8>);

/// One connection.
#[derive(Debug)]
pub struct Conn {
    /// How to reach it.
    pub link: Link,
    /// Its phase and what that owns.
    pub stage: Stage,
}

// Connection state is the price of an idle connection; a million of them are planned with this.
const _: () = assert!(size_of::<Conn>() <= 96);

impl Stage {
    /// The phase alone.
    pub fn phase(&self) -> Phase {
        match self {
            Stage::Upgrading { .. } => Phase::Upgrading,
            Stage::Open { .. } => Phase::Open,
            Stage::Closing { .. } => Phase::Closing,
            Stage::Ended => Phase::Ended,
        }
    }

    /// A message is not all inflated yet, and what came after it waits.
    pub fn is_stalled(&self) -> bool {
        match self {
            Stage::Open { protocol } | Stage::Closing { protocol } => protocol.is_stalled(),
            Stage::Upgrading { .. } | Stage::Ended => false,
        }
    }

    /// Heap octets held for an unfinished message.
    pub fn partial_bytes(&self) -> usize {
        match self {
            Stage::Open { protocol } | Stage::Closing { protocol } => protocol.partial_bytes(),
            Stage::Upgrading { .. } | Stage::Ended => 0,
        }
    }
}

/// See the module's header.
pub struct Table {
    conns: Slab<Conn>,
    slots: u32,
    generation: u32,
}

impl Table {
    /// A table with room for `slots` connections.
    pub fn new(slots: u32) -> Self {
        Table { conns: Slab::with_capacity(slots as usize), slots, generation: 0 }
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.conns.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.conns.is_empty()
    }

    /// Takes in a connection; `None` when the table is full.
    pub fn insert(&mut self, file: FileSlot, peer: PeerAddr, now: Tick) -> Option<ConnKey> {
        if self.conns.len() >= self.slots as usize {
            return None;
        }
        self.generation = self.generation.wrapping_add(1);
        let entry = self.conns.vacant_entry();
        let key =
            ConnKey { slot: Slot(entry.key() as u32), generation: Generation(self.generation) };
        let stage = Stage::Upgrading { head: None, since_ms: 0 };
        entry.insert(Conn { link: Link::new(key, file, peer, now), stage });
        Some(key)
    }

    /// The connection, if it is still the one that the key was made for.
    pub fn get(&self, key: ConnKey) -> Option<&Conn> {
        self.conns.get(key.slot.index()).filter(|conn| conn.link.key == key)
    }

    /// See [`Self::get`].
    pub fn get_mut(&mut self, key: ConnKey) -> Option<&mut Conn> {
        self.conns.get_mut(key.slot.index()).filter(|conn| conn.link.key == key)
    }

    /// The connection in a slot that is known to be taken.
    pub fn at_mut(&mut self, slot: Slot) -> &mut Conn {
        &mut self.conns[slot.index()]
    }

    /// The key of the connection in a slot, if it is taken.
    pub fn key_at(&self, slot: Slot) -> Option<ConnKey> {
        self.conns.get(slot.index()).map(|conn| conn.link.key)
    }

    /// Frees a slot.
    pub fn remove(&mut self, key: ConnKey) -> Conn {
        assert!(self.get(key).is_some(), "T1: only what lives is removed");
        self.conns.remove(key.slot.index())
    }

    /// The keys of the connections in slots from `slot` on, in the order of their slots.
    pub fn keys_from(&self, slot: u32) -> impl Iterator<Item = ConnKey> {
        let slots = slot as usize..self.conns.capacity();
        slots.filter_map(|slot| self.conns.get(slot).map(|conn| conn.link.key))
    }

    /// All connections.
    pub fn iter(&self) -> impl Iterator<Item = &Conn> {
        self.conns.iter().map(|(_, conn)| conn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_key_does_not_name_the_next_connection_of_its_slot() {
        let mut table = Table::new(1);
        let old = table.insert(FileSlot(0), PeerAddr::Unknown, Tick(0)).unwrap();
        assert!(table.insert(FileSlot(1), PeerAddr::Unknown, Tick(0)).is_none(), "full");
        table.remove(old);
        let new = table.insert(FileSlot(2), PeerAddr::Unknown, Tick(0)).unwrap();
        assert_eq!(new.slot, old.slot);
        assert!(table.get(old).is_none());
        assert_eq!(table.get(new).unwrap().link.file, FileSlot(2));
    }
}
