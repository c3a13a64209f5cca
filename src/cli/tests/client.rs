//! The client against tungstenite, which takes nothing that is not the protocol.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use tungstenite::Message;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use super::super::client::{Client, ClientError, Received};
use super::super::url::Url;
use super::fake::{Fake, closed_by_client};
use crate::ws::{CloseCode, Kind, PeerFault};

const SOON: Duration = Duration::from_secs(20);

fn connect(fake: &Fake) -> Client {
    Client::connect(&fake.url().parse().unwrap()).unwrap()
}

fn next(client: &mut Client) -> Received {
    client.receive(Some(Instant::now() + SOON)).unwrap()
}

fn text(text: &str) -> Received {
    Received::Message(Kind::Text, text.as_bytes().to_vec())
}

#[test]
fn messages_of_all_sizes_come_back() {
    let fake = Fake::websocket(|peer| {
        while let Ok(message) = peer.read() {
            if !message.is_close() {
                peer.send(message).unwrap();
            }
        }
    });
    let mut client = connect(&fake);
    for len in [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000] {
        let sent: Vec<u8> = (0..len).map(|index: usize| (index * 7 + index / 256) as u8).collect();
        client.send(Kind::Binary, &sent).unwrap();
        assert!(next(&mut client) == Received::Message(Kind::Binary, sent), "{len}");
        let sent = "\u{e9}\u{1f980}x".repeat(len / 7);
        client.send_text(&sent).unwrap();
        assert!(next(&mut client) == text(&sent), "{len}");
    }
    client.close(CloseCode::NORMAL, "done").unwrap();
    fake.join();
}

#[test]
fn fragments_are_joined_and_pings_between_them_answered() {
    let fake = Fake::websocket(|peer| {
        let frame = |text: &'static str, opcode, fin| {
            Message::Frame(Frame::message(text, OpCode::Data(opcode), fin))
        };
        peer.send(frame("one ", Data::Text, false)).unwrap();
        peer.send(Message::Ping("still there?".into())).unwrap();
        peer.send(frame("two ", Data::Continue, false)).unwrap();
        peer.send(Message::Pong("unasked".into())).unwrap();
        peer.send(frame("three", Data::Continue, true)).unwrap();
        assert_eq!(peer.read().unwrap(), Message::Pong("still there?".into()));
        assert_eq!(closed_by_client(peer), Some((1000, "enough".into())));
    });
    let mut client = connect(&fake);
    assert_eq!(next(&mut client), text("one two three"));
    client.close(CloseCode::NORMAL, "enough").unwrap();
    fake.join();
}

#[test]
fn a_close_of_the_server_is_told_and_answered() {
    let fake = Fake::websocket(|peer| {
        let frame = CloseFrame { code: 4001.into(), reason: "slow consumer".into() };
        peer.send(Message::text("last")).unwrap();
        peer.close(Some(frame)).unwrap();
        assert_eq!(closed_by_client(peer), Some((4001, String::new())));
    });
    let mut client = connect(&fake);
    assert_eq!(next(&mut client), text("last"));
    let closed = Received::Closed(Some(CloseCode(4001)), "slow consumer".into());
    assert_eq!(next(&mut client), closed);
    client.close(CloseCode::NORMAL, "").unwrap();
    fake.join();
}

#[test]
fn a_close_passes_over_what_was_under_way() {
    let fake = Fake::websocket(|peer| {
        for _ in 0..1000 {
            peer.send(Message::text("noise")).unwrap();
        }
        assert_eq!(closed_by_client(peer), Some((1000, String::new())));
    });
    let mut client = connect(&fake);
    client.close(CloseCode::NORMAL, "").unwrap();
    fake.join();
}

#[test]
fn silence_has_a_limit_and_ends_nothing() {
    let fake = Fake::websocket(|peer| {
        assert_eq!(peer.read().unwrap(), Message::text("go on"));
        peer.send(Message::text("here")).unwrap();
        closed_by_client(peer);
    });
    let mut client = connect(&fake);
    let deadline = Instant::now() + Duration::from_millis(20);
    assert_eq!(client.receive(Some(deadline)).unwrap(), Received::Silence);
    assert!(Instant::now() >= deadline);
    client.send_text("go on").unwrap();
    assert_eq!(next(&mut client), text("here"));
    client.close(CloseCode::NORMAL, "").unwrap();
    fake.join();
}

/// The handshake done by hand, then these octets.
fn raw(octets: &'static [u8]) -> Fake {
    Fake::websocket(move |peer| {
        peer.get_mut().write_all(octets).unwrap();
        closed_by_client(peer);
    })
}

#[test]
fn a_server_that_breaks_the_protocol_is_told_so() {
    let fake = Fake::websocket(|peer| {
        // A masked frame: only clients mask.
        peer.get_mut().write_all(&[0x81, 0x80, 1, 2, 3, 4]).unwrap();
        let closed = closed_by_client(peer);
        assert_eq!(closed, Some((1002, PeerFault::Masked.label().into())));
    });
    let mut client = connect(&fake);
    let fault = client.receive(Some(Instant::now() + SOON)).unwrap_err();
    assert!(matches!(fault, ClientError::Fault(PeerFault::Masked)), "{fault}");
    drop(client);
    fake.join();

    // A message of 2^62 octets is refused before any of it is kept.
    let fake = raw(&[0x82, 127, 0x40, 0, 0, 0, 0, 0, 0, 0]);
    let mut client = connect(&fake);
    let fault = client.receive(Some(Instant::now() + SOON)).unwrap_err();
    assert!(matches!(fault, ClientError::Fault(PeerFault::MessageTooLarge)), "{fault}");
    drop(client);
    fake.join();
}

/// Connects to a server that reads the request and answers with these octets.
fn answered(answer: &'static [u8], timeout: Duration) -> String {
    let fake = Fake::tcp(move |mut stream| {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            stream.read_exact(&mut octet).unwrap();
            request.push(octet[0]);
        }
        stream.write_all(answer).unwrap();
        if answer.is_empty() {
            // Waits for the client to give up.
            let _ = stream.read(&mut [0]);
        }
    });
    let url: Url = fake.url().parse().unwrap();
    let error = Client::connect_within(&url, timeout).map(|_| ()).unwrap_err();
    fake.join();
    error.to_string()
}

#[test]
fn a_handshake_that_fails_says_why() {
    let refused = answered(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n", SOON);
    assert_eq!(refused, "no WebSocket: the server answered with 503");
    let other = answered(b"SSH-2.0-OpenSSH_9.6\r\n", SOON);
    assert_eq!(other, "no WebSocket: the answer is not HTTP/1.1");
    let cut = answered(b"HTTP/1.1 101 Sw", SOON);
    assert_eq!(cut, "the server ended the connection without a close");
    let silent = answered(b"", Duration::from_millis(50));
    assert_eq!(silent, "the server did not answer the handshake in time");
}

#[test]
fn nobody_there_says_where() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url: Url = format!("ws://{free}/ws").parse().unwrap();
    let error = Client::connect(&url).map(|_| ()).unwrap_err().to_string();
    let told = format!("cannot connect to {free}: Connection refused");
    assert!(error.starts_with(&told), "{error}");
}

#[test]
fn an_end_without_a_close_is_told() {
    let fake = Fake::websocket(|_| {});
    let mut client = connect(&fake);
    let error = client.receive(Some(Instant::now() + SOON)).unwrap_err();
    assert!(matches!(error, ClientError::Ended), "{error}");
    fake.join();
}

#[test]
fn unix_sockets_serve_as_well() {
    let path = std::env::temp_dir().join(format!("ringwire-client-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let mut peer = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        let message = peer.read().unwrap();
        peer.send(message).unwrap();
        while peer.read().is_ok() {}
    });
    let url: Url = format!("unix:{}", path.display()).parse().unwrap();
    let mut client = Client::connect(&url).unwrap();
    client.send_text("over there").unwrap();
    assert_eq!(next(&mut client), text("over there"));
    client.close(CloseCode::NORMAL, "").unwrap();
    server.join().unwrap();
    std::fs::remove_file(&path).unwrap();
}
