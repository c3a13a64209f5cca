//! tokio-websockets, on one thread, with the settings of its own echo server.

use std::io;
use std::sync::Arc;

use ringwire_peers::relay::{self, Hub};
use ringwire_peers::{args, http};
use tokio::net::TcpStream;
use tokio_websockets::{Config, Limits, Message, ServerBuilder};

fn main() -> io::Result<()> {
    let hub = Arc::new(Hub::default());
    relay::run(args::listen(args::port())?, |stream, id| serve(stream, id, hub.clone()))
}

async fn serve(stream: TcpStream, id: u64, hub: Arc<Hub<Message>>) {
    let config = Config::default().frame_size(usize::MAX);
    let builder = ServerBuilder::new().config(config).limits(Limits::unlimited());
    if let Ok((request, ws)) = builder.accept(stream).await {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let topic = http::topic_of(target).map(|name| hub.topic(name));
        relay::serve(ws, topic, id).await;
    }
}
