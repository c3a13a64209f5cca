//! tokio-uring by hand: one task per connection with a read buffer of 4 KiB, and the frames of the
//! floors, which are checked for nothing.
//!
//! An echo is made in place and written with one operation. For the relay, a publisher's frames are
//! encoded once and added to the queue of each subscriber, whose second task writes all that has
//! gathered at once. **Slow readers**: the queue grows without bound, nothing is dropped and
//! nobody is disconnected.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use ringwire_peers::frame::{Fed, echo_in_place, relay};
use ringwire_peers::{args, http};
use tokio::sync::Notify;
use tokio_uring::buf::BoundedBuf;
use tokio_uring::net::{TcpListener, TcpStream};

const READ_BUFFER_BYTES: usize = 4096;
const RING_ENTRIES: u32 = 4096;

/// What waits for a subscriber.
#[derive(Default)]
struct Subscriber {
    queue: RefCell<Vec<u8>>,
    wake: Notify,
    ended: RefCell<bool>,
}

type Topic = Rc<RefCell<Vec<Rc<Subscriber>>>>;
type Hub = Rc<RefCell<HashMap<String, Topic>>>;

fn main() -> io::Result<()> {
    let listener = args::listen(args::port())?;
    listener.set_nonblocking(false)?;
    tokio_uring::builder().entries(RING_ENTRIES).start(async {
        let listener = TcpListener::from_std(listener);
        let hub = Hub::default();
        args::ready();
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                tokio_uring::spawn(serve(Rc::new(stream), hub.clone()));
            }
        }
    })
}

/// An error is the end of the connection, whichever it is.
async fn serve(stream: Rc<TcpStream>, hub: Hub) {
    let Ok((topic, rest)) = open(&stream, &hub).await else { return };
    let Some(topic) = topic else {
        let _ = echo(&stream, rest).await;
        return;
    };
    let me = Rc::new(Subscriber::default());
    topic.borrow_mut().push(me.clone());
    let writing = tokio_uring::spawn(write(stream.clone(), me.clone()));
    let _ = publish(&stream, &topic, &me, rest).await;
    topic.borrow_mut().retain(|other| !Rc::ptr_eq(other, &me));
    me.ended.replace(true);
    me.wake.notify_one();
    let _ = writing.await;
}

/// Reads more behind what is there; `Err` at the end of the stream.
async fn read(stream: &TcpStream, mut buffer: Vec<u8>) -> io::Result<Vec<u8>> {
    let filled = buffer.len();
    if buffer.capacity() == filled {
        buffer.reserve(filled.max(READ_BUFFER_BYTES));
    }
    let (count, buffer) = stream.read(buffer.slice(filled..)).await;
    if count? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(buffer.into_inner())
}

async fn open(stream: &TcpStream, hub: &Hub) -> io::Result<(Option<Topic>, Vec<u8>)> {
    let mut buffer = Vec::with_capacity(READ_BUFFER_BYTES);
    loop {
        buffer = read(stream, buffer).await?;
        let head = http::parse(&buffer).map_err(|_| io::ErrorKind::InvalidData)?;
        let Some(head) = head else { continue };
        let topic =
            head.topic.map(|name| hub.borrow_mut().entry(name.to_owned()).or_default().clone());
        let (bytes, response) = (head.bytes, http::response(head.key));
        stream.write_all(response.into_bytes()).await.0?;
        buffer.drain(..bytes);
        return Ok((topic, buffer));
    }
}

async fn echo(stream: &TcpStream, mut buffer: Vec<u8>) -> io::Result<()> {
    loop {
        let Fed { taken, replied, closed } = echo_in_place(&mut buffer);
        if replied > 0 {
            let (result, slice) = stream.write_all(buffer.slice(..replied)).await;
            result?;
            buffer = slice.into_inner();
        }
        if closed {
            return Ok(());
        }
        buffer.drain(..taken);
        buffer = read(stream, buffer).await?;
    }
}

async fn publish(
    stream: &TcpStream,
    topic: &Topic,
    me: &Subscriber,
    mut buffer: Vec<u8>,
) -> io::Result<()> {
    let (mut batch, mut replies) = (Vec::new(), Vec::new());
    loop {
        let fed = relay(&buffer, &mut batch, &mut replies);
        if !batch.is_empty() {
            for subscriber in topic.borrow().iter() {
                subscriber.add(&batch);
            }
            batch.clear();
        }
        if !replies.is_empty() {
            me.add(&replies);
            replies.clear();
        }
        if fed.closed {
            return Ok(());
        }
        buffer.drain(..fed.taken);
        buffer = read(stream, buffer).await?;
    }
}

async fn write(stream: Rc<TcpStream>, me: Rc<Subscriber>) -> io::Result<()> {
    let mut spare = Vec::new();
    loop {
        let queue = me.queue.replace(spare);
        if queue.is_empty() {
            spare = queue;
            if *me.ended.borrow() {
                return Ok(());
            }
            me.wake.notified().await;
            continue;
        }
        let (result, mut queue) = stream.write_all(queue).await;
        result?;
        queue.clear();
        spare = queue;
    }
}

impl Subscriber {
    fn add(&self, frames: &[u8]) {
        self.queue.borrow_mut().extend_from_slice(frames);
        self.wake.notify_one();
    }
}
