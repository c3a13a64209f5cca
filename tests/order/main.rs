//! The order of a topic: one sequence for all subscribers on all shards, dense from where each one
//! joined, every message of every publisher once and in its own order, whoever comes and goes.
//!
//! The oracle is what publishers were told: each acknowledgement names the offset of a message, and
//! the acknowledgements together are the sequence that every subscriber has to have seen.
//! `RINGWIRE_ORDER_MESSAGES` makes the run longer, `RINGWIRE_ORDER_SEED` makes others come and go
//! differently.

#[path = "../common/mod.rs"]
mod common;

mod churn;
mod publishing;
mod reading;

use std::thread;

use common::{Gate, Server, number_from_env};
use publishing::{Published, publish};
use reading::{Subscriber, read_all};

const TOPIC: &str = "order:all";
const SHARDS: &str = "8";
const PUBLISHERS: u64 = 8;
const SUBSCRIBERS: usize = 64;
/// Each joins at another part of the run.
const JOINERS: usize = 16;
const CHURNERS: u64 = 2;
/// Threads that read; each has its part of the subscribers.
const READERS: usize = 2;
/// How far publishers may be ahead of the slowest subscriber. What that costs in a queue is less
/// than `EGRESS_BYTES_MAX`, so that nobody here is a slow consumer, however busy the machine is.
const WINDOW: u64 = 4_000;
const FRAME_COST_MAX: u64 = 512;
const EGRESS_BYTES_MAX: &str = "4194304";

/// A message's part in the fingerprint of a sequence: the sum over a dense range of offsets is the
/// same only for the same messages at the same places.
fn fingerprint(offset: u64, data: &[u8]) -> u64 {
    let seed = offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xcbf2_9ce4_8422_2325;
    let mixed = data.iter().fold(seed, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23)
    });
    (mixed ^ mixed >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// What subscribers have to have seen, from what publishers were told.
struct Sequence {
    /// By offset less one: the sum of the fingerprints up to there.
    sums: Vec<u64>,
}

impl Sequence {
    fn new(told: Vec<Published>) -> Sequence {
        let mut data_at: Vec<(u64, String)> = Vec::new();
        for published in told {
            let in_order = published.offsets.windows(2).all(|two| two[0].offset < two[1].offset);
            assert!(in_order, "publisher {}: overtaken by itself", published.publisher);
            let data = |number| publishing::data(published.publisher, number);
            data_at.extend(published.offsets.iter().map(|told| (told.offset, data(told.number))));
        }
        data_at.sort_unstable();
        let mut sums: Vec<u64> = Vec::with_capacity(data_at.len());
        for (index, (offset, data)) in data_at.iter().enumerate() {
            assert_eq!(
                *offset,
                index as u64 + 1,
                "acknowledged offsets are dense, each given once"
            );
            let before = sums.last().copied().unwrap_or(0);
            sums.push(before.wrapping_add(fingerprint(*offset, data.as_bytes())));
        }
        Sequence { sums }
    }

    fn last(&self) -> u64 {
        self.sums.len() as u64
    }

    /// The sum of all that comes after `offset`.
    fn sum_after(&self, offset: u64) -> u64 {
        let upto = |offset: u64| offset.checked_sub(1).map_or(0, |at| self.sums[at as usize]);
        upto(self.last()).wrapping_sub(upto(offset))
    }

    fn check(&self, subscriber: &Subscriber) {
        let Subscriber { name, joined_at, seen, sum, .. } = subscriber;
        assert_eq!(*seen, self.last(), "{name}, joined at {joined_at}, has not seen all");
        assert_eq!(*sum, self.sum_after(*joined_at), "{name}, joined at {joined_at}, saw others");
    }
}

#[test]
fn every_subscriber_sees_the_same_dense_sequence_while_others_come_and_go() {
    const { assert!(WINDOW * FRAME_COST_MAX < 4_194_304 - 1024) };
    let messages = number_from_env("RINGWIRE_ORDER_MESSAGES", 100_000).next_multiple_of(PUBLISHERS);
    let seed = number_from_env("RINGWIRE_ORDER_SEED", 1);
    let flags = ["--shards", SHARDS, "--max-connections", "512"];
    let memory = ["--egress-bytes-max", EGRESS_BYTES_MAX, "--egress-total-bytes-max", "1073741824"];
    let times = ["--heartbeat-interval-ms", "600000", "--heartbeat-timeout-ms", "600000"];
    let server = Server::serve(&[&flags[..], &memory, &times].concat());
    let gate = Gate::new(SUBSCRIBERS, WINDOW);

    let (sequence, subscribers) = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|part| {
                let subscribers: Vec<_> = (0..SUBSCRIBERS)
                    .filter(|index| index % READERS == part)
                    .map(|index| Subscriber::open(server.ws, index))
                    .collect();
                let joining = (0..JOINERS).filter(|index| index % READERS == part);
                let joining = joining.map(|index| messages * (index as u64 + 1) / 20).collect();
                let (gate, ws) = (&gate, server.ws);
                scope.spawn(move || read_all(ws, gate, subscribers, joining, messages))
            })
            .collect();
        for churner in 0..CHURNERS {
            let (gate, ws) = (&gate, server.ws);
            scope.spawn(move || churn::churn(ws, gate, seed + churner, messages));
        }
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                let (gate, ws) = (&gate, server.ws);
                scope.spawn(move || publish(ws, gate, publisher, messages / PUBLISHERS))
            })
            .collect();
        let told = publishers.into_iter().map(|thread| thread.join().expect("a publisher"));
        let sequence = Sequence::new(told.collect());
        let subscribers = readers.into_iter().flat_map(|thread| thread.join().expect("a reader"));
        (sequence, subscribers.collect::<Vec<_>>())
    });
    assert_eq!(sequence.last(), messages);
    assert_eq!(subscribers.len(), SUBSCRIBERS + JOINERS);
    subscribers.iter().for_each(|subscriber| sequence.check(subscriber));
    assert!(subscribers.iter().filter(|one| one.joined_at > 0).count() >= JOINERS / 2, "too late");
    drop(subscribers);
    server.stop();
}

/// The comparison can fail: it tells sequences that differ in one place, or in their order.
#[test]
fn a_fingerprint_tells_sequences_apart() {
    let sum = |all: &[(u64, &str)]| {
        let each = all.iter().map(|(offset, data)| fingerprint(*offset, data.as_bytes()));
        each.fold(0_u64, u64::wrapping_add)
    };
    let right = sum(&[(1, "a"), (2, "b"), (3, "c")]);
    assert_ne!(right, sum(&[(1, "b"), (2, "a"), (3, "c")]));
    assert_ne!(right, sum(&[(1, "a"), (2, "b"), (3, "d")]));
    assert_ne!(right, sum(&[(1, "a"), (2, "b")]));
    assert_ne!(right, sum(&[(1, "a"), (1, "a"), (2, "b"), (3, "c")]));
}
