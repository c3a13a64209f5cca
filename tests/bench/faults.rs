//! Messages that are lost, doubled, swapped or changed, and connections that never come about or
//! break: each is reported under its own cause, as often as it was done.

use std::time::Duration;

use crate::faulty::{Conduct, Fault, Faulty, Upgrade};
use crate::run::{Run, bench};

/// Two connections, 100 messages each.
const OPEN: &[&str] = &["--rate", "400", "--connections", "2"];
/// A connection goes on with what it has left when an answer fails to come.
const CLOSED: &[&str] = &["--in-flight", "8", "--connections", "3"];

fn echo(server: &Faulty, arguments: &[&str]) -> Run {
    let url = server.url();
    let usual = ["echo", &url, "--warmup", "0s", "--duration", "500ms", "--timeout", "2s"];
    bench(&[&usual, arguments].concat())
}

fn fanout(server: &Faulty, arguments: &[&str]) -> Run {
    let url = server.url();
    let usual = ["fanout", &url, "--protocol", "plain", "--warmup", "0s", "--duration", "500ms"];
    bench(&[&usual[..], &["--timeout", "2s"], arguments].concat())
}

#[test]
fn a_server_that_does_right_is_reported_so() {
    for arguments in [OPEN, CLOSED] {
        let server = Faulty::start(Conduct::GOOD);
        let run = echo(&server, arguments);
        run.expect_clean();
        let sent = server.account().messages;
        assert_eq!(run.totals(), (sent, sent));
        assert_eq!(run.count("/messages/sent"), sent, "no warm-up: all are of the window");
        assert_eq!(run.count("/latency_us/count"), sent);
        assert_eq!(
            run.count("/connections/established") as usize,
            server.account().connections.len()
        );
    }
}

#[test]
fn a_rate_is_kept_to_the_message() {
    let server = Faulty::start(Conduct::GOOD);
    let run = echo(&server, OPEN);
    assert_eq!(run.expect_clean().totals(), (200, 200), "400 a second for half a second");
    assert_eq!(run.number("/messages/sent_per_second"), 400.0);
}

#[test]
fn what_is_dropped_is_lost() {
    for arguments in [OPEN, CLOSED] {
        let server = Faulty::start(Conduct::with(Fault::Drop(10)));
        let run = echo(&server, arguments);
        let account = server.account();
        assert!(account.faults >= 20, "{}", account.faults);
        run.expect_faults(&[("lost", account.faults)]);
        assert_eq!(run.totals(), (account.messages, account.messages - account.faults));
    }
}

#[test]
fn what_comes_twice_is_a_duplicate_and_received_once() {
    for arguments in [OPEN, CLOSED] {
        let server = Faulty::start(Conduct::with(Fault::Twice(10)));
        let run = echo(&server, arguments);
        let account = server.account();
        run.expect_faults(&[("duplicated", account.faults)]);
        assert!(account.faults >= 20, "{}", account.faults);
        assert_eq!(run.totals(), (account.messages, account.messages));
    }
}

#[test]
fn what_is_overtaken_is_reordered() {
    for arguments in [OPEN, CLOSED] {
        // No multiple of it is the last of 100.
        let server = Faulty::start(Conduct::with(Fault::Swap(7)));
        let run = echo(&server, arguments);
        let account = server.account();
        assert!(account.faults >= 28, "{}", account.faults);
        // The last one of a connection may have nothing to overtake it.
        let (sent, received) = run.totals();
        let late = sent - received;
        assert_eq!(sent, account.messages);
        match late {
            0 => run.expect_faults(&[("reordered", account.faults)]),
            _ => run.expect_faults(&[("lost", late), ("reordered", account.faults - late)]),
        };
        let connections = if arguments == OPEN { 0 } else { 3 };
        assert!(late <= connections, "{late} of {} reordered", account.faults);
    }
}

#[test]
fn what_is_changed_is_corrupted_and_not_lost_as_well() {
    let one = ["--in-flight", "1", "--connections", "3"];
    for arguments in [OPEN, CLOSED, &one] {
        let server = Faulty::start(Conduct::with(Fault::Flip(10)));
        let run = echo(&server, arguments);
        let account = server.account();
        assert!(account.faults >= 20, "a closed loop goes on: {}", account.faults);
        run.expect_faults(&[("corrupted", account.faults)]);
        assert_eq!(run.totals(), (account.messages, account.messages - account.faults));
    }
}

#[test]
fn one_subscriber_of_a_fan_out_is_checked_like_all_others() {
    let shape = ["--subscribers", "5", "--publishers", "2", "--rate", "100"];
    let clean = fanout(&Faulty::start(Conduct::GOOD), &shape);
    assert_eq!(clean.expect_clean().totals(), (50, 250));
    let cases = [
        (Fault::Drop(50), "lost", 249),
        (Fault::Twice(50), "duplicated", 250),
        (Fault::Flip(50), "corrupted", 249),
    ];
    for (fault, cause, received) in cases {
        let server = Faulty::start(Conduct { victim: Some(3), ..Conduct::with(fault) });
        let run = fanout(&server, &shape);
        run.expect_faults(&[(cause, 1)]);
        assert_eq!(run.totals(), (50, received), "{cause}");
    }
}

#[test]
fn a_fan_out_in_a_closed_loop_counts_every_delivery() {
    let shape = ["--topics", "3", "--subscribers", "4", "--publishers", "6", "--in-flight", "2"];
    for rings in ["1", "3"] {
        let server = Faulty::start(Conduct::GOOD);
        let run = fanout(&server, &[&shape, &["--rings", rings][..]].concat());
        let sent = server.account().messages;
        assert_eq!(run.expect_clean().totals(), (sent, 4 * sent), "{rings} rings");
    }
}

/// 200 million messages a second for half of one, and 60,000 octets each: some go out, most can't.
const BEYOND: &[&str] = &["--rate", "2e8", "--bytes", "60000", "--rings", "2"];
const BEYOND_DUE: u64 = 100_000_000;

#[test]
fn what_was_due_and_could_not_be_sent_is_counted_and_timed() {
    let server = Faulty::start(Conduct::GOOD);
    let run = echo(&server, &[BEYOND, &["--connections", "4"]].concat());
    let sent = server.account().messages;
    assert_eq!(run.totals(), (sent, sent), "all that was sent came back");
    run.expect_faults(&[("overrun", BEYOND_DUE - sent)]);
    assert_eq!(run.count("/messages/sent"), sent, "no warm-up: all were due in the window");
    // Those that were not sent are timed like all others, and have waited until the end.
    assert_eq!(run.count("/latency_us/count"), BEYOND_DUE);
    assert!(run.latency_ms("p50") >= 1_000.0, "{}", run.latency_ms("p50"));
}

#[test]
fn a_loss_is_found_though_the_publishers_are_not_done_in_time() {
    let server = Faulty::start(Conduct { victim: Some(2), ..Conduct::with(Fault::Drop(10)) });
    let run = fanout(&server, &[BEYOND, &["--subscribers", "4", "--publishers", "4"]].concat());
    let account = server.account();
    let sent = account.messages;
    assert!(account.faults >= 10, "{}", account.faults);
    assert_eq!(run.totals(), (sent, 4 * sent - account.faults));
    run.expect_faults(&[("lost", account.faults), ("overrun", BEYOND_DUE - sent)]);
}

#[test]
fn a_server_that_is_slow_and_goes_on_is_waited_for() {
    let server = Faulty::start(Conduct::with(Fault::Slow(Duration::from_millis(50))));
    let run = echo(&server, &["--in-flight", "60", "--connections", "1"]);
    // It needs three seconds for what is on its way at the end, and has two for each.
    let sent = server.account().messages;
    assert_eq!(run.expect_clean().totals(), (sent, sent));
}

/// A run with four connections that come to nothing: it has to end at once.
fn expect_none(conduct: Conduct, cause: &str, count: u64, words: &str) {
    let server = Faulty::start(conduct);
    let url = server.url();
    let usual = ["echo", &url, "--connections", "4", "--duration", "1h", "--timeout", "500ms"];
    let run = bench(&usual);
    run.expect_faults(&[(cause, count)]);
    assert!(run.example(cause).contains(words), "{}", run.example(cause));
    assert_eq!(run.count("/connections/failed") + run.count("/connections/lost"), 4);
}

#[test]
fn a_refused_upgrade_is_reported_with_its_status() {
    let conduct = Conduct { upgrade: Upgrade::Unavailable, ..Conduct::GOOD };
    expect_none(conduct, "upgrade_refused", 4, "503");
}

#[test]
fn a_wrong_accept_breaks_the_protocol() {
    let conduct = Conduct { upgrade: Upgrade::WrongAccept, ..Conduct::GOOD };
    expect_none(conduct, "protocol", 4, "Sec-WebSocket-Accept");
}

#[test]
fn an_upgrade_without_an_answer_takes_no_longer_than_it_may() {
    let conduct = Conduct { upgrade: Upgrade::Never, ..Conduct::GOOD };
    expect_none(conduct, "timed_out", 4, "an upgrade was not answered");
}

#[test]
fn a_stream_that_ends_instead_of_an_upgrade_is_no_failed_connect() {
    let conduct = Conduct { upgrade: Upgrade::HangUp, ..Conduct::GOOD };
    expect_none(conduct, "upgrade_refused", 4, "");
}

#[test]
fn a_close_of_the_server_is_reported_with_its_code_and_answered() {
    let conduct = Conduct::with(Fault::Close(3, 1013));
    let server = Faulty::start(conduct);
    let url = server.url();
    let run = bench(&["echo", &url, "--connections", "4", "--duration", "1h"]);
    run.expect_faults(&[("closed_early", 4)]);
    assert!(run.example("closed_early").contains("1013"), "{}", run.example("closed_early"));
    assert_eq!(run.count("/connections/lost"), 4);
    assert_eq!(run.count("/connections/established"), 4);
    assert!(run.number("/measured_seconds") < 60.0, "nobody is left, so the run ends");
    let answered = crate::common::poll(crate::common::SOON, || {
        (server.account().closes.len() == 4).then_some(())
    });
    assert!(answered.is_some(), "{:?}", server.account().closes);
}

#[test]
fn an_error_of_the_protocol_is_a_refusal() {
    let error = r#"{"type":"error","id":1,"code":"limit_exceeded","message":"no more"}"#;
    let server = Faulty::start(Conduct::with(Fault::Say(1, error)));
    let url = server.url();
    let run = bench(&["idle", &url, "--connections", "4", "--topics", "2", "--hold", "1h"]);
    run.expect_faults(&[("refused", 4)]);
    assert!(run.example("refused").contains("limit_exceeded"), "{}", run.example("refused"));
}

#[test]
fn a_frame_with_a_mask_breaks_the_protocol() {
    let conduct = Conduct::with(Fault::Masked(2));
    expect_none(conduct, "protocol", 4, "mask");
}
