//! The receives that the kernel holds.
//!
//! Knows them by name, so that a driver that goes away can end them one by one: told to end all,
//! the kernel looks at every one that it has ended already before it finds the next, which takes
//! the core for seconds when there are thousands, and for hours when there are a million.
//!
//! Invariant: A1 a slot has at most one receive (O1), and [`Armed::end`] is called for its last
//! completion.

use crate::base::{ConnKey, Generation, Slot};

/// See the module's header.
pub(super) struct Armed {
    /// By slot, the generation of the connection; 0 is nobody. A connection of generation 0 is
    /// counted and not named.
    generations: Vec<u32>,
    count: u64,
}

impl Armed {
    /// For connections of this many slots; memory is touched as slots are used.
    pub(super) fn new(slots: u32) -> Self {
        Armed { generations: Vec::with_capacity(slots as usize), count: 0 }
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.count
    }

    /// A receive was ordered.
    pub(super) fn begin(&mut self, conn: ConnKey) {
        let index = conn.slot.index();
        if self.generations.len() <= index {
            self.generations.resize(index + 1, 0);
        }
        self.generations[index] = conn.generation.0;
        self.count += 1;
    }

    /// Its last completion has come.
    pub(super) fn end(&mut self, conn: ConnKey) {
        self.generations[conn.slot.index()] = 0;
        self.count -= 1;
    }

    /// Whose they are.
    pub(super) fn keys(&self) -> impl Iterator<Item = ConnKey> {
        let named = self.generations.iter().enumerate().filter(|(_, generation)| **generation != 0);
        named.map(|(slot, generation)| ConnKey {
            slot: Slot(slot as u32),
            generation: Generation(*generation),
        })
    }
}
