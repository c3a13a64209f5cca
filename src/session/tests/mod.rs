//! The protocol on real shards: what `docs/protocol.md` says, message by message.

mod hostile;
mod shards;
mod table;

use super::{JsonHandler, SessionConfig};
use crate::handler::Kind;
use crate::pubsub::home::home_of;
use crate::sim::world::{World, small_config};

const INSTANCE: u64 = 0x0123_4567_89ab_cdef;

type JsonWorld = World<JsonHandler>;

fn world(shards: u16) -> JsonWorld {
    World::new(shards, 64, small_config(), |_| JsonHandler::new(SessionConfig::default(), INSTANCE))
}

/// A client that has had its welcome.
fn join(world: &mut JsonWorld, shard: usize) -> usize {
    let client = world.connect(shard, "/ws");
    let welcome = world.texts(client);
    assert!(matches!(&welcome[..], [only] if only.starts_with("{\"type\":\"welcome\"")));
    client
}

/// Sends a request and gives everything that has come then.
fn ask(world: &mut JsonWorld, client: usize, request: &str) -> Vec<String> {
    world.send_text(client, request);
    world.texts(client)
}

/// Sends a request and gives the one answer.
fn ask_one(world: &mut JsonWorld, client: usize, request: &str) -> String {
    match <[String; 1]>::try_from(ask(world, client, request)) {
        Ok([answer]) => answer,
        Err(other) => panic!("{request} -> {other:?}"),
    }
}

fn value(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Subscribes and gives epoch and offset.
fn subscribe(world: &mut JsonWorld, client: usize, topic: &str) -> (String, u64) {
    let request = format!(r#"{{"type":"subscribe","id":1,"topic":"{topic}"}}"#);
    let answer = value(&ask_one(world, client, &request));
    assert_eq!(answer["type"], "subscribed", "{answer}");
    (answer["epoch"].as_str().unwrap().to_owned(), answer["offset"].as_u64().unwrap())
}

fn publish_text(topic: &str, data: &str) -> String {
    format!(r#"{{"type":"publish","topic":"{topic}","data":{data}}}"#)
}

/// A topic whose home is this shard.
fn topic_at(home: usize, shards: usize) -> String {
    let mut names = (0..).map(|n| format!("chat:{n}"));
    names.find(|name| home_of(name, shards).index() == home).unwrap()
}

/// An error with this code and `id` (as JSON, or nothing).
fn assert_error(answer: &str, id: &str, code: &str) {
    let id = if id.is_empty() { String::new() } else { format!(",\"id\":{id}") };
    let start = format!("{{\"type\":\"error\"{id},\"code\":\"{code}\",\"message\":\"");
    assert!(answer.starts_with(&start), "{answer} is not {start}");
    assert!(value(answer)["message"].as_str().is_some_and(|message| !message.is_empty()));
}

#[test]
fn messages_are_text_whatever_was_published() {
    let mut handler = JsonHandler::new(SessionConfig::default(), INSTANCE);
    let publication = crate::handler::Publication {
        topic: "a\"\\é",
        position: crate::pubsub::envelope::Position {
            epoch: crate::pubsub::envelope::Epoch(1),
            offset: 58,
        },
        unix_ms: 1_790_000_000_000,
        from: "al\"ice",
        data: b"{\"x\": [1.50, null]}",
        kind: Kind::Binary,
    };
    let mut out = b"before".to_vec();
    assert_eq!(crate::handler::Handler::encode(&mut handler, &publication, &mut out), Kind::Text);
    let expected = concat!(
        r#"before{"type":"message","topic":"a\"\\é","offset":58,"ts":1790000000000,"#,
        r#""from":"al\"ice","data":{"x": [1.50, null]}}"#
    );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}
