//! Handshakes that are refused, against the real binary: each with its status, the field that says
//! what would be right, the end of the connection, and its metric.

mod common;

use std::time::{Duration, Instant};

use common::{Frame, Head, Random, RawClient, SOON, Server, TEXT, Witness, upgrade_head};

const REFUSED: &str = "ringwire_handshakes_refused_total";
const OPEN: &str = "ringwire_connections_open";

/// A request, and how it is refused.
struct Refusal {
    name: &'static str,
    head: String,
    status: u16,
    cause: &'static str,
}

fn refusal(name: &'static str, head: String, status: u16, cause: &'static str) -> Refusal {
    Refusal { name, head, status, cause }
}

/// A right handshake with one thing replaced, which has to be there.
fn with(from: &str, to: &str) -> String {
    let head = upgrade_head("/ws");
    assert!(head.contains(from), "{from:?} is not in the head");
    head.replacen(from, to, 1)
}

fn more_fields(count: usize) -> String {
    let fields: String = (0..count).map(|n| format!("X-Field-{n}: {n}\r\n")).collect();
    with("Host: localhost\r\n", &format!("Host: localhost\r\n{fields}"))
}

fn long_field(octets: usize) -> String {
    with("Host: localhost\r\n", &format!("Host: localhost\r\nX-Long: {}\r\n", "x".repeat(octets)))
}

fn of_syntax() -> Vec<Refusal> {
    let bad = |name, head| refusal(name, head, 400, "bad_request");
    vec![
        bad("an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        bad("HTTP/1.0", with("HTTP/1.1", "HTTP/1.0")),
        bad("HTTP/9.9", with("HTTP/1.1", "HTTP/9.9")),
        bad("no version", with(" HTTP/1.1", "")),
        bad("a TLS greeting", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{3}\u{3}".to_owned()),
        bad("NUL in a field", with("localhost", "local\0host")),
        bad("a space before the colon", with("Host:", "Host :")),
        bad("a folded field", with("Host: localhost", "Host: local\r\n host")),
        bad("a field without a name", with("Host: localhost", ": localhost")),
        bad("a field without a colon", with("Host: localhost", "Host localhost")),
    ]
}

fn of_the_upgrade() -> Vec<Refusal> {
    let bad = |name, head| refusal(name, head, 400, "bad_request");
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let version = "Sec-WebSocket-Version: 13\r\n";
    let old = |version: &str| with("Version: 13", &format!("Version: {version}"));
    let no_host = bad("no Host", with("Host: localhost\r\n", ""));
    vec![
        no_host,
        bad("two Hosts", with("Host: localhost", "Host: localhost\r\nHost: localhost")),
        bad("no key", with(&format!("Sec-WebSocket-Key: {key}\r\n"), "")),
        bad("an empty key", with(key, "")),
        bad("a key of 15 octets", with(key, "dGhlIHNhbXBsZSBub25j")),
        bad("a key of 17 octets", with(key, "dGhlIHNhbXBsZSBub25jZTE=")),
        bad("a key that is not base64", with(key, "dGhlIHNhbXBsZSBub25j!Q==")),
        bad("two keys", with(version, &format!("{version}Sec-WebSocket-Key: {key}\r\n"))),
        bad("no Connection", with("Connection: Upgrade\r\n", "")),
        bad("another Connection", with("Connection: Upgrade", "Connection: keep-alive")),
        bad("no version of WebSocket", with(version, "")),
        bad("a body", with(version, &format!("{version}Content-Length: 5\r\n"))),
        refusal("POST", with("GET", "POST"), 405, "method_not_allowed"),
        refusal("version 8", old("8"), 426, "wrong_version"),
        refusal("version 0", old("0"), 426, "wrong_version"),
        refusal("version 14", old("14"), 426, "wrong_version"),
        refusal("a plain GET", with("Upgrade: websocket\r\n", ""), 426, "upgrade_required"),
        refusal("an upgrade to h2c", with("websocket", "h2c"), 426, "upgrade_required"),
    ]
}

fn of_paths() -> Vec<Refusal> {
    let plain = "GET /index.html HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned();
    let on = |path| refusal(path, upgrade_head(path), 404, "not_found");
    vec![
        on("/"),
        on("/nope"),
        on("/ws/"),
        on("/wss"),
        on("/WS"),
        on("/?path=/ws"),
        on("/../ws"),
        refusal("a plain GET elsewhere", plain, 404, "not_found"),
    ]
}

fn of_sizes() -> Vec<Refusal> {
    let large = |name, head| refusal(name, head, 431, "head_too_large");
    vec![
        large("a field of 8 KiB", long_field(8 * 1024)),
        large("a path of 8 KiB", upgrade_head(&format!("/ws?{}", "x".repeat(8 * 1024)))),
        large("sixty-five fields", more_fields(60)),
    ]
}

/// True when a field that holds a list has this element, in whatever case.
fn lists(head: &Head, field: &str, element: &str) -> bool {
    let value = head.field(field).unwrap_or_default();
    value.split(',').any(|listed| listed.trim().eq_ignore_ascii_case(element))
}

/// Which fields a refusal has to have beyond its status.
fn check_fields(head: &Head, refusal: &Refusal) {
    let has = |field: &str, element: &str| {
        assert!(lists(head, field, element), "{field}: {element}: {}: {head:?}", refusal.name);
    };
    has("connection", "close");
    assert!(head.field("content-length").is_some(), "no length of the body: {}", refusal.name);
    assert_eq!(head.field("sec-websocket-accept"), None, "{}", refusal.name);
    if refusal.status == 426 {
        // RFC 9110, section 7.8: who sends Upgrade lists it in Connection.
        has("connection", "upgrade");
        has("upgrade", "websocket");
    }
    if refusal.cause == "wrong_version" {
        has("sec-websocket-version", "13");
    }
    if refusal.cause == "method_not_allowed" {
        has("allow", "GET");
    }
}

fn refuse_all(server: &Server, refusals: &[Refusal]) {
    for refusal in refusals {
        let label = [("cause", refusal.cause)];
        let before = server.metric(REFUSED, &label);
        let mut client = RawClient::connect(server.ws);
        client.try_send(refusal.head.as_bytes());
        let head = client.head(SOON).unwrap_or_else(|| panic!("no answer: {}", refusal.name));
        assert_eq!(head.status, refusal.status, "{}", refusal.name);
        check_fields(&head, refusal);
        client.expect_hang_up(refusal.name);
        server.await_metric(REFUSED, &label, before + 1.0, SOON);
    }
}

#[test]
fn wrong_handshakes_are_refused_by_their_cause() {
    let server = Server::serve(&[]);
    let witness = Witness::pinging(server.ws);
    let groups = [of_syntax(), of_the_upgrade(), of_paths(), of_sizes()];
    let all: Vec<Refusal> = groups.into_iter().flatten().collect();
    refuse_all(&server, &all);
    witness.finish();
    assert_eq!(server.metric(REFUSED, &[]), all.len() as f64, "each was counted once");
    server.await_metric(OPEN, &[], 0.0, SOON);
    server.stop();
}

#[test]
fn the_echo_server_takes_any_path_and_refuses_the_same() {
    let server = Server::echo(&[]);
    let witness = Witness::echoing(server.ws);
    for path in ["/", "/ws", "/any/where?with=query", "/%C3%BC"] {
        let mut client = RawClient::open(server.ws, path);
        client.send_frame(&Frame::text(path));
        assert_eq!(client.message(), (TEXT, path.into()));
    }
    refuse_all(&server, &of_syntax());
    refuse_all(&server, &of_the_upgrade());
    refuse_all(&server, &of_sizes());
    witness.finish();
    server.stop();
}

/// What a real client may do and a strict reader of the RFC expects to work.
#[test]
fn unusual_but_right_handshakes_are_accepted() {
    let server = Server::serve(&[]);
    let spaces = "Connection:\tkeep-alive ,  Upgrade \t";
    for (name, head) in [
        ("names in other cases", with("Sec-WebSocket-Key", "sec-websocket-KEY")),
        ("values in other cases", with("Upgrade: websocket", "Upgrade: WebSocket")),
        ("a list in Connection", with("Connection: Upgrade", spaces)),
        ("a query", upgrade_head("/ws?x=1&y=/ws")),
        ("fields up to the limit", more_fields(59)),
        ("a field below the limit", long_field(7 * 1024)),
    ] {
        let mut client = RawClient::connect(server.ws);
        client.send(head.as_bytes());
        client.expect_upgraded();
        let (opcode, welcome) = client.message();
        assert!(opcode == TEXT && welcome.starts_with(b"{"), "{name}: {welcome:?}");
    }
    assert_eq!(server.metric(REFUSED, &[]), 0.0);
    server.stop();
}

#[test]
fn frames_in_the_same_segment_as_the_handshake_are_heard() {
    let server = Server::echo(&[]);
    let mut client = RawClient::connect(server.ws);
    let mut octets = upgrade_head("/").into_bytes();
    octets.extend(Frame::text("early").octets());
    client.send(&octets);
    client.expect_upgraded();
    assert_eq!(client.message(), (TEXT, b"early".into()));
    server.stop();
}

/// The answer may get lost when the server hangs up on the rest of such a head; the count may not.
#[test]
fn a_head_of_a_mebibyte_is_refused_long_before_its_end() {
    let server = Server::serve(&[]);
    let witness = Witness::pinging(server.ws);
    for round in 1..=5 {
        let mut client = RawClient::connect(server.ws);
        client.try_send(long_field(1 << 20).as_bytes());
        if let Some(head) = client.head(SOON) {
            assert_eq!(head.status, 431);
            client.expect_hang_up("a head of a mebibyte");
        }
        let label = [("cause", "head_too_large")];
        server.await_metric(REFUSED, &label, f64::from(round), SOON);
    }
    witness.finish();
    server.stop();
}

/// Octets that are no HTTP: refused, or cut off when nothing comes of them; never upgraded.
#[test]
fn random_octets_instead_of_a_handshake_are_refused() {
    const ROUNDS: u64 = 100;
    let server = Server::serve(&["--handshake-timeout-ms", "2000"]);
    let witness = Witness::pinging(server.ws);
    for seed in 0..ROUNDS {
        let mut random = Random::seeded(seed);
        let mut client = RawClient::connect(server.ws);
        let len = 1 + random.below(2000);
        client.try_send(&random.octets(len));
        client.finish_sending();
        if let Some(head) = client.head(SOON) {
            assert!(matches!(head.status, 400 | 408 | 431), "{head:?}, seed {seed}");
        }
        client.expect_hang_up(&format!("random octets, seed {seed}"));
    }
    witness.finish();
    assert_eq!(server.metric("ringwire_handshakes_completed_total", &[]), 1.0, "the witness");
    server.await_metric(OPEN, &[], 0.0, SOON);
    server.stop();
}

/// Drips a head, one octet at a time, until the server hangs up; gives how long that took.
fn drip(server: &Server, head: &[u8], every: Duration) -> Duration {
    let mut client = RawClient::connect(server.ws);
    let start = Instant::now();
    let mut octets = head.iter();
    while start.elapsed() < SOON {
        if let Some(octet) = octets.next() {
            client.try_send(&[*octet]);
        }
        if client.has_hung_up(every) {
            return start.elapsed();
        }
    }
    panic!("not hung up after {SOON:?}");
}

/// The deadline is for the whole handshake: octets that trickle in do not move it.
#[test]
fn half_a_handshake_is_cut_off_at_its_deadline() {
    const DEADLINE: Duration = Duration::from_millis(2500);
    const MARGIN: Duration = Duration::from_millis(1500);
    let server = Server::serve(&["--handshake-timeout-ms", "2500"]);
    let witness = Witness::pinging(server.ws);
    let head = upgrade_head("/ws").into_bytes();
    let almost = &head[..head.len() - 1];
    let label = [("cause", "timeout")];
    let each_second = Duration::from_secs(1);
    for (round, (head, every)) in
        [(almost, each_second), (almost, Duration::from_millis(40)), (&[][..], each_second)]
            .into_iter()
            .enumerate()
    {
        let took = drip(&server, head, every);
        let early = took + Duration::from_millis(100) < DEADLINE;
        assert!(!early && took < DEADLINE + MARGIN, "hung up after {took:?}, every {every:?}");
        server.await_metric(REFUSED, &label, (round + 1) as f64, SOON);
    }
    witness.finish();
    server.stop();
}

#[test]
fn a_full_server_says_when_to_come_back() {
    let server = Server::serve(&["--max-connections", "2"]);
    let label = [("cause", "unavailable")];
    let held = [RawClient::open(server.ws, "/ws"), RawClient::open(server.ws, "/ws")];
    let mut third = RawClient::connect(server.ws);
    third.send(upgrade_head("/ws").as_bytes());
    let head = third.head(SOON).expect("an answer");
    assert_eq!(head.status, 503);
    let seconds = head.field("retry-after").and_then(|value| value.parse::<u32>().ok());
    assert!(seconds.is_some_and(|seconds| seconds > 0), "{head:?}");
    third.expect_hang_up("a connection too many");
    server.await_metric(REFUSED, &label, 1.0, SOON);

    drop(held);
    server.await_metric(OPEN, &[], 0.0, SOON);
    let mut fourth = RawClient::open(server.ws, "/ws");
    assert_eq!(fourth.message().0, TEXT);
    server.stop();
}
