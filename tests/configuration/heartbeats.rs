//! `[heartbeat]` and `[timeouts]`: each value is far below its default, and what it bounds happens
//! long before the default would let it.

use std::time::Duration;

use crate::common::{Event, JsonClient, PING, RawClient, SOON};
use crate::file::{echo, serve};

/// Below each default, and enough for a busy machine.
const EARLY: Duration = Duration::from_secs(4);

pub(crate) fn interval() {
    let server = serve("[heartbeat]\ninterval_ms = 300\ntimeout_ms = 60_000");
    let mut client = JsonClient::open(server.ws);
    let Event::Frame(frame) = client.raw().event(EARLY) else { panic!("no ping") };
    assert_eq!(frame.opcode, PING);
}

pub(crate) fn timeout() {
    let server = echo("[heartbeat]\ninterval_ms = 300\ntimeout_ms = 300");
    let mut client = RawClient::open(server.ws, "/");
    assert_eq!(client.close_code(EARLY), 4002);
}

pub(crate) fn handshake() {
    let server = echo("[timeouts]\nhandshake_ms = 200");
    let mut client = RawClient::connect(server.ws);
    client.send(b"GET / HTTP/1.1\r\n");
    assert!(client.has_hung_up(EARLY), "the default is 10 s");
}

/// Whoever is told to go and does not answer is waited for so long.
pub(crate) fn close() {
    let server = echo("[timeouts]\nclose_ms = 200");
    let mut client = RawClient::open(server.ws, "/");
    server.terminate();
    assert_eq!(client.close_code(SOON), 1001);
    assert!(client.has_hung_up(EARLY), "the default is 5 s");
}
