//! Processes that stand still, as under SIGSTOP or on a paused machine: nobody who was well is
//! given up when they go on.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::{SOON, Server, poll};
use crate::run::start;
use crate::witnesses::Witnesses;
use crate::{CLOSED, HEARTBEATS_LOST, OPEN, beside_others, heavy, sized};

const RECEIVED: &str = "ringwire_messages_received_total";

fn await_load(server: &Server, messages: f64) {
    let flows = poll(SOON, || (server.metric(RECEIVED, &[]) >= messages).then_some(()));
    assert!(flows.is_some(), "no load");
}

/// All clients but the witnesses stop for almost as long as the heartbeat allows.
#[test]
fn clients_that_stood_still_are_not_given_up_when_they_wake() {
    let _turn = heavy();
    // Full size: the defaults, under which 35 s of silence are too long.
    let [interval, timeout] = sized(["3000", "4000"], ["25000", "10000"]);
    let stood = Duration::from_secs(sized(5, 30));
    let duration = sized("8s", "36s");
    let beats = ["--heartbeat-interval-ms", interval, "--heartbeat-timeout-ms", timeout];
    let flags = [&["--shards", "2", "--max-connections", "2048"][..], &beats].concat();
    let (echo, serve) = (Server::echo(&flags), Server::serve(&flags));
    let witnesses = [Witnesses::echoing(echo.ws), Witnesses::subscribed(serve.ws)];
    let count = sized("100", "1000");
    let load = ["--rings", "1", "--warmup", "0s", "--duration", duration];
    // Each of them speaks a few times a second, up to the moment at which it stops.
    let rate = sized("500", "5000");
    let (echo_url, serve_url) = (echo.url(), serve.url());
    let echoing = [&["echo", &echo_url, "--connections", count, "--rate", rate][..], &load];
    let shape = ["--publishers", "20", "--topics", "20", "--subscribers", "5", "--rate", "100"];
    let publishing = [&["fanout", &serve_url][..], &shape, &load];
    let runs = [start(&echoing.concat()), start(&publishing.concat())];
    await_load(&echo, 100.0);
    await_load(&serve, 100.0);

    runs.iter().for_each(|run| run.process.signal(Signal::SIGSTOP));
    // Not to wait for something: this is the fault.
    thread::sleep(stood);
    runs.iter().for_each(|run| run.process.signal(Signal::SIGCONT));
    for run in runs {
        let run = run.finish();
        run.expect_clean();
        println!("{stood:?} of silence, then all of it: {:?} sent and received", run.totals());
    }
    for server in [&echo, &serve] {
        assert_eq!(server.metric(HEARTBEATS_LOST, &[]), 0.0);
        assert_eq!(server.metric(CLOSED, &[("code", "4001")]), 0.0);
    }
    witnesses.into_iter().for_each(Witnesses::finish);
    echo.stop();
    serve.stop();
}

/// Those whose deadline has really passed are given up, each counted once, and nobody else is.
#[test]
fn clients_that_stood_still_for_too_long_are_given_up() {
    let _turn = beside_others();
    let beats = ["--heartbeat-interval-ms", "700", "--heartbeat-timeout-ms", "500"];
    let times = ["--close-timeout-ms", "500"];
    let server = Server::echo(&[&["--shards", "2"][..], &beats, &times].concat());
    let witnesses = Witnesses::echoing(server.ws);
    let open = witnesses.count() as f64;
    let run = start(&["idle", &server.url(), "--connections", "100", "--hold", "60s"]);
    server.await_metric(OPEN, &[], open + 100.0, SOON);
    run.process.signal(Signal::SIGSTOP);
    server.await_metric(OPEN, &[], open, SOON);
    server.await_metric(HEARTBEATS_LOST, &[], 100.0, SOON);
    assert_eq!(server.metric(CLOSED, &[("code", "4002")]), 100.0);
    run.process.signal(Signal::SIGCONT);
    // The run is over when it has nobody left, and says what has become of them.
    run.finish().expect_faults(&[("closed_early", 100)]);
    witnesses.finish();
    server.stop();
}

/// The server itself stops for longer than any deadline: its clients have done nothing wrong.
#[test]
fn a_server_that_stood_still_gives_nobody_up() {
    let _turn = beside_others();
    let beats = ["--heartbeat-interval-ms", "700", "--heartbeat-timeout-ms", "500"];
    let times = ["--handshake-timeout-ms", "1000", "--close-timeout-ms", "1000"];
    let server = Server::serve(&[&["--shards", "2"][..], &beats, &times].concat());
    let witnesses = Witnesses::subscribed(server.ws);
    let open = (witnesses.count() + 100) as f64;
    let topics = ["--connections", "100", "--topics", "10", "--hold", "60s"];
    let run = start(&[&["idle", &server.url()][..], &topics].concat());
    server.await_metric(OPEN, &[], open, SOON);
    for _ in 0..sized(2, 10) {
        server.signal(Signal::SIGSTOP);
        // Not to wait for something: this is the fault.
        thread::sleep(Duration::from_millis(2000));
        server.signal(Signal::SIGCONT);
        // Two more heartbeats of each connection.
        let pings = server.metric("ringwire_pings_sent_total", &[]) + 2.0 * open;
        let beaten =
            poll(SOON, || (server.metric("ringwire_pings_sent_total", &[]) > pings).then_some(()));
        assert!(beaten.is_some(), "heartbeats go on");
        assert_eq!(server.metric(OPEN, &[]), open);
        assert_eq!(server.metric(HEARTBEATS_LOST, &[]), 0.0);
    }
    drop(run);
    witnesses.finish();
    server.stop();
}
