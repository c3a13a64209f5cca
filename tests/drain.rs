//! A drain of the real server: its pace over all shards, what each client is told, and the signals
//! that begin and cut it.
//!
//! `RINGWIRE_DRAIN_CONNECTIONS=50000 RINGWIRE_DRAIN_RATE=5000` gives a larger one.

mod common;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Event, JsonClient, Process, RawClient, SOON, Server, number_from_env};
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use serde_json::Value;

const DRAINED: &str = "ringwire_drained_total";
const OPEN: &str = "ringwire_connections_open";
/// Connections of one process of clients: below the usual limit of descriptors.
const CROWD_MAX: u64 = 15_000;
/// A busy machine may disturb some runs, but not all.
const ATTEMPTS: usize = 3;

/// Processes of idle clients.
struct Crowd {
    processes: Vec<Process>,
}

impl Crowd {
    fn open(server: &Server, connections: u64, limit: Duration) -> Crowd {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service/crowd.py");
        let parts = connections.div_ceil(CROWD_MAX);
        let start = |part: u64| {
            let share = connections * (part + 1) / parts - connections * part / parts;
            let (host, port) = (server.ws.ip().to_string(), server.ws.port().to_string());
            let mut command = Command::new("python3");
            // An address of its own: those of one would use up its ports.
            let source = format!("127.0.0.{}", part + 2);
            command.arg(&script).args([&host, &port, &share.to_string(), &source]);
            command.env("PYTHONDONTWRITEBYTECODE", "1");
            Process::spawn("crowd.py", &mut command)
        };
        let processes: Vec<Process> = (0..parts).map(start).collect();
        for process in &processes {
            assert_eq!(process.line(limit), "open");
        }
        Crowd { processes }
    }

    /// What each process has seen, once all its connections have ended.
    fn end(self, limit: Duration) -> Vec<Value> {
        let seen = |process: &Process| {
            let line = process.line(limit);
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        let seen = self.processes.iter().map(seen).collect();
        self.processes.into_iter().for_each(|mut process| process.succeed(SOON));
        seen
    }
}

fn monotonic_s() -> f64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("it is always there");
    Duration::from(now).as_secs_f64()
}

/// Drains so many connections and gives the seconds from the order to the last close.
fn drain(connections: u64, rate: u64) -> f64 {
    let expected = Duration::from_secs_f64(connections as f64 / rate as f64);
    let (max, rate) = ((connections + 64).to_string(), rate.to_string());
    let flags = ["--shards", "4", "--max-connections", &max, "--drain-rate-per-s", &rate];
    // While a crowd is connecting it answers no ping.
    let patience = ["--heartbeat-interval-ms", "600000", "--drain-timeout-ms", "600000"];
    let mut server = Server::echo(&[&flags[..], &patience].concat());
    let limit = SOON + 4 * expected;
    let crowd = Crowd::open(&server, connections, limit);
    server.await_metric(OPEN, &[], connections as f64, limit);
    let ordered = monotonic_s();
    server.terminate();
    let seen = crowd.end(limit);
    assert_eq!(server.exit(SOON).code(), Some(0));
    let sum = |key: &str| seen.iter().filter_map(|s| s.pointer(key)?.as_u64()).sum::<u64>();
    assert_eq!(sum("/codes/1001"), connections, "{seen:?}");
    assert_eq!(sum("/advised"), connections, "{seen:?}");
    let last = seen.iter().map(|seen| seen["last"].as_f64().expect("a moment"));
    last.fold(0.0, f64::max) - ordered
}

#[test]
fn a_drain_takes_the_time_that_its_rate_gives_it_and_each_client_is_told() {
    let connections = number_from_env("RINGWIRE_DRAIN_CONNECTIONS", 2_000);
    let rate = number_from_env("RINGWIRE_DRAIN_RATE", 1_000);
    let expected = connections as f64 / rate as f64;
    let mut took = Vec::new();
    for _ in 0..ATTEMPTS {
        took.push(drain(connections, rate));
        let ratio = took[took.len() - 1] / expected;
        assert!(ratio > 0.9, "{took:?} s, faster than the {expected} s of the rate");
        if ratio < 1.1 {
            println!("{connections} connections at {rate}/s took {took:?} s");
            return;
        }
    }
    panic!("{took:?} s instead of {expected}");
}

#[test]
fn progress_is_in_the_metrics_and_in_the_log() {
    let flags = ["--drain-rate-per-s", "10", "--shards", "2"];
    let mut server = Server::echo(&flags);
    let mut clients: Vec<RawClient> = (0..30).map(|_| RawClient::open(server.ws, "/")).collect();
    server.await_metric(OPEN, &[], 30.0, SOON);
    assert_eq!(server.metric("ringwire_draining", &[]), 0.0);
    server.signal(Signal::SIGUSR2);
    server.await_metric("ringwire_draining", &[], 1.0, SOON);
    assert_eq!(server.metric("ringwire_ready", &[]), 0.0);
    let told = common::poll(SOON, || {
        let told = server.metric(DRAINED, &[("when", "paced")]);
        (told >= 3.0).then_some(told)
    });
    assert!(told.expect("some are told") < 30.0, "three seconds are needed for all");
    // SIGUSR2 again, and the first SIGTERM after it, change nothing.
    server.signal(Signal::SIGUSR2);
    server.terminate();
    for client in &mut clients {
        client.expect_close(1001, "drain");
    }
    assert_eq!(server.exit(SOON).code(), Some(0));
    let log = server.log();
    assert!(
        log.iter().any(|line| line.contains("draining") && line.contains("open=30")),
        "{log:?}"
    );
    assert!(log.iter().any(|line| line.contains("drained") && line.contains("told=30")), "{log:?}");
}

#[test]
fn who_is_late_is_told_shortly_before_the_deadline() {
    let flags =
        ["--drain-rate-per-s", "1", "--drain-timeout-ms", "3000", "--close-timeout-ms", "2000"];
    let mut server = Server::echo(&flags);
    let mut clients: Vec<RawClient> = (0..50).map(|_| RawClient::open(server.ws, "/")).collect();
    server.await_metric(OPEN, &[], 50.0, SOON);
    let start = Instant::now();
    server.terminate();
    for client in &mut clients {
        client.expect_close(1001, "late");
    }
    assert!(start.elapsed() >= Duration::from_millis(1_400), "half the time is theirs");
    assert_eq!(server.exit(SOON).code(), Some(0));
}

#[test]
fn a_second_sigterm_ends_at_once() {
    for subcommand in ["echo", "serve"] {
        let flags = ["--drain-rate-per-s", "1", "--drain-timeout-ms", "600000"];
        let mut server = Server::start(subcommand, &flags);
        let path = if subcommand == "echo" { "/" } else { "/ws" };
        let mut clients: Vec<RawClient> =
            (0..40).map(|_| RawClient::open(server.ws, path)).collect();
        server.await_metric(OPEN, &[], 40.0, SOON);
        server.terminate();
        server.await_metric("ringwire_draining", &[], 1.0, SOON);
        server.terminate();
        assert_eq!(server.exit(SOON).code(), Some(0), "{subcommand}");
        let last = clients.last_mut().expect("there are some");
        loop {
            match last.event(SOON) {
                Event::Frame(frame) => assert_ne!(frame.opcode, common::CLOSE, "not its turn yet"),
                Event::Ended => break,
                Event::Silence => panic!("the process is gone"),
            }
        }
    }
}

#[test]
fn an_order_over_http_drains_like_a_signal() {
    let mut server = Server::serve(&["--drain-retry-ms", "0"]);
    let mut client = JsonClient::open(server.ws);
    let mut bystander = RawClient::open(server.ws, "/ws");
    assert_eq!(server.post("/v1/drain", "{}").status, 202);
    client.raw().expect_close(1001, "ordered");
    bystander.expect_close(1001, "ordered");
    assert_eq!(server.exit(SOON).code(), Some(0));
}
