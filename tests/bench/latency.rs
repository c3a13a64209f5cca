//! Latency against a server that keeps messages for a known time.
//!
//! A busy machine makes everything later, never earlier: lower bounds are strict, upper ones are
//! held against how long the server itself has seen that it kept the messages.

use std::time::Duration;

use crate::faulty::{Conduct, Fault, Faulty};
use crate::run::bench;

const DELAY: Duration = Duration::from_millis(20);
/// What the median may be above what the server has seen: the way there and back.
const WAY_MS: f64 = 5.0;

#[test]
fn a_fixed_delay_is_what_is_measured() {
    for pace in [["--rate", "200"], ["--in-flight", "1"], ["--in-flight", "4"]] {
        let server = Faulty::start(Conduct::with(Fault::Delay(DELAY)));
        let url = server.url();
        let usual = ["echo", &url, "--connections", "3", "--warmup", "0s", "--duration", "1s"];
        let run = bench(&[&usual, &pace[..]].concat());
        run.expect_clean();
        let (kept_ms, p50_ms) = (server.kept_p50_ms(), run.latency_ms("p50"));
        assert!(run.latency_ms("min") >= 20.0, "{pace:?}: min {}", run.latency_ms("min"));
        assert!(p50_ms <= kept_ms + WAY_MS, "{pace:?}: p50 {p50_ms} ms, kept for {kept_ms} ms");
        assert!(p50_ms >= 20.0 && run.latency_ms("p99") >= p50_ms);
    }
}

#[test]
fn a_closed_loop_has_as_many_on_their_way_as_it_was_told() {
    for in_flight in [1, 5] {
        let server = Faulty::start(Conduct::with(Fault::Delay(DELAY)));
        let url = server.url();
        let k = in_flight.to_string();
        let run = bench(&[
            "echo",
            &url,
            "--connections",
            "4",
            "--in-flight",
            &k,
            "--warmup",
            "0s",
            "--duration",
            "1s",
        ]);
        run.expect_clean();
        // Each of the k makes one round after another, none of them shorter than the delay.
        let most = 4.0 * f64::from(in_flight) / DELAY.as_secs_f64();
        let rounds = most * DELAY.as_secs_f64() * 1e3 / (server.kept_p50_ms() + WAY_MS);
        let rate = run.number("/messages/received_per_second");
        assert!(rate <= most, "{in_flight} in flight: {rate} per second, at most {most}");
        assert!(rate >= 0.8 * rounds, "{in_flight} in flight: {rate} per second of {rounds}");
    }
}

/// Of 1,000 messages a second, those of the half second in which nothing comes back have waited
/// from 500 ms down to nothing: a quarter of the 2,000, spread evenly.
#[test]
fn a_stall_is_not_left_out() {
    let stall = Duration::from_millis(500);
    let server = Faulty::start(Conduct::with(Fault::Stall(700, stall)));
    let url = server.url();
    let run = bench(&[
        "echo",
        &url,
        "--connections",
        "1",
        "--rate",
        "1000",
        "--warmup",
        "0s",
        "--duration",
        "2s",
    ]);
    run.expect_clean();
    assert_eq!(run.totals(), (2000, 2000));
    let stall_ms = server.account().kept.iter().max().unwrap().as_secs_f64() * 1e3;
    assert!(stall_ms >= 500.0);
    // What waited is the last quarter of all latencies, less or more as the stall really took.
    let waited = stall_ms / 2000.0;
    for (name, part) in [("p90", 0.90), ("p99", 0.99), ("p99_9", 0.999)] {
        let expected_ms = stall_ms * (1.0 - (1.0 - part) / waited);
        let found_ms = run.latency_ms(name);
        assert!(
            (found_ms - expected_ms).abs() <= 25.0,
            "{name}: {found_ms} ms where {expected_ms} ms follow from a stall of {stall_ms} ms"
        );
    }
    let (p50_ms, max_ms) = (run.latency_ms("p50"), run.latency_ms("max"));
    assert!(p50_ms < 100.0, "most have not waited: {p50_ms}");
    assert!((stall_ms - 5.0..stall_ms + 25.0).contains(&max_ms), "{max_ms}, stalled {stall_ms}");
}

/// The same stall in a closed loop is one late answer: this is what an open loop is for.
#[test]
fn a_closed_loop_sees_a_stall_once() {
    let server = Faulty::start(Conduct::with(Fault::Stall(700, Duration::from_millis(300))));
    let url = server.url();
    let run = bench(&["echo", &url, "--connections", "1", "--warmup", "0s", "--duration", "2s"]);
    run.expect_clean();
    assert!(run.latency_ms("max") >= 300.0);
    assert!(run.latency_ms("p99") < 150.0, "{}", run.latency_ms("p99"));
}

#[test]
fn all_senders_send_at_the_same_moment() {
    let server = Faulty::start(Conduct::GOOD);
    let url = server.url();
    let run = bench(&[
        "echo",
        &url,
        "--connections",
        "12",
        "--rings",
        "3",
        "--together-every",
        "200ms",
        "--warmup",
        "0s",
        "--duration",
        "1s",
    ]);
    assert_eq!(run.expect_clean().totals(), (60, 60), "five times twelve");
}
