//! Against the real server: what the generator counts is what the server counts.

use crate::common::{SOON, Server};
use crate::run::{Run, bench};

const SHORT: [&str; 4] = ["--warmup", "100ms", "--duration", "400ms"];

/// All messages of the run, warm-up included, as both have counted them.
fn expect_same_count(run: &Run, server: &Server) {
    let (sent, received) = run.totals();
    assert!(sent > 0 && sent == received, "{sent} sent, {received} received");
    server.await_metric("ringwire_messages_received_total", &[], sent as f64, SOON);
    server.await_metric("ringwire_messages_sent_total", &[], received as f64, SOON);
    server.await_metric("ringwire_shard_connections_open", &[], 0.0, SOON);
}

#[test]
fn echoes_are_counted_alike() {
    let cases: [&[&str]; 6] = [
        &["--in-flight", "1"],
        &["--in-flight", "16", "--text", "--bytes", "100"],
        &["--in-flight", "3", "--bytes", "60000", "--connections", "4"],
        &["--rate", "5000", "--rings", "3"],
        &["--rate", "500", "--text", "--bytes", "32"],
        &["--together-every", "100ms", "--rings", "2", "--bytes", "16"],
    ];
    for arguments in cases {
        let server = Server::echo(&["--shards", "2"]);
        let url = server.url();
        let usual = ["echo", &url, "--connections", "24"];
        let usual = if arguments.contains(&"--connections") { &usual[..2] } else { &usual[..] };
        let run = bench(&[usual, &SHORT, arguments].concat());
        run.expect_clean();
        expect_same_count(&run, &server);
        server.stop();
    }
}

#[test]
fn a_rate_is_that_of_all_rings_together() {
    let server = Server::echo(&[]);
    let url = server.url();
    let run = bench(&[
        "echo",
        &url,
        "--connections",
        "20",
        "--rings",
        "3",
        "--rate",
        "2000",
        "--warmup",
        "250ms",
        "--duration",
        "1s",
    ]);
    run.expect_clean();
    let sent = run.count("/messages/sent");
    // Each ring's share is rounded to whole messages.
    assert!((1997..=2003).contains(&sent), "{sent} in a second");
    assert!((2497..=2503).contains(&run.totals().0), "a quarter of a second more");
}

#[test]
fn deliveries_of_a_fan_out_are_counted_alike() {
    let cases: [&[&str]; 3] = [
        &["--publishers", "6", "--topics", "3", "--subscribers", "5", "--in-flight", "2"],
        &["--publishers", "2", "--topics", "1", "--subscribers", "20", "--rate", "400"],
        &["--publishers", "4", "--topics", "4", "--subscribers", "3", "--together-every", "50ms"],
    ];
    for arguments in cases {
        let server = Server::serve(&["--shards", "2"]);
        let url = server.url();
        let subscribers: u64 = arguments[5].parse().unwrap();
        let usual = ["fanout", &url, "--bytes", "40", "--rings", "3"];
        let run = bench(&[&usual[..], &SHORT, arguments].concat());
        run.expect_clean();
        let (published, delivered) = run.totals();
        assert!(published > 0 && delivered == published * subscribers, "{published} {delivered}");
        let published = published as f64;
        server.await_metric("ringwire_publishes_accepted_total", &[], published, SOON);
        server.await_metric("ringwire_deliveries_total", &[], delivered as f64, SOON);
        server.stop();
    }
}

#[test]
fn idle_connections_answer_pings_and_stay() {
    let times = ["--heartbeat-interval-ms", "256", "--heartbeat-timeout-ms", "1000"];
    let server = Server::serve(&[&times[..], &["--shards", "2"]].concat());
    let (url, pid) = (server.url(), server.pid().to_string());
    let run = bench(&[
        "idle",
        &url,
        "--connections",
        "50",
        "--topics",
        "7",
        "--rings",
        "2",
        "--hold",
        "1500ms",
        "--server-pid",
        &pid,
    ]);
    run.expect_clean();
    assert_eq!(run.count("/connections/established"), 50);
    assert_eq!(run.number("/measured_seconds"), 1.5);
    let metrics = server.metrics();
    assert!(metrics.value("ringwire_pongs_received_total", &[]) >= 50.0);
    assert_eq!(metrics.value("ringwire_heartbeats_lost_total", &[]), 0.0);
    assert_eq!(metrics.value("ringwire_handshakes_completed_total", &[]), 50.0);
    let grown = run.number("/server/rss_after_bytes") - run.number("/server/rss_before_bytes");
    assert_eq!(run.number("/server/rss_bytes_per_connection"), grown / 50.0);
    server.stop();
}

#[test]
fn a_dead_peer_is_found_when_nobody_answers_its_pings() {
    // The oracle of the test above: the same server does close those that are silent.
    let times = ["--heartbeat-interval-ms", "256", "--heartbeat-timeout-ms", "300"];
    let server = Server::serve(&times);
    let silent = crate::common::JsonClient::open(server.ws);
    server.await_metric("ringwire_heartbeats_lost_total", &[], 1.0, SOON);
    drop(silent);
    server.stop();
}

#[test]
fn the_servers_use_of_its_machine_is_plausible() {
    let server = Server::echo(&["--shards", "1"]);
    let (url, pid) = (server.url(), server.pid().to_string());
    let before_bytes = server.resident_bytes() as f64;
    let run = bench(&[
        "echo",
        &url,
        "--connections",
        "16",
        "--in-flight",
        "8",
        "--warmup",
        "100ms",
        "--duration",
        "1200ms",
        "--server-pid",
        &pid,
    ]);
    run.expect_clean();
    let cpu_seconds = run.number("/server/cpu_seconds");
    assert!(cpu_seconds > 0.05, "a closed loop keeps it busy: {cpu_seconds}");
    // One shard and the control plane; a busy machine looks late.
    assert!(cpu_seconds < 1.2 * 1.5 + 0.5, "{cpu_seconds} of one shard in 1.2 s");
    let per_message = run.number("/server/cpu_us_per_message");
    let messages = run.number("/messages/received");
    assert!((per_message * messages / 1e6 / cpu_seconds - 1.0).abs() < 1e-6, "{per_message}");
    assert!((run.number("/server/rss_before_bytes") / before_bytes - 1.0).abs() < 0.5);
    assert!(run.number("/server/rss_after_bytes") >= run.number("/server/rss_before_bytes") * 0.5);
    let point = &run.report["timeline"][0];
    assert!(point["server_rss_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{point}");
    let bad = bench_refused(&["echo", &url, "--server-pid", "4294967295"]);
    assert!(bad.contains("no process"), "{bad}");
    server.stop();
}

/// What a run says on standard error that can't begin.
fn bench_refused(arguments: &[&str]) -> String {
    let mut command = crate::common::command("bench");
    let output = command.args(arguments).arg("--quiet").output().expect("the binary is there");
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).expect("UTF-8")
}
