//! What a peer does that is made of a library with `Stream` and `Sink`: echo, and a relay in the
//! way that an able user of tokio writes it.
//!
//! Each subscriber has an unbounded channel (`tokio::sync::mpsc`), into which a publisher clones
//! its message; the payload is shared by reference count. The subscriber's task takes all that has
//! gathered, feeds it into the sink and flushes once. **Slow readers**: the channel grows without
//! bound, nothing is dropped and nobody is disconnected.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Messages that a subscriber's task takes from its channel at a time.
const BATCH: usize = 1024;

/// A message of some library.
pub trait Data: Clone {
    /// Whether it is a text or binary message.
    fn is_data(&self) -> bool;
}

impl Data for tokio_tungstenite::tungstenite::Message {
    fn is_data(&self) -> bool {
        self.is_text() || self.is_binary()
    }
}

impl Data for tokio_websockets::Message {
    fn is_data(&self) -> bool {
        self.is_text() || self.is_binary()
    }
}

impl Data for sockudo_ws::Message {
    fn is_data(&self) -> bool {
        self.is_text() || self.is_binary()
    }
}

/// The subscribers of a topic.
pub struct Topic<M> {
    subscribers: Mutex<Vec<(u64, UnboundedSender<M>)>>,
}

/// All topics.
pub struct Hub<M> {
    topics: Mutex<HashMap<String, Arc<Topic<M>>>>,
}

impl<M: Clone> Topic<M> {
    /// A channel with what is published from now on; `id` is the connection's.
    pub fn subscribe(&self, id: u64) -> UnboundedReceiver<M> {
        let (sender, receiver) = unbounded_channel();
        self.lock().push((id, sender));
        receiver
    }

    /// To all subscribers.
    pub fn publish(&self, message: &M) {
        for (_, sender) in self.lock().iter() {
            // A receiver that is gone is about to unsubscribe.
            let _ = sender.send(message.clone());
        }
    }

    /// The connection has gone.
    pub fn unsubscribe(&self, id: u64) {
        self.lock().retain(|(other, _)| *other != id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(u64, UnboundedSender<M>)>> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M> Default for Hub<M> {
    fn default() -> Self {
        Hub { topics: Mutex::new(HashMap::new()) }
    }
}

impl<M> Hub<M> {
    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Arc<Topic<M>> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let none = || Arc::new(Topic { subscribers: Mutex::new(Vec::new()) });
        topics.entry(name.to_owned()).or_insert_with(none).clone()
    }
}

/// Runs a server on one thread: `serve` is spawned for each connection, with a number of its own.
pub fn run<F>(listener: TcpListener, serve: impl Fn(TcpStream, u64) -> F) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        crate::args::ready();
        for id in 0.. {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(serve(stream, id))),
                // Out of descriptors, or the client is gone again.
                Err(_) => tokio::task::yield_now().await,
            }
        }
        Ok(())
    })
}

/// Serves an open connection to its end.
pub async fn serve<S, M, E>(ws: S, topic: Option<Arc<Topic<M>>>, id: u64)
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    M: Data,
{
    match topic {
        // An error is the end of the connection, whichever it is.
        None => drop(echo(ws).await),
        Some(topic) => {
            let receiver = topic.subscribe(id);
            let _ = relay(ws, &topic, receiver).await;
            topic.unsubscribe(id);
        }
    }
}

/// One flush for all the answers to what has come together.
async fn echo<S, M, E>(mut ws: S) -> Result<(), E>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    M: Data,
{
    while let Some(message) = ws.next().await {
        let mut next = Some(Some(message));
        while let Some(message) = next {
            let Some(message) = message.transpose()? else { return Ok(()) };
            if message.is_data() {
                ws.feed(message).await?;
            }
            next = ws.next().now_or_never();
        }
        ws.flush().await?;
    }
    Ok(())
}

async fn relay<S, M, E>(
    mut ws: S,
    topic: &Topic<M>,
    mut receiver: UnboundedReceiver<M>,
) -> Result<(), E>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    M: Data,
{
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            message = ws.next() => {
                let mut next = Some(message);
                while let Some(message) = next {
                    let Some(message) = message.transpose()? else { return Ok(()) };
                    if message.is_data() {
                        topic.publish(&message);
                    }
                    next = ws.next().now_or_never();
                }
            }
            _ = receiver.recv_many(&mut batch, BATCH) => {
                for message in batch.drain(..) {
                    ws.feed(message).await?;
                }
                ws.flush().await?;
            }
        }
    }
}
