//! The control plane with real shards on real rings: what an operator asks over HTTP reaches
//! clients, what clients do is seen over HTTP, and both kinds of end are what they promise.

mod common;
#[path = "control_plane/document.rs"]
mod document;
#[path = "control_plane/rig.rs"]
mod rig;

use std::net::SocketAddr;
use std::process::Command;

use common::{CLOSE, Frame, Metrics, RawClient, SOON, TEXT, poll, request};
use rig::Rig;
use ringwire::control::Stage;
use serde_json::{Value, json};

fn post(admin: SocketAddr, path: &str, body: &Value) -> Value {
    let response = request(admin, "POST", path, &body.to_string());
    assert!((200..300).contains(&response.status), "{response:?}");
    response.json()
}

/// Sends a text and expects this answer.
fn tell(client: &mut RawClient, text: &str, answer: &str) {
    client.send_frame(&Frame::text(text));
    hear(client, answer);
}

fn hear(client: &mut RawClient, text: &str) {
    let (opcode, payload) = client.message();
    assert_eq!((opcode, String::from_utf8_lossy(&payload).as_ref()), (TEXT, text));
}

#[test]
fn a_publish_reaches_the_subscribers_of_every_shard_in_order() {
    let rig = Rig::start(3, false);
    let mut clients: Vec<RawClient> =
        rig.clients.iter().map(|addr| RawClient::open(*addr, "/")).collect();
    for client in &mut clients {
        tell(client, "sub chat:lobby", "subscribed chat:lobby");
    }
    let mut epochs = Vec::new();
    for offset in 1..=3 {
        let data = json!({"number": offset});
        let body = json!({"topic": "chat:lobby", "data": data});
        let answer = post(rig.admin, "/v1/publish", &body);
        assert_eq!(answer["offset"], offset, "{answer}");
        epochs.push(answer["epoch"].as_str().expect("text").to_owned());
    }
    assert!(epochs[0].len() == 16 && epochs[0].bytes().all(|b| b.is_ascii_hexdigit()));
    assert!(epochs.iter().all(|epoch| *epoch == epochs[0]), "{epochs:?}");
    for client in &mut clients {
        for offset in 1..=3 {
            hear(client, &format!("{{\"number\":{offset}}}"));
        }
    }
    let text = "x".repeat(64 * 1024);
    let large = json!({"topic": "chat:lobby", "data": text}).to_string();
    let refused = request(rig.admin, "POST", "/v1/publish", &large);
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (413, &json!("too_large")));
}

#[test]
fn topics_are_listed_with_the_subscribers_of_all_shards() {
    let rig = Rig::start(2, false);
    let mut clients: Vec<RawClient> =
        [0, 0, 1].map(|shard| RawClient::open(rig.clients[shard], "/")).into();
    for client in &mut clients {
        tell(client, "sub news:both", "subscribed news:both");
    }
    tell(&mut clients[2], "sub chat:one", "subscribed chat:one");
    let topics = ["chat:none", "chat:one", "news:both"];
    post(rig.admin, "/v1/broadcast", &json!({"topics": topics, "data": 0}));
    let listed = |query: &str| -> Vec<(String, u64, u64)> {
        let listed = request(rig.admin, "GET", &format!("/v1/topics{query}"), "").json();
        let topics = listed["topics"].as_array().expect("a list").iter();
        let number = |topic: &Value, key: &str| topic[key].as_u64().expect("a number");
        let row = |t: &Value| {
            let name = t["topic"].as_str().expect("a name").to_owned();
            (name, number(t, "offset"), number(t, "subscribers"))
        };
        topics.map(row).collect()
    };
    let row = |name: &str, subscribers| (name.to_owned(), 1, subscribers);
    let all = [row("chat:none", 0), row("chat:one", 1), row("news:both", 3)];
    assert_eq!(listed(""), all);
    assert_eq!(listed("?prefix=chat:"), all[..2]);
    assert_eq!(listed("?limit=1"), all[..1]);
    drop(clients.remove(0));
    let left = poll(SOON, || (listed("?prefix=news:") == [row("news:both", 2)]).then_some(()));
    assert!(left.is_some(), "{:?}", listed(""));
}

#[test]
fn jobs_leave_the_shard_and_come_back_a_panicking_one_too() {
    let rig = Rig::start(2, false);
    for addr in &rig.clients {
        let mut client = RawClient::open(*addr, "/");
        for _ in 0..5 {
            tell(&mut client, "job hello", "HELLO");
            tell(&mut client, "job panic", "it panicked");
        }
    }
    // One whose connection has gone by then harms nobody.
    let mut hasty = RawClient::open(rig.clients[0], "/");
    hasty.send_frame(&Frame::text("job bye"));
    hasty.reset();
    tell(&mut RawClient::open(rig.clients[0], "/"), "job still there", "STILL THERE");
}

#[test]
fn metrics_and_status_show_the_shards() {
    let rig = Rig::start(2, false);
    let clients: Vec<RawClient> =
        [0, 1, 1].map(|shard| RawClient::open(rig.clients[shard], "/")).into();
    post(rig.admin, "/v1/publish", &json!({"topic": "t", "data": 1}));
    let seen = poll(SOON, || {
        let metrics = Metrics::scrape(rig.admin);
        let open = metrics.value("ringwire_shard_connections_open", &[("shard", "1")]);
        let published = metrics.value("ringwire_publishes_accepted_total", &[]);
        (open == 2.0 && published == 1.0).then_some(metrics)
    });
    let metrics = seen.expect("the board is published");
    assert_eq!(metrics.value("ringwire_handshakes_completed_total", &[]), 3.0);
    let status = request(rig.admin, "GET", "/v1/status", "").json();
    assert_eq!(status["shards"][0]["connections_open"], 1, "{status}");
    assert_eq!(status["connections"]["open"], 3, "{status}");
    drop(clients);
}

#[test]
fn a_drain_closes_every_client_and_the_control_plane_ends_after_the_shards() {
    let rig = Rig::start(3, false);
    let mut clients: Vec<RawClient> =
        rig.clients.iter().map(|addr| RawClient::open(*addr, "/")).collect();
    let answer = post(rig.admin, "/v1/drain", &json!({}));
    assert_eq!(answer, json!({"state": "draining"}));
    // The shards wait for the clients' answers, so the admin interface is still there.
    assert_eq!(request(rig.admin, "GET", "/readyz", "").status, 503);
    assert_eq!(request(rig.admin, "GET", "/healthz", "").status, 200);
    for client in &mut clients {
        let (opcode, payload) = client.message();
        assert_eq!((opcode, &payload[..2]), (CLOSE, &1001u16.to_be_bytes()[..]));
        client.send_frame(&Frame::close(1001));
    }
    let (kill, bridge, admin) = (rig.kill.clone(), rig.bridge.clone(), rig.admin);
    rig.join();
    assert_eq!(bridge.state.stage(), Stage::Draining);
    assert!(kill.is_raised(), "whatever outlived the control plane should end");
    assert!(std::net::TcpStream::connect(admin).is_err(), "nobody listens any more");
}

#[test]
fn the_first_signal_drains_and_the_second_ends_at_once() {
    let rig = Rig::start(2, true);
    assert_eq!(request(rig.admin, "GET", "/healthz", "").status, 200, "it has begun to listen");
    let signal = || {
        let own = std::process::id().to_string();
        assert!(Command::new("kill").args(["-TERM", &own]).status().expect("kill runs").success());
    };
    let mut silent = RawClient::open(rig.clients[0], "/");
    signal();
    let (opcode, payload) = silent.message();
    assert_eq!((opcode, &payload[..2]), (CLOSE, &1001u16.to_be_bytes()[..]));
    assert!(!rig.kill.is_raised());
    // It never answers: the drain alone would take its whole timeout.
    signal();
    rig.join();
}

#[test]
fn the_examples_of_the_document_work_and_none_is_missing() {
    let rig = Rig::start(2, false);
    let mut clients = [0, 1].map(|shard| RawClient::open(rig.clients[shard], "/"));
    tell(&mut clients[1], "sub chat:lobby", "subscribed chat:lobby");
    let examples = document::examples();
    for row in document::rows() {
        assert!(examples.iter().any(|example| row.starts_with(&example.row())), "{row}");
    }
    assert_eq!(document::rows().count(), examples.len());
    for example in examples {
        example.check(rig.admin);
    }
}
