//! Runs that end before their time, and what connecting comes to.

use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};

use crate::common::{SOON, poll};
use crate::faulty::{Conduct, Fault, Faulty};
use crate::run::{bench, start};

#[test]
fn where_nobody_listens_the_run_ends_at_once_and_says_why() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    drop(listener);
    let run = bench(&["echo", &url, "--connections", "7", "--duration", "1h", "--warmup", "1h"]);
    run.expect_faults(&[("connect_failed", 7)]);
    assert!(run.example("connect_failed").contains("refused"), "{}", run.report["faults"]);
    assert_eq!((run.count("/connections/asked"), run.count("/connections/failed")), (7, 7));
    let run = bench(&["handshake", &url, "--in-flight", "7", "--duration", "1h"]);
    let failed = run.count("/connections/failed");
    run.expect_faults(&[("connect_failed", failed)]);
    assert!(failed >= 7);
}

#[test]
fn a_connect_without_an_answer_takes_no_longer_than_it_may() {
    // Nobody accepts, and what the kernel accepts by itself is used up: it answers no more.
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap().as_socket().unwrap();
    let queued: Vec<_> = (0..4)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            // In progress, whatever comes of it.
            let _ = socket.connect(&addr.into());
            socket
        })
        .collect();
    let url = format!("ws://{addr}/");
    let run = bench(&["echo", &url, "--connections", "3", "--timeout", "300ms"]);
    run.expect_faults(&[("timed_out", 3)]);
    assert!(run.example("timed_out").contains("a connect"), "{}", run.example("timed_out"));
    drop(queued);
}

#[test]
fn connections_are_opened_at_the_rate_that_was_asked_for() {
    let server = Faulty::start(Conduct::GOOD);
    let url = server.url();
    for rings in ["1", "4"] {
        let run = bench(&[
            "idle",
            &url,
            "--connections",
            "40",
            "--connect-rate",
            "80",
            "--rings",
            rings,
            "--protocol",
            "plain",
            "--hold",
            "100ms",
        ]);
        run.expect_clean();
        // The last of each ring's begins when all but one of its intervals are over.
        let seconds = run.number("/connections/connect_seconds");
        assert!((0.44..2.0).contains(&seconds), "{seconds} for 40 at 80 per second");
    }
}

#[test]
fn an_interrupt_ends_the_run_and_not_the_report() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let server = Faulty::start(Conduct::GOOD);
        let url = server.url();
        let run =
            start(&["echo", &url, "--connections", "3", "--duration", "1h", "--warmup", "0s"]);
        let is_loaded = || (server.account().messages > 100).then_some(());
        assert!(poll(SOON, is_loaded).is_some(), "messages go out");
        run.process.signal(signal);
        let run = run.finish();
        run.expect_clean();
        let sent = server.account().messages;
        assert_eq!(run.totals(), (sent, sent));
        let seconds = run.number("/measured_seconds");
        assert!(seconds > 0.0 && seconds < 60.0, "{seconds}");
        let rate = run.number("/messages/sent") / seconds;
        assert!((run.number("/messages/sent_per_second") / rate - 1.0).abs() < 0.01);
        assert_eq!(run.number("/settings/duration_seconds"), 3600.0);
    }
}

#[test]
fn a_second_interrupt_ends_the_report_too() {
    // What is on its way never arrives: the first one leaves the run waiting for it.
    let server = Faulty::start(Conduct::with(Fault::Drop(1)));
    let url = server.url();
    let mut run = start(&["echo", &url, "--connections", "3", "--duration", "1h"]);
    assert!(poll(SOON, || (server.account().messages == 3).then_some(())).is_some());
    let ended = poll(Duration::from_secs(5), || {
        if !run.process.is_running() {
            return Some(run.exit());
        }
        run.process.signal(Signal::SIGINT);
        None
    });
    let status = ended.expect("sooner than the last messages are given up");
    assert_eq!(status.signal(), Some(Signal::SIGINT as i32), "{status}");
}

#[test]
fn an_interrupt_while_connecting_says_that_not_all_are_there() {
    let server = Faulty::start(Conduct::GOOD);
    let url = server.url();
    let run = start(&[
        "idle",
        &url,
        "--connections",
        "1000",
        "--connect-rate",
        "20",
        "--protocol",
        "plain",
    ]);
    assert!(poll(SOON, || (server.account().connections.len() > 2).then_some(())).is_some());
    run.process.signal(Signal::SIGINT);
    let run = run.finish();
    assert_eq!((run.code, &run.report["ok"]), (1, &false.into()));
    let established = run.count("/connections/established");
    assert!((2..1000).contains(&established), "{established}");
}

#[test]
fn sources_and_targets_are_taken_in_turn() {
    let server = Faulty::listen("0.0.0.0:0", Conduct::GOOD);
    let url = format!("ws://127.0.0.1-127.0.0.3:{}/", server.addr.port());
    let run = bench(&[
        "echo",
        &url,
        "--connections",
        "12",
        "--rings",
        "2",
        "--source",
        "127.0.0.8-127.0.0.9",
        "--warmup",
        "0s",
        "--duration",
        "200ms",
    ]);
    run.expect_clean();
    let mut pairs = server.account().connections;
    pairs.sort_unstable();
    let ip = |last: u8| std::net::IpAddr::from([127, 0, 0, last]);
    let each = |source| (1..=3).flat_map(move |target| [(ip(source), ip(target)); 2]);
    assert_eq!(pairs, each(8).chain(each(9)).collect::<Vec<_>>());
}

#[test]
fn several_urls_are_taken_in_turn() {
    let servers = [Faulty::start(Conduct::GOOD), Faulty::start(Conduct::GOOD)];
    let urls = servers.each_ref().map(Faulty::url);
    let run = bench(&[
        "echo",
        &urls[0],
        &urls[1],
        "--connections",
        "6",
        "--warmup",
        "0s",
        "--duration",
        "200ms",
    ]);
    run.expect_clean();
    let sent = servers.each_ref().map(|server| server.account().messages);
    assert!(sent.iter().all(|sent| *sent > 0));
    assert_eq!(run.totals().0, sent[0] + sent[1]);
    for server in &servers {
        assert_eq!(server.account().connections.len(), 3);
    }
}
