//! `[limits]`, as far as they are about what comes in.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::common::{CONTINUATION, Frame, JsonClient, RawClient, SOON, Server, TEXT, poll};
use crate::file::{echo, serve};

const STARVED: &str = "ringwire_recv_starved_total";

pub(crate) fn message_bytes_max() {
    let server = echo("[limits]\nmessage_bytes_max = 200");
    let mut client = RawClient::open(server.ws, "/");
    client.send_frame(&Frame::text("x".repeat(200)));
    assert_eq!(client.message().1.len(), 200);
    client.send_frame(&Frame::text("x".repeat(201)));
    client.expect_close(1009, "one octet more");
}

pub(crate) fn fragments_max() {
    let server = echo("[limits]\nfragments_max = 3");
    let mut client = RawClient::open(server.ws, "/");
    let send = |client: &mut RawClient, count: usize| {
        client.send_frame(&Frame::text("a").open_ended());
        for _ in 2..count {
            client.send_frame(&Frame::new(CONTINUATION, "a").open_ended());
        }
        client.try_send(&Frame::new(CONTINUATION, "a").octets());
    };
    send(&mut client, 3);
    assert_eq!(client.message(), (TEXT, b"aaa".into()));
    send(&mut client, 4);
    client.expect_close(1008, "one frame more");
}

pub(crate) fn head_bytes_max() {
    let server = echo("[limits]\nhead_bytes_max = 1024");
    let mut client = RawClient::connect(server.ws);
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "x".repeat(1024));
    client.send(head.as_bytes());
    assert_eq!(client.head(SOON).expect("an answer").status, 431);
}

/// Two connections hold half a message each, in buffers that have grown to 64 KiB: the second one's
/// is too much.
pub(crate) fn ingress_total_bytes_max() {
    let server = echo("[limits]\nmessage_bytes_max = 65_536\ningress_total_bytes_max = 100_000");
    let mut first = RawClient::open(server.ws, "/");
    let mut second = RawClient::open(server.ws, "/");
    let half = Frame::text("x".repeat(40_000)).open_ended();
    first.send_frame(&half);
    // Otherwise both might grow in one turn, and both be too much.
    let is_held = || server.metric("ringwire_ingress_partial_bytes", &[]) >= 40_000.0;
    assert!(poll(SOON, || is_held().then_some(())).is_some(), "half a message is held");
    second.send_frame(&half);
    server.await_metric("ringwire_connections_closed_total", &[("code", "1013")], 1.0, SOON);
    server.await_metric("ringwire_connections_open", &[], 1.0, SOON);
}

pub(crate) fn subscriptions_max() {
    let server = serve("[limits]\nsubscriptions_max = 2");
    let mut client = JsonClient::open(server.ws);
    client.subscribe("a:1");
    client.subscribe("a:2");
    let refused = client.request(json!({"type": "subscribe", "topic": "a:3"}), "error");
    assert_eq!(refused["code"], "limit_exceeded", "{refused}");
}

pub(crate) fn topics_max() {
    let server = serve("[limits]\ntopics_max = 2");
    let mut client = JsonClient::open(server.ws);
    client.subscribe("a:1");
    client.subscribe("a:2");
    let mut other = JsonClient::open(server.ws);
    let refused = other.request(json!({"type": "subscribe", "topic": "a:3"}), "error");
    assert_eq!(refused["code"], "limit_exceeded", "{refused}");
    other.subscribe("a:1");
}

/// Octets that wait in the sockets of a server that stands still are read at once when it goes on.
fn starved(server: &Server, messages: &[usize]) -> bool {
    let mut clients: Vec<RawClient> =
        messages.iter().map(|_| RawClient::open(server.ws, "/")).collect();
    server.signal(Signal::SIGSTOP);
    for (client, len) in clients.iter_mut().zip(messages) {
        client.send_frame(&Frame::text("x".repeat(*len)));
    }
    server.signal(Signal::SIGCONT);
    for (client, len) in clients.iter_mut().zip(messages) {
        assert_eq!(client.message().1.len(), *len);
    }
    server.metric(STARVED, &[]) > 0.0
}

/// Sixty-four connections with something to read need sixty-four buffers in a turn, or wait.
pub(crate) fn recv_buffers() {
    assert!(starved(&echo("[limits]\nrecv_buffers = 8"), &[100; 64]));
    assert!(!starved(&echo("[limits]\nrecv_buffers = 1024"), &[100; 64]));
}

/// One message of 32 KiB fills eight buffers of 256 octets, and none of them twice in a turn.
pub(crate) fn recv_buffer_bytes() {
    let with = |bytes| echo(&format!("[limits]\nrecv_buffers = 8\nrecv_buffer_bytes = {bytes}"));
    assert!(starved(&with(256), &[32 * 1024]));
    assert!(!starved(&with(64 * 1024), &[32 * 1024]));
}
