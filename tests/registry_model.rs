//! The registry of subscribers against a naive model: whoever is a member when a batch is walked
//! gets each message once and in order, a joiner gets exactly what comes after the offset it was
//! told, and everything is gone when everybody has left.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use ringwire::base::{ConnKey, Generation, Slot};
use ringwire::pubsub::envelope::{Epoch, HomeTopic, LocalTopic, Position, Token};
use ringwire::pubsub::policy::SlowConsumer;
use ringwire::pubsub::registry::{Joiner, Registry, Released, Subscribing, TOMBSTONE};

const TOPICS: [&str; 3] = ["a", "b", "c"];
const SLOTS: u32 = 6;

#[derive(Clone, Debug)]
enum Step {
    Subscribe(u32, usize),
    Unsubscribe(u32, usize),
    Leave(u32),
    /// The home's next message of a topic arrives.
    Deliver(usize),
    /// Fan out, passing at most so many places.
    FanOut(usize),
    /// The home answers what it was asked.
    Answer,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let slot = 0..SLOTS;
    let topic = 0..TOPICS.len();
    let step = prop_oneof![
        4 => (slot.clone(), topic.clone()).prop_map(|(s, t)| Step::Subscribe(s, t)),
        2 => (slot.clone(), topic.clone()).prop_map(|(s, t)| Step::Unsubscribe(s, t)),
        1 => slot.prop_map(Step::Leave),
        6 => topic.prop_map(Step::Deliver),
        4 => (1..4usize).prop_map(Step::FanOut),
        4 => Just(Step::Answer),
    ];
    prop::collection::vec(step, 1..300)
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
    homes: [(Home, u64); 3],
    /// By slot and topic: whether it wants it, and the last offset that it was told or sent.
    wants: BTreeMap<(u32, usize), Option<u64>>,
}

impl World {
    fn new() -> Self {
        World {
            registry: Registry::new(SLOTS, 100),
            homes: [(Home::Idle, 0); 3],
            wants: BTreeMap::new(),
        }
    }

    fn subscribe(&mut self, slot: u32, topic: usize) {
        let conn = ConnKey { slot: Slot(slot), generation: Generation(1) };
        let joiner = Joiner { conn, token: Token::NONE };
        let result = self.registry.subscribe(joiner, TOPICS[topic], SlowConsumer::Close);
        if let Subscribing::NeedsInterest(local) = result.expect("there is room") {
            assert_eq!(self.homes[topic].0, Home::Idle);
            self.homes[topic].0 = Home::Asked(local);
        }
        self.wants.entry((slot, topic)).or_insert(None);
    }

    fn unsubscribe(&mut self, slot: u32, topic: usize) {
        let had = self.wants.remove(&(slot, topic)).is_some();
        assert_eq!(self.registry.unsubscribe(Slot(slot), TOPICS[topic]), had);
    }

    fn deliver(&mut self, topic: usize) {
        if let (Home::Interested(local) | Home::Leaving(local), offset) = &mut self.homes[topic] {
            *offset += 1;
            let frame = Bytes::from(offset.to_be_bytes().to_vec());
            self.registry.deliver(*local, *offset, frame);
        }
    }

    fn answer(&mut self) {
        for topic in 0..TOPICS.len() {
            let (home, offset) = &mut self.homes[topic];
            match *home {
                Home::Asked(local) => {
                    *home = Home::Interested(local);
                    let position = Position { epoch: Epoch(7), offset: *offset };
                    let answer = Ok((HomeTopic(topic as u32), position));
                    self.registry.interested(local, answer).expect("not refused");
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
    }

    fn fan_out(&mut self, places: usize) {
        let mut budget = places;
        while budget > 0
            && let Some(local) = self.registry.next_dirty()
        {
            let topic = self.topic_of(local);
            let (position, joiners) = self.registry.admit(local);
            for joiner in joiners {
                let slot = joiner.conn.slot.0;
                let last = self.wants.get_mut(&(slot, topic)).expect("a joiner wants it");
                assert!(last.is_none_or(|last| last == position.offset));
                *last = Some(position.offset);
            }
            self.registry.begin(local);
            let (batch, ahead) = self.registry.batch(local);
            let offsets: Vec<u64> =
                batch.iter().map(|f| u64::from_be_bytes(f[..].try_into().unwrap())).collect();
            let walked = if batch.is_empty() { ahead.len() } else { ahead.len().min(budget) };
            if !batch.is_empty() {
                for slot in ahead[..walked].iter().filter(|slot| **slot != TOMBSTONE) {
                    let last = self.wants.get_mut(&(*slot, topic)).expect("a member wants it");
                    let last = last.as_mut().expect("a member was told where it stands");
                    for offset in &offsets {
                        assert_eq!(*offset, *last + 1, "dense, each once");
                        *last = *offset;
                    }
                }
            }
            if walked < ahead.len() {
                self.registry.pass(local, walked);
            } else {
                self.registry.finish(local);
            }
            budget -= walked.clamp(1, budget);
        }
        self.registry.rotate();
        while let Some((local, _)) = self.registry.next_leaving() {
            let topic = self.topic_of(local);
            assert_eq!(self.homes[topic].0, Home::Interested(local));
            self.homes[topic].0 = Home::Leaving(local);
            self.registry.leave_sent(local);
        }
    }

    fn topic_of(&self, local: LocalTopic) -> usize {
        TOPICS.iter().position(|name| *name == self.registry.name(local)).expect("known")
    }

    fn check(&self) {
        assert_eq!(self.registry.memberships(), self.wants.len());
        for slot in 0..SLOTS {
            let wanted = self.wants.keys().filter(|(s, _)| *s == slot).count();
            assert_eq!(self.registry.subscriptions_of(Slot(slot)), wanted);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_member_gets_every_message_once_and_nobody_else_any(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Subscribe(slot, topic) => world.subscribe(slot, topic),
                Step::Unsubscribe(slot, topic) => world.unsubscribe(slot, topic),
                Step::Leave(slot) => {
                    world.registry.unsubscribe_all(Slot(slot));
                    world.wants.retain(|(s, _), _| *s != slot);
                }
                Step::Deliver(topic) => world.deliver(topic),
                Step::FanOut(places) => world.fan_out(places),
                Step::Answer => world.answer(),
            }
            world.check();
        }
        // At rest every member stands at the end of its topic.
        for _ in 0..4 {
            world.answer();
            world.fan_out(usize::MAX);
        }
        for ((_, topic), last) in &world.wants {
            prop_assert_eq!(*last, Some(world.homes[*topic].1));
        }
        // When all have left, nothing is left.
        for slot in 0..SLOTS {
            world.registry.unsubscribe_all(Slot(slot));
        }
        world.wants.clear();
        for _ in 0..4 {
            world.fan_out(usize::MAX);
            world.answer();
        }
        prop_assert_eq!(world.registry.topics(), 0);
        prop_assert_eq!(world.registry.memberships(), 0);
    }
}
