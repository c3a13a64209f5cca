//! The opening handshake of both sides: whole and octet by octet, against a naive reading of the
//! head's lines, and each side against the other.

use ringwire::ws::client::{Response, UpgradeFault, parse_response};
use ringwire::ws::{Parsed, Refusal, UpgradeKey, check_upgrade, parse_request, write_accept};
use tungstenite::handshake::derive_accept_key;

/// Above it not every prefix of a head is parsed.
const EVERY_PREFIX_BYTES_MAX: usize = 600;
const HEAD_BYTES_MAX: [usize; 4] = [8192, 64, 200, 300];
/// The nonce of the example of RFC 6455, section 1.3.
const NONCE: [u8; 16] = *b"the sample nonce";

/// What a server makes of a head.
#[derive(Debug, PartialEq)]
struct Verdict {
    method: String,
    target: String,
    fields: Vec<(String, Vec<u8>)>,
    consumed: usize,
    key: Result<UpgradeKey, Refusal>,
}

/// Input: the longest head, then what the client sent.
pub(crate) fn check_request(octets: &[u8]) {
    let Some((&first, octets)) = octets.split_first() else { return };
    let bytes_max = HEAD_BYTES_MAX[usize::from(first) % HEAD_BYTES_MAX.len()];
    let whole = judge(octets, bytes_max);
    for len in prefixes(octets.len()) {
        let early = judge(&octets[..len], bytes_max);
        assert!(early.is_none() || early == whole, "{early:?} of {len} octets, then {whole:?}");
    }
    match whole {
        None => assert!(octets.len() < bytes_max, "a verdict comes in the end"),
        Some(Err(refusal)) => check_refusal(refusal),
        Some(Ok(verdict)) => check_verdict(octets, bytes_max, &verdict),
    }
}

/// `None` while the head is incomplete.
fn judge(octets: &[u8], bytes_max: usize) -> Option<Result<Verdict, Refusal>> {
    let (request, consumed) = match parse_request(octets, bytes_max) {
        Err(refusal) => return Some(Err(refusal)),
        Ok(Parsed::Incomplete) => return None,
        Ok(Parsed::Complete { request, consumed }) => (request, consumed),
    };
    let query = request.query().map_or(String::new(), |query| format!("?{query}"));
    let fields = request.headers().map(|(name, value)| (name.to_owned(), value.to_vec()));
    Some(Ok(Verdict {
        method: request.method().to_owned(),
        target: request.path().to_owned() + &query,
        fields: fields.collect(),
        consumed,
        key: check_upgrade(&request),
    }))
}

/// Lengths of prefixes to look at.
fn prefixes(len: usize) -> impl Iterator<Item = usize> {
    (0..len).step_by(1 + len / EVERY_PREFIX_BYTES_MAX)
}

fn check_verdict(octets: &[u8], bytes_max: usize, verdict: &Verdict) {
    assert!(verdict.consumed <= octets.len().min(bytes_max));
    let lines = lines(&octets[..verdict.consumed]);
    let (start, fields) = lines.split_first().expect("a request line");
    let start = std::str::from_utf8(start).expect("a request line is ASCII");
    let (method, rest) = start.split_once(' ').expect("a method");
    let target = rest.strip_suffix(" HTTP/1.1").expect("the version");
    assert_eq!(method, verdict.method);
    let expected = origin_form(target);
    assert!(verdict.target == expected, "{target:?} was read as {:?}", verdict.target);
    let fields: Vec<_> = fields.iter().map(|line| field(line)).collect();
    assert_eq!(fields, verdict.fields, "the lines of the head, in order");
    match verdict.key {
        Ok(key) => {
            assert!(may_upgrade(method, &fields), "{fields:?}");
            check_accept(&key, &fields);
        }
        Err(refusal) => {
            assert!(!may_upgrade(method, &fields), "{refusal}: {fields:?}");
            check_refusal(refusal);
        }
    }
}

/// What is asked for: a target in absolute form without its scheme and authority (RFC 9112, section
/// 3.2.2), and `/` where no path is left.
fn origin_form(target: &str) -> String {
    let Some((_, rest)) = target.split_once("://").filter(|_| !target.starts_with('/')) else {
        return target.to_owned();
    };
    let rest: String = rest.chars().skip_while(|char| !matches!(char, '/' | '?')).collect();
    if rest.starts_with('/') { rest } else { format!("/{rest}") }
}

/// The lines of a head without their ends, and without empty ones.
fn lines(head: &[u8]) -> Vec<&[u8]> {
    let lines = head.split(|octet| *octet == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.is_empty()).collect()
}

fn field(line: &[u8]) -> (String, Vec<u8>) {
    let colon = line.iter().position(|octet| *octet == b':').expect("a field has a colon");
    let name = String::from_utf8(line[..colon].to_vec()).expect("a name is ASCII");
    (name, line[colon + 1..].trim_ascii().to_vec())
}

type Fields = [(String, Vec<u8>)];

fn values<'a>(fields: &'a Fields, name: &str) -> Vec<&'a [u8]> {
    let named = fields.iter().filter(|(other, _)| other.to_ascii_lowercase() == name);
    named.map(|(_, value)| &value[..]).collect()
}

/// The elements of all lists of this name, in lower case.
fn elements(fields: &Fields, name: &str) -> Vec<Vec<u8>> {
    let lists = values(fields, name);
    let all = lists.iter().flat_map(|list| list.split(|octet| *octet == b','));
    let all = all.map(|element| element.trim_ascii().to_ascii_lowercase());
    all.filter(|element| !element.is_empty()).collect()
}

/// RFC 6455, section 4.2.1, as a list of conditions.
fn may_upgrade(method: &str, fields: &Fields) -> bool {
    let lists = |name, wanted: &[u8]| elements(fields, name).iter().any(|one| one == wanted);
    let is_token = |element: &Vec<u8>| element.iter().all(|octet| octet.is_ascii_graphic());
    let has_separator =
        |element: &Vec<u8>| element.iter().any(|octet| b"()<>@;:\\\"/[]?={}".contains(octet));
    let protocols = elements(fields, "sec-websocket-protocol");
    let has_body = !values(fields, "transfer-encoding").is_empty()
        || values(fields, "content-length").iter().any(|length| {
            std::str::from_utf8(length).map_or(true, |text| text.parse() != Ok(0_u128))
                || length.starts_with(b"+")
        });
    method == "GET"
        && !has_body
        && lists("upgrade", b"websocket")
        && lists("connection", b"upgrade")
        && values(fields, "sec-websocket-version") == [b"13"]
        && protocols.iter().all(|one| is_token(one) && !has_separator(one))
        && matches!(values(fields, "sec-websocket-key")[..], [key] if is_key(key))
}

/// 22 letters of base64, whatever the unused bits of the last, and `==`.
fn is_key(key: &[u8]) -> bool {
    let is_letter = |octet: &u8| octet.is_ascii_alphanumeric() || b"+/".contains(octet);
    key.len() == 24 && key[..22].iter().all(is_letter) && &key[22..] == b"=="
}

/// The answer is the other implementation's, and our own client takes it.
fn check_accept(key: &UpgradeKey, fields: &Fields) {
    let accept = derive_accept_key(values(fields, "sec-websocket-key")[0]);
    assert_eq!(accept.as_bytes(), key.accept());
    let offers = values(fields, "sec-websocket-protocol");
    let offers = offers.iter().flat_map(|list| list.split(|octet| *octet == b','));
    let offer = offers.map(|offer| offer.trim_ascii()).find(|offer| !offer.is_empty());
    let subprotocol = offer.map(|offer| std::str::from_utf8(offer).expect("a token is ASCII"));
    let mut response = Vec::new();
    write_accept(&mut response, key, subprotocol, None);
    let accepted = Response::Accepted { consumed: response.len(), subprotocol, deflate: None };
    assert_eq!(parse_response(&response, 8192, key, subprotocol, false), Ok(accepted));
}

/// The response is one of HTTP, and as long as it says.
fn check_refusal(refusal: Refusal) {
    let mut out = Vec::new();
    refusal.write(&mut out);
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut fields);
    let head_bytes = response.parse(&out).expect("HTTP").unwrap();
    assert_eq!(response.code, Some(refusal.status()));
    let length = response.headers.iter().find(|field| field.name == "Content-Length");
    let body_bytes = (out.len() - head_bytes).to_string();
    assert_eq!(length.expect("a length").value, body_bytes.as_bytes());
}

/// Input: what was offered and the longest head, then what the server sent.
pub(crate) fn check_response(octets: &[u8]) {
    let Some((&first, octets)) = octets.split_first() else { return };
    let offered = [None, Some("v1"), Some("ringwire.v1.json")][usize::from(first) % 3];
    let bytes_max = HEAD_BYTES_MAX[usize::from(first >> 4) % HEAD_BYTES_MAX.len()];
    let key = UpgradeKey::from_nonce(NONCE);
    let parse = |octets| parse_response(octets, bytes_max, &key, offered, false);
    let whole = parse(octets);
    for len in prefixes(octets.len()) {
        let early = parse(&octets[..len]);
        assert!(
            early == Ok(Response::Incomplete) || early == whole,
            "{early:?} of {len} octets, then {whole:?}"
        );
    }
    match whole {
        Ok(Response::Incomplete) => assert!(octets.len() < bytes_max, "an end comes"),
        Ok(Response::Accepted { consumed, subprotocol, deflate }) => {
            assert_eq!(deflate, None, "nothing was offered");
            assert!(consumed <= octets.len().min(bytes_max));
            check_accepted(&octets[..consumed], offered, subprotocol);
        }
        Err(UpgradeFault::Refused { status }) => assert!(status != 101 && status < 1000),
        Err(
            UpgradeFault::NotHttp
            | UpgradeFault::HeadTooLarge
            | UpgradeFault::NoUpgrade
            | UpgradeFault::NoConnectionUpgrade
            | UpgradeFault::WrongAccept
            | UpgradeFault::UnofferedSubprotocol
            | UpgradeFault::UnofferedExtension,
        ) => {}
    }
}

fn check_accepted(head: &[u8], offered: Option<&str>, chosen: Option<&str>) {
    let lines = lines(head);
    let (status, fields) = lines.split_first().expect("a status line");
    assert!(status.starts_with(b"HTTP/1.1 101"), "{}", status.escape_ascii());
    let fields: Vec<_> = fields.iter().map(|line| field(line)).collect();
    assert_eq!(values(&fields, "sec-websocket-accept"), [b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]);
    assert!(elements(&fields, "upgrade").contains(&b"websocket".to_vec()));
    assert!(elements(&fields, "connection").contains(&b"upgrade".to_vec()));
    assert!(elements(&fields, "sec-websocket-extensions").is_empty());
    assert!(chosen.is_none() || chosen == offered, "only what was offered");
    let told = values(&fields, "sec-websocket-protocol");
    assert_eq!(told, chosen.map(str::as_bytes).as_slice());
}
