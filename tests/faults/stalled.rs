//! Ten thousand subscribers that never read, on a topic that is flooded: all of the server's memory
//! stays inside the plan that it printed before it started.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::baseline::Baseline;
use crate::common::{JsonClient, RawClient, SOON, Server};
use crate::network::{Namespace, is_allowed};
use crate::run::start;
use crate::watch::Watch;
use crate::witnesses::Witnesses;
use crate::{HEARTBEATS_LOST, OPEN, PATIENT, QUEUED, heavy, sized};

/// The first topic of the load generator.
const FLOODED: &str = "bench:0";
/// What the kernel may hold for one of the server's sockets, so that what waits does so in the
/// server.
const TUNING: [(&str, &str); 2] =
    [("net.ipv4.tcp_wmem", "4096 16384 65536"), ("net.ipv4.tcp_rmem", "4096 16384 65536")];

fn stalled(server: &Server) -> JsonClient {
    let mut client = JsonClient::on(RawClient::connect_narrow(server.ws).upgrade("/ws"));
    client.subscribe(FLOODED);
    client
}

#[test]
fn memory_stays_inside_the_plan_under_stalled_readers() {
    if !is_allowed("a test of stalled readers") {
        return;
    }
    let _turn = heavy();
    let network = Namespace::new();
    TUNING.iter().for_each(|(variable, value)| network.set(variable, value));
    let _inside = network.enter();
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("up to the hard limit");
    let count = sized(400, 10_000);
    // In the small size so little that the limit is reached as well.
    let total: u64 = sized(24 << 20, 512 << 20);
    let (total_max, connections_max) = (total.to_string(), (count + 200).to_string());
    let size = ["--shards", "2", "--max-connections", &connections_max];
    let bounds = ["--egress-total-bytes-max", &total_max];
    // Who falls behind stays: that is what fills the memory.
    let policy = ["--namespace", "bench=drop_oldest", "--close-timeout-ms", "1000"];
    let server = Server::serve(&[&size[..], &bounds, &policy, &PATIENT].concat());
    let planned = server.planned_bytes();
    let witnesses = Witnesses::subscribed(server.ws);
    let baseline = Baseline::of(&server, witnesses.count());
    let crowd: Vec<JsonClient> = (0..count).map(|_| stalled(&server)).collect();
    server.await_metric(OPEN, &[], (witnesses.count() + count) as f64, SOON);

    let watch = Watch::start(server.admin, server.pid());
    // At a rate at which its readers keep up; they check every message.
    let shape = ["--publishers", "2", "--topics", "1", "--subscribers", "20"];
    let rate = ["--rate", sized("200", "25"), "--bytes", "4000"];
    let load = [&rate[..], &["--warmup", "0s", "--duration", sized("5s", "30s")]].concat();
    let run = start(&[&["fanout", &server.url()][..], &shape, &load].concat()).finish();
    let seen = watch.finish();
    run.expect_clean();
    println!("{count} stalled: {seen:?} of {planned} planned; {:?}", run.totals());
    assert!(seen.resident_bytes_max <= planned, "{seen:?}, but {planned} was planned");
    assert!(seen.queued_bytes_max <= total as f64, "{seen:?}");
    assert!(seen.queued_bytes_max > total as f64 / 2.0, "no load: {seen:?}");
    let dropped = server.metric("ringwire_deliveries_dropped_total", &[]);
    let closed = server.metric("ringwire_slow_consumers_closed_total", &[]);
    println!("{dropped} deliveries were dropped, {closed} connections closed as too slow");
    assert!(dropped + closed > 0.0);
    assert_eq!(server.metric(HEARTBEATS_LOST, &[]), 0.0);

    drop(crowd);
    server.await_metric(QUEUED, &[], 0.0, SOON);
    baseline.await_return(&server, 0);
    witnesses.finish();
    server.stop();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("down again");
}
