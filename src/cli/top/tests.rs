//! What is drawn of a made-up overview, as golden files (`RINGWIRE_BLESS=1 cargo test --lib top`
//! writes them anew), and what is said of servers that are none.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::{Value, json};

use super::figures::{count, octets, rate, share, span};
use super::overview::Overview;
use super::view::{Scene, draw};
use super::{TopArgs, run, text};

fn document(shards: u64) -> Value {
    let ramp = |scale: f64| (0..150).map(|n| f64::from(n % 50) * scale).collect::<Vec<f64>>();
    let shard = |shard: u64| {
        json!({"shard": shard, "connections_open": 5000 + shard, "topics": 6, "subscriptions": 5100,
            "egress_queued_bytes": shard * 700_000, "turns": 1, "loop_busy_microseconds": 1,
            "loop_busy_ratio": 0.12 + 0.75 * (shard % 8) as f64 / 8.0})
    };
    let cause = |label: &str, meaning: &str, recent: u64, total: u64| -> Value {
        json!({"label": label, "meaning": meaning, "recent": recent, "total": total})
    };
    let topic = |topic: &str, subscribers: u64, rate: f64| -> Value {
        json!({"topic": topic, "subscribers": subscribers, "offset": 9,
            "messages_per_second": rate})
    };
    json!({
        "status": {
            "version": "1.2.3", "state": "ready", "uptime_seconds": 93_784,
            "connections": {"open": 10_001, "max": 100_000, "accepted": 123_456,
                "handshakes_completed": 9, "slow_consumers_closed": 7, "heartbeats_lost": 21},
            "topics": 12, "subscriptions": 10_200, "egress_queued_bytes": 734_003_200u64,
            "egress_max_bytes": 768u64 << 20, "memory_resident_bytes": 45 << 20,
            "rates": {"accepts_per_second": 3.25, "messages_received_per_second": 12_345.6,
                "messages_sent_per_second": 1_234_567.0, "received_bytes_per_second": 2_500_000.0,
                "sent_bytes_per_second": 250_000_000.0, "publishes_per_second": 12_300.0,
                "deliveries_per_second": 1_230_000.0, "turns_per_second": 3.0},
            "shards": (0..shards).map(shard).collect::<Vec<_>>(),
        },
        "topics": {"seconds": 5.0, "busiest": [
            topic("chat:lobby", 10_000, 12_000.0), topic("ticks:\u{202e}evil\u{7}", 190, 300.5),
            topic("news:a-topic-whose-name-is-longer-than-any-column-for-it-could-be", 10, 0.0)]},
        "closes": [cause("1001", "going away (a drain, or the client left)", 12, 800),
            cause("4001", "slow consumer", 7, 7), cause("1006", "gone without a close", 0, 2)],
        "refusals": [cause("unavailable", "full or draining", 3, 3)],
        "drops": [cause("drop_oldest", "the oldest were dropped", 0, 123_456)],
        "history": {"connections_open": ramp(200.0), "egress_queued_bytes": ramp(1e6),
            "loop_busy_ratio_max": ramp(0.015), "accepts_per_second": ramp(0.1),
            "closes_per_second": ramp(0.2), "messages_received_per_second": ramp(300.0),
            "messages_sent_per_second": ramp(3e4), "deliveries_per_second": ramp(2e4),
            "received_bytes_per_second": ramp(1.0), "sent_bytes_per_second": ramp(1.0)},
    })
}

fn scene(shards: u64) -> Scene {
    let overview = serde_json::from_value(document(shards)).expect("an overview");
    let interval = Duration::from_secs(1);
    Scene { overview, place: "127.0.0.1:9002".into(), interval, lost: None }
}

fn picture(scene: &Scene, columns: u16, lines: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).expect("a terminal");
    terminal.draw(|frame| draw(frame, scene)).expect("drawn");
    let buffer = terminal.backend().buffer();
    let cell = |line, column| buffer.cell((column, line)).map_or(" ", |cell| cell.symbol());
    let row = |line| (0..columns).map(|column| cell(line, column)).collect::<String>();
    (0..lines).map(|line| row(line).trim_end().to_owned() + "\n").collect()
}

fn assert_golden(name: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("RINGWIRE_BLESS").is_some() {
        std::fs::write(&path, seen).expect("written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(seen == golden, "{name} is\n{seen}\nand was\n{golden}");
}

#[test]
fn a_small_terminal_and_a_large_one_are_drawn_as_they_were() {
    assert_golden("top-80x24.txt", &picture(&scene(2), 80, 24));
    assert_golden("top-140x40.txt", &picture(&scene(8), 140, 40));
    assert_golden("top-140x40-112-shards.txt", &picture(&scene(112), 140, 40));
}

#[test]
fn any_size_is_drawn() {
    for columns in [1, 2, 10, 40, 71, 72, 73, 100, 300] {
        for lines in [1, 2, 3, 5, 19, 20, 33, 34, 90] {
            for shards in [0, 1, 8, 1000] {
                picture(&scene(shards), columns, lines);
            }
        }
    }
}

#[test]
fn a_terminal_that_is_too_small_for_plots_gets_lines() {
    let seen = picture(&scene(2), 40, 10);
    assert!(seen.contains("connections         10,001 of 100,000"), "{seen}");
}

#[test]
fn a_server_that_has_gone_is_told_with_its_last_figures_and_forgotten_when_it_is_back() {
    let (mut scene, now) = (scene(2), Instant::now());
    for seconds in [0, 2] {
        scene.take(Err("it is not there".into()), now + Duration::from_secs(seconds));
    }
    let seen = picture(&scene, 80, 24);
    assert!(seen.contains("● no answer") && seen.contains("10,001"), "{seen}");
    assert!(seen.contains("No answer for 2 s: it is not there"), "{seen}");
    scene.take(Ok(scene.overview.clone()), now);
    assert!(picture(&scene, 80, 24).contains("● ready"));
}

#[test]
fn text_is_as_it_was_and_holds_nothing_that_a_terminal_obeys() {
    let overview: Overview = serde_json::from_value(document(2)).expect("an overview");
    let page = text::page(&overview, "127.0.0.1:9002");
    assert_golden("top-once.txt", &page);
    assert!(page.chars().all(|c| c == '\n' || !c.is_control()), "{page:?}");
    assert!(!page.contains('\u{202e}'), "{page:?}");
}

#[test]
fn numbers_are_rounded_where_their_unit_changes() {
    let rates = [0.0, 0.04, 9.94, 9.96, 9_999.4, 9_999.6, 999_949.0, 999_951.0, 2.5e9];
    let shown = ["0", "0.0", "9.9", "10", "9,999", "10.0 k", "999.9 k", "1.00 M", "2.50 G"];
    assert_eq!(rates.map(rate), shown);
    let sizes = [0.0, 1023.0, 1024.0, 1_048_500.0, 1_048_576.0, 5e12, 5e15];
    let shown = ["0 B", "1,023 B", "1.0 KiB", "1023.9 KiB", "1.0 MiB", "4.5 TiB", "4547.5 TiB"];
    assert_eq!(sizes.map(octets), shown);
    let shares = [0.0, 0.0004, 0.034, 0.0996, 0.999, 1.0].map(share);
    assert_eq!(shares, ["0 %", "0 %", "3.4 %", "10 %", "100 %", "100 %"]);
    assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    let spans = [0, 59, 61, 3_600, 93_784].map(span);
    assert_eq!(spans, ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "1 d 2 h"]);
}

/// A server that gives one answer, whatever it is asked.
fn answering(answer: String) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let addr = listener.local_addr().expect("it has one");
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("asked");
        let mut some = [0; 4096];
        let read = stream.read(&mut some).expect("a request");
        stream.write_all(answer.as_bytes()).expect("answered");
        String::from_utf8_lossy(&some[..read]).into_owned()
    });
    (addr, thread)
}

fn once(admin: &str) -> (Result<(), (u8, String)>, String) {
    let args = TopArgs { admin: admin.to_owned(), interval_ms: 1000, once: true };
    let mut output = Vec::new();
    let outcome = run(&args, &mut output);
    let outcome = outcome.map_err(|error| (error.exit_code(), error.to_string()));
    (outcome, String::from_utf8(output).expect("text"))
}

#[test]
fn once_prints_what_the_server_says() {
    let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", document(1));
    let (addr, server) = answering(answer);
    let (outcome, text) = once(&format!("http://{addr}"));
    assert_eq!(outcome, Ok(()));
    assert!(text.starts_with(&format!("ringwire 1.2.3 at {addr}: ready, up 1 d 2 h")), "{text}");
    let request = server.join().expect("served");
    assert!(request.starts_with("GET /v1/overview HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("Host: {addr}\r\n")), "{request}");
}

#[test]
fn who_is_no_admin_interface_is_told_so() {
    for (answer, problem) in [
        ("HTTP/1.1 404 Not Found\r\n\r\n{}", "the status 404"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        ("HTTP/1.1 200 OK\r\n", "cut short"),
        ("HTTP/1.1 200 OK\r\n\r\n{\"status\":{}}", "missing field"),
        ("HTTP/1.1 200 OK\r\n\r\nhello", "expected value"),
    ] {
        let (addr, server) = answering(answer.to_owned());
        let (code, error) = once(&addr.to_string()).0.expect_err(answer);
        assert_eq!(code, 1);
        assert!(error.contains(problem) && error.contains("not the admin interface"), "{error}");
        server.join().expect("served");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("it has one");
    let (code, error) = once(&nobody.to_string()).0.expect_err("nobody is there");
    assert!(code == 1 && error.contains("cannot reach the admin interface"), "{error}");
    let (code, error) = once("ftp://x").0.expect_err("no such scheme");
    assert!(code == 2 && error.contains("write http://host:port or unix:/path"), "{error}");
}
