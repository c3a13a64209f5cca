//! Stock clients against the real binary: npm's `ws` and Python's `websockets`, as users run them.
//!
//! The scripts stand in `tests/clients`; `setup.sh` installs what they need on first use.

mod common;

use std::time::Duration;

use common::{Client, JsonClient, Process, SOON, Server, poll};
use serde_json::{Value, json};

/// The scripts have shorter limits of their own.
const SCRIPT_LIMIT: Duration = Duration::from_secs(150);

/// Publishes with the script and gives the acknowledgement.
fn publish(client: Client, server: &Server, topic: &str, data: &Value) -> Value {
    let mut script = client.run("publish", &[&server.url(), topic, &data.to_string()]);
    let answer = json_line(&script);
    script.succeed(SOON);
    assert_eq!((&answer["type"], &answer["topic"]), (&json!("ack"), &json!(topic)), "{answer}");
    answer
}

fn json_line(process: &Process) -> Value {
    let line = process.line(SOON);
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn echo_comes_back(client: Client, compression: bool) {
    let largest = 16 << 20;
    let message_bytes_max = largest.to_string();
    let egress_bytes_max = (largest * 5 / 2).to_string();
    let flags =
        ["--message-bytes-max", &message_bytes_max, "--egress-bytes-max", &egress_bytes_max];
    // The text is one pattern all over, and shrinks a thousand times.
    let compressing = ["--compression", "--compression-ratio-max", "2000"];
    let more = if compression { &compressing[..] } else { &[] };
    let server = Server::echo(&[&flags[..], more].concat());
    let url = format!("ws://{}/any/path?it=likes", server.ws);
    let extension = if compression { &["deflate"][..] } else { &[] };
    let largest = largest.to_string();
    let mut script = client.run("echo", &[&[&url[..], &largest], extension].concat());
    let line = script.line(SCRIPT_LIMIT);
    assert_eq!(line, "ok 18 single 200 pipelined 14 fragmented");
    script.succeed(SOON);
    for name in ["ringwire_inflated_messages_total", "ringwire_compressed_messages_total"] {
        assert_eq!((server.metric(name, &[]) > 0.0), compression, "{name}");
    }
    server.stop();
}

#[test]
fn messages_up_to_16_mib_come_back_to_node() {
    echo_comes_back(Client::Node, false);
}

#[test]
fn messages_up_to_16_mib_come_back_to_python() {
    echo_comes_back(Client::Python, false);
}

#[test]
fn compressed_messages_come_back_to_node() {
    echo_comes_back(Client::Node, true);
}

#[test]
fn compressed_messages_come_back_to_python() {
    echo_comes_back(Client::Python, true);
}

/// Publishes by every way there is; the offsets that were acknowledged, as far as one was given.
fn publish_by_every_way(server: &Server, topic: &str) -> Vec<(Value, Option<Value>)> {
    let mut published = Vec::new();
    for (client, via) in [(Client::Node, "node"), (Client::Python, "python")] {
        let data = json!({"via": via, "text": "gr\u{fc}\u{df}e \u{1f980}"});
        let ack = publish(client, server, topic, &data);
        published.push((data, Some(ack["offset"].clone())));
    }

    let data = json!({"via": "command"});
    let mut command = common::command("publish");
    command.args(["--url", &server.url(), topic, &data.to_string()]);
    Process::spawn("ringwire publish", &mut command).succeed(SOON);
    published.push((data, None));

    let data = json!({"via": "http", "list": [1, 2.5, null, "x"]});
    let response = server.post("/v1/publish", &json!({"topic": topic, "data": data}).to_string());
    assert_eq!(response.status, 200, "{response:?}");
    published.push((data, Some(response.json()["offset"].clone())));
    published
}

#[test]
fn every_subscriber_hears_every_publisher_in_one_order() {
    let server = Server::serve(&["--shards", "2"]);
    let topic = "chat:lobby";
    let subscribers: Vec<Process> = [Client::Node, Client::Python, Client::Node, Client::Python]
        .map(|client| client.run("subscribe", &[&server.url(), topic, "4"]))
        .into();
    let acks: Vec<Value> = subscribers.iter().map(json_line).collect();
    for ack in &acks {
        assert_eq!(ack["type"], "subscribed", "{ack}");
        assert_eq!((&ack["topic"], &ack["id"]), (&json!(topic), &json!(1)), "{ack}");
        assert_eq!((&ack["epoch"], &ack["offset"]), (&acks[0]["epoch"], &acks[0]["offset"]));
    }
    let before = acks[0]["offset"].as_u64().expect("an offset");

    let published = publish_by_every_way(&server, topic);
    for mut subscriber in subscribers {
        for (offset, (data, acknowledged)) in (before + 1..).zip(&published) {
            let message = json_line(&subscriber);
            assert_eq!(message["topic"], topic, "{message}");
            assert_eq!(message["offset"], offset, "offsets are dense: {message}");
            assert_eq!(&message["data"], data, "{message}");
            assert!(message["ts"].as_u64().is_some_and(|ts| ts > 1_600_000_000_000), "{message}");
            if let Some(acknowledged) = acknowledged {
                assert_eq!(&message["offset"], acknowledged, "{message}");
            }
        }
        subscriber.succeed(SOON);
    }
    server.stop();
}

#[test]
fn data_passes_through_byte_for_byte() {
    let server = Server::serve(&["--shards", "2"]);
    let mut subscriber = JsonClient::open(server.ws);
    subscriber.subscribe("raw:bytes");
    let odd = r#"{ "b":1,"a" : [1.0,1e3, -0 ,"\u00e9\/"],"b":  2 }"#;
    let mut publisher = JsonClient::open(server.ws);
    let request = format!(r#"{{"type":"publish","id":"x","topic":"raw:bytes","data":{odd}}}"#);
    publisher.raw().send_frame(&common::Frame::text(&request));
    assert_eq!(publisher.next_of("ack")["id"], "x");
    let message = subscriber.next_text();
    assert!(message.contains(odd), "{message}");
    server.stop();
}

#[test]
fn the_subscribe_command_prints_what_is_published() {
    let server = Server::serve(&["--shards", "2"]);
    let mut command = common::command("subscribe");
    command.args(["--url", &server.url(), "news:a", "news:b"]);
    let subscriber = Process::spawn("ringwire subscribe", &mut command);
    // The command does not say when it is subscribed, so this publishes until it is heard.
    for topic in ["news:a", "news:b"] {
        let body = json!({"topic": topic, "data": {"marker": topic}}).to_string();
        let heard = poll(SOON, || {
            assert_eq!(server.post("/v1/publish", &body).status, 200);
            let line = subscriber.try_line(Duration::from_millis(100))?;
            line.contains(&format!(r#"{{"marker":"{topic}"}}"#)).then_some(())
        });
        assert!(heard.is_some(), "nothing heard on {topic}");
    }
    server.stop();
}
