//! The closing handshake against servers of every manner.

use crate::common::{SOON, Server, poll};
use crate::faulty::{Closing, Conduct, Faulty, Upgrade};
use crate::run::{Run, bench};

fn handshakes(url: &str, duration: &str, arguments: &[&str]) -> Run {
    let usual = ["handshake", url, "--in-flight", "4", "--warmup", "0s", "--duration", duration];
    bench(&[&usual, arguments].concat())
}

fn closing(closing: Closing) -> Faulty {
    Faulty::start(Conduct { closing, ..Conduct::GOOD })
}

#[test]
fn connections_come_and_go_with_a_closing_handshake() {
    let server = closing(Closing::Right);
    let run = handshakes(&server.url(), "500ms", &[]);
    run.expect_clean();
    let (account, established) = (server.account(), run.count("/connections/established"));
    assert!(established > 4 && established <= account.connections.len() as u64);
    // Those of the end were cut off by it.
    assert!(account.connections.len() as u64 <= established + 4);
    assert!(account.closes.iter().all(|code| *code == 1000));
    // All that began in the window are timed, those also that were established after it.
    let timed = run.count("/latency_us/count");
    assert!((established..=established + 4).contains(&timed), "{timed} of {established}");
}

#[test]
fn a_reset_says_no_farewell() {
    let server = closing(Closing::Right);
    let run = handshakes(&server.url(), "500ms", &["--close", "reset"]);
    run.expect_clean();
    assert!(run.count("/connections/established") > 4);
    assert!(server.account().closes.is_empty());
}

#[test]
fn a_server_may_leave_it_to_the_client_to_end_the_stream() {
    let server = closing(Closing::LeavesOpen);
    let run = handshakes(&server.url(), "3s", &[]);
    run.expect_clean();
    assert!(run.count("/connections/established") >= 8, "each lingers for a second");
}

#[test]
fn a_close_frame_without_an_answer_is_a_timeout() {
    let server = closing(Closing::Never);
    let run = handshakes(&server.url(), "1s", &["--timeout", "200ms"]);
    let closes = server.account().closes.len() as u64;
    let timeouts = run.report["faults"][0]["count"].as_u64().expect("a fault");
    assert!(timeouts >= 4 && timeouts <= closes, "{timeouts} of {closes}");
    run.expect_faults(&[("timed_out", timeouts)]);
    assert!(run.example("timed_out").contains("closing"));
}

#[test]
fn a_stream_that_ends_instead_of_a_close_frame_breaks_the_protocol() {
    let server = closing(Closing::HangUp);
    let run = handshakes(&server.url(), "500ms", &[]);
    let closes = server.account().closes.len() as u64;
    let broken = run.report["faults"][0]["count"].as_u64().expect("a fault");
    assert!(broken >= 1 && broken <= closes, "{broken} of {closes}");
    run.expect_faults(&[("protocol", broken)]);
}

#[test]
fn handshakes_are_begun_at_the_rate_that_was_asked_for() {
    // Fewer a second than rings, too: then some rings have none.
    for (rate, rings, expected) in [("100", "1", 100), ("100", "3", 100), ("3", "4", 3)] {
        let server = closing(Closing::Right);
        let run = handshakes(&server.url(), "1s", &["--connect-rate", rate, "--rings", rings]);
        run.expect_clean();
        assert_eq!(server.account().connections.len(), expected, "{rate} on {rings} rings");
        assert_eq!(run.count("/latency_us/count"), expected as u64);
    }
}

#[test]
fn handshakes_that_were_due_and_could_not_begin_are_counted_and_timed() {
    let server = Faulty::start(Conduct { upgrade: Upgrade::Never, ..Conduct::GOOD });
    let arguments = ["--connect-rate", "100", "--timeout", "1500ms", "--rings", "2"];
    let run = handshakes(&server.url(), "1s", &arguments);
    let failed = run.count("/connections/failed");
    assert_eq!(server.account().connections.len() as u64, failed);
    assert!((4..=12).contains(&failed), "four at a time, and few times: {failed}");
    run.expect_faults(&[("timed_out", failed), ("overrun", 100 - failed)]);
    assert_eq!(run.count("/latency_us/count"), 100 - failed, "what failed has no latency");
    let sent = |point: &serde_json::Value| point["sent"].as_u64().unwrap();
    let timeline = run.report["timeline"].as_array().expect("more than a second");
    assert!(sent(&timeline[0]) >= 4, "begun, though none was established: {timeline:?}");
}

#[test]
fn the_real_server_counts_the_same_handshakes() {
    for (close, code) in [("frame", "1000"), ("reset", "1006")] {
        let server = Server::echo(&["--shards", "2"]);
        let run = handshakes(&server.url(), "500ms", &["--close", close, "--rings", "2"]);
        run.expect_clean();
        let established = run.count("/connections/established") as f64;
        let completed = "ringwire_handshakes_completed_total";
        // At most those of the end are unknown to one of the two.
        let ended = poll(SOON, || {
            let metrics = server.metrics();
            let open = metrics.value("ringwire_shard_connections_open", &[]);
            (open == 0.0).then_some(metrics)
        });
        let metrics = ended.expect("when the run has ended, so have its connections");
        let completed = metrics.value(completed, &[]);
        assert!((established..=established + 4.0).contains(&completed), "{completed}");
        let closed = metrics.value("ringwire_connections_closed_total", &[("code", code)]);
        assert!(closed >= established - 4.0, "{closed} of {established} closed by {close}");
        server.stop();
    }
}
