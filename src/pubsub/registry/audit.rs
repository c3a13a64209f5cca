//! Whether a registry's accounts agree with each other: looked at by tests, from outside of a turn.

use bytes::Bytes;

use super::{JOINING, Registry, State, TOMBSTONE};
use crate::base::Slot;

impl Registry {
    /// Counts everything once more and compares. Panics where something is wrong. There were
    /// `topics_before` when this was looked at last: what is over a limit that was lowered stays.
    pub fn audit(&mut self, topics_before: usize) {
        let indices: Vec<u32> = self.topics.iter().map(|(index, _)| index as u32).collect();
        let mut memberships = 0;
        for index in &indices {
            memberships += self.audit_members(*index);
            self.audit_state(*index);
        }
        assert_eq!(memberships, self.memberships(), "memberships");
        let staged = self.topics.iter().flat_map(|(_, topic)| topic.staged.iter());
        assert_eq!(staged.map(Bytes::len).sum::<usize>(), self.staged_bytes, "staged octets");
        let dirty = self.topics.iter().filter(|(_, topic)| topic.is_dirty).count();
        assert_eq!(dirty, self.dirty.len(), "dirty topics");
        let leaving = self.topics.iter().filter(|(_, topic)| topic.is_leaving).count();
        assert_eq!(leaving, self.leaving.len(), "leaving topics");
        assert_eq!(self.by_name.len(), self.topics.len(), "names");
        let most = self.topics_max.max(topics_before);
        assert!(self.topics.len() <= most, "more topics than there may be");
    }

    /// R1, for one topic; gives how many memberships there are.
    fn audit_members(&mut self, index: u32) -> usize {
        let topic = &self.topics[index as usize];
        let (members, cursor) = (topic.members.clone(), topic.cursor as usize);
        let tombstones = members.iter().filter(|member| **member == TOMBSTONE).count();
        assert_eq!(tombstones, topic.tombstones as usize, "tombstones");
        assert!(cursor <= members.len(), "the walk is past the end");
        let mut joining: Vec<u32> = topic.joining.iter().map(|joiner| joiner.conn.slot.0).collect();
        for (place, member) in members.iter().enumerate().filter(|(_, m)| **m != TOMBSTONE) {
            let known = self.memberships.place(Slot(*member), index);
            assert_eq!(known, Some(place as u32), "R1: a member's place");
        }
        // A member that subscribes again joins as well, and is no new membership.
        joining.sort_unstable();
        joining.dedup();
        joining.retain(|slot| {
            let place = self.memberships.place(Slot(*slot), index);
            place.expect("a joiner has an entry") == JOINING
        });
        members.len() - tombstones + joining.len()
    }

    fn audit_state(&self, index: u32) {
        let topic = &self.topics[index as usize];
        let is_empty = topic.members.is_empty() && topic.joining.is_empty();
        match topic.state {
            State::Live { received, .. } => {
                let known = topic.batched + topic.staged.len() as u64;
                assert_eq!(known, received, "each message is batched or staged");
                assert!(topic.is_leaving || !is_empty, "nobody is left, and nobody is told");
            }
            State::Registering | State::Releasing => {
                assert_eq!(topic.members.len(), topic.tombstones as usize, "members too early");
                assert!(topic.staged.is_empty() && topic.batch.is_empty(), "messages too early");
            }
        }
        let is_done = topic.staged.is_empty() && topic.batch.is_empty();
        assert!(topic.is_dirty || is_done, "messages that nobody will fan out");
    }
}
