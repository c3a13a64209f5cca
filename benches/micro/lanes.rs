//! Lanes between shards: what a message between two of them costs, without the wait for the other
//! core that a second thread would add.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use ringwire::base::lane::RingBuffer;
use ringwire::pubsub::envelope::{LocalTopic, Response};
use ringwire::shard::mailbox::mesh;

const ENTRIES: usize = 2048;
/// Messages that are written before they are read.
const BATCH: usize = 64;

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lane");
    group.throughput(Throughput::Elements(1));
    group.bench_function("push_pop", |bencher| {
        let (mut sender, mut receiver) = RingBuffer::<Response>::new(ENTRIES);
        bencher.iter(|| {
            let sent = sender.push(Response::Released { local: black_box(LocalTopic(7)) });
            assert!(sent.is_ok() && receiver.pop().is_ok());
        });
    });
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("batch_with_signal", |bencher| {
        let mut boxes = mesh(3, ENTRIES);
        bencher.iter(|| {
            for _ in 0..BATCH {
                boxes[0].respond(1, Response::Released { local: black_box(LocalTopic(7)) });
            }
            boxes[0].signal(|_| panic!("the reader is awake"));
            boxes[1].collect();
            assert_eq!(boxes[1].take_ready(0), 1);
            let taken = std::iter::from_fn(|| boxes[1].next_response(0)).count();
            assert_eq!(taken, BATCH, "nothing is lost");
        });
    });
    group.finish();
}
