//! The opening handshake: a request head is parsed, judged and answered.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use ringwire::limits::HEAD_BYTES_MAX;
use ringwire::ws::upgrade::{Parsed, check_upgrade, parse_request, write_accept};

use crate::rig::wire;

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("upgrade");
    group.throughput(Throughput::Elements(1));
    for (name, head) in [("short", wire::HEAD), ("browser", wire::BROWSER_HEAD)] {
        let mut answer = Vec::new();
        accept(head.as_bytes(), &mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "it is an answer");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                answer.clear();
                accept(black_box(head.as_bytes()), &mut answer);
                answer.len()
            });
        });
    }
    group.bench_function("parse_only/browser", |bencher| {
        let head = wire::BROWSER_HEAD.as_bytes();
        bencher.iter(|| parse_request(black_box(head), HEAD_BYTES_MAX).is_ok());
    });
    group.finish();
}

fn accept(head: &[u8], answer: &mut Vec<u8>) {
    match parse_request(head, HEAD_BYTES_MAX).expect("a good head") {
        Parsed::Complete { request, consumed } => {
            assert_eq!(consumed, head.len());
            let key = check_upgrade(&request).expect("a good request");
            write_accept(answer, &key, None, None);
        }
        Parsed::Incomplete => panic!("the head is whole"),
    }
}
