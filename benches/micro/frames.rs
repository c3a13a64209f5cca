//! Frames: decoding a receive buffer, encoding a header.
//!
//! A buffer is unmasked in place, so each pass is over a fresh copy. Making it is not measured.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use ringwire::ws::header::{HEADER_BYTES_MAX, encode_header};
use ringwire::ws::opcode::Opcode;
use ringwire::ws::partial::PartialPool;
use ringwire::ws::protocol::{Limits, Protocol, Role};

use crate::rig::wire;

pub(crate) fn all(criterion: &mut Criterion) {
    decode(criterion);
    encode(criterion);
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (bytes, frames) in [(64, 1), (64, 16), (4096, 1), (4096, 16)] {
        let buffer = wire::frame(wire::BINARY, &wire::octets(bytes)).repeat(frames);
        group.throughput(Throughput::Elements(frames as u64));
        let mut decoder = Decoder::new();
        let mut bench = |name: &str, cut: usize| {
            let id = BenchmarkId::new(format!("{name}/{bytes}"), frames);
            group.bench_function(id, |bencher| {
                let copy = || buffer.clone();
                bencher.iter_batched_ref(
                    copy,
                    |copy| {
                        let (one, other) = copy.split_at_mut(cut);
                        let found = decoder.messages(one) + decoder.messages(other);
                        assert_eq!(found, frames, "every frame is a message");
                    },
                    BatchSize::SmallInput,
                );
            });
        };
        bench("whole", buffer.len());
        // The cut is within the last frame: in its header, and in its payload.
        let last = buffer.len() - buffer.len() / frames;
        bench("split_in_header", last + 1);
        bench("split_in_payload", last + bytes / 2);
    }
    group.finish();
}

/// The protocol of one connection, as a shard drives it.
struct Decoder {
    protocol: Protocol,
    pool: PartialPool,
    limits: Limits,
}

impl Decoder {
    fn new() -> Self {
        let protocol = Protocol::new(Role::Server);
        Decoder { protocol, pool: PartialPool::new(), limits: Limits::default() }
    }

    /// Goes through `input` and counts the messages that it completes.
    fn messages(&mut self, mut input: &mut [u8]) -> usize {
        let mut messages = 0;
        loop {
            let step = self.protocol.step(input, &self.limits, &mut self.pool);
            let step = step.expect("a good client");
            if black_box(step.event).is_none() {
                return messages;
            }
            messages += 1;
            let consumed = step.consumed;
            input = &mut input[consumed..];
        }
    }
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode_header");
    group.throughput(Throughput::Elements(1));
    for bytes in [64, 4096, 65_536] {
        let mut out = [0; HEADER_BYTES_MAX];
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            bencher.iter(|| {
                encode_header(black_box(&mut out), true, Opcode::Text, black_box(bytes), None)
            });
        });
    }
    group.finish();
}
