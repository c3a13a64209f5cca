//! The life of connections and of the process: heartbeats, SIGTERM, draining.

mod common;

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use common::{
    BINARY, CLOSE, Event, Frame, JsonClient, PING, RawClient, SOON, Server, TEXT, Witness, poll,
    upgrade_head,
};
use serde_json::json;

const OPEN: &str = "ringwire_connections_open";
const CLOSED: &str = "ringwire_connections_closed_total";
const HEARTBEATS_LOST: &str = "ringwire_heartbeats_lost_total";

const INTERVAL: Duration = Duration::from_millis(600);
const TIMEOUT: Duration = Duration::from_millis(500);
/// Ticks of the timer wheel, and a busy machine.
const MARGIN: Duration = Duration::from_millis(1500);
const HEARTBEAT: [&str; 6] = [
    "--heartbeat-interval-ms",
    "600",
    "--heartbeat-timeout-ms",
    "500",
    "--close-timeout-ms",
    "500",
];

/// Asserts that there is still time to give up a peer that fell silent at `since`.
fn assert_not_late(since: Instant) {
    let took = since.elapsed();
    assert!(took < INTERVAL + TIMEOUT + MARGIN, "not given up for {took:?}");
}

/// Asserts that a peer that fell silent at `since` was given up in time, and not before.
fn assert_given_up_in_time(since: Instant, pinged: Option<Instant>) {
    assert_not_late(since);
    let waited = pinged.expect("a ping before giving up").elapsed();
    assert!(waited + Duration::from_millis(100) >= TIMEOUT, "waited {waited:?} for the pong");
}

#[test]
fn a_peer_that_answers_no_ping_is_closed_with_4002() {
    let server = Server::echo(&HEARTBEAT);
    let witness = Witness::echoing(server.ws);
    let mut client = RawClient::open(server.ws, "/");
    let (since, mut pinged) = (Instant::now(), None);
    loop {
        assert_not_late(since);
        match client.event(SOON) {
            Event::Frame(frame) if frame.opcode == PING => {
                pinged.get_or_insert_with(Instant::now);
            }
            Event::Frame(frame) => {
                assert_eq!(frame.close_code(), 4002);
                break;
            }
            other @ (Event::Ended | Event::Silence) => panic!("{other:?} instead of 4002"),
        }
    }
    assert_given_up_in_time(since, pinged);
    client.expect_end("a peer that does not answer our close either");
    server.await_metric(HEARTBEATS_LOST, &[], 1.0, SOON);
    server.await_metric(CLOSED, &[("code", "4002")], 1.0, SOON);
    witness.finish();
    server.stop();
}

/// What we send and the network takes is no sign of life.
#[test]
fn a_peer_that_only_receives_is_closed_with_4002() {
    let server = Server::serve(&HEARTBEAT);
    let mut subscriber = JsonClient::open(server.ws);
    subscriber.subscribe("news:all");
    let since = Instant::now();
    let publisher = {
        let mut client = JsonClient::open(server.ws);
        thread::spawn(move || {
            while since.elapsed() < INTERVAL + TIMEOUT + MARGIN {
                client.publish("news:all", json!("still here"));
                thread::sleep(Duration::from_millis(20));
            }
        })
    };
    let (mut pinged, mut received) = (None, 0);
    loop {
        assert_not_late(since);
        let frame = subscriber.raw().frame();
        match frame.opcode {
            PING => {
                pinged.get_or_insert_with(Instant::now);
            }
            TEXT => received += 1,
            CLOSE => {
                assert_eq!(frame.close_code(), 4002);
                break;
            }
            opcode => panic!("opcode {opcode}"),
        }
    }
    assert_given_up_in_time(since, pinged);
    assert!(received > 3, "the stream of messages did not flow: {received}");
    publisher.join().expect("the publisher answered pings and was not closed");
    server.await_metric(HEARTBEATS_LOST, &[], 1.0, SOON);
    server.stop();
}

/// A peer that vanished while much was on its way to it: nothing can be sent, not even a close
/// frame, and the connection goes all the same.
#[test]
fn a_peer_that_has_stopped_reading_is_reaped() {
    let server = Server::echo(&HEARTBEAT);
    let client = RawClient::open(server.ws, "/");
    server.await_metric(OPEN, &[], 1.0, SOON);
    let mut stream: &TcpStream = client.stream();
    stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a time above zero");
    let frame = Frame::new(BINARY, vec![0; 4000]).octets();
    // Until nothing fits any more, in the last frame or before it.
    while std::io::Write::write_all(&mut stream, &frame).is_ok() {}
    let close_timeout = Duration::from_millis(500);
    let limit = INTERVAL + TIMEOUT + close_timeout + MARGIN;
    server.await_metric(OPEN, &[], 0.0, limit);
    server.await_metric("ringwire_egress_queued_bytes", &[], 0.0, SOON);
    drop(client);
    server.stop();
}

#[test]
fn an_idle_peer_that_answers_pings_stays() {
    let server = Server::echo(&HEARTBEAT);
    let mut client = RawClient::open(server.ws, "/");
    let mut pings = 0;
    let start = Instant::now();
    while start.elapsed() < 5 * (INTERVAL + TIMEOUT) {
        match client.event(INTERVAL) {
            Event::Frame(frame) => {
                assert_eq!(frame.opcode, PING, "{frame:?}");
                client.send_frame(&Frame::pong(&frame.payload));
                pings += 1;
            }
            Event::Silence => {}
            Event::Ended => panic!("ended after {:?}", start.elapsed()),
        }
    }
    assert!(pings >= 3, "{pings} pings");
    client.send_frame(&Frame::text("still here"));
    assert_eq!(client.message(), (TEXT, b"still here".into()));
    assert_eq!(server.metric(HEARTBEATS_LOST, &[]), 0.0);
    server.stop();
}

/// Any octet is a sign of life, not only a pong: even those of a frame that is not complete.
#[test]
fn a_peer_that_talks_need_not_answer_pings() {
    let server = Server::echo(&HEARTBEAT);
    let mut client = RawClient::open(server.ws, "/");
    let text = Frame::text("x".repeat(40)).octets();
    let start = Instant::now();
    for octet in &text {
        client.send(&[*octet]);
        match client.event(Duration::from_millis(150)) {
            Event::Frame(frame) => assert!(matches!(frame.opcode, PING | TEXT), "{frame:?}"),
            Event::Silence => {}
            Event::Ended => panic!("ended after {:?}", start.elapsed()),
        }
    }
    assert!(start.elapsed() > 2 * (INTERVAL + TIMEOUT), "too short to show anything");
    assert_eq!(server.metric(HEARTBEATS_LOST, &[]), 0.0);
    server.stop();
}

#[test]
fn an_idle_server_exits_at_once_on_sigterm() {
    for subcommand in ["echo", "serve"] {
        let mut server = Server::start(subcommand, &["--shards", "2"]);
        server.terminate();
        let start = Instant::now();
        assert_eq!(server.exit(SOON).code(), Some(0), "{subcommand}");
        assert!(start.elapsed() < Duration::from_secs(3), "nobody was there to be waited for");
    }
}

#[test]
fn sigterm_closes_every_connection_with_1001_and_exits_with_0() {
    let mut server = Server::serve(&["--shards", "2", "--drain-timeout-ms", "10000"]);
    let mut clients: Vec<JsonClient> = (0..40).map(|_| JsonClient::open(server.ws)).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.subscribe(&format!("room:{}", index % 7));
    }
    server.await_metric(OPEN, &[], 40.0, SOON);
    server.terminate();
    for client in &mut clients {
        client.raw().expect_close(1001, "drain");
    }
    assert_eq!(server.exit(SOON).code(), Some(0));
}

#[test]
fn what_was_acknowledged_before_sigterm_arrives_before_the_close() {
    let mut server = Server::serve(&["--shards", "2"]);
    let mut subscriber = JsonClient::open(server.ws);
    let mut publisher = JsonClient::open(server.ws);
    subscriber.subscribe("orders:all");
    for count in 0..100 {
        publisher.publish("orders:all", json!(count));
    }
    server.terminate();
    for count in 0..100 {
        assert_eq!(subscriber.next_of("message")["data"], count);
    }
    subscriber.raw().expect_close(1001, "subscriber");
    publisher.raw().expect_close(1001, "publisher");
    assert_eq!(server.exit(SOON).code(), Some(0));
}

/// The same with as much on the way as fits, and the signal at the last acknowledgement.
#[test]
fn what_a_flood_had_acknowledged_before_sigterm_arrives_before_the_close() {
    const MESSAGES: u64 = 1500;
    let mut server = Server::serve(&["--shards", "2"]);
    let mut subscribers: Vec<JsonClient> = (0..20).map(|_| JsonClient::open(server.ws)).collect();
    for subscriber in &mut subscribers {
        subscriber.subscribe("orders:all");
    }
    let mut publisher = JsonClient::open(server.ws);
    let publish = |count| {
        json!({"type": "publish", "id": count, "topic": "orders:all", "data": count}).to_string()
    };
    let flood = (0..MESSAGES).flat_map(|count| Frame::text(publish(count)).octets());
    publisher.raw().send(&flood.collect::<Vec<u8>>());
    for count in 0..MESSAGES {
        assert_eq!(publisher.next_of("ack")["id"], count);
    }
    server.terminate();
    for subscriber in &mut subscribers {
        for count in 0..MESSAGES {
            assert_eq!(subscriber.next_of("message")["data"], count);
        }
        subscriber.raw().expect_close(1001, "subscriber");
    }
    publisher.raw().expect_close(1001, "publisher");
    assert_eq!(server.exit(SOON).code(), Some(0));
}

/// Peers that ignore the close are not waited for beyond the deadline.
#[test]
fn peers_that_ignore_the_close_do_not_hold_the_exit_up() {
    let flags = ["--drain-timeout-ms", "1500", "--close-timeout-ms", "10000"];
    let mut server = Server::echo(&flags);
    let mut clients: Vec<RawClient> = (0..5).map(|_| RawClient::open(server.ws, "/")).collect();
    server.terminate();
    let start = Instant::now();
    for client in &mut clients {
        assert_eq!(client.close_code(SOON), 1001);
    }
    assert_eq!(server.exit(SOON).code(), Some(0));
    let took = start.elapsed();
    assert!(took < Duration::from_millis(1500) + 2 * MARGIN, "took {took:?}");
    for client in &mut clients {
        client.expect_end("the process is gone");
    }
}

/// While draining: alive, not ready, and closed to newcomers.
#[test]
fn a_draining_server_is_alive_and_not_ready() {
    let flags = ["--drain-timeout-ms", "15000", "--close-timeout-ms", "15000"];
    let mut server = Server::serve(&flags);
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/readyz").status, 200);
    let mut client = JsonClient::open(server.ws);
    server.terminate();
    assert_eq!(client.raw().close_code(SOON), 1001);

    let unready = poll(SOON, || (server.try_get("/readyz")?.status == 503).then_some(()));
    assert!(unready.is_some(), "ready while draining");
    assert_eq!(server.get("/healthz").status, 200);
    if let Ok(stream) = TcpStream::connect_timeout(&server.ws, Duration::from_secs(2)) {
        drop(stream);
        let mut newcomer = RawClient::connect(server.ws);
        newcomer.try_send(upgrade_head("/ws").as_bytes());
        if let Some(head) = newcomer.head(SOON) {
            assert_eq!(head.status, 503, "{head:?}");
            assert!(head.field("retry-after").is_some(), "{head:?}");
        }
    }
    assert!(server.is_running(), "the deadline is far away");

    // The last one agrees and leaves; then nothing is left to be waited for.
    client.raw().try_send(&Frame::close(1001).octets());
    client.raw().expect_end("agreed");
    let start = Instant::now();
    assert_eq!(server.exit(SOON).code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "nothing was left to be waited for");
}
