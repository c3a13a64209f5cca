//! Compressed load: every message is checked as others are, and the server counts as many of them.

use crate::common::{SOON, Server};
use crate::run::bench;

const SHORT: [&str; 4] = ["--warmup", "100ms", "--duration", "400ms"];
const COMPRESSING: [&str; 2] = ["--compression", "--compression-threshold-bytes=1"];

#[test]
fn compressed_echoes_are_counted_alike() {
    let cases: [&[&str]; 4] = [
        &["--bytes", "1000"],
        &["--bytes", "1000", "--text", "--in-flight", "8", "--rings", "2"],
        &["--bytes", "60000", "--connections", "4", "--in-flight", "3"],
        // More than is inflated in one portion.
        &["--bytes", "700000", "--connections", "1"],
    ];
    for arguments in cases {
        let server = Server::echo(&[&COMPRESSING[..], &["--shards", "2"]].concat());
        let url = server.url();
        let usual = ["echo", &url, "--deflate", "--connections", "12"];
        let usual = if arguments.contains(&"--connections") { &usual[..3] } else { &usual[..] };
        let run = bench(&[usual, &SHORT, arguments].concat());
        run.expect_clean();
        let (sent, received) = run.totals();
        assert!(sent > 0 && sent == received, "{sent} sent, {received} received");
        server.await_metric("ringwire_inflated_messages_total", &[], sent as f64, SOON);
        server.await_metric("ringwire_compressed_messages_total", &[], sent as f64, SOON);
        assert_eq!(run.count("/messages/compressed_total"), received);
        let each = run.number("/messages/compressed_bytes_per_message");
        let bytes = run.number("/messages/bytes_per_message");
        assert!(each < bytes / 2.0, "{each} of {bytes}");
        server.stop();
    }
}

#[test]
fn a_compressed_fan_out_is_checked_by_every_subscriber() {
    let server = Server::serve(&[&COMPRESSING[..], &["--shards", "2"]].concat());
    let url = server.url();
    let shape = ["--publishers", "4", "--topics", "2", "--subscribers", "30", "--in-flight", "2"];
    let usual = ["fanout", &url, "--deflate", "--bytes", "1000", "--rings", "2"];
    let run = bench(&[&usual[..], &SHORT, &shape].concat());
    run.expect_clean();
    let (published, delivered) = run.totals();
    assert!(published > 0 && delivered == published * 30, "{published} {delivered}");
    // Deliveries, acknowledgements and greetings alike.
    assert!(run.count("/messages/compressed_total") >= delivered);
    // Each was compressed at most once for each turn in which a shard came to it, not for each
    // of its subscribers.
    let compressed = server.metric("ringwire_compressed_bytes_in_total", &[]);
    assert!(compressed < delivered as f64 * 1000.0, "{compressed} octets were compressed");
    server.stop();
}

#[test]
fn a_server_that_does_not_compress_is_refused() {
    let server = Server::echo(&[]);
    let url = server.url();
    let run = bench(&["echo", &url, "--deflate", "--connections", "5", "--timeout", "2s"]);
    run.expect_faults(&[("upgrade_refused", 5)]);
    assert!(run.example("upgrade_refused").contains("compressed"), "{}", run.report["faults"]);
    server.stop();
}
