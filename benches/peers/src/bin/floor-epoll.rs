//! The epoll floor: what a server on epoll can reach that checks nothing.
//!
//! One thread, level-triggered. A ready socket is read once per turn into one buffer that all
//! share, and its echoes are made in place and written at once: one read and one write for
//! whatever has come. Publications are only gathered while sockets are ready, in one batch of
//! frames per topic, and at the end of the turn each subscriber gets the batch in one write.
//! What a socket does not take waits in a queue without bound.

use std::io;
use std::os::fd::OwnedFd;

use ringwire_peers::frame::{Fed, echo_in_place, relay};
use ringwire_peers::topics::Topics;
use ringwire_peers::{args, http};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};

const INPUT_BYTES: usize = 256 * 1024;
const EVENTS: usize = 4096;
/// A turn with publications goes on as long as sockets are ready, but no longer than this.
const ROUNDS_MAX: usize = 64;
const LISTENER: u64 = u64::MAX;
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

#[derive(Clone, Copy)]
enum State {
    Head,
    Echo,
    Topic(u32),
}

struct Conn {
    socket: OwnedFd,
    state: State,
    ends: bool,
    /// The beginning of a head or frame.
    partial: Vec<u8>,
    /// What the socket has not taken.
    queue: Vec<u8>,
}

struct Floor {
    epoll: OwnedFd,
    conns: Vec<Option<Conn>>,
    free: Vec<u32>,
    ended: Vec<u32>,
    topics: Topics,
    input: Vec<u8>,
    replies: Vec<u8>,
}

fn main() -> io::Result<()> {
    let listener = args::listen(args::port())?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    let mut floor = Floor {
        epoll,
        conns: Vec::new(),
        free: Vec::new(),
        ended: Vec::new(),
        topics: Topics::default(),
        input: vec![0; INPUT_BYTES],
        replies: Vec::new(),
    };
    let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS);
    args::ready();
    loop {
        for round in 0..ROUNDS_MAX {
            let timeout = (round > 0).then_some(&AT_ONCE);
            match epoll::wait(&floor.epoll, spare_capacity(&mut events), timeout) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let count = events.len();
            for event in events.drain(..) {
                match event.data.u64() {
                    LISTENER => floor.accept(&listener)?,
                    slot => floor.ready(slot as u32, event.flags),
                }
            }
            if count == 0 || !floor.topics.is_dirty() {
                break;
            }
        }
        floor.fan_out();
        floor.bury();
    }
}

impl Floor {
    fn accept(&mut self, listener: &std::net::TcpListener) -> io::Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        while let Ok(socket) = accept_with(listener, flags) {
            let slot = self.free.pop().unwrap_or(self.conns.len() as u32);
            let data = epoll::EventData::new_u64(slot.into());
            epoll::add(&self.epoll, &socket, data, epoll::EventFlags::IN)?;
            let (partial, queue) = (Vec::new(), Vec::new());
            let conn = Some(Conn { socket, state: State::Head, ends: false, partial, queue });
            if slot as usize == self.conns.len() {
                self.conns.push(conn);
            } else {
                self.conns[slot as usize] = conn;
            }
        }
        Ok(())
    }

    fn ready(&mut self, slot: u32, flags: epoll::EventFlags) {
        let Some(conn) = &mut self.conns[slot as usize] else { return };
        if conn.ends {
            return;
        }
        if flags.contains(epoll::EventFlags::OUT) {
            conn.drain(&self.epoll, slot);
        }
        if flags.intersects(!epoll::EventFlags::OUT) {
            self.read(slot);
        }
        if self.conns[slot as usize].as_ref().is_some_and(|conn| conn.ends) {
            self.ended.push(slot);
        }
    }

    fn read(&mut self, slot: u32) {
        let Some(conn) = &mut self.conns[slot as usize] else { return };
        let bytes = match recv(&conn.socket, self.input.as_mut_slice(), RecvFlags::empty()) {
            Ok((bytes, _)) if bytes > 0 => bytes,
            Err(Errno::AGAIN | Errno::INTR) => return,
            Ok(_) | Err(_) => {
                conn.ends = true;
                return;
            }
        };
        if conn.partial.is_empty() && !matches!(conn.state, State::Head) {
            let mut input = std::mem::take(&mut self.input);
            let fed = self.feed(slot, &mut input[..bytes]);
            if let Some(conn) = &mut self.conns[slot as usize] {
                conn.partial.extend_from_slice(&input[fed.taken..bytes]);
            }
            self.input = input;
            return;
        }
        let mut whole = std::mem::take(&mut conn.partial);
        whole.extend_from_slice(&self.input[..bytes]);
        let taken = self.open(slot, &whole);
        let fed = self.feed(slot, &mut whole[taken..]);
        whole.drain(..taken + fed.taken);
        if let Some(conn) = &mut self.conns[slot as usize] {
            // A connection at rest owns no memory.
            conn.partial = if whole.is_empty() { Vec::new() } else { whole };
        }
    }

    /// Answers a head that has come to its end. Gives the octets that are done with.
    fn open(&mut self, slot: u32, data: &[u8]) -> usize {
        let Some(conn) = &mut self.conns[slot as usize] else { return 0 };
        if !matches!(conn.state, State::Head) {
            return 0;
        }
        match http::parse(data) {
            Ok(None) => 0,
            Ok(Some(head)) => {
                conn.state = head.topic.map_or(State::Echo, |topic| {
                    let number = self.topics.number(topic);
                    self.topics.of(number).subscribers.push(slot);
                    State::Topic(number)
                });
                conn.write(&self.epoll, slot, http::response(head.key).as_bytes());
                head.bytes
            }
            Err(http::NoUpgrade) => {
                conn.ends = true;
                data.len()
            }
        }
    }

    fn feed(&mut self, slot: u32, data: &mut [u8]) -> Fed {
        let nothing = Fed { taken: 0, replied: 0, closed: false };
        let Some(conn) = &mut self.conns[slot as usize] else { return nothing };
        let (fed, replies) = match conn.state {
            State::Head => return nothing,
            State::Echo => {
                let fed = echo_in_place(data);
                (fed, &data[..fed.replied])
            }
            State::Topic(number) => {
                self.replies.clear();
                let batch = self.topics.batch(number);
                let was_empty = batch.is_empty();
                let fed = relay(data, batch, &mut self.replies);
                if was_empty && !batch.is_empty() {
                    self.topics.mark(number);
                }
                (fed, self.replies.as_slice())
            }
        };
        if !replies.is_empty() {
            conn.write(&self.epoll, slot, replies);
        }
        conn.ends |= fed.closed;
        fed
    }

    /// The end of a turn: each subscriber gets what its topic has gathered.
    fn fan_out(&mut self) {
        while let Some(topic) = self.topics.next_dirty() {
            for slot in &topic.subscribers {
                if let Some(conn) = &mut self.conns[*slot as usize] {
                    conn.write(&self.epoll, *slot, &topic.sent);
                }
            }
        }
    }

    fn bury(&mut self) {
        for slot in self.ended.drain(..) {
            if let Some(Conn { state: State::Topic(number), .. }) = self.conns[slot as usize] {
                self.topics.leave(number, slot);
            }
            if self.conns[slot as usize].take().is_some() {
                self.free.push(slot);
            }
        }
    }
}

impl Conn {
    /// Sends at once what can be sent at once.
    #[inline]
    fn write(&mut self, epoll: &OwnedFd, slot: u32, bytes: &[u8]) {
        let mut sent = 0;
        if self.queue.is_empty() {
            sent = match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => sent,
                Err(Errno::AGAIN | Errno::INTR) => 0,
                // Reading will say the same.
                Err(_) => return,
            };
            if sent < bytes.len() {
                self.want(epoll, slot, epoll::EventFlags::IN | epoll::EventFlags::OUT);
            }
        }
        self.queue.extend_from_slice(&bytes[sent..]);
    }

    fn drain(&mut self, epoll: &OwnedFd, slot: u32) {
        match send(&self.socket, &self.queue, SendFlags::NOSIGNAL) {
            Ok(sent) => drop(self.queue.drain(..sent)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.ends = true,
        }
        if self.queue.is_empty() {
            self.queue = Vec::new();
            self.want(epoll, slot, epoll::EventFlags::IN);
        }
    }

    fn want(&mut self, epoll: &OwnedFd, slot: u32, flags: epoll::EventFlags) {
        let data = epoll::EventData::new_u64(slot.into());
        if epoll::modify(epoll, &self.socket, data, flags).is_err() {
            self.ends = true;
        }
    }
}
