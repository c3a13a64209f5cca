//! The registry of subscribers against a naive model: whoever is a member when a batch is walked
//! gets each message once and in order, a joiner gets exactly what comes after the offset that it
//! was told, a refused one is given back, and everything is gone when everybody has left.

use std::collections::BTreeMap;

use bytes::Bytes;
use ringwire::base::{ConnKey, Generation, Slot};
use ringwire::pubsub::envelope::{Epoch, HomeTopic, LocalTopic, Position, Refusal, Token};
use ringwire::pubsub::policy::SlowConsumer;
use ringwire::pubsub::registry::{Joiner, Registry, Released, Subscribing, TOMBSTONE};

use super::choices::Choices;

const TOPICS: [&str; 4] = ["a", "ab", "b", "c"];
const SLOTS: u32 = 6;
const TOPICS_MAX: usize = 3;
/// Rounds of answers and fan-outs after which everything has come to rest.
const ROUNDS: usize = 8;

/// Input: operations.
pub(crate) fn check(octets: &[u8]) {
    let mut choices = Choices::new(octets);
    let mut world = World::new();
    while !choices.is_empty() {
        world.step(&mut choices);
        world.check();
    }
    world.come_to_rest();
    world.end();
}

/// What the home of a topic knows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Home {
    Idle,
    Asked(LocalTopic),
    Interested(LocalTopic),
    Leaving(LocalTopic),
}

struct World {
    registry: Registry,
    homes: [(Home, u64); TOPICS.len()],
    /// By slot and topic: whether it wants it, and the last offset that it was told or sent.
    wants: BTreeMap<(u32, usize), Option<u64>>,
}

impl World {
    fn new() -> Self {
        World {
            registry: Registry::new(SLOTS, TOPICS_MAX),
            homes: [(Home::Idle, 0); TOPICS.len()],
            wants: BTreeMap::new(),
        }
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        let (slot, topic) = (choices.below(SLOTS as usize) as u32, choices.below(TOPICS.len()));
        match choices.below(16) {
            0..=3 => self.subscribe(slot, topic),
            4 | 5 => self.unsubscribe(slot, topic),
            6 => self.leave(slot),
            7..=10 => {
                let octets = [8, 8, 100, 70_000][choices.below(4)];
                (0..choices.below(4)).for_each(|_| self.deliver(topic, octets));
            }
            11..=13 => self.fan_out(1 + choices.below(8)),
            14 => self.answer(topic, true),
            _ => self.answer(topic, choices.below(4) > 0),
        }
    }

    fn subscribe(&mut self, slot: u32, topic: usize) {
        let conn = ConnKey { slot: Slot(slot), generation: Generation(1) };
        let joiner = Joiner { conn, token: Token::new(&[topic as u8]) };
        let was_known = self.registry.knows(TOPICS[topic]);
        let is_full = self.registry.topics() == TOPICS_MAX;
        match self.registry.subscribe(joiner, TOPICS[topic], policy(topic)) {
            Err(refusal) => {
                assert_eq!(refusal, Refusal::TopicsExhausted);
                return assert!(is_full && !was_known);
            }
            Ok(Subscribing::Waits) => assert!(was_known),
            Ok(Subscribing::NeedsInterest(local)) => {
                assert!(!was_known && !is_full);
                assert_eq!(self.homes[topic].0, Home::Idle);
                self.homes[topic].0 = Home::Asked(local);
            }
        }
        self.wants.entry((slot, topic)).or_insert(None);
    }

    fn unsubscribe(&mut self, slot: u32, topic: usize) {
        let had = self.wants.remove(&(slot, topic)).is_some();
        assert_eq!(self.registry.is_subscribed(Slot(slot), TOPICS[topic]), had);
        assert_eq!(self.registry.unsubscribe(Slot(slot), TOPICS[topic]), had);
    }

    fn leave(&mut self, slot: u32) {
        self.registry.unsubscribe_all(Slot(slot));
        self.wants.retain(|(other, _), _| *other != slot);
    }

    /// The home's next message of a topic arrives.
    fn deliver(&mut self, topic: usize, octets: usize) {
        if let (Home::Interested(local) | Home::Leaving(local), offset) = &mut self.homes[topic] {
            *offset += 1;
            let mut frame = offset.to_be_bytes().to_vec();
            frame.resize(octets, 0);
            self.registry.deliver(*local, *offset, Bytes::from(frame));
        }
    }

    /// The home answers what it was asked.
    fn answer(&mut self, topic: usize, is_yes: bool) {
        let (home, offset) = &mut self.homes[topic];
        match *home {
            Home::Asked(local) if is_yes => {
                *home = Home::Interested(local);
                let position = Position { epoch: Epoch(7), offset: *offset };
                let answer = Ok((HomeTopic(topic as u32), position));
                assert!(self.registry.interested(local, answer).is_ok());
            }
            Home::Asked(local) => {
                *home = Home::Idle;
                let refused = self.registry.interested(local, Err(Refusal::Overloaded));
                let (_, joiners) = refused.expect_err("it was refused");
                for joiner in joiners {
                    assert_eq!(joiner.token.as_bytes(), [topic as u8]);
                    let was_told = self.wants.remove(&(joiner.conn.slot.0, topic));
                    // Who has asked twice is given back twice.
                    assert!(was_told.is_none_or(|last| last.is_none()), "it was a member");
                }
            }
            Home::Leaving(local) => {
                *home = match self.registry.released(local) {
                    Released::Forgotten => Home::Idle,
                    Released::NeedsInterest => Home::Asked(local),
                };
            }
            Home::Idle | Home::Interested(_) => {}
        }
    }

    fn fan_out(&mut self, places: usize) {
        let mut budget = places;
        while budget > 0
            && let Some(local) = self.registry.next_dirty()
        {
            let walked = self.fan_out_one(local, budget);
            budget -= walked.clamp(1, budget);
        }
        self.registry.rotate();
        while let Some((local, home)) = self.registry.next_leaving() {
            let topic = self.topic_of(local);
            assert_eq!(home, HomeTopic(topic as u32));
            assert_eq!(self.homes[topic].0, Home::Interested(local));
            assert!(self.wants.keys().all(|(_, other)| *other != topic), "somebody is left");
            self.homes[topic].0 = Home::Leaving(local);
            self.registry.leave_sent(local);
        }
        assert!(!self.registry.has_leaving());
    }

    fn fan_out_one(&mut self, local: LocalTopic, budget: usize) -> usize {
        let topic = self.topic_of(local);
        let (position, joiners) = self.registry.admit(local);
        for joiner in joiners {
            let last = self.wants.get_mut(&(joiner.conn.slot.0, topic));
            let last = last.expect("a joiner wants it");
            assert!(last.is_none_or(|last| last == position.offset));
            *last = Some(position.offset);
        }
        self.registry.begin(local);
        let (batch, ahead) = self.registry.batch(local);
        let offset = |frame: &Bytes| u64::from_be_bytes(frame[..8].try_into().expect("eight"));
        let offsets: Vec<u64> = batch.iter().map(offset).collect();
        let walked = if batch.is_empty() { ahead.len() } else { ahead.len().min(budget) };
        for slot in ahead[..walked].iter().filter(|slot| **slot != TOMBSTONE) {
            let last = self.wants.get_mut(&(*slot, topic)).expect("a member wants it");
            let last = last.as_mut().expect("a member was told where it stands");
            for offset in &offsets {
                assert_eq!(*offset, *last + 1, "dense, each once");
                *last = *offset;
            }
        }
        if walked < ahead.len() {
            self.registry.pass(local, walked);
        } else {
            self.registry.finish(local);
        }
        walked
    }

    fn topic_of(&self, local: LocalTopic) -> usize {
        let name = self.registry.name(local);
        let topic = TOPICS.iter().position(|other| *other == name).expect("known");
        assert_eq!(self.registry.policy(local), policy(topic));
        topic
    }

    fn check(&self) {
        assert_eq!(self.registry.memberships(), self.wants.len());
        for slot in 0..SLOTS {
            let wanted = self.wants.keys().filter(|(other, _)| *other == slot).count();
            assert_eq!(self.registry.subscriptions_of(Slot(slot)), wanted);
        }
        assert!(self.registry.topics() <= TOPICS_MAX);
        for (name, members) in self.registry.list("a", TOPICS.len()) {
            let topic = TOPICS.iter().position(|other| *other == &*name).expect("known");
            assert!(name.starts_with('a'));
            let told = self.wants.iter().filter(|((_, t), last)| *t == topic && last.is_some());
            assert_eq!(members as usize, told.count(), "members are those who were told");
        }
    }

    /// Every member stands at the end of its topic, and nothing waits.
    fn come_to_rest(&mut self) {
        for _ in 0..ROUNDS {
            (0..TOPICS.len()).for_each(|topic| self.answer(topic, true));
            self.fan_out(usize::MAX);
        }
        for ((_, topic), last) in &self.wants {
            assert_eq!(*last, Some(self.homes[*topic].1));
        }
        assert_eq!(self.registry.staged_bytes(), 0);
        assert!(!self.registry.has_dirty());
    }

    /// When all have left, nothing is left.
    fn end(&mut self) {
        (0..SLOTS).for_each(|slot| self.leave(slot));
        for _ in 0..ROUNDS {
            self.fan_out(usize::MAX);
            (0..TOPICS.len()).for_each(|topic| self.answer(topic, true));
        }
        assert_eq!((self.registry.topics(), self.registry.memberships()), (0, 0));
        assert_eq!(self.registry.staged_bytes(), 0);
        assert!(!self.registry.has_dirty() && !self.registry.has_leaving());
    }
}

fn policy(topic: usize) -> SlowConsumer {
    SlowConsumer::ALL[topic % SlowConsumer::ALL.len()]
}
