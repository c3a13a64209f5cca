//! Latency against a server that keeps messages for a known time.
//!
//! A busy machine makes everything later, never earlier. So lower bounds hold in every run; upper
//! ones are held against how long the server itself has seen that it kept the messages, and of
//! several runs one has to keep them: a generator that measures too much does so in each.

use std::time::Duration;

use crate::faulty::{Conduct, Fault, Faulty};
use crate::run::{Run, bench};

const DELAY: Duration = Duration::from_millis(20);
/// What the median may be above what the server has seen: the way there and back.
const WAY_MS: f64 = 5.0;
/// Runs of which one has to be left alone by the rest of the machine.
const RUNS_MAX: u32 = 8;

/// Repeats until something was not disturbed.
fn undisturbed(mut run: impl FnMut() -> Result<(), String>) {
    let mut why = Vec::new();
    for _ in 0..RUNS_MAX {
        match run() {
            Ok(()) => return,
            Err(what) => why.push(what),
        }
    }
    panic!("in none of {RUNS_MAX} runs: {why:#?}");
}

fn at_most(what: &str, found: f64, most: f64) -> Result<(), String> {
    if found <= most { Ok(()) } else { Err(format!("{what}: {found}, at most {most}")) }
}

fn near(what: &str, found: f64, expected: f64, by: f64) -> Result<(), String> {
    at_most(&format!("{what}, {found} near {expected}"), (found - expected).abs(), by)
}

fn echo(server: &Faulty, connections: &str, duration: &str, arguments: &[&str]) -> Run {
    let url = server.url();
    let usual = ["echo", &url, "--connections", connections, "--warmup", "0s", "--duration"];
    let run = bench(&[&usual[..], &[duration], arguments].concat());
    run.expect_clean();
    run
}

#[test]
fn a_fixed_delay_is_what_is_measured() {
    for pace in [["--rate", "200"], ["--in-flight", "1"], ["--in-flight", "4"]] {
        undisturbed(|| {
            let server = Faulty::start(Conduct::with(Fault::Delay(DELAY)));
            let run = echo(&server, "3", "1s", &pace);
            let (min_ms, p50_ms) = (run.latency_ms("min"), run.latency_ms("p50"));
            assert!(min_ms >= 20.0, "{pace:?}: min {min_ms}");
            assert!(min_ms <= p50_ms && p50_ms <= run.latency_ms("p99"));
            at_most("p50", p50_ms, server.kept_p50_ms() + WAY_MS)?;
            at_most("p50 against the delay", p50_ms, 20.0 + 2.0 * WAY_MS)
        });
    }
}

/// Each of the k makes one round after another, none of them shorter than the delay.
#[test]
fn a_closed_loop_has_as_many_on_their_way_as_it_was_told() {
    for in_flight in ["1", "5"] {
        undisturbed(|| {
            let server = Faulty::start(Conduct::with(Fault::Delay(DELAY)));
            let run = echo(&server, "4", "1s", &["--in-flight", in_flight]);
            let senders = 4.0 * in_flight.parse::<f64>().unwrap();
            let (most, rate) =
                (senders / DELAY.as_secs_f64(), run.number("/messages/received_per_second"));
            assert!(rate <= most, "{in_flight} in flight: {rate} per second, at most {most}");
            near(&format!("rate of {in_flight} in flight"), rate, most, 0.2 * most)
        });
    }
}

/// Of 1,000 messages a second, those of the half second in which nothing comes back have waited
/// from 500 ms down to nothing: a quarter of the 2,000, spread evenly.
#[test]
fn a_stall_is_not_left_out() {
    undisturbed(|| {
        let stall = Duration::from_millis(500);
        let server = Faulty::start(Conduct::with(Fault::Stall(700, stall)));
        let run = echo(&server, "1", "2s", &["--rate", "1000"]);
        assert_eq!(run.totals(), (2000, 2000));
        let stall_ms = server.account().kept.iter().max().unwrap().as_secs_f64() * 1e3;
        let max_ms = run.latency_ms("max");
        assert!(stall_ms >= 500.0 && max_ms >= 500.0, "{stall_ms} {max_ms}");
        // What waited is the last part of all latencies, as large as the stall was long.
        let waited = stall_ms / 2000.0;
        for (name, part) in [("p90", 0.90), ("p99", 0.99), ("p99_9", 0.999)] {
            let expected_ms = stall_ms * (1.0 - (1.0 - part) / waited);
            let found_ms = run.latency_ms(name);
            assert!(found_ms >= 500.0 * (1.0 - (1.0 - part) / 0.25) - 5.0, "{name}: {found_ms}");
            near(name, found_ms, expected_ms, 25.0)?;
        }
        at_most("p50: most have not waited", run.latency_ms("p50"), 50.0)?;
        at_most("max", max_ms, stall_ms + 25.0)
    });
}

/// The same stall in a closed loop is one late answer: this is what an open loop is for.
#[test]
fn a_closed_loop_sees_a_stall_once() {
    undisturbed(|| {
        let fault = Fault::Stall(700, Duration::from_millis(300));
        let server = Faulty::start(Conduct::with(fault));
        let run = echo(&server, "1", "2s", &[]);
        if run.totals().0 < 1400 {
            return Err(format!("{} messages are too few", run.totals().0));
        }
        assert!(run.latency_ms("max") >= 300.0);
        at_most("p99", run.latency_ms("p99"), 100.0)
    });
}

#[test]
fn all_senders_send_at_the_same_moment() {
    let server = Faulty::start(Conduct::GOOD);
    let run = echo(&server, "12", "1s", &["--rings", "3", "--together-every", "200ms"]);
    assert_eq!(run.totals(), (60, 60), "five times twelve");
}
