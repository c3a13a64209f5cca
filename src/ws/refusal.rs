//! Every way to answer a handshake with something else than 101, as whole HTTP/1.1 responses.

use std::io::Write as _;

/// Why a request is not upgraded. The same enum is the metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Not HTTP/1.1, or not a valid opening handshake; the text says what is wrong.
    BadRequest(&'static str),
    /// No or bad credentials.
    Unauthorized,
    /// The origin is not allowed, or the user is not.
    Forbidden,
    /// Nothing is served at this path.
    NotFound,
    /// The path takes GET only.
    MethodNotAllowed,
    /// A plain request for a path that only speaks WebSocket.
    UpgradeRequired,
    /// Another WebSocket version than 13.
    WrongVersion,
    /// Too many connections from this address.
    TooManyFromAddress,
    /// The head is too long or has too many fields.
    HeadTooLarge,
    /// The server is full or drains.
    Unavailable {
        /// When to try again.
        retry_after_s: u32,
    },
    /// What the application's handler chose: 400 to 599.
    Application {
        /// The HTTP status.
        status: u16,
    },
}

impl Refusal {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Refusal::BadRequest(_) => 400,
            Refusal::Unauthorized => 401,
            Refusal::Forbidden => 403,
            Refusal::NotFound => 404,
            Refusal::MethodNotAllowed => 405,
            Refusal::UpgradeRequired | Refusal::WrongVersion => 426,
            Refusal::TooManyFromAddress => 429,
            Refusal::HeadTooLarge => 431,
            Refusal::Unavailable { .. } => 503,
            Refusal::Application { status } => status.clamp(400, 599),
        }
    }

    /// The name in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Refusal::BadRequest(_) => "bad_request",
            Refusal::Unauthorized => "unauthorized",
            Refusal::Forbidden => "forbidden",
            Refusal::NotFound => "not_found",
            Refusal::MethodNotAllowed => "method_not_allowed",
            Refusal::UpgradeRequired => "upgrade_required",
            Refusal::WrongVersion => "wrong_version",
            Refusal::TooManyFromAddress => "too_many_from_address",
            Refusal::HeadTooLarge => "head_too_large",
            Refusal::Unavailable { .. } => "unavailable",
            Refusal::Application { .. } => "application",
        }
    }

    /// Appends the whole response. The connection closes after it.
    pub fn write(self, out: &mut Vec<u8>) {
        let (status, reason, body) = (self.status(), self.reason(), self.body());
        let connection = match self {
            // RFC 9110, section 7.8: who sends Upgrade lists it in Connection.
            Refusal::UpgradeRequired | Refusal::WrongVersion => "close, Upgrade",
            Refusal::BadRequest(_)
            | Refusal::Unauthorized
            | Refusal::Forbidden
            | Refusal::NotFound
            | Refusal::MethodNotAllowed
            | Refusal::TooManyFromAddress
            | Refusal::HeadTooLarge
            | Refusal::Unavailable { .. }
            | Refusal::Application { .. } => "close",
        };
        append(out, format_args!("HTTP/1.1 {status} {reason}\r\nConnection: {connection}\r\n"));
        self.write_extra(out);
        let body_bytes = body.len() + 1;
        append(out, format_args!("Content-Type: text/plain; charset=utf-8\r\n"));
        append(out, format_args!("Content-Length: {body_bytes}\r\n\r\n{body}\n"));
    }

    fn write_extra(self, out: &mut Vec<u8>) {
        match self {
            Refusal::Unauthorized => append(out, format_args!("WWW-Authenticate: Bearer\r\n")),
            Refusal::MethodNotAllowed => append(out, format_args!("Allow: GET\r\n")),
            Refusal::UpgradeRequired => append(out, format_args!("Upgrade: websocket\r\n")),
            Refusal::WrongVersion => {
                append(out, format_args!("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"))
            }
            Refusal::Unavailable { retry_after_s } => {
                append(out, format_args!("Retry-After: {retry_after_s}\r\n"));
            }
            Refusal::BadRequest(_)
            | Refusal::Forbidden
            | Refusal::NotFound
            | Refusal::TooManyFromAddress
            | Refusal::HeadTooLarge
            | Refusal::Application { .. } => {}
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Refusal::BadRequest(_) => "Bad Request",
            Refusal::Unauthorized => "Unauthorized",
            Refusal::Forbidden => "Forbidden",
            Refusal::NotFound => "Not Found",
            Refusal::MethodNotAllowed => "Method Not Allowed",
            Refusal::UpgradeRequired | Refusal::WrongVersion => "Upgrade Required",
            Refusal::TooManyFromAddress => "Too Many Requests",
            Refusal::HeadTooLarge => "Request Header Fields Too Large",
            Refusal::Unavailable { .. } => "Service Unavailable",
            Refusal::Application { .. } => "Refused",
        }
    }

    fn body(self) -> &'static str {
        match self {
            Refusal::BadRequest(what) => what,
            Refusal::Unauthorized => "credentials are missing or not valid",
            Refusal::Forbidden => "not allowed from this origin or for this user",
            Refusal::NotFound => "nothing is served at this path",
            Refusal::MethodNotAllowed => "use GET",
            Refusal::UpgradeRequired => "this path speaks WebSocket: send an upgrade request",
            Refusal::WrongVersion => "this server speaks WebSocket version 13",
            Refusal::TooManyFromAddress => "too many connections from this address",
            Refusal::HeadTooLarge => "the request head is too large",
            Refusal::Unavailable { .. } => "the server takes no new connections now",
            Refusal::Application { .. } => "refused by the application",
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status(), self.body())
    }
}

impl std::error::Error for Refusal {}

fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes every write");
}
