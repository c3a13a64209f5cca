//! Which topics each connection of a shard subscribes to, and its place among their members.
//!
//! Owns one entry per slot for the first membership, and a list for those who have more. Knows
//! topics as indices only. A connection with one subscription costs eight octets here.

use std::collections::HashMap;

use crate::base::Slot;

/// The place of somebody who is about to become a member.
pub(super) const JOINING: u32 = u32::MAX;

/// A topic and the place among its members, as `[topic + 1, place]`: integers, so that the zeroed
/// memory of the first entries comes untouched.
type Entry = [u32; 2];

/// See the module's header.
pub(super) struct Memberships {
    first: Vec<Entry>,
    rest: HashMap<u32, Vec<Entry>, foldhash::fast::RandomState>,
    count: usize,
}

impl Memberships {
    pub(super) fn new(slots: u32) -> Self {
        Memberships { first: vec![[0; 2]; slots as usize], rest: HashMap::default(), count: 0 }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many one connection has.
    pub(super) fn of(&self, slot: Slot) -> usize {
        let first = usize::from(self.first[slot.index()][0] != 0);
        first + self.rest.get(&slot.0).map_or(0, Vec::len)
    }

    /// Takes down that a connection is about to join a topic.
    pub(super) fn add(&mut self, slot: Slot, topic: u32) {
        self.count += 1;
        let first = &mut self.first[slot.index()];
        if first[0] == 0 {
            *first = [topic + 1, JOINING];
        } else {
            self.rest.entry(slot.0).or_default().push([topic + 1, JOINING]);
        }
    }

    /// Forgets one membership, if there is one.
    pub(super) fn remove(&mut self, slot: Slot, topic: u32) {
        if self.first[slot.index()][0] == topic + 1 {
            self.first[slot.index()] = [0; 2];
            self.count -= 1;
        } else if let Some(rest) = self.rest.get_mut(&slot.0)
            && let Some(at) = rest.iter().position(|entry| entry[0] == topic + 1)
        {
            rest.swap_remove(at);
            if rest.is_empty() {
                self.rest.remove(&slot.0);
            }
            self.count -= 1;
        }
    }

    /// Takes one membership of a connection away: its topic and place.
    pub(super) fn take_any(&mut self, slot: Slot) -> Option<(u32, u32)> {
        let first = std::mem::take(&mut self.first[slot.index()]);
        let [topic, place] = if first[0] != 0 {
            first
        } else {
            let rest = self.rest.get_mut(&slot.0)?;
            let entry = rest.pop().expect("an empty list is not kept");
            if rest.is_empty() {
                self.rest.remove(&slot.0);
            }
            entry
        };
        self.count -= 1;
        Some((topic - 1, place))
    }

    /// The connection's place among the members of a topic, if it is one or about to be.
    pub(super) fn place(&mut self, slot: Slot, topic: u32) -> Option<u32> {
        self.entry(slot.0, topic).map(|entry| entry[1])
    }

    /// A member has moved.
    pub(super) fn set_place(&mut self, slot: u32, topic: u32, place: u32) {
        self.entry(slot, topic).expect("R1: a member has an entry")[1] = place;
    }

    fn entry(&mut self, slot: u32, topic: u32) -> Option<&mut Entry> {
        if self.first[slot as usize][0] == topic + 1 {
            return Some(&mut self.first[slot as usize]);
        }
        self.rest.get_mut(&slot)?.iter_mut().find(|entry| entry[0] == topic + 1)
    }
}
