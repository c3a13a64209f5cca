//! The server's side of the opening handshake (RFC 6455, section 4.2).
//!
//! Parsing and judging are two steps, because the path is judged in between: syntax (400), path
//! (404, the caller's), then the upgrade itself (405, 400, 426).

use super::accept_key::UpgradeKey;
use super::deflate::offer::Agreed;
use super::refusal::Refusal;
use super::request::{Request, elements, token};
use crate::limits::HEAD_FIELDS_MAX;

/// What parsing a head gave.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it lives on the stack for one call")]
pub enum Parsed<'a> {
    /// Valid so far; more octets are needed.
    Incomplete,
    /// The head is complete.
    Complete {
        /// The request.
        request: Request<'a>,
        /// Octets of the head; what follows are the client's first frames.
        consumed: usize,
    },
}

/// Parses a request head, HTTP only. Octets beyond `head_bytes_max` are not looked at, so the
/// answer does not depend on how much arrived at once; nor does a refusal change when more arrives.
pub fn parse_request(head: &[u8], head_bytes_max: usize) -> Result<Parsed<'_>, Refusal> {
    let seen = &head[..head.len().min(head_bytes_max)];
    let mut fields = [httparse::EMPTY_HEADER; HEAD_FIELDS_MAX];
    let mut parser = httparse::Request::new(&mut fields);
    let outcome = parser.parse(seen);
    if parser.version == Some(0) {
        return Err(Refusal::BadRequest("WebSocket needs HTTP/1.1"));
    }
    let consumed = match outcome {
        Ok(httparse::Status::Complete(consumed)) => consumed,
        Ok(httparse::Status::Partial) if seen.len() == head_bytes_max => {
            return Err(Refusal::HeadTooLarge);
        }
        Ok(httparse::Status::Partial) => return Ok(Parsed::Incomplete),
        Err(error) => return Err(refusal_of(error)),
    };
    let (Some(method), Some(target)) = (parser.method, parser.path) else {
        return Err(Refusal::BadRequest("the request line is incomplete"));
    };
    let field_count = parser.headers.len();
    let request = Request::new(method, target, fields, field_count)?;
    Ok(Parsed::Complete { request, consumed })
}

fn refusal_of(error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::HeaderName => Refusal::BadRequest("a header field's name is not valid"),
        httparse::Error::HeaderValue => Refusal::BadRequest("a header field's value is not valid"),
        httparse::Error::NewLine => Refusal::BadRequest("a line's end is not valid"),
        httparse::Error::Status | httparse::Error::Token => {
            Refusal::BadRequest("the request line is not HTTP")
        }
        httparse::Error::TooManyHeaders => Refusal::HeadTooLarge,
        httparse::Error::Version => Refusal::BadRequest("WebSocket needs HTTP/1.1"),
    }
}

/// Judges a request by RFC 6455, section 4.2.1.
pub fn check_upgrade(request: &Request<'_>) -> Result<UpgradeKey, Refusal> {
    if request.method() != "GET" {
        return Err(Refusal::MethodNotAllowed);
    }
    if request.has_body() {
        return Err(Refusal::BadRequest("an upgrade request has no body"));
    }
    if !request.lists("upgrade", "websocket") {
        return Err(Refusal::UpgradeRequired);
    }
    // Not 426: the client did ask, but a proxy that is not set up for WebSocket dropped this.
    if !request.lists("connection", "upgrade") {
        return Err(Refusal::BadRequest("the Connection header field does not list Upgrade"));
    }
    let Some(version) = request.header("sec-websocket-version") else {
        return Err(Refusal::BadRequest("the Sec-WebSocket-Version header field is missing"));
    };
    if version != "13" {
        return Err(Refusal::WrongVersion);
    }
    let mut offers = request.header_values("sec-websocket-protocol").flat_map(elements);
    if !offers.all(|offer| token(offer).is_some()) {
        return Err(Refusal::BadRequest("the Sec-WebSocket-Protocol header field is not valid"));
    }
    let Some(key) = request.header("sec-websocket-key") else {
        return Err(Refusal::BadRequest("the Sec-WebSocket-Key header field is missing"));
    };
    UpgradeKey::parse(key.as_bytes())
        .ok_or(Refusal::BadRequest("Sec-WebSocket-Key is not the base64 of 16 octets"))
}

/// Appends the response that accepts. `subprotocol` is one that the client offered, `deflate` what
/// its offers have led to.
pub fn write_accept(
    out: &mut Vec<u8>,
    key: &UpgradeKey,
    subprotocol: Option<&str>,
    deflate: Option<&Agreed>,
) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: ",
    );
    out.extend_from_slice(&key.accept());
    if let Some(subprotocol) = subprotocol {
        assert!(token(subprotocol.as_bytes()).is_some(), "a subprotocol is a token");
        out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.extend_from_slice(subprotocol.as_bytes());
    }
    if let Some(agreed) = deflate {
        out.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
        agreed.write_answer(out);
    }
    out.extend_from_slice(b"\r\n\r\n");
}
