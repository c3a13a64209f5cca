//! The opening handshake: both sides, every refusal, every cut, hostile octets.

use proptest::prelude::*;
use ringwire::ws::client::{Response, UpgradeFault, parse_response, write_request};
use ringwire::ws::{Parsed, Refusal, UpgradeKey, check_upgrade, parse_request, write_accept};

const MAX: usize = 8192;

/// A request that is right, with lines taken out and put in.
fn head(without: &[&str], with: &[&str]) -> Vec<u8> {
    let lines = [
        "Host: example.com:9001",
        "Upgrade: websocket",
        "Connection: keep-alive, Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let kept = lines.iter().filter(|line| !without.iter().any(|name| line.starts_with(name)));
    let mut out = "GET /ws?token=a%20b&x=1?2 HTTP/1.1\r\n".to_owned();
    for line in kept.chain(with) {
        out += line;
        out += "\r\n";
    }
    (out + "\r\n").into_bytes()
}

/// Parses and, at `/ws`, judges: the order that a server keeps. `None` while incomplete.
fn verdict(head: &[u8], head_bytes_max: usize) -> Option<Result<UpgradeKey, Refusal>> {
    match parse_request(head, head_bytes_max) {
        Err(refusal) => Some(Err(refusal)),
        Ok(Parsed::Incomplete) => None,
        Ok(Parsed::Complete { request, consumed }) => {
            assert!(consumed <= head.len().min(head_bytes_max));
            if request.path() != "/ws" {
                return Some(Err(Refusal::NotFound));
            }
            Some(check_upgrade(&request))
        }
    }
}

/// The octets arrive one at a time: the verdict once it is there, and after how many.
fn first_verdict(head: &[u8], max: usize) -> Option<(usize, Result<UpgradeKey, Refusal>)> {
    (0..=head.len()).find_map(|len| Some((len, verdict(&head[..len], max)?)))
}

#[test]
fn a_right_request_is_accepted_and_readable() {
    let mut octets =
        head(&[], &["Origin: http://a.example", "X-Odd: \u{e9}", "x-Multi: 1", "X-multi: 2"]);
    let head_bytes = octets.len();
    octets.extend(b"\x81\x80\0\0\0\0");
    let Ok(Parsed::Complete { request, consumed }) = parse_request(&octets, MAX) else { panic!() };
    assert_eq!(consumed, head_bytes, "the pipelined frame is left");
    assert_eq!((request.method(), request.path()), ("GET", "/ws"));
    assert_eq!(request.query(), Some("token=a%20b&x=1?2"));
    assert_eq!(request.header("HOST"), Some("example.com:9001"));
    assert_eq!(request.origin(), Some("http://a.example"));
    assert_eq!(request.header("nope"), None);
    assert_eq!(request.header_values("X-Multi").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(request.headers().count(), 9);
    assert_eq!(request.subprotocols().count(), 0);
    let key = check_upgrade(&request).unwrap();
    let mut out = Vec::new();
    write_accept(&mut out, &key, None, None);
    let expected = "HTTP/1.1 101 Switching Protocols\r\n\
                    Upgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert_eq!(std::str::from_utf8(&out), Ok(expected));
}

#[test]
fn subprotocols_in_order_over_several_fields() {
    let offers = ["Sec-WebSocket-Protocol: b.v1, a", "sec-websocket-protocol:,c ,"];
    let octets = head(&[], &offers);
    let Ok(Parsed::Complete { request, .. }) = parse_request(&octets, MAX) else { panic!() };
    assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["b.v1", "a", "c"]);
    assert!(check_upgrade(&request).is_ok());
}

#[test]
fn what_real_clients_vary_is_tolerated() {
    let rows: [Vec<u8>; 8] = [
        head(&["Upgrade"], &["UPGRADE: WebSocket"]),
        head(&["Connection"], &["connection: upgrade"]),
        head(&["Connection"], &["Connection: keep-alive", "Connection:Upgrade "]),
        head(&["Upgrade"], &["Upgrade: h2c, websocket"]),
        head(&[], &["Content-Length: 0"]),
        head(&[], &["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"]),
        [b"\r\n", &head(&[], &[])[..]].concat(),
        String::from_utf8(head(&[], &[])).unwrap().replace("GET /", "GET ws://h:1/").into_bytes(),
    ];
    for octets in rows {
        let verdict = verdict(&octets, MAX);
        assert!(matches!(verdict, Some(Ok(_))), "{verdict:?}: {}", octets.escape_ascii());
    }
}

#[test]
fn each_refusal_of_a_request() {
    let valid = String::from_utf8(head(&[], &[])).unwrap();
    let start = |line: &str| valid.replace("GET /ws?token=a%20b&x=1?2 HTTP/1.1", line).into_bytes();
    let many: Vec<String> = (0..100).map(|index| format!("x{index}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = format!("x: {}", "y".repeat(MAX));
    let rows: Vec<(Vec<u8>, u16)> = vec![
        (start("GET / HTTP/1.1"), 404),
        (start("GET /ws/ HTTP/1.1"), 404),
        (start("POST /ws HTTP/1.1"), 405),
        (start("GET /ws HTTP/1.0"), 400),
        (start("GET /ws HTTP/2.0"), 400),
        (start("GET ws HTTP/1.1"), 400),
        (start("GET * HTTP/1.1"), 400),
        (start("GET ftp://h/ws HTTP/1.1"), 400),
        (start("GET http:///ws HTTP/1.1"), 400),
        (start("GET /ws#top HTTP/1.1"), 400),
        (start("GET /w\u{e9} HTTP/1.1"), 400),
        (start("GET /ws"), 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), 400),
        (b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), 400),
        (head(&["Upgrade", "Connection", "Sec"], &[]), 426),
        (head(&["Upgrade"], &["Upgrade: h2c"]), 426),
        (head(&["Connection"], &[]), 400),
        (head(&["Connection"], &["Connection: keep-alive"]), 400),
        (head(&["Sec-WebSocket-Version"], &[]), 400),
        (head(&["Sec-WebSocket-Version"], &["Sec-WebSocket-Version: 8"]), 426),
        (head(&["Sec-WebSocket-Version"], &["Sec-WebSocket-Version: 013"]), 426),
        (head(&[], &["Sec-WebSocket-Version: 13"]), 400),
        (head(&["Sec-WebSocket-Key"], &[]), 400),
        (head(&[], &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]), 400),
        (head(&["Sec-WebSocket-Key"], &["Sec-WebSocket-Key: dGhlIHNhbXBsZQ=="]), 400),
        (head(&["Sec-WebSocket-Key"], &["Sec-WebSocket-Key: not base64 at all !!!!!!"]), 400),
        (head(&["Host"], &[]), 400),
        (head(&["Host"], &["Host:"]), 400),
        (head(&["Host"], &["Host: a, b"]), 400),
        (head(&[], &["host: other"]), 400),
        (head(&[], &["Origin: a", "Origin: b"]), 400),
        (head(&[], &["Origin: \u{e9}"]), 400),
        (head(&[], &["Authorization: Bearer a", "authorization: Bearer b"]), 400),
        (head(&[], &["Content-Length: 5"]), 400),
        (head(&[], &["Content-Length:"]), 400),
        (head(&[], &["Content-Length: 0", "Content-Length: 5"]), 400),
        (head(&[], &["Transfer-Encoding: chunked"]), 400),
        (head(&[], &["Sec-WebSocket-Protocol: a b"]), 400),
        (head(&[], &["X: a", " folded"]), 400),
        (head(&[], &["X : a"]), 400),
        (head(&[], &["X: a\0b"]), 400),
        (head(&[], &[": a"]), 400),
        (head(&[], &["no colon"]), 400),
        (head(&[], &many), 431),
        (head(&[], &[&long]), 431),
        (vec![b'a'; MAX], 431),
    ];
    for (octets, status) in rows {
        let text = octets.escape_ascii();
        let Some(Err(refusal)) = verdict(&octets, MAX) else { panic!("not refused: {text}") };
        assert_eq!(refusal.status(), status, "{refusal:?}: {text}");
        let (_, early) = first_verdict(&octets, MAX).unwrap();
        assert_eq!(early, Err(refusal), "octet by octet: {text}");
    }
}

#[test]
fn what_cannot_be_http_is_refused_at_once() {
    for (octets, after) in [(&b"\x16\x03\x01"[..], 1), (b"\x00", 1), (b"PRI * HTTP/2.0\r\n", 15)] {
        let (len, verdict) = first_verdict(octets, MAX).unwrap();
        assert!(len <= after, "{len} for {}", octets.escape_ascii());
        assert_eq!(verdict.unwrap_err().status(), 400);
    }
}

#[test]
fn a_head_of_the_longest_length_fits_and_one_more_octet_does_not() {
    let octets = head(&[], &[]);
    assert!(matches!(verdict(&octets, octets.len()), Some(Ok(_))));
    for len in octets.len() - 1..octets.len() + 1 {
        assert_eq!(verdict(&octets[..len], octets.len() - 1), Some(Err(Refusal::HeadTooLarge)));
    }
    assert_eq!(verdict(&octets[..octets.len() - 2], octets.len() - 1), None);
}

#[test]
fn each_refusal_as_a_response() {
    let rows: [(Refusal, &str, &[&str]); 12] = [
        (Refusal::BadRequest("why"), "400 Bad Request", &["\r\n\r\nwhy\n"]),
        (Refusal::Unauthorized, "401 Unauthorized", &["\r\nWWW-Authenticate: Bearer\r\n"]),
        (Refusal::Forbidden, "403 Forbidden", &[]),
        (Refusal::NotFound, "404 Not Found", &[]),
        (Refusal::MethodNotAllowed, "405 Method Not Allowed", &["\r\nAllow: GET\r\n"]),
        (Refusal::UpgradeRequired, "426 Upgrade Required", &["\r\nUpgrade: websocket\r\n"]),
        (
            Refusal::WrongVersion,
            "426 Upgrade Required",
            &["\r\nUpgrade: websocket\r\n", "\r\nSec-WebSocket-Version: 13\r\n"],
        ),
        (Refusal::TooManyFromAddress, "429 Too Many Requests", &[]),
        (Refusal::HeadTooLarge, "431 Request Header Fields Too Large", &[]),
        (
            Refusal::Unavailable { retry_after_s: 7 },
            "503 Service Unavailable",
            &["\r\nRetry-After: 7\r\n"],
        ),
        (Refusal::Application { status: 418 }, "418 Refused", &[]),
        (Refusal::Application { status: 99 }, "400 Refused", &[]),
    ];
    for (refusal, status, parts) in rows {
        let mut out = Vec::new();
        refusal.write(&mut out);
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut fields);
        let head_bytes = response.parse(&out).unwrap().unwrap();
        assert_eq!(response.code, Some(refusal.status()));
        let value = |name: &str| {
            let field = response.headers.iter().find(|field| field.name == name).unwrap();
            std::str::from_utf8(field.value).unwrap()
        };
        assert_eq!(value("Content-Length"), (out.len() - head_bytes).to_string());
        assert!(value("Connection").starts_with("close"));
        let text = std::str::from_utf8(&out).unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{text}");
        for part in parts {
            assert!(text.contains(part), "{text}");
        }
    }
}

const KEY: [u8; 16] = *b"the sample nonce";

#[test]
fn the_two_sides_understand_each_other() {
    let key = UpgradeKey::from_nonce(KEY);
    let mut request = Vec::new();
    let extra = [("Authorization", "Bearer x")];
    write_request(&mut request, "h:1", "/ws?a=b", &key, Some("v1.json"), &extra);
    let Ok(Parsed::Complete { request, consumed }) = parse_request(&request, MAX) else { panic!() };
    assert!(consumed > 0 && request.header("authorization") == Some("Bearer x"));
    assert_eq!((request.path(), request.query()), ("/ws", Some("a=b")));
    assert_eq!(check_upgrade(&request), Ok(key));
    let chosen = request.subprotocols().next();
    let mut response = Vec::new();
    write_accept(&mut response, &key, chosen, None);
    let head_bytes = response.len();
    response.extend(b"\x81\x00");
    for len in 0..head_bytes {
        let incomplete = parse_response(&response[..len], MAX, &key, chosen, false);
        assert_eq!(incomplete, Ok(Response::Incomplete));
    }
    let accepted =
        Response::Accepted { consumed: head_bytes, subprotocol: Some("v1.json"), deflate: None };
    assert_eq!(parse_response(&response, MAX, &key, chosen, false), Ok(accepted));
}

#[test]
fn a_response_that_does_not_accept() {
    let key = UpgradeKey::from_nonce(KEY);
    let mut valid = Vec::new();
    write_accept(&mut valid, &key, Some("v1"), None);
    let valid = String::from_utf8(valid).unwrap();
    let rows = [
        ("HTTP/1.1 101", "HTTP/1.0 101", UpgradeFault::NotHttp),
        ("HTTP/1.1 101", "HTTP/1.1 503", UpgradeFault::Refused { status: 503 }),
        ("HTTP/1.1 101", "\x16\x03\x01", UpgradeFault::NotHttp),
        ("Upgrade: websocket", "X: websocket", UpgradeFault::NoUpgrade),
        ("Connection: Upgrade", "Connection: close", UpgradeFault::NoConnectionUpgrade),
        ("Accept: s3", "Accept: S3", UpgradeFault::WrongAccept),
        ("Sec-WebSocket-Accept", "X", UpgradeFault::WrongAccept),
        (": v1", ": v2", UpgradeFault::UnofferedSubprotocol),
        ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: x\r\n\r\n", UpgradeFault::UnofferedExtension),
    ];
    for (from, to, fault) in rows {
        assert!(valid.contains(from));
        let head = valid.replace(from, to);
        assert_eq!(
            parse_response(head.as_bytes(), MAX, &key, Some("v1"), false),
            Err(fault),
            "{head}"
        );
    }
    let unoffered = parse_response(valid.as_bytes(), MAX, &key, None, false);
    assert_eq!(unoffered, Err(UpgradeFault::UnofferedSubprotocol));
    let too_large = parse_response(valid.as_bytes(), 40, &key, Some("v1"), false);
    assert_eq!(too_large, Err(UpgradeFault::HeadTooLarge));
}

/// Heads that are nearly right: right ones with octets changed, and texts made of HTTP's parts.
fn heads() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![any::<u8>(), prop::sample::select(b"\r\n :,/?\0\t=Gg1".to_vec())];
    let change = (any::<prop::sample::Index>(), octet, 0..3_u8);
    let changed = prop::collection::vec(change, 0..5).prop_map(|changes| {
        let mut octets = head(&[], &["Origin: http://a.example"]);
        for (at, octet, how) in changes {
            let at = at.index(octets.len());
            match how {
                0 => octets[at] = octet,
                1 => octets.insert(at, octet),
                _ => drop(octets.remove(at)),
            }
        }
        octets
    });
    prop_oneof![3 => changed, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

proptest! {
    #[test]
    fn the_verdict_does_not_depend_on_how_the_head_arrived(
        octets in heads(),
        max in prop_oneof![Just(MAX), 0..400_usize],
    ) {
        let whole = verdict(&octets, max);
        match first_verdict(&octets, max) {
            None => prop_assert_eq!(whole, None),
            Some((_, early)) => prop_assert_eq!(whole, Some(early)),
        }
    }

    #[test]
    fn a_response_never_panics(octets in heads(), cut in any::<prop::sample::Index>()) {
        let key = UpgradeKey::from_nonce(KEY);
        let mut response = Vec::new();
        write_accept(&mut response, &key, Some("v1"), None);
        let cut = cut.index(response.len());
        response.truncate(cut);
        response.extend(octets);
        let _ = parse_response(&response, 300, &key, Some("v1"), false);
    }
}
