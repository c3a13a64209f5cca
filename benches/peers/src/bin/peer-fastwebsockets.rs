//! fastwebsockets, on one thread, upgraded by hyper as its documentation shows.
//!
//! The echo is the one of its documentation: a frame is written as soon as it was read, so messages
//! that come together are answered one by one. (Its reader can't say whether more is there, and may
//! not be cancelled to find out.) For the relay it is split in two tasks. The writer takes from an
//! unbounded channel all that has gathered, and flushes a `BufWriter` once. **Slow readers**: the
//! channel grows without bound, nothing is dropped and nobody is disconnected.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use fastwebsockets::upgrade::{self, UpgradeFut};
use fastwebsockets::{
    FragmentCollector, FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError,
    WebSocketWrite,
};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ringwire_peers::relay::{self, Hub, Topic};
use ringwire_peers::{args, http};
use tokio::io::{AsyncWrite, BufWriter, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedReceiver;

/// Messages that the writer takes from its channel at a time.
const BATCH: usize = 1024;
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

#[derive(Clone)]
struct Message {
    opcode: OpCode,
    payload: Bytes,
}

type Upgrading = Result<Response<Empty<Bytes>>, WebSocketError>;
type Writer = WebSocketWrite<BufWriter<WriteHalf<TokioIo<Upgraded>>>>;

fn main() -> io::Result<()> {
    let hub = Arc::new(Hub::default());
    relay::run(args::listen(args::port())?, |stream, id| accept(stream, id, hub.clone()))
}

async fn accept(stream: TcpStream, id: u64, hub: Arc<Hub<Message>>) {
    let service = service_fn(|request| {
        let hub = hub.clone();
        async move { open(request, id, hub) }
    });
    let io = TokioIo::new(stream);
    // An error is the end of the connection, whichever it is.
    let _ = http1::Builder::new().serve_connection(io, service).with_upgrades().await;
}

fn open(mut request: Request<Incoming>, id: u64, hub: Arc<Hub<Message>>) -> Upgrading {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let topic = http::topic_of(target).map(|name| hub.topic(name));
    let (response, future) = upgrade::upgrade(&mut request)?;
    tokio::spawn(tokio::task::unconstrained(async move {
        match topic {
            None => drop(echo(future).await),
            Some(topic) => {
                let receiver = topic.subscribe(id);
                let _ = relay(future, &topic, receiver).await;
                topic.unsubscribe(id);
            }
        }
    }));
    Ok(response)
}

async fn echo(future: UpgradeFut) -> Result<(), WebSocketError> {
    let mut ws = FragmentCollector::new(future.await?);
    loop {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => ws.write_frame(frame).await?,
            OpCode::Continuation | OpCode::Ping | OpCode::Pong => {}
        }
    }
}

async fn relay(
    future: UpgradeFut,
    topic: &Topic<Message>,
    receiver: UnboundedReceiver<Message>,
) -> Result<(), WebSocketError> {
    let (reader, writer) = future.await?.split(|io| {
        let (reader, writer) = tokio::io::split(io);
        (reader, BufWriter::with_capacity(WRITE_BUFFER_BYTES, writer))
    });
    let writer = Arc::new(Mutex::new(writer));
    let writing = tokio::spawn(write(writer.clone(), receiver));
    let mut reader = FragmentCollectorRead::new(reader);
    let result = loop {
        let mut answer = async |frame: Frame<'_>| {
            let mut writer = writer.lock().await;
            writer.write_frame(frame).await?;
            writer.flush().await
        };
        let frame = match reader.read_frame(&mut answer).await {
            Ok(frame) => frame,
            Err(error) => break Err(error),
        };
        match frame.opcode {
            OpCode::Close => break Ok(()),
            OpCode::Text | OpCode::Binary => {
                topic.publish(&Message { opcode: frame.opcode, payload: bytes(frame.payload) });
            }
            OpCode::Continuation | OpCode::Ping | OpCode::Pong => {}
        }
    };
    writing.abort();
    result
}

/// The payload without a copy, as the reader has it already.
fn bytes(payload: Payload<'_>) -> Bytes {
    match payload {
        Payload::Bytes(payload) => payload.freeze(),
        Payload::Owned(payload) => payload.into(),
        Payload::Borrowed(payload) => Bytes::copy_from_slice(payload),
        Payload::BorrowedMut(payload) => Bytes::copy_from_slice(payload),
    }
}

async fn write(
    writer: Arc<Mutex<Writer>>,
    mut receiver: UnboundedReceiver<Message>,
) -> Result<(), WebSocketError> {
    let mut batch = Vec::new();
    while receiver.recv_many(&mut batch, BATCH).await > 0 {
        let mut writer = writer.lock().await;
        write_all(&mut writer, &batch).await?;
        batch.clear();
    }
    Ok(())
}

async fn write_all<W: AsyncWrite + Unpin>(
    writer: &mut WebSocketWrite<W>,
    batch: &[Message],
) -> Result<(), WebSocketError> {
    for message in batch {
        let payload = Payload::Borrowed(&message.payload);
        writer.write_frame(Frame::new(true, message.opcode, None, payload)).await?;
    }
    writer.flush().await
}
