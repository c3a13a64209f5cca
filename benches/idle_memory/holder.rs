//! A child process that opens connections, tells how many, and holds them: pings are answered.
//!
//! Ends when its parent ends it, and by itself when nobody does.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::common::{Deadline, Frame, SOON, upgrade_head};

/// The first argument of a child.
pub(crate) const ARGUMENT: &str = "--hold";
const SUBSCRIBE: &str = r#"{"type":"subscribe","id":1,"topic":"idle:all"}"#;
/// Connections that are opened between two looks at the pings of the others.
const BATCH: usize = 256;
/// What comes before the connection is idle: a head, a welcome, an answer.
const GREETING_BYTES_MAX: usize = 4096;
const EVENTS: usize = 1024;
const PACE_MS: u16 = 500;
/// A frame of the heartbeat.
const PING: [u8; 2] = [0x89, 0];

struct Holder {
    epoll: Epoll,
    /// Those that are lost leave an empty place.
    held: Vec<Option<TcpStream>>,
    lost: usize,
}

/// Arguments: address, connections, seconds after which the child ends by itself, and whether
/// compression is agreed on.
pub(crate) fn hold(args: &[String]) {
    let [addr, count, seconds, deflates] = args else {
        panic!("{ARGUMENT} ADDRESS COUNT SECONDS DEFLATES")
    };
    let first_words = first_words(deflates.parse().expect("true or false"));
    let addr: SocketAddr = addr.parse().expect("an address");
    let count: usize = count.parse().expect("how many to hold");
    let deadline = Deadline::after(Duration::from_secs(seconds.parse().expect("seconds")));
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("an epoll instance");
    let mut holder = Holder { epoll, held: Vec::with_capacity(count), lost: 0 };
    while holder.held.len() < count && deadline.left().is_some() {
        for _ in 0..BATCH.min(count - holder.held.len()) {
            holder.open(addr, &first_words);
        }
        holder.answer_pings(EpollTimeout::ZERO);
    }
    println!("{} {}", count - holder.lost, holder.lost);
    while deadline.left().is_some() {
        holder.answer_pings(EpollTimeout::from(PACE_MS));
    }
}

impl Holder {
    fn open(&mut self, addr: SocketAddr, first_words: &[u8]) {
        let stream = greet(addr, first_words).ok();
        if let Some(stream) = &stream {
            let place = EpollEvent::new(EpollFlags::EPOLLIN, self.held.len() as u64);
            self.epoll.add(stream, place).expect("a new descriptor");
        }
        self.lost += usize::from(stream.is_none());
        self.held.push(stream);
    }

    fn answer_pings(&mut self, timeout: EpollTimeout) {
        let mut events = [EpollEvent::empty(); EVENTS];
        let count = self.epoll.wait(&mut events, timeout).unwrap_or(0);
        for event in &events[..count] {
            let place = &mut self.held[event.data() as usize];
            let Some(stream) = place else { continue };
            if !answer(stream) {
                // Dropping it takes it out of the epoll instance as well.
                *place = None;
                self.lost += 1;
            }
        }
    }
}

/// A head and a subscription. The frame may follow the head at once: the server reads a stream.
fn first_words(deflates: bool) -> Vec<u8> {
    let head = upgrade_head("/ws");
    if !deflates {
        return [head.as_bytes(), &Frame::text(SUBSCRIBE).octets()].concat();
    }
    let offer = "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    let head = head.replace("\r\n\r\n", offer);
    let payload = miniz_oxide::deflate::compress_to_vec(SUBSCRIBE.as_bytes(), 6);
    [head.as_bytes(), &Frame::text(payload).reserved(4).octets()].concat()
}

/// Opens and subscribes.
fn greet(addr: SocketAddr, first_words: &[u8]) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&addr, SOON)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.set_nodelay(true)?;
    stream.write_all(first_words)?;
    let mut greeting = Vec::with_capacity(GREETING_BYTES_MAX);
    let mut octets = [0; GREETING_BYTES_MAX];
    let answer = b"\"subscribed\"";
    while !greeting.windows(answer.len()).any(|window| window == answer) {
        let count = stream.read(&mut octets)?;
        greeting.extend_from_slice(&octets[..count]);
        if count == 0 || greeting.len() > GREETING_BYTES_MAX {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Answers the pings that are there; false when anything else is.
fn answer(stream: &mut TcpStream) -> bool {
    let mut octets = [0; 256];
    match stream.read(&mut octets) {
        Ok(count) if count > 0 && octets[..count].chunks(PING.len()).all(|two| two == PING) => {
            let pong = Frame::pong(b"").octets();
            stream.write_all(&pong.repeat(count / PING.len())).is_ok()
        }
        Ok(_) => false,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
