//! What is done to every octet of a payload: unmasking, and the check that a text is UTF-8.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use ringwire::ws::mask;
use ringwire::ws::message::Message;
use ringwire::ws::opcode::Kind;
use ringwire::ws::utf8::Utf8;

use crate::rig::wire;

/// How much of a text comes at a time, where it comes in pieces.
const PIECE_BYTES: usize = 61;

pub(crate) fn all(criterion: &mut Criterion) {
    unmask(criterion);
    utf8(criterion);
}

fn unmask(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unmask");
    for bytes in [16, 64, 1024, 4096, 65_536] {
        group.throughput(Throughput::Bytes(bytes as u64));
        // Where payloads lie: right behind the server's header of 6 octets, and anywhere.
        for (name, skip, offset) in [("aligned", 0, 0), ("unaligned", 7, 3)] {
            let mut memory = wire::octets(skip + bytes);
            group.bench_function(BenchmarkId::new(name, bytes), |bencher| {
                bencher.iter(|| mask::apply(wire::KEY, offset, black_box(&mut memory[skip..])));
            });
        }
    }
    group.finish();
}

fn utf8(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("utf8");
    for (letters, is_ascii) in [("ascii", true), ("mixed", false)] {
        for bytes in [64, 4096] {
            let text = wire::text(bytes, is_ascii);
            group.throughput(Throughput::Bytes(text.len() as u64));
            let message = Message { kind: Kind::Text, payload: text.as_bytes() };
            let id = BenchmarkId::new(format!("whole/{letters}"), bytes);
            group.bench_function(id, |bencher| {
                bencher.iter(|| black_box(message).text().is_some());
            });
            let id = BenchmarkId::new(format!("streamed/{letters}"), bytes);
            group.bench_function(id, |bencher| {
                bencher.iter(|| is_utf8_in_pieces(black_box(text.as_bytes())));
            });
        }
    }
    group.finish();
}

fn is_utf8_in_pieces(text: &[u8]) -> bool {
    let mut utf8 = Utf8::new();
    text.chunks(PIECE_BYTES).all(|piece| utf8.push(piece).is_ok()) && utf8.is_complete()
}
