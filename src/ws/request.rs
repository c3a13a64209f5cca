//! A parsed request head, lent from the bytes that arrived.
//!
//! What RFC 6455 or the server decides by is unambiguous here: the fields in `SINGLETONS` occur at
//! most once and are printable ASCII, so that [`Request::header`] can't overlook one.

use super::refusal::Refusal;
use crate::limits::HEAD_FIELDS_MAX;

/// Fields that may occur only once: a second one, or one that isn't text, could be read differently
/// by a proxy in front of us.
const SINGLETONS: [&str; 7] = [
    "host",
    "origin",
    "authorization",
    "content-length",
    "sec-websocket-key",
    "sec-websocket-version",
    "transfer-encoding",
];

/// See the module's header.
#[derive(Debug)]
pub struct Request<'a> {
    method: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    fields: [httparse::Header<'a>; HEAD_FIELDS_MAX],
    field_count: usize,
}

impl<'a> Request<'a> {
    pub(super) fn new(
        method: &'a str,
        target: &'a str,
        fields: [httparse::Header<'a>; HEAD_FIELDS_MAX],
        field_count: usize,
    ) -> Result<Self, Refusal> {
        let (path, query) = split_target(target)?;
        let request = Request { method, path, query, fields, field_count };
        request.check_singletons()?;
        request.check_host()?;
        Ok(request)
    }

    /// The method, as sent.
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// The path, which starts with `/`; percent-encoding is left as it is.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// What follows the first `?`.
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// Names and values in the order sent.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + '_ {
        self.fields[..self.field_count].iter().map(|field| (field.name, field.value.trim_ascii()))
    }

    /// The values of every field of this name, whatever its case.
    pub fn header_values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// The first value of this name, if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.header_values(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// `Origin`, which browsers always send.
    pub fn origin(&self) -> Option<&'a str> {
        self.header("origin")
    }

    /// The subprotocols that the client offers, in its order of preference.
    pub fn subprotocols(&self) -> impl Iterator<Item = &'a str> {
        self.header_values("sec-websocket-protocol").flat_map(elements).filter_map(token)
    }

    /// True when one of the fields of this name lists `wanted`, whatever its case.
    pub(super) fn lists(&self, name: &str, wanted: &str) -> bool {
        self.header_values(name)
            .flat_map(elements)
            .any(|element| element.eq_ignore_ascii_case(wanted.as_bytes()))
    }

    /// RFC 9112, section 6: a request has a body when it has one of these fields.
    pub(super) fn has_body(&self) -> bool {
        let length = self.header_values("content-length").next();
        length.is_some_and(|value| value.is_empty() || value.iter().any(|&digit| digit != b'0'))
            || self.header_values("transfer-encoding").next().is_some()
    }

    fn check_singletons(&self) -> Result<(), Refusal> {
        for name in SINGLETONS {
            let mut values = self.header_values(name);
            let Some(value) = values.next() else { continue };
            if values.next().is_some() {
                return Err(Refusal::BadRequest("a header field that must be single is repeated"));
            }
            if !value.iter().all(|octet| matches!(octet, b' '..=b'~' | b'\t')) {
                return Err(Refusal::BadRequest("a header field that must be ASCII is not"));
            }
        }
        Ok(())
    }

    /// RFC 9112, section 3.2: exactly one `Host`, and a valid one.
    fn check_host(&self) -> Result<(), Refusal> {
        let Some(host) = self.header_values("host").next() else {
            return Err(Refusal::BadRequest("the Host header field is missing"));
        };
        let valid = |octet: &u8| !matches!(octet, b' ' | b'\t' | b',' | b'/' | b'?' | b'#' | b'@');
        if host.is_empty() || !host.iter().all(valid) {
            return Err(Refusal::BadRequest("the Host header field is invalid"));
        }
        Ok(())
    }
}

/// The elements of a comma-separated list; empty ones count for nothing (RFC 9110, section 5.6.1).
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&octet| octet == b',')
        .map(|element| element.trim_ascii())
        .filter(|element| !element.is_empty())
}

/// `octets` as a token of RFC 9110, section 5.6.2.
pub(super) fn token(octets: &[u8]) -> Option<&str> {
    let is_token = |octet: &u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(octet);
    if octets.is_empty() || !octets.iter().all(is_token) {
        return None;
    }
    std::str::from_utf8(octets).ok()
}

/// Path and query of a target: `/path?query`, or a whole URI as RFC 6455 section 4.2.1 allows.
fn split_target(target: &str) -> Result<(&str, Option<&str>), Refusal> {
    const REFUSED: Refusal = Refusal::BadRequest("the request target is not a path");
    if !target.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'#') {
        return Err(REFUSED);
    }
    let origin_form = if target.starts_with('/') {
        target
    } else {
        let (scheme, rest) = target.split_once("://").ok_or(REFUSED)?;
        if !["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(REFUSED);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        if end == 0 {
            return Err(REFUSED);
        }
        &rest[end..]
    };
    let (path, query) = match origin_form.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (origin_form, None),
    };
    Ok((if path.is_empty() { "/" } else { path }, query))
}
