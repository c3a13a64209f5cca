//! `[compression]`, as a client finds it: what it is offered, and what its echoes cost on the wire.

use miniz_oxide::deflate::compress_to_vec;

use crate::common::{BINARY, Frame, Random, RawClient, SOON, Server, upgrade_head};
use crate::file::echo;

const SENT: &str = "ringwire_messages_sent_total";
const COMPRESSED_MESSAGES: &str = "ringwire_compressed_messages_total";
const COMPRESSED_BYTES: &str = "ringwire_compressed_bytes_out_total";
/// RSV1.
const COMPRESSED: u8 = 4;
const OFFER: &str = "permessage-deflate; server_max_window_bits=15; client_max_window_bits";

/// A client that has made this offer, and what the server agreed to.
fn offering(server: &Server, offer: &str) -> (RawClient, Option<String>) {
    let field = format!("\r\nSec-WebSocket-Extensions: {offer}\r\n\r\n");
    let mut client = RawClient::connect(server.ws);
    client.send(upgrade_head("/").replace("\r\n\r\n", &field).as_bytes());
    let answer = client.head(SOON).expect("an answer to the handshake");
    assert_eq!(answer.status, 101, "{answer:?}");
    let agreed = answer.field("sec-websocket-extensions").map(str::to_owned);
    (client, agreed)
}

fn agreed(server: &Server) -> String {
    offering(server, OFFER).1.expect("compression is agreed on")
}

/// Has a message sent back, and gives how many have been compressed.
fn echoed(server: &Server, message: &[u8]) -> f64 {
    let (mut client, _) = offering(server, OFFER);
    let sent = server.metric(SENT, &[]);
    client.send_frame(&Frame::new(BINARY, message));
    server.await_metric(SENT, &[], sent + 1.0, SOON);
    server.metric(COMPRESSED_MESSAGES, &[])
}

pub(crate) fn enabled() {
    let server = echo("[compression]\nenabled = true");
    assert!(agreed(&server).starts_with("permessage-deflate"));
    assert_eq!(offering(&echo(""), OFFER).1, None, "without the key");
}

/// Words of a small vocabulary: the longer one looks for repetitions, the more one finds.
pub(crate) fn level() {
    let mut random = Random::seeded(11);
    let word = |_| format!("{:x} ", random.below(700) * 7919);
    let message: String = (0..4000).map(word).collect();
    let size_at = |level: u8| {
        let server = echo(&format!("[compression]\nenabled = true\nlevel = {level}"));
        assert_eq!(echoed(&server, message.as_bytes()), 1.0);
        server.metric(COMPRESSED_BYTES, &[])
    };
    let (fast, thorough) = (size_at(1), size_at(9));
    assert!(thorough < fast, "{thorough} and {fast} octets");
}

pub(crate) fn threshold_bytes() {
    let server = echo("[compression]\nenabled = true\nthreshold_bytes = 100");
    assert_eq!(echoed(&server, &[b'x'; 99]), 0.0);
    assert_eq!(echoed(&server, &[b'x'; 100]), 1.0);
}

pub(crate) fn ratio_max() {
    let server = echo("[compression]\nenabled = true\nratio_max = 2000");
    let (mut client, _) = offering(&server, OFFER);
    let zeros = compress_to_vec(&[0; 200_000], 9);
    assert!(zeros.len() < 1000, "more than 200 octets for one");
    client.send_frame(&Frame::new(BINARY, zeros).reserved(COMPRESSED));
    server.await_metric(SENT, &[], 1.0, SOON);
}

pub(crate) fn server_window_bits() {
    let server = echo("[compression]\nenabled = true\nserver_window_bits = 10");
    let agreed = agreed(&server);
    assert!(agreed.contains("server_max_window_bits=10"), "{agreed}");
}

pub(crate) fn client_window_bits() {
    let server = echo("[compression]\nenabled = true\nclient_window_bits = 11");
    let agreed = agreed(&server);
    assert!(agreed.contains("client_max_window_bits=11"), "{agreed}");
}

/// The first of two may refer to what it has sent, the second one is asked not to.
pub(crate) fn takeover_connections_max() {
    let text = "[server]\nshards = 1\n[compression]\nenabled = true\ntakeover_connections_max = 1";
    let server = echo(text);
    let (first, second) = (offering(&server, OFFER), offering(&server, OFFER));
    let is_asked = |agreed: &Option<String>| {
        let agreed = agreed.as_ref().expect("compression is agreed on");
        agreed.contains("client_no_context_takeover")
    };
    assert!(!is_asked(&first.1) && is_asked(&second.1), "{:?} {:?}", first.1, second.1);
}
