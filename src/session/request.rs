//! What a client asks, lent from its message.
//!
//! Every member is first taken as it is written, so that the `id` is known whatever is wrong with
//! the others. Pure; never recurses into what it does not need: nesting costs no stack.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::limits::{REQUEST_ID_BYTES_MAX, TOPIC_BYTES_MAX};
use crate::pubsub::{TopicFault, check_topic};

/// A request that can be carried out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    /// As it is written.
    pub(super) id: Option<&'a str>,
    pub(super) ask: Ask<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ask<'a> {
    Subscribe {
        topic: Cow<'a, str>,
        since: Option<Since>,
    },
    Unsubscribe {
        topic: Cow<'a, str>,
    },
    Publish {
        topic: Cow<'a, str>,
        data: &'a str,
    },
    Ping,
    /// Part of the protocol, but not of this server.
    Unavailable {
        what: &'static str,
    },
}

/// Where a subscriber has come to. An epoch that is not one of ours is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Since {
    pub(super) epoch: Option<u64>,
    pub(super) offset: u64,
}

/// A request that can't, with its `id` as far as that is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadRequest<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) problem: Problem,
}

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    Says(&'static str),
    Topic(TopicFault),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Says(what) => f.write_str(what),
            Problem::Topic(fault) => fault.fmt(f),
        }
    }
}

impl From<TopicFault> for Problem {
    fn from(fault: TopicFault) -> Self {
        Problem::Topic(fault)
    }
}

/// The members of every request. One that is there twice is an error, others are passed over.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "present", rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    topic: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    since: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    to: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct SinceMembers<'a> {
    #[serde(borrow)]
    epoch: &'a RawValue,
    offset: u64,
}

/// Unlike serde's own `Option`, tells `null` from nothing.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// Parses a message.
pub(super) fn parse(text: &str) -> Result<Request<'_>, BadRequest<'_>> {
    let bad = |id, problem| BadRequest { id, problem };
    let members: Members<'_> = object(text).ok_or(bad(None, NOT_AN_OBJECT))?;
    let id = match members.id {
        None => None,
        Some(raw) => Some(id_of(raw.get()).map_err(|problem| bad(None, problem))?),
    };
    match ask_of(&members) {
        Ok(ask) => Ok(Request { id, ask }),
        Err(problem) => Err(bad(id, problem)),
    }
}

const NOT_AN_OBJECT: Problem =
    Problem::Says("a message is one JSON object, each of whose members is there once");

/// serde takes an array for a struct as well; we do not.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    let is_object = text.trim_ascii_start().starts_with('{');
    is_object.then(|| serde_json::from_str(text).ok()).flatten()
}

fn id_of(raw: &str) -> Result<&str, Problem> {
    if !raw.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit()) {
        return Err(Problem::Says("id is a number or a string"));
    }
    if raw.len() > REQUEST_ID_BYTES_MAX {
        return Err(Problem::Says("id is too long"));
    }
    Ok(raw)
}

fn ask_of<'a>(members: &Members<'a>) -> Result<Ask<'a>, Problem> {
    let kind = members.kind.ok_or(Problem::Says("type is missing"))?;
    let kind = string(kind.get(), TYPE_BYTES_MAX).ok_or(Problem::Says("type is not known"))?;
    match &*kind {
        "subscribe" => {
            let since = since_of(members.since)?;
            Ok(Ask::Subscribe { topic: topic_of(members)?, since })
        }
        "unsubscribe" => Ok(Ask::Unsubscribe { topic: topic_of(members)? }),
        "publish" if members.to.is_some() => {
            Ok(Ask::Unavailable { what: "this server has no direct messages" })
        }
        "publish" => {
            let data = members.data.ok_or(Problem::Says("data is missing"))?.get();
            Ok(Ask::Publish { topic: topic_of(members)?, data })
        }
        "ping" => Ok(Ask::Ping),
        "auth" => Ok(Ask::Unavailable { what: "this server has no users" }),
        "presence" => Ok(Ask::Unavailable { what: "this server has no presence" }),
        _ => Err(Problem::Says("type is not known")),
    }
}

/// Octets of the longest `type`.
const TYPE_BYTES_MAX: usize = "unsubscribe".len();

fn topic_of<'a>(members: &Members<'a>) -> Result<Cow<'a, str>, Problem> {
    let raw = members.topic.ok_or(Problem::Says("topic is missing"))?.get();
    if !raw.starts_with('"') {
        return Err(Problem::Says("topic is a string"));
    }
    if raw.len() > written_bytes_max(TOPIC_BYTES_MAX) {
        return Err(TopicFault::TooLong.into());
    }
    let topic = string(raw, TOPIC_BYTES_MAX).ok_or(Problem::Says("topic is not Unicode"))?;
    check_topic(&topic)?;
    Ok(topic)
}

fn since_of(raw: Option<&RawValue>) -> Result<Option<Since>, Problem> {
    // A client that has no position yet may well say so with `null`.
    let Some(raw) = raw.filter(|raw| raw.get() != "null") else { return Ok(None) };
    const WRONG: Problem = Problem::Says("since is an object with epoch and offset");
    let members: SinceMembers<'_> = object(raw.get()).ok_or(WRONG)?;
    if !members.epoch.get().starts_with('"') {
        return Err(WRONG);
    }
    let epoch = string(members.epoch.get(), EPOCH_DIGITS).and_then(|epoch| epoch_of(&epoch));
    Ok(Some(Since { epoch, offset: members.offset }))
}

const EPOCH_DIGITS: usize = 16;

fn epoch_of(text: &str) -> Option<u64> {
    let is_digit = |octet: u8| matches!(octet, b'0'..=b'9' | b'a'..=b'f');
    let is_ours = text.len() == EPOCH_DIGITS && text.bytes().all(is_digit);
    is_ours.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// The string that `raw`, a JSON value, stands for. `None` when it is no string, when it is not
/// Unicode (half of a surrogate pair), or when it can't be one of `bytes_max` octets.
fn string(raw: &str, bytes_max: usize) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    if raw.len() > written_bytes_max(bytes_max) {
        return None;
    }
    serde_json::from_str(raw).ok().map(Cow::Owned)
}

/// Octets of a string in quotation marks whose every octet is written as `\u00xx`.
const fn written_bytes_max(bytes: usize) -> usize {
    2 + 6 * bytes
}
