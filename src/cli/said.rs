//! What a server says in the JSON protocol, as far as the command's tools have to understand it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::CliError;
use crate::ws::Kind;

/// The answer to a request, or a message; what is not named here is passed over.
#[derive(Debug, Deserialize)]
pub(super) struct Said<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(default)]
    pub(super) id: Value,
    #[serde(default)]
    pub(super) offset: Option<u64>,
    #[serde(default, borrow)]
    pub(super) topic: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    code: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    message: Option<Cow<'a, str>>,
}

impl<'a> Said<'a> {
    /// Understands a message of the server, which is text if this is the server meant.
    pub(super) fn parse(kind: Kind, payload: &'a [u8]) -> Result<Said<'a>, CliError> {
        let strange = |why: String| {
            CliError::Runtime(format!("the server does not speak ringwire.v1.json: {why}"))
        };
        match kind {
            Kind::Text => serde_json::from_slice(payload).map_err(|e| strange(e.to_string())),
            Kind::Binary => Err(strange("it sent a binary message".to_owned())),
        }
    }

    /// The error that it tells of.
    pub(super) fn failure(&self, of: &str) -> CliError {
        let code = self.code.as_deref().unwrap_or("internal");
        let message = self.message.as_deref().unwrap_or("the server gave no reason");
        CliError::Runtime(format!("{of}: {code}: {message}"))
    }
}
