//! The fan-out of a shard: messages of a topic to each subscriber's send, without what comes before
//! (parsing, sequence) and after it (the kernel).

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use ringwire::base::{ConnKey, Generation, Slot, Tick};
use ringwire::conn::outbox::{Delivered, EgressLimits};
use ringwire::conn::{Link, Outbox};
use ringwire::limits;
use ringwire::pubsub::envelope::{Epoch, HomeTopic, LocalTopic, Position, Token};
use ringwire::pubsub::policy::SlowConsumer;
use ringwire::pubsub::registry::{Joiner, Registry, Subscribing};
use ringwire::ring::{FileSlot, OpQueue, PeerAddr};

use crate::rig::wire;

const ARENA_BYTES: usize = 2 << 20;

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fanout_drain");
    for (messages, subscribers) in [(100, 100), (1, 10_000), (1_000, 1_000)] {
        group.throughput(Throughput::Elements(messages * u64::from(subscribers)));
        let id = BenchmarkId::from_parameter(format!("{messages}x{subscribers}"));
        group.bench_function(id, |bencher| {
            let mut topic = Topic::new(subscribers);
            bencher.iter(|| topic.drain(messages));
        });
    }
    group.finish();
}

/// A topic with its subscribers, none of them slow.
struct Topic {
    registry: Registry,
    outbox: Outbox,
    links: Vec<Link>,
    ops: OpQueue,
    topic: LocalTopic,
    offset: u64,
    frame: Bytes,
}

impl Topic {
    fn new(subscribers: u32) -> Self {
        let mut registry = Registry::new(subscribers, 1);
        let key = |slot| ConnKey { slot: Slot(slot), generation: Generation(slot + 1) };
        let mut topic = LocalTopic(0);
        for slot in 0..subscribers {
            let joiner = Joiner { conn: key(slot), token: Token::NONE };
            match registry.subscribe(joiner, "chat:lobby", SlowConsumer::Close) {
                Ok(Subscribing::NeedsInterest(local)) => topic = local,
                Ok(Subscribing::Waits) => {}
                Err(refusal) => panic!("{refusal:?}"),
            }
        }
        let position = Position { epoch: Epoch(7), offset: 0 };
        assert!(registry.interested(topic, Ok((HomeTopic(0), position))).is_ok());
        assert_eq!(registry.admit(topic).1.len(), subscribers as usize);
        registry.finish(topic);
        let new = |slot| Link::new(key(slot), FileSlot(slot), PeerAddr::Unknown, Tick(0));
        let egress = EgressLimits {
            bytes_max: limits::EGRESS_BYTES_MAX,
            total_bytes_max: limits::EGRESS_TOTAL_BYTES_MAX,
        };
        Topic {
            registry,
            outbox: Outbox::new(ARENA_BYTES, egress),
            links: (0..subscribers).map(new).collect(),
            ops: OpQueue::new(),
            topic,
            offset: 0,
            frame: wire::bare_frame(wire::TEXT, &wire::octets(20)).into(),
        }
    }

    /// Messages come from the home, and go to every subscriber.
    fn drain(&mut self, messages: u64) {
        for _ in 0..messages {
            self.offset += 1;
            self.registry.deliver(self.topic, self.offset, self.frame.clone());
        }
        while let Some(topic) = self.registry.next_dirty() {
            self.outbox.begin_turn();
            assert!(self.registry.admit(topic).1.is_empty());
            self.registry.begin(topic);
            let stay = self.registry.stay(topic);
            let (batch, members) = self.registry.batch(topic);
            let id = self.outbox.stage(stay, SlowConsumer::Close, batch);
            for slot in members {
                let delivered = self.outbox.deliver(&mut self.links[*slot as usize], id);
                assert_eq!(delivered, Delivered::Staged, "nobody is slow");
            }
            self.registry.finish(topic);
            assert_eq!(self.outbox.flush(&mut self.ops), self.links.len());
            self.ops.clear();
        }
    }
}
