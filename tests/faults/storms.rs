//! A crowd that leaves at once, and a crowd that comes back at once, while others go on talking.
//!
//! One table holds no more than RLIMIT_NOFILE connections, so there are more shards and rings than
//! cores: see "Many connections" in docs/bench.md. Ports and TIME_WAIT are those of a network
//! namespace of the test's own.

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;

use crate::baseline::Baseline;
use crate::common::{SOON, Server, poll};
use crate::network::{Inside, Namespace, is_allowed};
use crate::run::{Started, start};
use crate::witnesses::Newcomers;
use crate::{HEARTBEATS_LOST, OPEN, PATIENT, heavy, sized};

/// What a new connection may take while the crowd leaves; small sizes run beside other tests.
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
        let shards = (crowd + others).div_ceil(table * 3 / 4).max(2).to_string();
        let rings = crowd.div_ceil(table - 200).max(2).to_string();
        let connections_max = (crowd + others + 100).to_string();
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
        let start = Instant::now();
        let mut open = 0.0;
        let is_there = poll(CROWD_LIMIT, || {
            open = self.server.metric(OPEN, &[]);
            (f64::from(least)..=f64::from(most)).contains(&open).then_some(())
        });
        assert!(is_there.is_some(), "{open} are open, not {least} to {most}");
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
    let (server, others) = (&place.server, place.others);
    // Each is its own topic's only publisher and subscriber.
    let (count, rate) = (others.to_string(), (others * 2).to_string());
    let shape = ["--publishers", &count, "--topics", &count, "--subscribers", "1"];
    let load = ["--rate", &rate, "--warmup", "0s", "--duration", "1h"];
    let url = place.local_url();
    let talking = start(&[&["fanout", &url][..], &shape, &load].concat());
    place.await_open(others, others);
    let baseline = Baseline::of(server, others as usize);
    let (mut first, mut longest) = (None, Duration::ZERO);
    for _ in 0..2 {
        // Those before are gone the moment that these begin to come.
        let before = first.take();
        let newcomers = Newcomers::start(server.ws);
        drop::<Option<Started>>(before);
        let crowd = place.crowd("1000");
        let everybody = others + place.crowd;
        let subscribed = poll(CROWD_LIMIT, || {
            let subscriptions = server.metric("ringwire_subscriptions", &[]);
            (subscriptions == f64::from(everybody)).then_some(())
        });
        assert!(subscribed.is_some(), "{} open", server.metric(OPEN, &[]));
        let arrivals = newcomers.finish();
        longest = longest.max(arrivals.longest);
        println!("{} have come back; {arrivals:?}", place.crowd);
        place.await_open(everybody, everybody);
        first = Some(crowd);
    }
    assert!(longest < SOON);
    assert_eq!(server.metric(HEARTBEATS_LOST, &[]), 0.0);
    drop(first);
    baseline.await_return(server, u64::from(place.crowd) * TOUCHED_BYTES);
    let run = finish(talking);
    run.expect_clean();
    println!("others: {:?} messages; p99.9 {} ms", run.totals(), run.latency_ms("p99_9"));
    place.server.stop();
}
