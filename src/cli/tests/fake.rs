//! Servers that do what a test says, on tungstenite: not our own protocol code.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket, accept_hdr_with_config};

/// Nothing in these tests takes as long as this unless it hangs.
const HANG: Duration = Duration::from_secs(20);

pub(super) type Peer = WebSocket<TcpStream>;

/// A server for one connection.
pub(super) struct Fake {
    pub(super) addr: SocketAddr,
    thread: JoinHandle<()>,
}

impl Fake {
    /// Serves one TCP connection by `script`.
    pub(super) fn tcp(script: impl FnOnce(TcpStream) + Send + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(HANG)).unwrap();
            stream.set_write_timeout(Some(HANG)).unwrap();
            script(stream);
        });
        Fake { addr, thread }
    }

    /// Serves one WebSocket connection, which has to ask for the protocol.
    #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
    pub(super) fn websocket(script: impl FnOnce(&mut Peer) + Send + 'static) -> Fake {
        Fake::tcp(|stream| {
            let choose = |request: &Request, mut response: Response| {
                let offered = &request.headers()["sec-websocket-protocol"];
                assert_eq!(offered, "ringwire.v1.json");
                response.headers_mut().insert("sec-websocket-protocol", offered.clone());
                Ok(response)
            };
            let config = WebSocketConfig::default().max_frame_size(None).max_message_size(None);
            let mut peer = accept_hdr_with_config(stream, choose, Some(config)).unwrap();
            script(&mut peer);
        })
    }

    pub(super) fn url(&self) -> String {
        format!("ws://{}/ws", self.addr)
    }

    /// Fails the test if the script failed.
    pub(super) fn join(self) {
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// The next request of a client.
pub(super) fn request(peer: &mut Peer) -> Value {
    serde_json::from_str(peer.read().unwrap().to_text().unwrap()).unwrap()
}

pub(super) fn say(peer: &mut Peer, text: &str) {
    peer.send(Message::text(text)).unwrap();
}

/// Reads to the end of the connection; gives the code and reason that the client closed with.
pub(super) fn closed_by_client(peer: &mut Peer) -> Option<(u16, String)> {
    let mut close = None;
    loop {
        match peer.read() {
            Ok(Message::Close(frame)) => {
                close = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => return close,
        }
    }
}
