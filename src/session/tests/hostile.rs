//! Clients that mean no good, and what they can't do.

use proptest::prelude::*;

use super::super::request::{Ask, parse};
use super::*;
use crate::limits::BAD_REQUESTS_MAX;

#[test]
fn who_speaks_only_nonsense_is_closed() {
    let mut world = world(1);
    let client = join(&mut world, 0);
    for _ in 1..BAD_REQUESTS_MAX {
        ask_one(&mut world, client, "?");
    }
    ask_one(&mut world, client, r#"{"type":"ping"}"#);
    for _ in 1..BAD_REQUESTS_MAX {
        ask_one(&mut world, client, "?");
    }
    world.write_text(client, "?");
    world.send_text(client, r#"{"type":"ping"}"#);
    let frames = world.client(client).take_frames();
    assert_eq!(frames.len(), 2, "one more error, then the close frame, and no pong");
    assert_eq!((frames[1].opcode, &frames[1].payload[..2]), (0x8, &4500_u16.to_be_bytes()[..]));
    world.client(client).write_close(4500);
    world.run();
    assert!(world.client(client).is_closed);
}

#[test]
fn nesting_costs_no_stack() {
    let depth = 200_000;
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    let data = format!("{open}{close}");
    let text = format!(r#"{{"type":"publish","id":1,"topic":"t","data":{data}}}"#);
    let request = parse(&text).expect("valid");
    assert_eq!(request.ask, Ask::Publish { topic: "t".into(), data: &data });
    let objects = "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
    for member in ["x", "to", "id", "since", "topic", "type"] {
        for nested in [&data, &objects] {
            let _ = parse(&format!(r#"{{"type":"subscribe","topic":"t","{member}":{nested}}}"#));
            let since = format!(r#"{{"{member}":{nested},"epoch":{nested},"offset":{nested}}}"#);
            let _ = parse(&format!(r#"{{"type":"subscribe","topic":"t","since":{since}}}"#));
        }
    }
    assert!(parse(&open).is_err() && parse(&format!("{{\"a\":{open}")).is_err());
}

#[test]
fn who_does_not_read_its_answers_is_slowed_down_and_not_answered_without_end() {
    let mut world = world(1);
    let client = join(&mut world, 0);
    world.client(client).room = 100;
    world.client(client).input_step = 300;
    for _ in 0..5000 {
        world.write_text(client, r#"{"type":"ping","id":1}"#);
    }
    world.run();
    assert!(!world.client(client).is_armed(), "reading is paused");
    assert!(world.count(crate::metrics::Metric::EgressQueuedBytes) <= 16 * 1024);
    world.client(client).room = usize::MAX;
    world.run();
    let pongs = world.client(client).take_frames();
    assert_eq!(pongs.len(), 5000);
}

fn json_ish() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just(",".to_owned()),
        Just(":".to_owned()),
        Just("\"type\":".to_owned()),
        Just("\"id\":".to_owned()),
        Just("\"topic\":".to_owned()),
        Just("\"data\":".to_owned()),
        Just("\"since\":{\"epoch\":\"0123456789abcdef\",\"offset\":1}".to_owned()),
        Just("\"subscribe\"".to_owned()),
        Just("\"publish\"".to_owned()),
        Just("\"unsubscribe\"".to_owned()),
        Just("\"\\ud83d\"".to_owned()),
        Just("null".to_owned()),
        "-?[0-9.eE]{1,5}",
        "\"[a-d\\\\u0\"]{0,6}\"",
        "\\PC{0,4}",
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Requests that are nearly always well-formed, with members from small sets.
fn request_ish() -> impl Strategy<Value = String> {
    let kinds = ["subscribe", "unsubscribe", "publish", "ping", "auth", "presence", "x"];
    let kind = prop::sample::select(kinds.to_vec());
    let value = prop::sample::select(vec![
        "1",
        "\"a\"",
        "null",
        "{}",
        "[[]]",
        "true",
        "\"t\"",
        "\"\\u0074\"",
        "-1e9",
        "\"\\ud800\"",
    ]);
    let name = prop::sample::select(vec!["id", "topic", "data", "since", "to", "x"]);
    (kind, prop::collection::vec((name, value), 0..5)).prop_map(|(kind, members)| {
        let members = members.iter().map(|(name, value)| format!(",\"{name}\":{value}"));
        format!("{{\"type\":\"{kind}\"{}}}", members.collect::<String>())
    })
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..64)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever comes, nobody panics and every answer is a JSON object in a text frame.
    #[test]
    fn every_answer_is_json(
        texts in prop::collection::vec(prop_oneof![json_ish(), request_ish()], 0..40)
    ) {
        let mut world = world(2);
        let client = join(&mut world, 0);
        for (index, text) in texts.iter().enumerate() {
            world.write_text(client, text);
            if index % 3 == 0 {
                world.run();
            }
        }
        world.run();
        for text in world.texts(client) {
            // Half of a surrogate pair in an `id` is JSON, but no Rust string.
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert!(is_json && text.starts_with('{'), "{}", text);
        }
    }

    /// What we take for an object, with its members, is what an independent parser takes for one.
    #[test]
    fn we_accept_what_json_is(text in prop_oneof![json_ish(), request_ish()]) {
        if parse(&text).is_ok() {
            let other: Result<serde_json::Map<String, serde_json::Value>, _> =
                serde_json::from_str(&text);
            // Numbers too large for a float and lone surrogates are syntax that we pass on.
            let passed_on = text.contains(['e', 'E']) || text.contains("\\ud");
            prop_assert!(other.is_ok() || passed_on, "{}", text);
        }
    }

    #[test]
    fn any_octets_are_survived(
        kinds in prop::collection::vec((any::<bool>(), octets()), 0..8)
    ) {
        let mut world = world(1);
        let client = join(&mut world, 0);
        for (is_raw, octets) in kinds {
            world.client(client).write_frame(if is_raw { 0x82 } else { 0x81 }, &octets);
        }
        world.run();
        world.client(client).end();
        world.run();
        prop_assert!(world.connections() == 0 && world.client(client).is_closed);
    }
}
