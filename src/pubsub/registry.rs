//! The topics that connections of this shard subscribe to, and who they are.
//!
//! Owns memberships and the messages that wait for the fan-out. Sends nothing: it says when the
//! home has to be told, and gives the shard a batch and its members to walk.
//!
//! Invariants:
//! - R1 a member's entry in its subscription list names its place in `members`, and back;
//! - R2 while a batch is being walked no member changes its place (a leaver becomes a tombstone)
//!   and nobody joins, so each member gets the whole batch once;
//! - R3 a joiner is let in between two batches and told the offset of the last one: the next
//!   message it gets has the next offset;
//! - R4 after `Release` the topic's place is not reused before `Released`, so a delivery that was
//!   under way can't reach another topic.

#[cfg(any(test, feature = "sim"))]
mod audit;
mod tuning;

use std::collections::VecDeque;

use bytes::Bytes;
use slab::Slab;

use super::NameIndex;
use super::envelope::{Epoch, HomeTopic, LocalTopic, Position, Refusal, Token, TopicStay};
use super::memberships::{JOINING, Memberships};
use super::policy::SlowConsumer;
use super::press::keep;
use crate::base::{ConnKey, Slot};
use crate::limits::{BATCH_BYTES_MAX, BATCH_MESSAGES_MAX, STAGED_SHARED_BYTES_MAX};

/// A place in `members` whose connection has left while a batch was being walked.
pub const TOMBSTONE: u32 = u32::MAX;

struct Topic {
    name: Box<str>,
    stay: TopicStay,
    policy: SlowConsumer,
    state: State,
    members: Vec<u32>,
    joining: Vec<Joiner>,
    /// Being walked, with `cursor` saying how far.
    batch: Vec<Bytes>,
    cursor: u32,
    tombstones: u32,
    /// Offset of the last message of the last batch.
    batched: u64,
    /// Waiting for the next batch.
    staged: Vec<Bytes>,
    is_dirty: bool,
    is_leaving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The home has been asked.
    Registering,
    /// Messages come; `received` is the offset of the last.
    Live { home: HomeTopic, epoch: Epoch, received: u64 },
    /// The home has been told that nobody is left.
    Releasing,
}

/// Somebody who is about to become a member.
#[derive(Debug)]
pub struct Joiner {
    /// Who.
    pub conn: ConnKey,
    /// What to give back with the answer.
    pub token: Token,
}

/// What has to be done after a subscription was taken down.
#[derive(Debug, PartialEq, Eq)]
pub enum Subscribing {
    /// Nothing: the answer comes with a later fan-out.
    Waits,
    /// Tell the topic's home.
    NeedsInterest(LocalTopic),
}

/// What to do with a topic whose interest is gone.
#[derive(Debug, PartialEq, Eq)]
pub enum Released {
    /// It is forgotten.
    Forgotten,
    /// Somebody came in the meantime: ask the home again.
    NeedsInterest,
}

/// See the module's header.
pub struct Registry {
    topics: Slab<Topic>,
    by_name: NameIndex,
    /// First come, first served: who was not finished goes to the end.
    dirty: VecDeque<u32>,
    /// Octets of all staged messages.
    staged_bytes: usize,
    leaving: Vec<u32>,
    topics_max: usize,
    /// Topics that have come so far.
    stays: u32,
    memberships: Memberships,
}

impl Registry {
    /// For connections in `slots` slots that subscribe to at most `topics_max` different topics.
    pub fn new(slots: u32, topics_max: usize) -> Self {
        Registry {
            topics: Slab::new(),
            by_name: NameIndex::default(),
            dirty: VecDeque::new(),
            staged_bytes: 0,
            leaving: Vec::new(),
            topics_max,
            stays: 0,
            memberships: Memberships::new(slots),
        }
    }

    /// How many topics have subscribers here.
    pub fn topics(&self) -> usize {
        self.topics.len()
    }

    /// How many memberships there are, those still joining included.
    pub fn memberships(&self) -> usize {
        self.memberships.count()
    }

    /// How many topics one connection subscribes to.
    pub fn subscriptions_of(&self, slot: Slot) -> usize {
        self.memberships.of(slot)
    }

    /// True when the connection subscribes to the topic already, or is about to.
    pub fn is_subscribed(&mut self, slot: Slot, name: &str) -> bool {
        let index = self.by_name.get(name).copied();
        index.is_some_and(|index| self.memberships.place(slot, index).is_some())
    }

    /// The first `limit` topics by name that begin with `prefix`, and how many subscribe to each.
    pub fn list(&self, prefix: &str, limit: usize) -> Vec<(Box<str>, u32)> {
        let matching = self.topics.iter().filter(|(_, topic)| topic.name.starts_with(prefix));
        let count = |topic: &Topic| topic.members.len() as u32 - topic.tombstones;
        let mut list: Vec<_> = matching.map(|(_, t)| (t.name.clone(), count(t))).collect();
        list.sort_unstable();
        list.truncate(limit);
        list
    }

    /// How many subscribe to a topic.
    pub fn subscribers(&self, name: &str) -> u32 {
        let topic = self.by_name.get(name).map(|index| &self.topics[*index as usize]);
        topic.map_or(0, |topic| topic.members.len() as u32 - topic.tombstones)
    }

    /// True when a subscription to the topic needs no message to its home.
    pub fn knows(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The topic's name.
    pub fn name(&self, topic: LocalTopic) -> &str {
        &self.topics[topic.0 as usize].name
    }

    /// Which stay of the topic it is: what waits for slow connections is known by it, and may wait
    /// longer than the topic stays.
    pub fn stay(&self, topic: LocalTopic) -> TopicStay {
        self.topics[topic.0 as usize].stay
    }

    /// What becomes of its slow subscribers.
    pub fn policy(&self, topic: LocalTopic) -> SlowConsumer {
        self.topics[topic.0 as usize].policy
    }

    /// Takes down that a connection wants a topic. Somebody who has it already is only answered.
    pub fn subscribe(
        &mut self,
        joiner: Joiner,
        name: &str,
        policy: SlowConsumer,
    ) -> Result<Subscribing, Refusal> {
        let slot = joiner.conn.slot;
        let (index, is_new) = match self.by_name.get(name) {
            Some(&index) => (index, false),
            None if self.topics.len() >= self.topics_max => return Err(Refusal::TopicsExhausted),
            None => (self.insert(name, policy), true),
        };
        if self.memberships.place(slot, index).is_none() {
            self.memberships.add(slot, index);
        }
        let topic = &mut self.topics[index as usize];
        topic.joining.push(joiner);
        if let State::Live { .. } = topic.state {
            self.mark_dirty(index);
        }
        if is_new {
            Ok(Subscribing::NeedsInterest(LocalTopic(index)))
        } else {
            Ok(Subscribing::Waits)
        }
    }

    /// Ends one subscription. False when there was none.
    pub fn unsubscribe(&mut self, slot: Slot, name: &str) -> bool {
        let Some(&index) = self.by_name.get(name) else { return false };
        let Some(place) = self.memberships.place(slot, index) else { return false };
        self.memberships.remove(slot, index);
        self.leave(slot, index, place);
        true
    }

    /// Ends all subscriptions of a connection.
    pub fn unsubscribe_all(&mut self, slot: Slot) {
        while let Some((topic, place)) = self.memberships.take_any(slot) {
            self.leave(slot, topic, place);
        }
    }

    /// The home has answered. On a refusal the joiners are given back, to be told.
    pub fn interested(
        &mut self,
        topic: LocalTopic,
        result: Result<(HomeTopic, Position), Refusal>,
    ) -> Result<(), (Refusal, Vec<Joiner>)> {
        let entry = &mut self.topics[topic.0 as usize];
        assert_eq!(entry.state, State::Registering);
        match result {
            Ok((home, Position { epoch, offset })) => {
                entry.state = State::Live { home, epoch, received: offset };
                entry.batched = offset;
                self.mark_dirty(topic.0);
                self.mark_leaving_if_empty(topic.0);
                Ok(())
            }
            Err(refusal) => {
                let joiners = std::mem::take(&mut entry.joining);
                for joiner in &joiners {
                    self.memberships.remove(joiner.conn.slot, topic.0);
                }
                self.forget(topic.0);
                Err((refusal, joiners))
            }
        }
    }

    /// A message has come from the home. Of a backlog only the beginning may share memory with
    /// what has gone (P1 of `press`): the rest is copied, so that what is staged holds little more
    /// than it is counted for.
    pub fn deliver(&mut self, topic: LocalTopic, offset: u64, frame: Bytes) {
        let entry = &mut self.topics[topic.0 as usize];
        match &mut entry.state {
            State::Live { received, .. } => {
                assert_eq!(offset, *received + 1, "lanes keep order, so offsets are dense");
                *received = offset;
                self.staged_bytes += frame.len();
                let may_wait = self.staged_bytes > STAGED_SHARED_BYTES_MAX;
                entry.staged.push(if may_wait { keep(&frame) } else { frame });
                self.mark_dirty(topic.0);
            }
            State::Releasing => {}
            State::Registering => panic!("a delivery before the registration"),
        }
    }

    /// The home has forgotten our interest.
    pub fn released(&mut self, topic: LocalTopic) -> Released {
        let entry = &mut self.topics[topic.0 as usize];
        assert_eq!(entry.state, State::Releasing);
        if entry.joining.is_empty() {
            self.forget(topic.0);
            Released::Forgotten
        } else {
            entry.state = State::Registering;
            Released::NeedsInterest
        }
    }

    /// The next topic that has lost its last subscriber and whose home does not know yet.
    pub fn next_leaving(&mut self) -> Option<(LocalTopic, HomeTopic)> {
        while let Some(&index) = self.leaving.last() {
            let topic = &mut self.topics[index as usize];
            if let State::Live { home, .. } = topic.state
                && topic.members.is_empty()
                && topic.joining.is_empty()
            {
                return Some((LocalTopic(index), home));
            }
            topic.is_leaving = false;
            self.leaving.pop();
        }
        None
    }

    /// The home of the topic that `next_leaving` gave has been told.
    pub fn leave_sent(&mut self, topic: LocalTopic) {
        assert_eq!(self.leaving.pop(), Some(topic.0));
        let entry = &mut self.topics[topic.0 as usize];
        entry.is_leaving = false;
        entry.state = State::Releasing;
        self.staged_bytes -= entry.staged.iter().map(Bytes::len).sum::<usize>();
        entry.staged.clear();
        entry.batch.clear();
        if std::mem::take(&mut entry.is_dirty) {
            self.dirty.retain(|other| *other != topic.0);
        }
    }

    /// The next topic with something to fan out. `None` when all is done.
    pub fn next_dirty(&self) -> Option<LocalTopic> {
        self.dirty.front().map(|index| LocalTopic(*index))
    }

    /// Between two batches: lets the joiners of the topic in, who are given back with the position
    /// to tell them. They get whatever is staged, so who subscribes and publishes in one breath
    /// hears itself.
    pub fn admit(&mut self, topic: LocalTopic) -> (Position, Vec<Joiner>) {
        let entry = &mut self.topics[topic.0 as usize];
        let State::Live { epoch, .. } = entry.state else {
            panic!("only a live topic is dirty");
        };
        let position = Position { epoch, offset: entry.batched };
        if !entry.batch.is_empty() {
            return (position, Vec::new());
        }
        let joiners = std::mem::take(&mut entry.joining);
        for joiner in &joiners {
            self.join(joiner.conn.slot, topic.0);
        }
        (position, joiners)
    }

    /// Makes the next batch of what is staged, unless one is being walked.
    pub fn begin(&mut self, topic: LocalTopic) {
        let topic = &mut self.topics[topic.0 as usize];
        if !topic.batch.is_empty() {
            return;
        }
        let mut octets = 0;
        let fits = topic.staged.iter().take(BATCH_MESSAGES_MAX).take_while(|frame| {
            let is_first = octets == 0;
            octets += frame.len();
            is_first || octets <= BATCH_BYTES_MAX
        });
        let messages = fits.count();
        topic.batch.extend(topic.staged.drain(..messages));
        topic.batched += messages as u64;
        self.staged_bytes -= topic.batch.iter().map(Bytes::len).sum::<usize>();
    }

    /// The batch of the topic that `next_dirty` gave, and the members who do not have it yet,
    /// as slots with [`TOMBSTONE`]s between them.
    pub fn batch(&self, topic: LocalTopic) -> (&[Bytes], &[u32]) {
        let topic = &self.topics[topic.0 as usize];
        (&topic.batch, &topic.members[topic.cursor as usize..])
    }

    /// The first `places` of the members ahead have been passed, and there are more.
    pub fn pass(&mut self, topic: LocalTopic, places: usize) {
        self.topics[topic.0 as usize].cursor += places as u32;
    }

    /// Every member has the batch: takes it away.
    pub fn finish(&mut self, topic: LocalTopic) {
        self.compact(topic.0);
        let entry = &mut self.topics[topic.0 as usize];
        entry.batch.clear();
        entry.cursor = 0;
        if entry.staged.is_empty() && entry.joining.is_empty() {
            entry.is_dirty = false;
            assert_eq!(self.dirty.pop_front(), Some(topic.0));
        }
    }

    /// Puts the topic that `next_dirty` gave behind the others.
    pub fn rotate(&mut self) {
        if self.dirty.len() > 1 {
            self.dirty.rotate_left(1);
        }
    }

    /// Octets that wait for their fan-out.
    pub fn staged_bytes(&self) -> usize {
        self.staged_bytes
    }

    /// True when a home has still to be told that nobody is left.
    pub fn has_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// True when a fan-out is waiting.
    pub fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    fn join(&mut self, slot: Slot, index: u32) {
        if self.memberships.place(slot, index) == Some(JOINING) {
            let topic = &mut self.topics[index as usize];
            topic.members.push(slot.0);
            let place = topic.members.len() as u32 - 1;
            self.memberships.set_place(slot.0, index, place);
        }
    }

    fn insert(&mut self, name: &str, policy: SlowConsumer) -> u32 {
        self.stays = self.stays.wrapping_add(1);
        let topic = Topic {
            name: name.into(),
            stay: TopicStay(self.stays),
            policy,
            state: State::Registering,
            members: Vec::new(),
            joining: Vec::new(),
            batch: Vec::new(),
            cursor: 0,
            tombstones: 0,
            batched: 0,
            staged: Vec::new(),
            is_dirty: false,
            is_leaving: false,
        };
        let index = self.topics.insert(topic) as u32;
        self.by_name.insert(name.into(), index);
        index
    }

    fn forget(&mut self, index: u32) {
        let topic = self.topics.remove(index as usize);
        self.by_name.remove(&topic.name);
        if topic.is_dirty {
            self.dirty.retain(|other| *other != index);
        }
        if topic.is_leaving {
            self.leaving.retain(|other| *other != index);
        }
    }

    fn mark_dirty(&mut self, index: u32) {
        let topic = &mut self.topics[index as usize];
        if !topic.is_dirty {
            topic.is_dirty = true;
            self.dirty.push_back(index);
        }
    }

    fn mark_leaving_if_empty(&mut self, index: u32) {
        let topic = &mut self.topics[index as usize];
        let is_empty = topic.members.is_empty() && topic.joining.is_empty();
        if is_empty && !topic.is_leaving && matches!(topic.state, State::Live { .. }) {
            topic.is_leaving = true;
            self.leaving.push(index);
        }
    }

    /// Takes a connection out of a topic's members or joiners.
    fn leave(&mut self, slot: Slot, index: u32, place: u32) {
        let topic = &mut self.topics[index as usize];
        topic.joining.retain(|joiner| joiner.conn.slot != slot);
        if place != JOINING {
            if topic.cursor > 0 {
                topic.members[place as usize] = TOMBSTONE;
                topic.tombstones += 1;
                if topic.tombstones as usize == topic.members.len() {
                    topic.members.clear();
                    topic.tombstones = 0;
                    topic.cursor = 0;
                }
            } else {
                topic.members.swap_remove(place as usize);
                if let Some(&moved) = topic.members.get(place as usize) {
                    self.memberships.set_place(moved, index, place);
                }
            }
        }
        self.mark_leaving_if_empty(index);
    }

    fn compact(&mut self, index: u32) {
        let topic = &mut self.topics[index as usize];
        if topic.tombstones == 0 {
            return;
        }
        topic.tombstones = 0;
        topic.members.retain(|member| *member != TOMBSTONE);
        for place in 0..self.topics[index as usize].members.len() {
            let member = self.topics[index as usize].members[place];
            self.memberships.set_place(member, index, place as u32);
        }
    }
}
