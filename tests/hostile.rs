//! Hostile peers after the upgrade, against the real binary: each violation gets its close code and
//! is counted under its name, and a well-behaved neighbour notices nothing.

mod common;

use std::io::Write;
use std::thread;
use std::time::Duration;

use common::{
    BINARY, CLOSE, CONTINUATION, Event, Frame, Length, PING, PONG, Random, RawClient, SOON, Server,
    TEXT, Witness, close_payload, poll,
};

const FAULTS: &str = "ringwire_peer_faults_total";
const OPEN: &str = "ringwire_connections_open";
const MESSAGE_BYTES_MAX: usize = 1024;

/// What a client sends, and what it gets for that.
struct Violation {
    name: String,
    octets: Vec<u8>,
    code: u16,
    fault: &'static str,
}

fn violation(
    name: impl Into<String>,
    frames: &[Frame],
    code: u16,
    fault: &'static str,
) -> Violation {
    let octets = frames.iter().flat_map(Frame::octets).collect();
    Violation { name: name.into(), octets, code, fault }
}

fn of_headers() -> Vec<Violation> {
    let mut all = Vec::new();
    for bits in 1..8 {
        let frame = Frame::text("x").reserved(bits);
        all.push(violation(format!("reserved bits {bits:03b}"), &[frame], 1002, "reserved_bits"));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let frame = Frame::new(opcode, "x");
        all.push(violation(format!("opcode {opcode}"), &[frame], 1002, "reserved_opcode"));
    }
    for opcode in [TEXT, BINARY, CLOSE, PONG] {
        let frame = Frame::new(opcode, close_payload(1000, b"")).unmasked();
        all.push(violation(format!("unmasked, opcode {opcode}"), &[frame], 1002, "unmasked"));
    }
    for (len, length) in [
        (0, Length::Sixteen),
        (125, Length::Sixteen),
        (0, Length::SixtyFour),
        (126, Length::SixtyFour),
        (1000, Length::SixtyFour),
        (0, Length::Claimed(0xffff)),
    ] {
        let frame = Frame::new(BINARY, vec![7; len]).length(length);
        let name = format!("{len} octets, length {length:?}");
        all.push(violation(name, &[frame], 1002, "length_not_minimal"));
    }
    for claimed in [1 << 63, u64::MAX] {
        let frame = Frame::new(BINARY, "").length(Length::Claimed(claimed));
        all.push(violation(format!("{claimed:#x} octets"), &[frame], 1002, "length_overflow"));
    }
    all
}

fn of_control_frames() -> Vec<Violation> {
    let mut all = Vec::new();
    for opcode in [CLOSE, PING, PONG] {
        let long = Frame::new(opcode, vec![0; 126]);
        all.push(violation(
            format!("126 octets, opcode {opcode}"),
            &[long],
            1002,
            "control_too_long",
        ));
        let open = Frame::new(opcode, close_payload(1000, b"")).open_ended();
        let name = format!("without FIN, opcode {opcode}");
        all.push(violation(name, &[open], 1002, "control_fragmented"));
    }
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        all.push(violation(format!("close {code}"), &[Frame::close(code)], 1002, "bad_close_code"));
    }
    let half = Frame::new(CLOSE, [3]);
    all.push(violation("close with half a code", &[half], 1002, "bad_close_payload"));
    let reason = Frame::new(CLOSE, close_payload(1000, b"caf\xe9"));
    all.push(violation("close with a bad reason", &[reason], 1007, "bad_close_reason"));
    all
}

fn of_fragments() -> Vec<Violation> {
    // Together a message that `serve` understands, so that only the fragments are wrong.
    let start = || Frame::text(r#"{"type":"ping""#).open_ended();
    let end = || Frame::new(CONTINUATION, r#","id":1}"#);
    let stray = "unexpected_continuation";
    let inside = "expected_continuation";
    vec![
        violation("continuation first", &[Frame::new(CONTINUATION, "x")], 1002, stray),
        violation(
            "open-ended continuation first",
            &[Frame::new(CONTINUATION, "x").open_ended()],
            1002,
            stray,
        ),
        violation("continuation after a whole message", &[start(), end(), end()], 1002, stray),
        violation("text inside of a message", &[start(), Frame::text("b")], 1002, inside),
        violation("binary inside of a message", &[start(), Frame::new(BINARY, "b")], 1002, inside),
        violation(
            "text inside of a message, after a ping",
            &[start(), Frame::ping("p"), Frame::text("b")],
            1002,
            inside,
        ),
    ]
}

fn of_sizes() -> Vec<Violation> {
    let fault = "message_too_large";
    let full = vec![b'x'; MESSAGE_BYTES_MAX];
    let more = vec![b'x'; MESSAGE_BYTES_MAX + 1];
    // Only headers are sent of these: the answer must not wait for what may never come.
    let claimed = |claimed| Frame::new(BINARY, "").length(Length::Claimed(claimed));
    vec![
        violation("one octet too many", &[Frame::new(BINARY, &more)], 1009, fault),
        violation("text, one octet too many", &[Frame::text(&more)], 1009, fault),
        violation("64 KiB claimed", &[claimed(1 << 16)], 1009, fault),
        violation("4 GiB claimed", &[claimed(1 << 32)], 1009, fault),
        violation("2^63 - 1 octets claimed", &[claimed((1 << 63) - 1)], 1009, fault),
        violation(
            "the second fragment is one octet too many",
            &[Frame::new(BINARY, &full).open_ended(), Frame::new(CONTINUATION, "x")],
            1009,
            fault,
        ),
    ]
}

/// Octets that are not UTF-8, each with the count of its octets after which that is certain.
const NOT_UTF8: &[(&[u8], usize)] = &[
    (b"\x80", 1),
    (b"\xff", 1),
    (b"\xc0\x80", 1),
    (b"\xc1\xbf", 1),
    (b"\xf5\x80\x80\x80", 1),
    (b"\xce\x61", 2),
    (b"\xe0\x80\x80", 2),
    (b"\xe0\x9f\xbf", 2),
    (b"\xed\xa0\x80", 2),
    (b"\xed\xbf\xbf", 2),
    (b"\xf0\x8f\xbf\xbf", 2),
    (b"\xf4\x90\x80\x80", 2),
    (b"\xe2\x82\x41", 3),
    (b"\xf0\x9f\xa6\x41", 4),
];

fn of_text() -> Vec<Violation> {
    let fault = "invalid_utf8";
    let mut all = Vec::new();
    for (bad, _) in NOT_UTF8 {
        let text = [b"\xce\xba\xe1\xbd\xb9 ", *bad, b" edited"].concat();
        all.push(violation(format!("text {bad:x?}"), &[Frame::text(&text)], 1007, fault));
        for cut in 1..text.len() {
            let (head, tail) = text.split_at(cut);
            let frames = [Frame::text(head).open_ended(), Frame::new(CONTINUATION, tail)];
            all.push(violation(format!("text {bad:x?}, cut at {cut}"), &frames, 1007, fault));
        }
    }
    let cut_off = [Frame::text("a\u{e9}").open_ended(), Frame::new(CONTINUATION, b"\xf0\x9f\xa6")];
    all.push(violation("text that ends inside of a character", &cut_off, 1007, fault));
    all
}

/// Commits each violation on a connection of its own.
fn commit_all(server: &Server, violations: &[Violation]) {
    let mut total = server.metric(FAULTS, &[]);
    for violation in violations {
        let label = [("fault", violation.fault)];
        let before = server.metric(FAULTS, &label);
        let mut client = RawClient::open(server.ws, "/ws");
        // The server may hang up before it has read all of this.
        client.try_send(&violation.octets);
        client.expect_close(violation.code, &violation.name);
        server.await_metric(FAULTS, &label, before + 1.0, SOON);
        total += 1.0;
        assert_eq!(server.metric(FAULTS, &[]), total, "one fault only: {}", violation.name);
    }
}

fn small_messages() -> [&'static str; 2] {
    ["--message-bytes-max", "1024"]
}

fn echo_punishes(violations: &[Violation]) {
    let server = Server::echo(&small_messages());
    let witness = Witness::echoing(server.ws);
    commit_all(&server, violations);
    witness.finish();
    server.await_metric(OPEN, &[], 0.0, SOON);
    server.stop();
}

#[test]
fn wrong_frame_headers_are_answered_with_1002() {
    echo_punishes(&of_headers());
}

#[test]
fn wrong_control_frames_are_answered_with_1002() {
    echo_punishes(&of_control_frames());
}

#[test]
fn wrong_fragments_are_answered_with_1002() {
    echo_punishes(&of_fragments());
}

#[test]
fn messages_above_the_limit_are_answered_with_1009() {
    echo_punishes(&of_sizes());
}

#[test]
fn text_that_is_not_utf8_is_answered_with_1007() {
    echo_punishes(&of_text());
}

#[test]
fn the_pubsub_server_punishes_the_same() {
    let server = Server::serve(&small_messages());
    let witness = Witness::pinging(server.ws);
    commit_all(&server, &of_headers());
    commit_all(&server, &of_control_frames());
    commit_all(&server, &of_fragments());
    commit_all(&server, &of_sizes());
    witness.finish();
    server.await_metric(OPEN, &[], 0.0, SOON);
    server.stop();
}

/// What is certainly not UTF-8 is refused at that octet, though the message goes on.
#[test]
fn invalid_utf8_is_refused_at_the_octet_that_makes_it_invalid() {
    let server = Server::echo(&[]);
    let witness = Witness::echoing(server.ws);
    for (bad, certain) in NOT_UTF8 {
        let text = [b"\xce\xba\xe1\xbd\xb9\xcf\x83", *bad, b"edited"].concat();
        let frame = Frame::text(&text).octets();
        let header = frame.len() - text.len();
        let mut client = RawClient::open(server.ws, "/");
        let (valid_and_more, certainly_not) = frame.split_at(header + 7 + certain - 1);
        for octet in valid_and_more {
            client.send(&[*octet]);
        }
        let early = client.event(Duration::from_millis(50));
        assert!(matches!(early, Event::Silence), "{early:?} while {bad:x?} could become valid");
        client.send(&certainly_not[..1]);
        client.expect_close(1007, &format!("{bad:x?}"));
    }
    let label = [("fault", "invalid_utf8")];
    server.await_metric(FAULTS, &label, NOT_UTF8.len() as f64, SOON);
    witness.finish();
    server.stop();
}

#[test]
fn a_handshake_and_frames_octet_by_octet_are_understood() {
    let server = Server::echo(&[]);
    let mut octets = common::upgrade_head("/slow").into_bytes();
    octets.extend(Frame::text("gr\u{fc}n").open_ended().octets());
    octets.extend(Frame::ping("p").octets());
    octets.extend(Frame::new(CONTINUATION, "\u{1f980}").octets());
    octets.extend(Frame::new(BINARY, vec![9; 300]).octets());
    let mut client = RawClient::connect(server.ws);
    for octet in octets {
        client.send(&[octet]);
    }
    client.expect_upgraded();
    let pong = client.frame();
    assert_eq!((pong.opcode, &pong.payload[..]), (PONG, &b"p"[..]));
    assert_eq!(client.message(), (TEXT, "gr\u{fc}n\u{1f980}".into()));
    assert_eq!(client.message(), (BINARY, vec![9; 300]));
    server.stop();
}

#[test]
fn close_codes_that_are_allowed_are_given_back() {
    let server = Server::echo(&[]);
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        let mut client = RawClient::open(server.ws, "/");
        client.send_frame(&Frame::new(CLOSE, close_payload(code, "gr\u{fc}n".as_bytes())));
        assert_eq!(client.close_code(SOON), code);
        client.expect_end(&format!("close {code}"));
    }
    let mut client = RawClient::open(server.ws, "/");
    client.send_frame(&Frame::new(CLOSE, ""));
    assert!(matches!(client.close_code(SOON), 1000 | 1005));
    client.expect_end("close without a code");
    assert_eq!(server.metric(FAULTS, &[]), 0.0);
    server.stop();
}

/// Random octets instead of frames: whatever they mean, the connection ends and nothing else does.
#[test]
fn random_octets_instead_of_frames_end_only_their_connection() {
    let server = Server::echo(&[]);
    let witness = Witness::echoing(server.ws);
    for seed in 0..200 {
        let mut random = Random::seeded(seed);
        let len = 1 + random.below(4096);
        let mut client = RawClient::open(server.ws, "/");
        client.try_send(&random.octets(len));
        client.finish_sending();
        client.expect_hang_up(&format!("random octets, seed {seed}"));
    }
    witness.finish();
    server.await_metric(OPEN, &[], 0.0, SOON);
    server.stop();
}

/// Writes a block of frames again and again until the server takes no more for a while, or the
/// bound is reached. Gives what is not sent of the last block.
fn flood(client: &RawClient, block: &[u8], bytes_max: usize, stalled: Duration) -> Vec<u8> {
    let mut stream = client.stream();
    stream.set_write_timeout(Some(stalled)).expect("a time above zero");
    let mut sent = 0;
    while sent < bytes_max {
        let at = sent % block.len();
        match stream.write(&block[at..]) {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    stream.set_write_timeout(Some(SOON)).expect("a time above zero");
    match sent % block.len() {
        0 => Vec::new(),
        at => block[at..].to_vec(),
    }
}

/// Pings as fast as they go, and not one pong read: what the server holds for us stays bounded, and
/// when we read again the conversation goes on, or was ended properly.
#[test]
fn pings_at_line_rate_without_reading_cost_bounded_memory() {
    const BYTES_MAX: usize = 64 << 20;
    const GROWTH_BYTES_MAX: u64 = 16 << 20;
    let server = Server::echo(&[]);
    let witness = Witness::echoing(server.ws);
    let before = server.resident_bytes();
    let mut client = RawClient::open(server.ws, "/");
    let payload = [b'p'; 125];
    let pings = Frame::ping(payload).octets().repeat(100);
    let rest = flood(&client, &pings, BYTES_MAX, Duration::from_secs(1));
    let after = server.resident_bytes();
    assert!(after < before + GROWTH_BYTES_MAX, "grew from {before} to {after} octets");

    let mut reader = RawClient::sharing(&mut client);
    let reading = thread::spawn(move || {
        loop {
            match reader.event(SOON) {
                Event::Frame(frame) if frame.opcode == PONG && frame.payload == b"last" => return,
                Event::Frame(frame) if frame.opcode == PONG => assert_eq!(frame.payload, payload),
                Event::Frame(frame) if frame.opcode == PING => {}
                Event::Frame(frame) => return assert_eq!(frame.close_code(), 4001),
                Event::Ended => return,
                Event::Silence => panic!("the last ping is not answered"),
            }
        }
    });
    client.try_send(&rest);
    // A ping may go without an answer while the egress is full, so the last one is repeated.
    poll(SOON, || {
        client.try_send(&Frame::ping("last").octets());
        reading.is_finished().then_some(())
    });
    reading.join().expect("only pongs, the last one among them, or a close");
    witness.finish();
    server.stop();
}

/// Messages as fast as they go, and no echo read: the same holds.
#[test]
fn echoes_that_nobody_reads_cost_bounded_memory() {
    const BYTES_MAX: usize = 64 << 20;
    const GROWTH_BYTES_MAX: u64 = 16 << 20;
    let server = Server::echo(&["--egress-bytes-max", "1048576", "--message-bytes-max", "65536"]);
    let witness = Witness::echoing(server.ws);
    let before = server.resident_bytes();
    let clients: Vec<RawClient> = (0..4).map(|_| RawClient::open(server.ws, "/")).collect();
    let frame = Frame::new(BINARY, vec![1; 4000]).octets();
    for client in &clients {
        flood(client, &frame, BYTES_MAX / 4, Duration::from_millis(500));
    }
    let after = server.resident_bytes();
    assert!(after < before + GROWTH_BYTES_MAX, "grew from {before} to {after} octets");
    witness.finish();
    drop(clients);
    server.await_metric(OPEN, &[], 0.0, SOON);
    server.await_metric("ringwire_egress_queued_bytes", &[], 0.0, SOON);
    server.stop();
}

/// Every way of leaving at a bad moment.
#[test]
fn close_races_end_the_connection_and_leave_nothing_behind() {
    let server = Server::echo(&["--close-timeout-ms", "1000"]);
    let witness = Witness::echoing(server.ws);
    let close = Frame::close(1000).octets();
    let text = Frame::text("late").octets();
    let open = || RawClient::open(server.ws, "/");
    for round in 0..20 {
        let mut client = open();
        client.send(&[&close[..], &text, &text].concat());
        assert_eq!(client.close_code(SOON), 1000, "data after close, round {round}");
        client.expect_end("data after close is not echoed");

        let mut client = open();
        client.send(&close);
        client.finish_sending();
        assert_eq!(client.close_code(SOON), 1000, "close and FIN, round {round}");
        client.expect_end("close and FIN");

        let mut client = open();
        client.send(&[&close[..], &close].concat());
        assert_eq!(client.close_code(SOON), 1000, "close twice, round {round}");
        client.expect_end("close twice gets one answer");

        let mut client = open();
        client.send(&text[..text.len() - 1]);
        client.finish_sending();
        client.expect_hang_up("FIN inside of a frame");

        let mut client = open();
        client.send(&[&text[..], &close].concat());
        assert_eq!(client.message(), (TEXT, b"late".into()));
        assert_eq!(client.close_code(SOON), 1000, "message and close, round {round}");

        let client = open();
        client.reset();
        let mut client = open();
        client.send(&text);
        client.reset();
        let mut client = open();
        client.send(&close);
        client.reset();
        drop(open());
    }
    // One that leaves the TCP connection open after our close frame is not waited for for ever.
    let mut client = open();
    client.send(&Frame::text("x").reserved(7).octets());
    assert_eq!(client.close_code(SOON), 1002);
    client.expect_end("a peer that does not answer our close");
    witness.finish();
    server.await_metric(OPEN, &[], 0.0, SOON);
    server.stop();
}
