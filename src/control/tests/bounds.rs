//! What a hostile or unlucky client can't do to the admin interface.

use super::*;
use crate::limits::ADMIN_BODY_BYTES_MAX;
use std::os::unix::net::UnixStream;

const POST: &str = "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
    Content-Type: application/json\r\n";
const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn impatient() -> Fixture {
    let short = Duration::from_millis(200);
    let bounds = AdminLimits { head_timeout: short, body_timeout: short, ..Default::default() };
    let fixture = Fixture::start_with(bounds, "127.0.0.1:0");
    fixture.bridge.state.advance(Stage::Ready);
    fixture
}

/// Asks for the health on a connection that stays open.
fn ask_health(stream: &mut TcpStream) -> String {
    stream.write_all(HEALTH.as_bytes()).expect("sent");
    let mut seen = Vec::new();
    let mut octet = [0];
    while !seen.ends_with(b"\r\n\r\nok\n") {
        stream.read_exact(&mut octet).unwrap_or_else(|e| panic!("{e} after {seen:?}"));
        seen.push(octet[0]);
    }
    String::from_utf8(seen).expect("text")
}

#[test]
fn a_body_declared_too_large_is_refused_before_it_is_sent() {
    let fixture = Fixture::start();
    let length = ADMIN_BODY_BYTES_MAX + 1;
    for expect in ["", "Expect: 100-continue\r\n"] {
        let reply = fixture.raw(&format!("{POST}{expect}Content-Length: {length}\r\n\r\n"));
        Reply::parse(&reply).assert_error(413, "too_large");
    }
    let huge = fixture.raw(&format!("{POST}Content-Length: 18446744073709551615\r\n\r\n"));
    assert!(matches!(Reply::parse(&huge).status, 400 | 413 | 431), "{huge}");
}

#[test]
fn a_body_of_undeclared_length_is_refused_when_it_has_become_too_large() {
    let fixture = Fixture::start();
    let mut stream = fixture.connect();
    let head = format!("{POST}Transfer-Encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let chunks = ADMIN_BODY_BYTES_MAX / 0x10000 + 1;
    let sent = (0..chunks).try_for_each(|_| stream.write_all(chunk.as_bytes()));
    sent.expect("the server reads up to its limit");
    Reply::parse(&read_all(&mut stream)).assert_error(413, "too_large");
}

#[test]
fn the_largest_body_is_taken() {
    let fixture = Fixture::start();
    let frame = r#"{"topic":"t","data":""}"#.len();
    let data = "x".repeat(ADMIN_BODY_BYTES_MAX - frame);
    let body = format!(r#"{{"topic":"t","data":"{data}"}}"#);
    assert_eq!(body.len(), ADMIN_BODY_BYTES_MAX);
    assert_eq!(fixture.post("/v1/publish", &body).status, 200);
    assert_eq!(fixture.published()[0].1.len(), data.len() + 2);
}

#[test]
fn a_slow_head_and_an_idle_connection_are_cut() {
    let fixture = impatient();
    for part in ["", "G", "GET /healthz HTTP/1.1\r\nHost: local"] {
        let reply = fixture.raw(part);
        assert!(!reply.contains(" 200 "), "{reply}");
    }
    let mut stream = fixture.connect();
    ask_health(&mut stream);
    assert_eq!(read_all(&mut stream), "", "closed after idling");
}

#[test]
fn a_slow_body_is_408_and_a_broken_one_never_published() {
    let fixture = impatient();
    let slow = fixture.raw(&format!("{POST}Content-Length: 22\r\n\r\n{{\"topic\""));
    Reply::parse(&slow).assert_error(408, "bad_request");
    let mut stream = fixture.connect();
    let part = format!("{POST}Content-Length: 9999\r\n\r\n{{\"topic\":\"t\",\"data\":1}}");
    stream.write_all(part.as_bytes()).expect("sent");
    stream.shutdown(std::net::Shutdown::Write).expect("half closed");
    let reply = read_all(&mut stream);
    assert!(!reply.contains(" 200 "), "{reply}");
    assert_eq!(fixture.published(), []);
}

#[test]
fn pipelined_requests_are_answered_in_order_and_garbage_ends_the_connection() {
    let fixture = Fixture::start();
    let text = fixture.raw(&format!(
        "{HEALTH}GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n{HEALTH}\
         \u{1}\u{2} garbage \r\n\r\n{HEALTH}"
    ));
    let statuses: Vec<&str> =
        text.split("HTTP/1.1 ").skip(1).filter_map(|part| part.get(..3)).collect();
    assert_eq!(statuses, ["200", "404", "200", "400"], "{text}");
    assert_eq!(fixture.get("/healthz").status, 200, "others are served on");
}

#[test]
fn a_head_with_too_much_in_it_is_431() {
    let fixture = Fixture::start();
    let start = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n";
    let many: String = (0..100).map(|n| format!("x-{n}: 1\r\n")).collect();
    let long = format!("x: {}\r\n", "x".repeat(64 * 1024));
    for fields in [many, long] {
        let mut stream = fixture.connect();
        // The server may answer and close before it has read all of this.
        drop(stream.write_all(format!("{start}{fields}\r\n").as_bytes()));
        let text = read_all(&mut stream);
        assert!(text.is_empty() || Reply::parse(&text).status == 431, "{text}");
    }
    assert_eq!(fixture.get("/healthz").status, 200);
}

#[test]
fn one_connection_too_many_is_told_503_and_a_freed_place_is_used_again() {
    let bounds = AdminLimits { connections_max: 2, ..Default::default() };
    let fixture = Fixture::start_with(bounds, "127.0.0.1:0");
    let mut held = [fixture.connect(), fixture.connect()];
    for stream in &mut held {
        ask_health(stream);
    }
    let mut third = fixture.connect();
    Reply::parse(&read_all(&mut third)).assert_error(503, "overloaded");
    for stream in &mut held {
        ask_health(stream);
    }
    drop(held);
    let metrics = get_when_served(&fixture, "/metrics");
    let refused = "ringwire_admin_connections_refused_total ";
    let count = metrics.lines().find_map(|line| line.strip_prefix(refused)?.parse::<u64>().ok());
    assert!(count.is_some_and(|count| count >= 1), "{metrics}");
}

/// A place is free when the server has seen the close; until then it says 503.
fn get_when_served(fixture: &Fixture, path: &str) -> String {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let mut stream = fixture.connect();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        drop(stream.write_all(request.as_bytes()));
        let reply = read_all(&mut stream);
        if reply.contains(" 200 ") {
            return reply;
        }
        assert!(std::time::Instant::now() < deadline, "no place became free");
    }
}

#[test]
fn an_old_connection_ends_and_a_new_one_is_served() {
    let age = Duration::from_millis(200);
    let bounds = AdminLimits { connection_age: age, ..Default::default() };
    let fixture = Fixture::start_with(bounds, "127.0.0.1:0");
    let mut stream = fixture.connect();
    ask_health(&mut stream);
    assert_eq!(read_all(&mut stream), "");
    assert_eq!(fixture.get("/healthz").status, 200);
}

#[test]
fn shutdown_ends_idle_connections_and_the_listener() {
    let fixture = Fixture::start();
    let mut stream = fixture.connect();
    ask_health(&mut stream);
    fixture.shutdown.raise();
    assert_eq!(read_all(&mut stream), "");
    let addr = fixture.tcp();
    drop(fixture);
    assert!(TcpStream::connect(addr).is_err());
}

#[test]
fn a_unix_socket_serves_the_same() {
    let path = std::env::temp_dir().join(format!("ringwire-{}.sock", std::process::id()));
    let fixture = Fixture::start_with(AdminLimits::default(), &format!("unix:{}", path.display()));
    let mut stream = UnixStream::connect(&path).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    // The host is free here: no browser reaches a Unix socket.
    let request = "GET /healthz HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("sent");
    assert_eq!(Reply::parse(&read_all(&mut stream)).status, 200);
    drop(fixture);
    assert!(!path.exists(), "the file goes with the server");
}
