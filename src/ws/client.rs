//! The client's side of the opening handshake (RFC 6455, section 4.1).

use super::accept_key::UpgradeKey;
use super::deflate::Agreement;
use super::deflate::offer::{Malformed, check_answer};
use super::request::{elements, token};
use crate::limits::HEAD_FIELDS_MAX;

/// What parsing a response head gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response<'a> {
    /// Valid so far; more octets are needed.
    Incomplete,
    /// The server accepted.
    Accepted {
        /// Octets of the head; what follows are the server's first frames.
        consumed: usize,
        /// The subprotocol that the server chose.
        subprotocol: Option<&'a str>,
        /// What it answered to our offer of compressed messages.
        deflate: Option<Agreement>,
    },
}

/// Why the connection is not a WebSocket; the server's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeFault {
    /// The response is not HTTP/1.1.
    NotHttp,
    /// The head is too long or has too many fields.
    HeadTooLarge,
    /// The server answered with another status than 101.
    Refused {
        /// That status.
        status: u16,
    },
    /// The response lacks `Upgrade: websocket`.
    NoUpgrade,
    /// The response lacks `Connection: Upgrade`.
    NoConnectionUpgrade,
    /// `Sec-WebSocket-Accept` is missing or does not prove that the key was read.
    WrongAccept,
    /// A subprotocol that was not offered.
    UnofferedSubprotocol,
    /// An extension that was not offered, or not as it was answered.
    UnofferedExtension,
}

impl std::fmt::Display for UpgradeFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            UpgradeFault::NotHttp => f.write_str("the answer is not HTTP/1.1"),
            UpgradeFault::HeadTooLarge => f.write_str("the answer's head is too large"),
            UpgradeFault::Refused { status } => write!(f, "the server answered with {status}"),
            UpgradeFault::NoUpgrade => f.write_str("the answer lacks Upgrade: websocket"),
            UpgradeFault::NoConnectionUpgrade => {
                f.write_str("the answer lacks Connection: Upgrade")
            }
            UpgradeFault::WrongAccept => f.write_str("Sec-WebSocket-Accept is wrong"),
            UpgradeFault::UnofferedSubprotocol => f.write_str("a subprotocol was not offered"),
            UpgradeFault::UnofferedExtension => {
                f.write_str("an extension was not offered, or not like this")
            }
        }
    }
}

impl std::error::Error for UpgradeFault {}

/// Appends an upgrade request. The arguments come from our own side: a line break in one of them is
/// a bug of the caller.
pub fn write_request(
    out: &mut Vec<u8>,
    host: &str,
    target: &str,
    key: &UpgradeKey,
    subprotocol: Option<&str>,
    extra: &[(&str, &str)],
) {
    assert!(target.starts_with('/') && target.bytes().all(|octet| octet.is_ascii_graphic()));
    out.extend_from_slice(b"GET ");
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    write_field(out, "Host", host.as_bytes());
    write_field(out, "Sec-WebSocket-Version", b"13");
    write_field(out, "Sec-WebSocket-Key", key.as_bytes());
    if let Some(subprotocol) = subprotocol {
        write_field(out, "Sec-WebSocket-Protocol", subprotocol.as_bytes());
    }
    for (name, value) in extra {
        write_field(out, name, value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    assert!(token(name.as_bytes()).is_some(), "a header field's name is a token");
    assert!(!value.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)), "one line");
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Parses the answer to a request that was made with `key` and offered `subprotocol`, and
/// compressed messages as [`OFFER`](super::deflate::offer::OFFER) does.
pub fn parse_response<'a>(
    head: &'a [u8],
    head_bytes_max: usize,
    key: &UpgradeKey,
    subprotocol: Option<&str>,
    offers_deflate: bool,
) -> Result<Response<'a>, UpgradeFault> {
    let seen = &head[..head.len().min(head_bytes_max)];
    let mut fields = [httparse::EMPTY_HEADER; HEAD_FIELDS_MAX];
    let mut parser = httparse::Response::new(&mut fields);
    let outcome = parser.parse(seen);
    if parser.version == Some(0) {
        return Err(UpgradeFault::NotHttp);
    }
    let consumed = match outcome {
        Ok(httparse::Status::Complete(consumed)) => consumed,
        Ok(httparse::Status::Partial) if seen.len() == head_bytes_max => {
            return Err(UpgradeFault::HeadTooLarge);
        }
        Ok(httparse::Status::Partial) => return Ok(Response::Incomplete),
        Err(httparse::Error::TooManyHeaders) => return Err(UpgradeFault::HeadTooLarge),
        Err(_) => return Err(UpgradeFault::NotHttp),
    };
    match parser.code {
        Some(101) => {}
        Some(status) => return Err(UpgradeFault::Refused { status }),
        None => return Err(UpgradeFault::NotHttp),
    }
    let deflate = check_fields(parser.headers, key, offers_deflate)?;
    let subprotocol = chosen_subprotocol(parser.headers, subprotocol)?;
    Ok(Response::Accepted { consumed, subprotocol, deflate })
}

/// The values of every field of this name, whatever its case.
fn values<'a>(
    fields: &[httparse::Header<'a>],
    name: &'static str,
) -> impl Iterator<Item = &'a [u8]> {
    let named = fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
    named.map(|field| field.value.trim_ascii())
}

/// RFC 6455, section 4.1, the second list: what the client validates. Gives what was agreed on.
fn check_fields(
    fields: &[httparse::Header<'_>],
    key: &UpgradeKey,
    offers_deflate: bool,
) -> Result<Option<Agreement>, UpgradeFault> {
    let lists = |name, wanted: &str| {
        let mut listed = values(fields, name).flat_map(elements);
        listed.any(|element| element.eq_ignore_ascii_case(wanted.as_bytes()))
    };
    if !lists("upgrade", "websocket") {
        return Err(UpgradeFault::NoUpgrade);
    }
    if !lists("connection", "upgrade") {
        return Err(UpgradeFault::NoConnectionUpgrade);
    }
    let mut accepts = values(fields, "sec-websocket-accept");
    if accepts.next() != Some(&key.accept()[..]) || accepts.next().is_some() {
        return Err(UpgradeFault::WrongAccept);
    }
    let mut extensions = values(fields, "sec-websocket-extensions");
    if offers_deflate {
        return check_answer(extensions).map_err(|Malformed| UpgradeFault::UnofferedExtension);
    }
    match extensions.find(|value| elements(value).next().is_some()) {
        Some(_) => Err(UpgradeFault::UnofferedExtension),
        None => Ok(None),
    }
}

/// The subprotocol that the server chose, if it was offered.
fn chosen_subprotocol<'a>(
    fields: &[httparse::Header<'a>],
    offered: Option<&str>,
) -> Result<Option<&'a str>, UpgradeFault> {
    let mut chosen = values(fields, "sec-websocket-protocol");
    let Some(value) = chosen.next() else { return Ok(None) };
    let name = token(value).ok_or(UpgradeFault::UnofferedSubprotocol)?;
    if Some(name) != offered || chosen.next().is_some() {
        return Err(UpgradeFault::UnofferedSubprotocol);
    }
    Ok(Some(name))
}
