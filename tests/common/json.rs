//! The JSON protocol on a raw client: text frames in, values out.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::frame::{CLOSE, Frame, TEXT};
use super::raw::RawClient;

/// See the module's header.
pub(crate) struct JsonClient {
    raw: RawClient,
    next_id: u64,
}

impl JsonClient {
    /// Connects and takes the welcome.
    pub(crate) fn open(addr: SocketAddr) -> JsonClient {
        JsonClient::on(RawClient::open(addr, "/ws"))
    }

    /// Takes the welcome on a connection that has just been upgraded.
    pub(crate) fn on(raw: RawClient) -> JsonClient {
        let mut client = JsonClient { raw, next_id: 1 };
        let welcome = client.next();
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        client
    }

    /// The connection below, for what JSON can't say.
    pub(crate) fn raw(&mut self) -> &mut RawClient {
        &mut self.raw
    }

    /// Only the connection below.
    pub(crate) fn into_raw(self) -> RawClient {
        self.raw
    }

    pub(crate) fn send(&mut self, message: &Value) {
        self.raw.send_frame(&Frame::text(message.to_string()));
    }

    /// The next message as it was written.
    pub(crate) fn next_text(&mut self) -> String {
        let (opcode, payload) = self.raw.message();
        assert_ne!(opcode, CLOSE, "closed: {payload:?}");
        assert_eq!(opcode, TEXT, "the protocol speaks text: {payload:?}");
        String::from_utf8(payload).expect("text is UTF-8")
    }

    /// The next message.
    pub(crate) fn next(&mut self) -> Value {
        let text = self.next_text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The next message of a type; others are passed over.
    pub(crate) fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next();
            assert!(message["type"] != "error" || kind == "error", "{message}");
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// Sends a request and gives the answer of the wanted type; its `id` has to be ours.
    pub(crate) fn request(&mut self, mut message: Value, answer: &str) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        message["id"] = json!(id);
        self.send(&message);
        let answer = self.next_of(answer);
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    pub(crate) fn subscribe(&mut self, topic: &str) -> Value {
        self.request(json!({"type": "subscribe", "topic": topic}), "subscribed")
    }

    pub(crate) fn publish(&mut self, topic: &str, data: Value) -> Value {
        self.request(json!({"type": "publish", "topic": topic, "data": data}), "ack")
    }
}
