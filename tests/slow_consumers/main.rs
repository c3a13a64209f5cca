//! Subscribers that never read, under a flood: each policy does what it says, memory stays inside
//! the limits and inside the plan, and those who keep up lose nothing.
//!
//! `RINGWIRE_SLOW_SECONDS` says how long the flood lasts.

#[path = "../common/mod.rs"]
mod common;

mod crowd;
mod flood;
mod watch;

use std::time::Duration;

use common::{Server, number_from_env};
use crowd::{End, Sleeper};
use flood::flood;
use watch::Watch;

/// Per policy.
const SLEEPERS: usize = 200;
/// Per policy.
const READERS: usize = 10;
const EGRESS_BYTES_MAX: usize = 256 * 1024;
const EGRESS_TOTAL_BYTES_MAX: usize = 256 << 20;
const NAMESPACES: [&str; 3] = ["a:x", "b:x", "c:x"];
const POLICIES: [&str; 6] =
    ["--namespace", "a=close", "--namespace", "b=drop_oldest", "--namespace", "c=conflate"];
/// Heartbeats would close who sleeps, for another reason.
const TIMES: [&str; 4] =
    ["--heartbeat-interval-ms", "3600000", "--heartbeat-timeout-ms", "3600000"];

const DROPPED: &str = "ringwire_deliveries_dropped_total";
const SLOW: &str = "ringwire_slow_consumers_closed_total";
const OPEN: &str = "ringwire_connections_open";
const QUEUED: &str = "ringwire_egress_queued_bytes";

/// A server with these policies and limits, and nothing of the times that matters here but the time
/// for a closing handshake.
fn server(shards: &str, total_bytes_max: usize, close_timeout_ms: &str) -> Server {
    let (each, total) = (EGRESS_BYTES_MAX.to_string(), total_bytes_max.to_string());
    let flags = [
        "--shards",
        shards,
        "--max-connections",
        "1024",
        "--egress-bytes-max",
        &each,
        "--egress-total-bytes-max",
        &total,
        "--close-timeout-ms",
        close_timeout_ms,
    ];
    Server::serve(&[&flags[..], &POLICIES, &TIMES].concat())
}

fn sleepers(server: &Server, topic: &str, count: usize) -> Vec<Sleeper> {
    (0..count).map(|_| Sleeper::open(server.ws, topic)).collect()
}

#[test]
fn each_policy_bounds_what_waits_for_those_who_never_read() {
    let seconds = Duration::from_secs(number_from_env("RINGWIRE_SLOW_SECONDS", 10));
    // Who is closed is to be found still waiting for its last words.
    let server = server("2", EGRESS_TOTAL_BYTES_MAX, "3600000");
    let crowds = NAMESPACES.map(|topic| sleepers(&server, topic, SLEEPERS));
    let watch = Watch::start(server.admin, server.pid());
    let floods = flood(server.ws, &NAMESPACES, READERS, seconds);
    let seen = watch.finish();

    let all = 3 * (SLEEPERS + READERS) * EGRESS_BYTES_MAX;
    assert!(seen.samples as f64 > seconds.as_secs_f64(), "only {} samples", seen.samples);
    assert!(seen.queued_bytes_max <= all.min(EGRESS_TOTAL_BYTES_MAX) as f64, "{seen:?}");
    assert!(seen.queued_bytes_max > (SLEEPERS * EGRESS_BYTES_MAX / 2) as f64, "no load: {seen:?}");
    let planned = server.planned_bytes();
    assert!(seen.resident_bytes_max <= planned, "{seen:?}, but {planned} was planned");
    let metrics = server.metrics();
    for policy in ["close", "drop_oldest", "conflate"] {
        assert!(metrics.value(DROPPED, &[("policy", policy)]) > 0.0, "{policy}: nothing counted");
    }
    assert_eq!(metrics.value(SLOW, &[]), SLEEPERS as f64, "the policy of one namespace closes");

    let [close, drop_oldest, conflate] = crowds;
    for sleeper in close {
        let slept = sleeper.wake(None);
        assert_eq!(slept.end, End::Closed(4001), "{slept:?}");
        assert_eq!(slept.gaps, 0, "a prefix without a gap: {slept:?}");
        assert!(slept.messages > 0 && slept.last < floods[0].last, "{slept:?}");
    }
    for sleeper in drop_oldest {
        let slept = sleeper.wake(Some(floods[1].last));
        assert_eq!(slept.end, End::Newest, "{slept:?} of {:?}", floods[1]);
        assert!(slept.gaps > 0, "no gap, though it slept all the time: {slept:?}");
        // The newest messages are there without a gap, as many as the limit has room for.
        let cost = floods[1].cost_max as usize;
        assert!(slept.run as usize > EGRESS_BYTES_MAX / cost / 2, "{slept:?} of {:?}", floods[1]);
    }
    for sleeper in conflate {
        let slept = sleeper.wake(Some(floods[2].last));
        assert_eq!(slept.end, End::Newest, "{slept:?} of {:?}", floods[2]);
        assert!(slept.gaps > 0, "no gap, though it slept all the time: {slept:?}");
        assert_eq!(slept.run, 1, "only the newest one of the topic waited: {slept:?}");
    }
    server.await_metric(QUEUED, &[], 0.0, common::SOON);
    println!("{seen:?}, planned {planned}, {floods:?}");
    server.stop();
}

/// One that is closed and does not even read that is not kept.
#[test]
fn a_slow_consumer_that_goes_on_sleeping_is_cut_off() {
    let server = server("1", EGRESS_TOTAL_BYTES_MAX, "500");
    let sleepers = sleepers(&server, "a:x", 20);
    let floods = flood(server.ws, &["a:x"], 1, Duration::from_secs(2));
    server.await_metric(OPEN, &[], 0.0, common::SOON);
    server.await_metric(SLOW, &[], 20.0, common::SOON);
    server.await_metric(QUEUED, &[], 0.0, common::SOON);
    for sleeper in sleepers {
        let slept = sleeper.wake(None);
        assert!(matches!(slept.end, End::Closed(4001) | End::Cut), "{slept:?}");
        assert_eq!(slept.gaps, 0, "a prefix without a gap: {slept:?}");
        assert!(slept.messages > 0 && slept.last < floods[0].last, "{slept:?}");
    }
    server.stop();
}

/// Where the sum of what may wait is more than the limit of all, the slowest go first, whatever
/// their policy: and the limit holds.
#[test]
fn the_limit_of_all_queues_holds() {
    const TOTAL: usize = 4 << 20;
    let server = server("1", TOTAL, "500");
    let sleepers = sleepers(&server, "b:x", 80);
    let watch = Watch::start(server.admin, server.pid());
    let floods = flood(server.ws, &["b:x"], 5, Duration::from_secs(3));
    let seen = watch.finish();
    assert!(seen.queued_bytes_max <= TOTAL as f64, "{seen:?}");
    assert!(seen.queued_bytes_max > TOTAL as f64 / 2.0, "no load: {seen:?}");
    let closed = server.metric(SLOW, &[]);
    assert!(closed > 0.0 && closed < sleepers.len() as f64, "{closed} of {}", sleepers.len());
    let mut ends = sleepers.into_iter().map(|sleeper| sleeper.wake(Some(floods[0].last)).end);
    assert!(ends.any(|end| end == End::Newest), "those who were spared hear the newest");
    server.stop();
}
