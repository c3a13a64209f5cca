//! tokio-tungstenite, on one thread. The read buffer is 8 KiB instead of its 128 KiB, which no
//! server with many connections would leave as it is.

use std::io;
use std::sync::Arc;

use ringwire_peers::relay::{self, Hub, Topic};
use ringwire_peers::{args, http};
use tokio::net::TcpStream;
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

const READ_BUFFER_BYTES: usize = 8 * 1024;

fn main() -> io::Result<()> {
    let hub = Arc::new(Hub::default());
    relay::run(args::listen(args::port())?, |stream, id| serve(stream, id, hub.clone()))
}

// The error is as large as the library makes it.
#[allow(clippy::result_large_err)]
async fn serve(stream: TcpStream, id: u64, hub: Arc<Hub<Message>>) {
    let mut topic: Option<Arc<Topic<Message>>> = None;
    let callback = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        topic = http::topic_of(target).map(|name| hub.topic(name));
        Ok(response)
    };
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    if let Ok(ws) = accept_hdr_async_with_config(stream, callback, Some(config)).await {
        relay::serve(ws, topic, id).await;
    }
}
