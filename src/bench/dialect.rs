//! What a server speaks on top of frames: how to subscribe and publish, and what its messages mean.
//!
//! Plain: any message goes to everybody who has connected to the same `?topic=`, and comes as it
//! was sent. Ringwire: JSON, as in `docs/protocol.md`.

use super::stamp::Form;
use crate::ws::opcode::{Kind, Opcode};

/// See the module's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Frames are payloads.
    Plain,
    /// Ringwire's JSON.
    Ringwire,
}

/// What a message from the server is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// A payload.
    Payload(&'a [u8]),
    /// The subscription stands.
    Subscribed,
    /// An answer that changes nothing here.
    Other,
    /// A request of ours was answered with an error.
    Refused(String),
    /// Something that can't be understood.
    Wrong(String),
}

const MESSAGE: &[u8] = br#"{"type":"message""#;
const DATA: &[u8] = br#","data":""#;
const END: &[u8] = br#""}"#;

impl Dialect {
    /// The name on the command line and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Dialect::Plain => "plain",
            Dialect::Ringwire => "ringwire",
        }
    }

    /// The form of payloads: what they are wrapped in may need text.
    pub fn form(self) -> Form {
        match self {
            Dialect::Plain => Form::Binary,
            Dialect::Ringwire => Form::Text,
        }
    }

    /// The name of a topic.
    pub(super) fn topic(topic: u32) -> String {
        format!("bench:{topic}")
    }

    /// What to ask for in the handshake.
    pub(super) fn request_target(self, path: &str, topic: Option<u32>) -> String {
        match (self, topic) {
            (Dialect::Plain, Some(topic)) => {
                let mark = if path.contains('?') { '&' } else { '?' };
                format!("{path}{mark}topic={}", Dialect::topic(topic))
            }
            (Dialect::Plain, None) | (Dialect::Ringwire, _) => path.to_owned(),
        }
    }

    /// What to send to subscribe, if a message does that.
    pub(super) fn subscribe(self, topic: u32) -> Option<String> {
        match self {
            Dialect::Plain => None,
            Dialect::Ringwire => Some(format!(
                r#"{{"type":"subscribe","id":1,"topic":"{}"}}"#,
                Dialect::topic(topic)
            )),
        }
    }

    /// What stands before and after a payload that is published to a topic.
    pub(super) fn publication(self, topic: u32) -> Wrapping {
        match self {
            Dialect::Plain => Wrapping { opcode: Opcode::Binary, before: String::new(), after: "" },
            Dialect::Ringwire => Wrapping {
                opcode: Opcode::Text,
                before: format!(
                    r#"{{"type":"publish","id":2,"topic":"{}","data":""#,
                    Dialect::topic(topic)
                ),
                after: r#""}"#,
            },
        }
    }

    /// What a message of the server is, when payloads have `bytes` octets.
    pub(super) fn understand(self, kind: Kind, message: &[u8], bytes: usize) -> Said<'_> {
        match self {
            Dialect::Plain => Said::Payload(message),
            Dialect::Ringwire => match kind {
                Kind::Text => understand_json(message, bytes),
                Kind::Binary => Said::Wrong("a binary message where JSON is spoken".into()),
            },
        }
    }
}

/// What stands around a payload.
#[derive(Clone, Debug)]
pub(super) struct Wrapping {
    pub(super) opcode: Opcode,
    pub(super) before: String,
    pub(super) after: &'static str,
}

/// `data` comes last in a message and is passed through octet for octet, so it is found without
/// parsing what is before it: a generator that parses can't keep up with the server.
fn understand_json(message: &[u8], bytes: usize) -> Said<'_> {
    if message.starts_with(MESSAGE) {
        let end = message.len() - END.len();
        let start = end.saturating_sub(bytes);
        if message.ends_with(END) && message[..start].ends_with(DATA) {
            return Said::Payload(&message[start..end]);
        }
        return Said::Wrong(format!("a message without our data: {}", shorten(message)));
    }
    match type_of(message).as_deref() {
        Some("subscribed") => Said::Subscribed,
        Some("welcome" | "ack" | "pong" | "join" | "leave") => Said::Other,
        Some("error") => Said::Refused(shorten(message)),
        Some(_) | None => Said::Wrong(shorten(message)),
    }
}

fn type_of(message: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(message).ok()?;
    Some(value.get("type")?.as_str()?.to_owned())
}

/// The beginning of what a server said, for people.
pub(super) fn shorten(message: &[u8]) -> String {
    const SHOWN: usize = 160;
    let text = String::from_utf8_lossy(&message[..message.len().min(SHOWN)]);
    if message.len() > SHOWN { format!("{text}...") } else { text.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_payload_of_a_json_message_and_nothing_else() {
        let json = br#"{"type":"message","topic":"bench:1","offset":7,"ts":1,"data":"0123456789"}"#;
        let said = Dialect::Ringwire.understand(Kind::Text, json, 10);
        assert_eq!(said, Said::Payload(b"0123456789"));
        for bytes in [9, 11, 500] {
            let said = Dialect::Ringwire.understand(Kind::Text, json, bytes);
            assert!(matches!(said, Said::Wrong(_)), "{bytes}");
        }
        let error = br#"{"type":"error","code":"overloaded","message":"no"}"#;
        assert!(matches!(Dialect::Ringwire.understand(Kind::Text, error, 10), Said::Refused(_)));
        let subscribed = br#"{"type":"subscribed","id":1,"topic":"bench:1","offset":0}"#;
        assert_eq!(Dialect::Ringwire.understand(Kind::Text, subscribed, 10), Said::Subscribed);
        for short in [&b""[..], b"{", br#"{"type":"message""#, br#"{"type":"message"}"#] {
            assert!(matches!(Dialect::Ringwire.understand(Kind::Text, short, 10), Said::Wrong(_)));
        }
    }
}
