//! The timer wheel of a shard with 20,000 connections.

use criterion::{BatchSize, Criterion, Throughput};
use ringwire::base::prng::Prng;
use ringwire::base::wheel::Wheel;
use ringwire::base::{Slot, Tick};

const SLOTS: u32 = 20_000;
/// 25 s in ticks of 64 ms: the interval of heartbeats.
const INTERVAL_TICKS: u64 = 390;
const START: Tick = Tick(1_000_000);

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wheel");
    group.throughput(Throughput::Elements(u64::from(SLOTS)));
    let deadlines = deadlines();
    let set_all = |wheel: &mut Wheel| {
        let slots = deadlines.iter().enumerate();
        slots.for_each(|(slot, deadline)| wheel.set(Slot(slot as u32), *deadline));
    };
    let full = || {
        let mut wheel = Wheel::new(SLOTS, START);
        set_all(&mut wheel);
        wheel
    };
    group.bench_function("insert", |bencher| {
        let empty = || Wheel::new(SLOTS, START);
        bencher.iter_batched_ref(empty, set_all, BatchSize::LargeInput);
    });
    group.bench_function("re_arm", |bencher| {
        let mut wheel = full();
        bencher.iter(|| set_all(&mut wheel));
    });
    group.bench_function("expire", |bencher| {
        bencher.iter_batched_ref(full, expire_all, BatchSize::LargeInput);
    });
    group.finish();
}

/// Spread over an interval, as those of connections are.
fn deadlines() -> Vec<Tick> {
    let mut prng = Prng::new(7);
    (0..SLOTS).map(|_| Tick(START.0 + 1 + prng.below(INTERVAL_TICKS) as u32)).collect()
}

/// Tick by tick, as a shard that is awake for each of them does it.
fn expire_all(wheel: &mut Wheel) {
    let mut expired = 0;
    for tick in 0..=INTERVAL_TICKS as u32 {
        while wheel.pop_expired(Tick(START.0 + tick)).is_some() {
            expired += 1;
        }
    }
    assert_eq!(expired, SLOTS, "each deadline passes");
}
