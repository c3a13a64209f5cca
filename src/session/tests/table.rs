//! Requests and answers, one by one.

use super::*;
use crate::metrics::Metric;
use crate::sim::world::head;

#[test]
fn the_welcome_comes_first_and_names_the_session() {
    let mut world = world(1);
    let client = world.connect(0, "/ws");
    let [welcome] = &world.texts(client)[..] else { panic!("one welcome") };
    let expected = concat!(
        r#"{"type":"welcome","protocol":"ringwire.v1","session":"0123456789abcdef"#,
        r#"0000000000000001","user":null,"heartbeat_ms":25000}"#
    );
    assert_eq!(welcome, expected);
    let other = world.connect(0, "/ws");
    assert_ne!(&world.texts(other)[0], expected);
}

#[test]
fn the_subprotocol_is_chosen_if_it_is_offered() {
    let mut world = world(1);
    let field = "Sec-WebSocket-Protocol: ";
    let table = [
        ("", None),
        ("ringwire.v1.json", Some("ringwire.v1.json")),
        ("mqtt, ringwire.v1.json", Some("ringwire.v1.json")),
        ("mqtt, RINGWIRE.v1.json", None),
    ];
    for (offer, chosen) in table {
        let fields = if offer.is_empty() { "".into() } else { format!("{field}{offer}\r\n") };
        let client = world.connect_with(0, &head("/ws", &fields));
        let response = world.client(client).take_response();
        assert!(response.starts_with("HTTP/1.1 101 "), "{offer}: {response}");
        let line = response.lines().find_map(|line| line.strip_prefix(field));
        assert_eq!(line, chosen, "{offer}");
        assert_eq!(world.texts(client).len(), 1, "{offer}");
    }
    for path in ["/", "/ws/", "/WS", "/wss"] {
        let client = world.connect_with(0, &head(path, ""));
        assert!(world.client(client).take_response().starts_with("HTTP/1.1 404 "), "{path}");
    }
    let client = world.connect_with(0, &head("/ws?token=x", ""));
    assert!(world.client(client).take_response().starts_with("HTTP/1.1 101 "));
}

#[test]
fn subscribe_publish_message_unsubscribe() {
    let mut world = world(1);
    let (alice, bob) = (join(&mut world, 0), join(&mut world, 0));
    let answer = ask_one(&mut world, alice, r#"{"type":"subscribe","id":2,"topic":"chat:lobby"}"#);
    let epoch = value(&answer)["epoch"].as_str().unwrap().to_owned();
    assert!(epoch.len() == 16 && u64::from_str_radix(&epoch, 16).is_ok(), "{epoch}");
    let place = format!(r#""epoch":"{epoch}","offset":0,"recovered":true"#);
    let expected = format!(r#"{{"type":"subscribed","id":2,"topic":"chat:lobby",{place}}}"#);
    assert_eq!(answer, expected);

    let publish =
        r#"{"type":"publish","id":4,"topic":"chat:lobby","data":{"a": [1, 2.0],  "b":"\u0041"}}"#;
    let answer = ask_one(&mut world, bob, publish);
    assert_eq!(answer, r#"{"type":"ack","id":4,"topic":"chat:lobby","offset":1}"#);
    let message = concat!(
        r#"{"type":"message","topic":"chat:lobby","offset":1,"ts":1790000000000,"#,
        r#""data":{"a": [1, 2.0],  "b":"\u0041"}}"#
    );
    assert_eq!(world.texts(alice), [message]);

    // A publisher that subscribes gets its own, and its answer as well.
    let both = ask(&mut world, alice, &publish.replace("\"id\":4", "\"id\":\"x\""));
    assert_eq!(both.len(), 2, "{both:?}");
    assert!(both.contains(&r#"{"type":"ack","id":"x","topic":"chat:lobby","offset":2}"#.into()));

    let leave = r#"{"type":"unsubscribe","id":3,"topic":"chat:lobby"}"#;
    let answer = ask_one(&mut world, alice, leave);
    assert_eq!(answer, r#"{"type":"ack","id":3,"topic":"chat:lobby"}"#);
    assert_error(&ask_one(&mut world, alice, leave), "3", "unknown_topic");
    assert_eq!(value(&ask_one(&mut world, bob, publish))["offset"], 3);
    assert!(world.texts(alice).is_empty());
}

#[test]
fn without_an_id_only_what_went_wrong_and_subscriptions_are_told() {
    let mut world = world(1);
    let client = join(&mut world, 0);
    let answer = ask_one(&mut world, client, r#"{"type":"subscribe","topic":"t"}"#);
    assert!(answer.starts_with(r#"{"type":"subscribed","topic":"t","epoch":""#), "{answer}");
    let message = ask_one(&mut world, client, r#"{"type":"publish","topic":"t","data":null}"#);
    assert!(message.ends_with(r#""ts":1790000000000,"data":null}"#), "{message}");
    assert!(ask(&mut world, client, r#"{"type":"unsubscribe","topic":"t"}"#).is_empty());
    assert_eq!(ask_one(&mut world, client, r#"{"type":"ping"}"#), r#"{"type":"pong"}"#);
    let answer = ask_one(&mut world, client, r#"{"type":"unsubscribe","topic":"t"}"#);
    assert_error(&answer, "", "unknown_topic");
}

#[test]
fn ids_of_every_kind_come_back_octet_by_octet() {
    let mut world = world(1);
    let client = join(&mut world, 0);
    let longest = format!("\"{}\"", "é".repeat(63));
    let ids = [
        "0",
        "-0",
        "7",
        "1e400",
        "-1.50E+2",
        "123456789012345678901234567890",
        "\"\"",
        "\"a b\"",
        r#""\u0041\n\"\\\/""#,
        r#""\ud800""#,
        &longest,
    ];
    for id in ids {
        let answer = ask_one(&mut world, client, &format!(r#"{{"type":"ping","id":{id}}}"#));
        assert_eq!(answer, format!(r#"{{"type":"pong","id":{id}}}"#));
        let request = format!(r#"{{"type":"subscribe","id": {id} ,"topic":"t"}}"#);
        let answer = ask_one(&mut world, client, &request);
        assert!(answer.starts_with(&format!(r#"{{"type":"subscribed","id":{id},"topic""#)));
        let request = format!(r#"{{"type":"unsubscribe","topic":"t","id":{id}}}"#);
        let answer = ask_one(&mut world, client, &request);
        assert_eq!(answer, format!(r#"{{"type":"ack","id":{id},"topic":"t"}}"#));
        let request = format!(r#"{{"id":{id},"type":"publish","topic":"t","data":1}}"#);
        let answer = ask_one(&mut world, client, &request);
        assert!(answer.starts_with(&format!(r#"{{"type":"ack","id":{id},"topic":"t","offset":"#)));
    }
    let too_long = format!("\"{}\"", "a".repeat(127));
    for id in ["null", "true", "[1]", "{}", &too_long] {
        let answer = ask_one(&mut world, client, &format!(r#"{{"type":"ping","id":{id}}}"#));
        assert_error(&answer, "", "bad_request");
    }
}

#[test]
fn errors_say_what_is_wrong_and_to_whom() {
    let mut world = world(1);
    let client = join(&mut world, 0);
    let long = format!(r#"{{"id":1,"type":"subscribe","topic":"{}"}}"#, "a".repeat(201));
    let large =
        format!(r#"{{"id":1,"type":"publish","topic":"t","data":"{}"}}"#, "a".repeat(8 * 1024));
    let table = [
        ("", "", "bad_request"),
        ("nonsense", "", "bad_request"),
        ("[]", "", "bad_request"),
        (r#"["ping",1]"#, "", "bad_request"),
        (r#"{"type":"ping","id":1} {}"#, "", "bad_request"),
        (r#"{"type":"ping","id":1,"id":1}"#, "", "bad_request"),
        (r#"{"type":"ping","\u0069d":1,"id":1}"#, "", "bad_request"),
        (r#"{"id":1}"#, "1", "bad_request"),
        (r#"{"id":1,"type":7}"#, "1", "bad_request"),
        (r#"{"id":1,"type":"shout"}"#, "1", "bad_request"),
        (r#"{"id":1,"type":"PING"}"#, "1", "bad_request"),
        (r#"{"id":1,"type":"subscribe"}"#, "1", "bad_request"),
        (r#"{"id":1,"type":"subscribe","topic":5}"#, "1", "bad_request"),
        (r#"{"id":1,"type":"subscribe","topic":null}"#, "1", "bad_request"),
        (r#"{"id":1,"type":"subscribe","topic":""}"#, "1", "bad_request"),
        (r#"{"id":1,"type":"subscribe","topic":"a\u0000"}"#, "1", "bad_request"),
        (r#"{"id":1,"type":"subscribe","topic":"\ud800"}"#, "1", "bad_request"),
        (&long, "1", "bad_request"),
        (r#"{"id":1,"type":"subscribe","topic":"t","since":7}"#, "1", "bad_request"),
        (r#"{"id":1,"type":"subscribe","topic":"t","since":[]}"#, "1", "bad_request"),
        (r#"{"id":1,"type":"subscribe","topic":"t","since":{"epoch":"E"}}"#, "1", "bad_request"),
        (
            r#"{"id":1,"type":"subscribe","topic":"t","since":{"epoch":1,"offset":1}}"#,
            "1",
            "bad_request",
        ),
        (
            r#"{"id":1,"type":"subscribe","topic":"t","since":{"epoch":"E","offset":-1}}"#,
            "1",
            "bad_request",
        ),
        (r#"{"id":1,"type":"publish","topic":"t"}"#, "1", "bad_request"),
        (r#"{"id":1,"type":"publish","data":1}"#, "1", "bad_request"),
        (r#"{"id":1,"type":"unsubscribe","topic":"t"}"#, "1", "unknown_topic"),
        (&large, "1", "too_large"),
        (r#"{"id":1,"type":"publish","to":"bob","data":1}"#, "1", "unavailable"),
        (r#"{"id":1,"type":"auth","token":"x"}"#, "1", "unavailable"),
        (r#"{"id":1,"type":"presence","topic":"t"}"#, "1", "unavailable"),
    ];
    for (request, id, code) in table {
        assert_error(&ask_one(&mut world, client, request), id, code);
    }
    let bad = table.iter().filter(|row| row.2 == "bad_request").count() as u64;
    assert_eq!(world.count(Metric::ErrorBadRequest), bad);
    assert_eq!(world.count(Metric::ErrorUnavailable), 3);
    assert_eq!(world.count(Metric::ErrorTooLarge), 1);
    world.client(client).write_frame(0x82, b"{}");
    world.run();
    let answers = world.texts(client);
    assert_error(&answers[0], "", "bad_request");
}

#[test]
fn what_is_unknown_or_escaped_does_no_harm() {
    let mut world = world(1);
    let client = join(&mut world, 0);
    let request =
        "\t{ \"x\" : [{}], \"x\":1, \"t\\u0079pe\" : \"p\\u0069ng\" , \"data\":{}, \"id\":1 }\n";
    assert_eq!(ask_one(&mut world, client, request), r#"{"type":"pong","id":1}"#);
    let request = r#"{"type":"subscribe","id":1,"topic":"\u0063hat\/\u00e9\"\ud83d\ude00"}"#;
    let answer = ask_one(&mut world, client, request);
    assert!(answer.contains(",\"topic\":\"chat/é\\\"😀\","), "{answer}");
    let request = r#"{"type":"publish","id":1,"topic":"chat/é\"😀","data":1}"#;
    assert_eq!(ask(&mut world, client, request).len(), 2, "the same topic, so its own message");
}

#[test]
fn a_position_is_recovered_only_where_nothing_was_missed() {
    let mut world = world(1);
    let client = join(&mut world, 0);
    let (epoch, offset) = subscribe(&mut world, client, "t");
    assert_eq!(offset, 0);
    ask(&mut world, client, &publish_text("t", "1"));
    let table = [
        ("null".to_owned(), true),
        (format!(r#"{{"epoch":"{epoch}","offset":1}}"#), true),
        (format!(r#"{{"offset":1,"x":0,"epoch":"{epoch}"}}"#), true),
        (format!(r#"{{"epoch":"{epoch}","offset":0}}"#), false),
        (format!(r#"{{"epoch":"{epoch}","offset":2}}"#), false),
        (format!(r#"{{"epoch":"0{epoch}","offset":1}}"#), false),
        (r#"{"epoch":"0000000000000000","offset":1}"#.to_owned(), false),
        (r#"{"epoch":"","offset":1}"#.to_owned(), false),
        (r#"{"epoch":"+000000000000000","offset":18446744073709551615}"#.to_owned(), false),
    ];
    for (since, recovered) in table {
        let request = format!(r#"{{"type":"subscribe","id":9,"topic":"t","since":{since}}}"#);
        let answer = value(&ask_one(&mut world, client, &request));
        assert_eq!(answer["recovered"], recovered, "{since}");
        assert_eq!((&answer["epoch"], &answer["offset"]), (&epoch.as_str().into(), &1.into()));
    }
}

#[test]
fn the_limit_of_subscriptions_is_told() {
    let mut world = world(1);
    let client = join(&mut world, 0);
    for topic in 0..8 {
        subscribe(&mut world, client, &format!("t{topic}"));
    }
    let one_more = r#"{"type":"subscribe","id":1,"topic":"t8"}"#;
    assert_error(&ask_one(&mut world, client, one_more), "1", "limit_exceeded");
    subscribe(&mut world, client, "t7");
    ask(&mut world, client, r#"{"type":"unsubscribe","topic":"t7"}"#);
    assert!(ask_one(&mut world, client, one_more).contains("subscribed"));
}

/// Examples that nobody checks are wrong sooner or later.
#[test]
fn every_example_of_the_documentation_is_what_it_says() {
    let page = include_str!("../../../docs/protocol.md");
    let blocks = page.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut seen = std::collections::BTreeSet::new();
    for text in blocks.flat_map(str::lines) {
        let kind = value(text)["type"].as_str().expect("a type").to_owned();
        if ["subscribe", "unsubscribe", "publish", "ping"].contains(&&*kind) {
            crate::session::request::parse(text).expect(text);
        }
        seen.insert(kind);
    }
    let all = [
        "ack",
        "error",
        "message",
        "ping",
        "pong",
        "publish",
        "subscribe",
        "subscribed",
        "unsubscribe",
        "welcome",
    ];
    assert!(seen.iter().eq(all.iter()), "{seen:?}");
    for code in crate::base::ErrorCode::ALL {
        assert!(page.contains(&format!("`{}`", code.as_str())), "{code:?}");
    }
}
