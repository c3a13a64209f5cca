//! The topics whose home this shard is: their sequence and who is interested.
//!
//! Owns offsets and epochs. Never sees a connection: it counts interest by shard.
//!
//! Invariants: H1 offsets of an epoch are dense and start at 1; H2 a topic with interest is never
//! evicted; H3 a topic is in the idle list exactly when it has no interest; H4 an epoch is never
//! used twice.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;

use slab::Slab;

use super::NameIndex;
use super::envelope::{
    BusyTopic, Epoch, HomeTopic, LocalTopic, Parcel, Position, Refusal, TopicSummary,
};
use crate::base::ShardId;
use crate::base::prng::Prng;

const NONE: u32 = u32::MAX;

/// One topic at home.
struct Topic {
    name: Box<str>,
    epoch: Epoch,
    offset: u64,
    /// The offset when the busiest topics were last asked for.
    looked_at: u64,
    interest: Vec<Interest>,
    idle: Idle,
}

/// A shard that has subscribers of the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// The shard.
    pub shard: ShardId,
    /// What it calls the topic.
    pub local: LocalTopic,
}

/// Links of the idle list, oldest first.
#[derive(Clone, Copy)]
struct Idle {
    since_ms: u64,
    older: u32,
    newer: u32,
}

/// See the module's header.
pub struct Home {
    topics: Slab<Topic>,
    by_name: NameIndex,
    /// The topic that was last looked for: the next message is likely to be of the same. Only a
    /// guess, which is compared with the name.
    recent: u32,
    oldest: u32,
    newest: u32,
    topics_max: usize,
    idle_ms_max: u64,
    epochs: Prng,
}

impl Home {
    /// A home for at most `topics_max` topics, which forgets one that nobody is interested in once
    /// `idle_ms_max` have passed since its last message.
    pub fn new(topics_max: usize, idle_ms_max: u64, seed: u64) -> Self {
        Home {
            topics: Slab::new(),
            by_name: Default::default(),
            recent: NONE,
            oldest: NONE,
            newest: NONE,
            topics_max,
            idle_ms_max,
            epochs: Prng::new(seed),
        }
    }

    /// How many topics may live here from now on. Those that do stay, even when they are more.
    pub fn set_topics_max(&mut self, topics_max: usize) {
        self.topics_max = topics_max;
    }

    /// The topic's name.
    pub fn name(&self, topic: HomeTopic) -> &str {
        &self.topics[topic.0 as usize].name
    }

    /// How many topics live here.
    pub fn len(&self) -> usize {
        self.topics.len()
    }

    /// True when no topic lives here.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Finds the topic or makes it.
    pub fn open(&mut self, name: &str, now_ms: u64) -> Result<HomeTopic, Refusal> {
        if let Some(&index) = self.by_name.get(name) {
            return Ok(HomeTopic(index));
        }
        if self.topics.len() >= self.topics_max && !self.evict_oldest() {
            return Err(Refusal::TopicsExhausted);
        }
        let idle = Idle { since_ms: now_ms, older: NONE, newer: NONE };
        let epoch = Epoch(self.epochs.next_u64());
        let (offset, interest) = (0, Vec::new());
        let topic = Topic { name: name.into(), epoch, offset, looked_at: 0, interest, idle };
        let index = self.topics.insert(topic) as u32;
        self.by_name.insert(name.into(), index);
        self.idle_push(index, now_ms);
        Ok(HomeTopic(index))
    }

    /// Finds a parcel's topic, if it is there.
    #[inline]
    pub fn find(&mut self, parcel: &Parcel) -> Option<HomeTopic> {
        let recent = self.topics.get(self.recent as usize);
        if recent.is_some_and(|topic| topic.name.as_bytes() == parcel.topic_octets()) {
            return Some(HomeTopic(self.recent));
        }
        let index = *self.by_name.get(parcel.topic())?;
        self.recent = index;
        Some(HomeTopic(index))
    }

    /// The shards that want the topic's messages.
    pub fn interest(&self, topic: HomeTopic) -> &[Interest] {
        &self.topics[topic.0 as usize].interest
    }

    /// Gives the next message its place.
    pub fn sequence(&mut self, topic: HomeTopic, now_ms: u64) -> Position {
        let entry = &mut self.topics[topic.0 as usize];
        entry.offset += 1;
        let position = Position { epoch: entry.epoch, offset: entry.offset };
        if entry.interest.is_empty() {
            self.idle_remove(topic.0);
            self.idle_push(topic.0, now_ms);
        }
        position
    }

    /// Registers that a shard has subscribers; from now on it gets every message.
    pub fn register(&mut self, topic: HomeTopic, interest: Interest) -> Position {
        let entry = &mut self.topics[topic.0 as usize];
        let known = entry.interest.iter().any(|i| i.shard == interest.shard);
        assert!(!known, "a shard registers its interest once");
        entry.interest.push(interest);
        let position = Position { epoch: entry.epoch, offset: entry.offset };
        if entry.interest.len() == 1 {
            self.idle_remove(topic.0);
        }
        position
    }

    /// A shard has no subscribers any more.
    pub fn release(&mut self, topic: HomeTopic, shard: ShardId, now_ms: u64) {
        let entry = &mut self.topics[topic.0 as usize];
        let before = entry.interest.len();
        entry.interest.retain(|interest| interest.shard != shard);
        assert_eq!(entry.interest.len() + 1, before, "only what was registered is released");
        if entry.interest.is_empty() {
            self.idle_push(topic.0, now_ms);
        }
    }

    /// Shards that want something, counted once for each topic.
    #[cfg(any(test, feature = "sim"))]
    pub fn interests(&self) -> usize {
        self.topics.iter().map(|(_, topic)| topic.interest.len()).sum()
    }

    /// Forgets topics that have been idle for too long, at most `budget` of them.
    pub fn expire(&mut self, now_ms: u64, budget: usize) {
        for _ in 0..budget {
            let Some(topic) = self.topics.get(self.oldest as usize) else { return };
            if topic.idle.since_ms + self.idle_ms_max > now_ms {
                return;
            }
            self.evict_oldest();
        }
    }

    /// The first `limit` topics by name that begin with `prefix`.
    pub fn list(&self, prefix: &str, limit: usize) -> Vec<TopicSummary> {
        let matching = self.topics.iter().filter(|(_, topic)| topic.name.starts_with(prefix));
        let summary = |(_, topic): (usize, &Topic)| TopicSummary {
            topic: topic.name.clone(),
            position: Position { epoch: topic.epoch, offset: topic.offset },
        };
        let mut list: Vec<TopicSummary> = matching.map(summary).collect();
        list.sort_unstable_by(|a, b| a.topic.cmp(&b.topic));
        list.truncate(limit);
        list
    }

    /// The `limit` topics that have had most messages since this was asked last, busiest first.
    /// Among equals those come first that have had most messages at all.
    pub fn busiest(&mut self, limit: usize) -> Vec<BusyTopic> {
        let mut best = BinaryHeap::with_capacity(limit + 1);
        for (index, topic) in &mut self.topics {
            let grown = topic.offset - std::mem::replace(&mut topic.looked_at, topic.offset);
            best.push(Reverse((grown, topic.offset, index)));
            if best.len() > limit {
                best.pop();
            }
        }
        let shown = |Reverse((grown, offset, index)): &Reverse<(u64, u64, usize)>| BusyTopic {
            topic: self.topics[*index].name.clone(),
            offset: *offset,
            grown: *grown,
        };
        best.into_sorted_vec().iter().map(shown).collect()
    }

    fn evict_oldest(&mut self) -> bool {
        let index = self.oldest;
        if index == NONE {
            return false;
        }
        self.idle_remove(index);
        let topic = self.topics.remove(index as usize);
        assert!(topic.interest.is_empty(), "H2: a topic with interest is never evicted");
        self.by_name.remove(&topic.name);
        true
    }

    fn idle_push(&mut self, index: u32, since_ms: u64) {
        let older = self.newest;
        self.topics[index as usize].idle = Idle { since_ms, older, newer: NONE };
        match self.topics.get_mut(older as usize) {
            Some(topic) => topic.idle.newer = index,
            None => self.oldest = index,
        }
        self.newest = index;
    }

    fn idle_remove(&mut self, index: u32) {
        let Idle { older, newer, .. } = self.topics[index as usize].idle;
        match self.topics.get_mut(older as usize) {
            Some(topic) => topic.idle.newer = newer,
            None => self.oldest = newer,
        }
        match self.topics.get_mut(newer as usize) {
            Some(topic) => topic.idle.older = older,
            None => self.newest = older,
        }
    }
}

/// Which of `shards` shards is a topic's home: the same in every shard of the process.
pub fn home_of(topic: &str, shards: usize) -> ShardId {
    if shards == 1 {
        return ShardId(0);
    }
    // Fixed seed: every shard has to come to the same answer. A client that floods one home does
    // not gain more than by publishing to one topic.
    let hash = foldhash::quality::FixedState::with_seed(0).hash_one(topic.as_bytes());
    ShardId(((u128::from(hash) * shards as u128) >> 64) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interest(shard: u16) -> Interest {
        Interest { shard: ShardId(shard), local: LocalTopic(u32::from(shard)) }
    }

    #[test]
    fn offsets_are_dense_and_an_evicted_topic_comes_back_with_another_epoch() {
        let mut home = Home::new(2, 1000, 7);
        let a = home.open("a", 0).unwrap();
        assert_eq!(home.sequence(a, 0).offset, 1);
        let second = home.sequence(a, 500);
        assert_eq!(second.offset, 2);
        home.expire(1400, 10);
        assert_eq!(home.len(), 1, "its last message was 900 ms ago");
        home.expire(1500, 10);
        assert!(home.is_empty());
        let again = home.open("a", 1600).unwrap();
        let first = home.sequence(again, 1600);
        assert_eq!(first.offset, 1);
        assert_ne!(first.epoch, second.epoch);
    }

    #[test]
    fn the_busiest_are_those_that_have_grown_most_since_one_has_looked() {
        let mut home = Home::new(10, 1000, 7);
        let publish = |home: &mut Home, name: &str, messages: usize| {
            let topic = home.open(name, 0).unwrap();
            for _ in 0..messages {
                home.sequence(topic, 0);
            }
        };
        let seen = |home: &mut Home, limit| -> Vec<(String, u64, u64)> {
            let found = home.busiest(limit).into_iter();
            found.map(|t| (t.topic.into(), t.offset, t.grown)).collect()
        };
        let row = |name: &str, offset, grown| (name.to_owned(), offset, grown);
        assert_eq!(seen(&mut home, 3), []);
        for (name, messages) in [("a", 3), ("b", 9), ("c", 1), ("d", 0)] {
            publish(&mut home, name, messages);
        }
        assert_eq!(seen(&mut home, 2), [row("b", 9, 9), row("a", 3, 3)]);
        publish(&mut home, "c", 2);
        // What was not shown has been looked at all the same.
        assert_eq!(seen(&mut home, 3), [row("c", 3, 2), row("b", 9, 0), row("a", 3, 0)]);
        assert_eq!(seen(&mut home, 9).len(), 4);
        assert_eq!(seen(&mut home, 0), []);
    }

    #[test]
    fn a_full_home_evicts_the_longest_idle_and_never_one_with_interest() {
        let mut home = Home::new(2, 1000, 7);
        let a = home.open("a", 0).unwrap();
        let b = home.open("b", 1).unwrap();
        home.register(a, interest(0));
        home.open("c", 2).unwrap();
        assert_eq!(home.list("", 10).iter().map(|t| &*t.topic).collect::<Vec<_>>(), ["a", "c"]);
        let c = home.open("c", 2).unwrap();
        assert_eq!(c, b, "the place of the evicted one");
        home.register(c, interest(1));
        assert_eq!(home.open("d", 3), Err(Refusal::TopicsExhausted));
        home.release(a, ShardId(0), 4);
        assert!(home.open("d", 5).is_ok());
    }

    #[test]
    fn every_topic_has_a_home_and_homes_are_spread() {
        let mut counts = [0; 8];
        for topic in 0..8000 {
            counts[home_of(&format!("topic:{topic}"), 8).index()] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
