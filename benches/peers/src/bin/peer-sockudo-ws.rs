//! sockudo-ws, on one thread and plain tokio, as its examples do the handshake. Its heartbeats are
//! off, as in all other peers.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use ringwire_peers::relay::{self, Hub};
use ringwire_peers::{args, http};
use sockudo_ws::handshake::{build_response, generate_accept_key, parse_request};
use sockudo_ws::{Config, Message, Role, WebSocketStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HEAD_BYTES: usize = 4096;

fn main() -> io::Result<()> {
    let hub = Arc::new(Hub::default());
    sockudo_ws::init_clock();
    relay::run(args::listen(args::port())?, |stream, id| serve(stream, id, hub.clone()))
}

async fn serve(mut stream: TcpStream, id: u64, hub: Arc<Hub<Message>>) {
    let Ok((target, rest)) = open(&mut stream).await else { return };
    let config = Config::builder().idle_timeout(0).auto_ping(false).build();
    let rest = (!rest.is_empty()).then(|| rest.freeze());
    let ws = WebSocketStream::from_raw_with_leftover(stream, Role::Server, config, rest);
    let topic = http::topic_of(&target).map(|name| hub.topic(name));
    relay::serve(ws, topic, id).await;
}

/// The target of the request, and what came behind it.
async fn open(stream: &mut TcpStream) -> sockudo_ws::Result<(String, BytesMut)> {
    let mut head = BytesMut::with_capacity(HEAD_BYTES);
    loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(sockudo_ws::Error::ConnectionClosed);
        }
        if let Some((request, bytes)) = parse_request(&head)? {
            let response = build_response(&generate_accept_key(request.key), None, None);
            let target = request.path.to_string();
            stream.write_all(&response).await?;
            head.advance(bytes);
            return Ok((target, head));
        }
    }
}
