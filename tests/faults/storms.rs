//! A crowd that leaves at once, and a crowd that comes back at once, while others go on talking.
//!
//! One table holds no more than RLIMIT_NOFILE connections, so there are more shards and rings than
//! cores: see "Many connections" in docs/bench.md. Ports and TIME_WAIT are those of a network
//! namespace of the test's own.

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;

use crate::baseline::Baseline;
use crate::common::{Server, poll};
use crate::network::{Inside, Namespace, is_allowed};
use crate::run::{Started, start};
use crate::witnesses::{Newcomers, Witnesses};
use crate::{HEARTBEATS_LOST, OPEN, PATIENT, heavy, sized};

/// What a new connection may take while the crowd leaves or comes; small sizes run beside other
/// tests.
fn welcome_max() -> Duration {
    sized(Duration::from_secs(5), Duration::from_secs(1))
}

/// For a crowd to come or go.
const CROWD_LIMIT: Duration = Duration::from_secs(240);
/// What a connection may leave behind in tables that were touched for the first time.
const TOUCHED_BYTES: u64 = 512;
/// No table is larger, whatever the limit says.
const TABLE_MAX: u64 = 1_000_000;
const TUNING: [(&str, &str); 3] = [
    ("net.core.somaxconn", "65535"),
    ("net.ipv4.tcp_max_syn_backlog", "65535"),
    ("net.ipv4.ip_local_port_range", "10000 65535"),
];

/// A server, and a host of its own for it and all clients.
struct Place {
    server: Server,
    crowd: u32,
    others: u32,
    rings: String,
    _inside: Inside,
    _network: Namespace,
}

impl Place {
    fn new(subcommand: &str) -> Place {
        let network = Namespace::new();
        TUNING.iter().for_each(|(variable, value)| network.set(variable, value));
        let inside = network.enter();
        let (crowd, others) = sized((3_000_u32, 50_u32), (100_000, 1_000));
        let (table, _) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        let table = table.min(TABLE_MAX) as u32;
        // The kernel spreads connections over shards by hash: a quarter above the mean.
        let shards = (2 * crowd + others).div_ceil(table * 3 / 4).max(2).to_string();
        let rings = crowd.div_ceil(table - 200).max(2).to_string();
        // Who comes back may be there before the server has seen that he left.
        let connections_max = (2 * crowd + others + 100).to_string();
        let size = ["--shards", &shards, "--max-connections", &connections_max];
        let flags = [&["--listen", "0.0.0.0:0"][..], &size, &PATIENT].concat();
        let server = Server::start(subcommand, &flags);
        Place { server, crowd, others, rings, _inside: inside, _network: network }
    }

    /// Connections that do nothing, on addresses of their own.
    fn crowd(&self, topics: &str) -> Started {
        let url = format!("ws://127.0.0.2-127.0.0.9:{}/ws", self.server.ws.port());
        let connections = self.crowd.to_string();
        let size = ["--connections", &connections, "--rings", &self.rings];
        let hold = ["--topics", topics, "--hold", "24h", "--timeout", "120s"];
        start(&[&["idle", &url][..], &size, &hold].concat())
    }

    fn local_url(&self) -> String {
        format!("ws://127.0.0.1:{}/ws", self.server.ws.port())
    }

    fn await_open(&self, least: u32, most: u32) -> Duration {
        self.await_metric(OPEN, least, most)
    }

    /// Waits until a metric is in a range: newcomers come and go.
    fn await_metric(&self, family: &str, least: u32, most: u32) -> Duration {
        let (start, mut now) = (Instant::now(), 0.0);
        let is_there = poll(CROWD_LIMIT, || {
            now = self.server.metric(family, &[]);
            (f64::from(least)..=f64::from(most)).contains(&now).then_some(())
        });
        assert!(is_there.is_some(), "{family} is {now}, not {least} to {most}");
        start.elapsed()
    }
}

/// Ends a run that would go on, and takes its report.
fn finish(run: Started) -> crate::run::Run {
    run.process.signal(Signal::SIGINT);
    run.finish()
}

#[test]
fn a_crowd_that_leaves_at_once_keeps_nobody_waiting() {
    if !is_allowed("a test of mass disconnects") {
        return;
    }
    let (_turn, place) = (heavy(), Place::new("echo"));
    let (server, others) = (&place.server, place.others);
    let (connections, rate) = (others.to_string(), (others * 5).to_string());
    let load = ["--connections", &connections, "--rate", &rate, "--warmup", "0s"];
    let url = place.local_url();
    let talking = start(&[&["echo", &url][..], &load, &["--duration", "1h"]].concat());
    place.await_open(others, others);
    let baseline = Baseline::of(server, others as usize);
    let crowd = place.crowd("0");
    let came = place.await_open(others + place.crowd, others + place.crowd);
    let newcomers = Newcomers::start(server.ws);
    // All of their sockets end with the process.
    crowd.process.signal(Signal::SIGKILL);
    let left = place.await_open(others, others + 1);
    let arrivals = newcomers.finish();
    println!("{} came within {came:?} and left within {left:?}; {arrivals:?}", place.crowd);
    assert!(arrivals.count > 0 && arrivals.longest < welcome_max(), "{arrivals:?}");
    assert_eq!(server.metric(HEARTBEATS_LOST, &[]), 0.0);
    baseline.await_return(server, u64::from(place.crowd) * TOUCHED_BYTES);
    let run = finish(talking);
    run.expect_clean();
    println!("others: {:?} messages; p99.9 {} ms", run.totals(), run.latency_ms("p99_9"));
    place.server.stop();
}

#[test]
fn a_crowd_that_comes_back_at_once_is_taken_in() {
    if !is_allowed("a test of reconnect storms") {
        return;
    }
    let (_turn, place) = (heavy(), Place::new("serve"));
    let server = &place.server;
    let witnesses = Witnesses::subscribed(server.ws);
    let baseline = Baseline::of(server, witnesses.count());
    let (mut before, mut longest) = (None, Duration::ZERO);
    // Twice as many topics the second time: by the last of them those are known who came back.
    for topics in [10_u32, 20] {
        let newcomers = Newcomers::start(server.ws);
        // Those of the first round are gone the moment that these begin to come.
        drop::<Option<Started>>(before.take());
        let start = Instant::now();
        let crowd = place.crowd(&topics.to_string());
        let path = format!("/v1/topics?prefix=bench:{}", topics - 1);
        let is_there = poll(CROWD_LIMIT, || {
            let listed = server.get(&path).json();
            (listed["topics"][0]["subscribers"] == place.crowd / topics).then_some(())
        });
        assert!(is_there.is_some(), "{}", server.get(&path).body);
        place.await_metric("ringwire_subscriptions", place.crowd + 1, place.crowd + 1);
        let took = start.elapsed();
        let arrivals = newcomers.finish();
        longest = longest.max(arrivals.longest);
        println!("{} have come and subscribed within {took:?}; {arrivals:?}", place.crowd);
        before = Some(crowd);
    }
    assert!(longest < welcome_max(), "a newcomer waited for {longest:?}");
    assert_eq!(server.metric(HEARTBEATS_LOST, &[]), 0.0);
    drop(before);
    baseline.await_return(server, u64::from(place.crowd) * TOUCHED_BYTES);
    witnesses.finish();
    place.server.stop();
}
