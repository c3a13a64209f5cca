//! Several shards behind several listeners, and a server that is full.

mod common;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use common::{BINARY, Frame, JsonClient, RawClient, SOON, Server, Witness, poll, upgrade_head};

const OPEN: &str = "ringwire_connections_open";
const REFUSED: &str = "ringwire_handshakes_refused_total";

/// A place for a socket, with nothing there yet.
fn socket_path(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = path.join(format!("{name}-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

fn echo(client: &mut RawClient, text: &str) {
    client.send_frame(&Frame::text(text));
    client.send_frame(&Frame::new(BINARY, text));
    assert_eq!(client.message(), (common::TEXT, text.into()));
    assert_eq!(client.message(), (BINARY, text.into()));
}

#[test]
fn all_listeners_and_all_shards_serve() {
    let path = socket_path("listeners");
    let unix = format!("unix:{}", path.display());
    let addresses = ["--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--listen", &unix];
    let server = Server::echo(&[&addresses[..], &["--shards", "3"]].concat());
    let tcp: Vec<SocketAddr> = server
        .listening()
        .iter()
        .filter_map(|text| text.strip_prefix("ws://")?.parse().ok())
        .collect();
    assert_eq!(tcp.len(), 2, "{:?}", server.listening());
    assert!(tcp.iter().any(SocketAddr::is_ipv6) && tcp.iter().any(SocketAddr::is_ipv4), "{tcp:?}");

    // So many that no shard and no listener is left without one.
    let mut clients = Vec::new();
    for round in 0..20 {
        for addr in &tcp {
            clients.push((format!("{addr} {round}"), RawClient::open(*addr, "/")));
        }
        clients.push((format!("unix {round}"), RawClient::connect_unix(&path).upgrade("/")));
    }
    for (name, client) in &mut clients {
        echo(client, name);
    }
    server.await_metric(OPEN, &[], 60.0, SOON);
    let everywhere = poll(SOON, || {
        let metrics = server.metrics();
        let open = |shard| metrics.value("ringwire_shard_connections_open", &[("shard", shard)]);
        ["0", "1", "2"].iter().all(|shard| open(shard) > 0.0).then_some(())
    });
    assert!(everywhere.is_some(), "a shard has no connection");
    for (name, client) in &mut clients {
        client.send_frame(&Frame::close(1000));
        assert_eq!(client.close_code(SOON), 1000, "{name}");
        client.expect_end(name);
    }
    server.await_metric(OPEN, &[], 0.0, SOON);
    server.stop();

    // Whether or not the socket's file is still there, the next one may listen on it.
    let next = Server::echo(&["--listen", "127.0.0.1:0", "--listen", &unix]);
    echo(&mut RawClient::connect_unix(&path).upgrade("/"), "the next one");
    next.stop();
}

/// A topic is the same on every shard and behind every listener.
#[test]
fn subscribers_of_all_listeners_hear_the_same() {
    let path = socket_path("topics");
    let unix = format!("unix:{}", path.display());
    let flags = ["--listen", "127.0.0.1:0", "--listen", &unix, "--shards", "3"];
    let server = Server::serve(&flags);
    let mut subscribers: Vec<JsonClient> = (0..12).map(|_| JsonClient::open(server.ws)).collect();
    subscribers
        .extend((0..12).map(|_| JsonClient::on(RawClient::connect_unix(&path).upgrade("/ws"))));
    for (index, subscriber) in subscribers.iter_mut().enumerate() {
        subscriber.subscribe("news:all");
        subscriber.subscribe(&format!("own:{index}"));
    }
    let mut publisher = JsonClient::on(RawClient::connect_unix(&path).upgrade("/ws"));
    for index in 0..subscribers.len() {
        publisher.publish(&format!("own:{index}"), serde_json::json!(index));
    }
    publisher.publish("news:all", serde_json::json!("to all"));
    for (index, subscriber) in subscribers.iter_mut().enumerate() {
        // From two topics: their order among each other is open.
        let mut heard = [subscriber.next_of("message"), subscriber.next_of("message")];
        heard.sort_by_key(|message| message["topic"].to_string());
        assert_eq!(heard[0]["data"], "to all", "subscriber {index}");
        assert_eq!(heard[1]["data"], index, "subscriber {index}");
    }
    drop((subscribers, publisher));
    server.stop();
}

/// Asks for a connection and is refused for want of room.
fn expect_refused(mut client: RawClient) {
    client.send(upgrade_head("/").as_bytes());
    let head = client.head(SOON).expect("a polite refusal");
    assert_eq!(head.status, 503, "{head:?}");
    let after = head.field("retry-after").expect("when to come again");
    assert!(after.parse::<u32>().is_ok_and(|seconds| seconds > 0), "Retry-After: {after}");
    client.expect_hang_up("a refused connection");
}

#[test]
fn a_full_server_refuses_newcomers_and_serves_the_others() {
    const PLACES: usize = 9;
    let path = socket_path("full");
    let unix = format!("unix:{}", path.display());
    let places = PLACES.to_string();
    let listen = ["--listen", "127.0.0.1:0", "--listen", &unix];
    let server =
        Server::echo(&[&listen[..], &["--shards", "3", "--max-connections", &places]].concat());
    let witness = Witness::echoing(server.ws);
    let mut clients: Vec<RawClient> =
        (1..PLACES).map(|_| RawClient::open(server.ws, "/")).collect();
    server.await_metric(OPEN, &[], PLACES as f64, SOON);
    for _ in 0..20 {
        expect_refused(RawClient::connect(server.ws));
        expect_refused(RawClient::connect_unix(&path));
    }
    server.await_metric(REFUSED, &[("cause", "unavailable")], 40.0, SOON);
    for (index, client) in clients.iter_mut().enumerate() {
        echo(client, &format!("still here, {index}"));
    }

    // Three leave, each in its own way, and as many may come.
    clients.pop().expect("one of eight").reset();
    drop(clients.pop().expect("one of seven"));
    let mut polite = clients.pop().expect("one of six");
    polite.send_frame(&Frame::close(1000));
    polite.expect_close(1000, "leaving");
    server.await_metric(OPEN, &[], PLACES as f64 - 3.0, SOON);
    for _ in 0..3 {
        clients.push(RawClient::open(server.ws, "/"));
    }
    expect_refused(RawClient::connect(server.ws));
    for (index, client) in clients.iter_mut().enumerate() {
        echo(client, &format!("still here or new, {index}"));
    }
    witness.finish();
    drop(clients);
    server.stop();
}

/// Who subscribes and publishes in one breath, without waiting for an answer, hears itself.
#[test]
fn a_subscriber_that_does_not_wait_hears_its_own_message() {
    let server = Server::serve(&["--shards", "3"]);
    for round in 0..20 {
        let topic = format!("breath:{round}");
        let mut client = JsonClient::open(server.ws);
        client.send(&serde_json::json!({"type": "subscribe", "id": 1, "topic": topic}));
        client.send(&serde_json::json!({"type": "publish", "id": 2, "topic": topic, "data": 7}));
        let subscribed = client.next_of("subscribed");
        let message = client.next_of("message");
        assert_eq!(subscribed["offset"], 0, "{subscribed}");
        assert_eq!(message["offset"], 1, "{message}");
    }
}
