//! Requests in, answers out: bodies within their bounds, errors in one form.
//!
//! Invariants: H1: a body is refused by its declared length before any of it is read, and by its
//! true length while it is read; H2: every error is `{"error":{"code":..,"message":..}}`.

use super::bridge::Refused;
use crate::base::ErrorCode;
use crate::limits::ADMIN_BODY_BYTES_MAX;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde::Serialize;
use std::time::Duration;
use tokio::time::timeout;

/// Every answer fits in memory and is sent whole.
pub type Answer = Response<Full<Bytes>>;

/// Why a request is not done.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    code: ErrorCode,
    message: String,
    allow: Option<&'static str>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: ErrorDetail<'a>,
}

/// The inner object of an error.
#[derive(Serialize, Debug)]
pub struct ErrorDetail<'a> {
    code: &'static str,
    message: &'a str,
}

impl Failure {
    /// A failure with the status that belongs to its code.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Failure {
        Failure { status: status_of(code), code, message: message.into(), allow: None }
    }

    /// The same code under a more exact status.
    pub fn with_status(mut self, status: StatusCode) -> Failure {
        self.status = status;
        self
    }

    /// 405, with the methods that would do.
    pub fn method_not_allowed(allow: &'static str) -> Failure {
        let failure = Failure::new(ErrorCode::BadRequest, format!("use {allow} here"));
        Failure { allow: Some(allow), ..failure.with_status(StatusCode::METHOD_NOT_ALLOWED) }
    }

    /// The answer that tells it.
    pub fn answer(&self) -> Answer {
        let error = ErrorDetail { code: self.code.as_str(), message: &self.message };
        let mut answer = json(self.status, &ErrorBody { error });
        if let Some(allow) = self.allow {
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        answer
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        Failure::new(refused.code(), refused.message())
    }
}

impl From<Refused> for ErrorDetail<'static> {
    fn from(refused: Refused) -> Self {
        ErrorDetail { code: refused.code().as_str(), message: refused.message() }
    }
}

fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BadRequest => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::UnknownTopic => StatusCode::NOT_FOUND,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::RateLimited | ErrorCode::LimitExceeded => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Overloaded | ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An answer with a JSON body.
pub fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let text = serde_json::to_vec(body).expect("answers have string keys and finite numbers");
    answer(status, "application/json", text)
}

/// An answer with a body of another type.
pub fn answer(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The whole body of a JSON request.
///
/// The media type is required because a page in a browser can send any other to loopback without
/// asking; this one it may not send across origins.
pub async fn json_body(request: Request<Incoming>, patience: Duration) -> Result<Bytes, Failure> {
    if !is_json(&request) {
        let failure = Failure::new(ErrorCode::BadRequest, "send `Content-Type: application/json`");
        return Err(failure.with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let declared = request.body().size_hint().lower();
    if declared > ADMIN_BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), ADMIN_BODY_BYTES_MAX).collect();
    match timeout(patience, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Failure::new(ErrorCode::BadRequest, "the body ended early")),
        Err(_elapsed) => {
            let failure = Failure::new(ErrorCode::BadRequest, "the body did not come in time");
            Err(failure.with_status(StatusCode::REQUEST_TIMEOUT))
        }
    }
}

fn is_json(request: &Request<Incoming>) -> bool {
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let media_type = value.and_then(|v| v.split(';').next()).unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

fn too_large() -> Failure {
    let message = format!("a body may have {ADMIN_BODY_BYTES_MAX} bytes at most");
    Failure::new(ErrorCode::TooLarge, message)
}
