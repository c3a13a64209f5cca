//! The io_uring floor: what a server on a ring can reach that checks nothing.
//!
//! One thread, one ring: multishot accept and receive, direct descriptors, provided buffers, and
//! sends that have no completion unless something is wrong. A connection's answers of one turn are
//! one send, made in place in the receive buffer if one buffer brought them all. Publications are
//! gathered in one batch of frames per topic, and at the end of the turn each subscriber is sent
//! that same batch, uncopied. What a socket does not take waits in a queue without bound, and goes
//! out by one send at a time that waits for the socket.

mod conn;
mod ring;

use std::io;
use std::net::TcpListener;

use conn::{Conn, Sent, State};
use io_uring::types::Timespec;
use ring::{Kind, News, Ring};
use ringwire_peers::frame::{echo_in_place, relay};
use ringwire_peers::topics::Topics;
use ringwire_peers::{args, http};

/// The kernel runs no more than this much deferred work per call (since 6.13; before, all of it).
const WORK_PER_ENTER: usize = 20;
/// A turn with publications goes on as long as more is there, but no longer than this.
const ROUNDS_MAX: usize = 256;
/// Pings go out this often, to the next few connections.
const TICK_MS: u64 = 64;
static TICK: Timespec = Timespec::new().nsec(TICK_MS as u32 * 1_000_000);
const PING: &[u8] = &[0x89, 0];
/// The largest table of direct descriptors.
const FILES_MAX: u64 = 1 << 20;

struct Floor<'a> {
    ring: Ring<'a>,
    listener: TcpListener,
    conns: Vec<Conn>,
    topics: Topics,
    replies: Vec<u8>,
    /// Connections with an answer of this turn.
    dirty: Vec<u32>,
    /// Buffers with answers of this turn, and of the one before.
    held: Vec<u16>,
    /// What is to be done once the answers of this turn are on their way.
    closes: Vec<u32>,
    cancels: Vec<u32>,
    /// Receives that ended for want of buffers.
    starved: Vec<u32>,
    accept_ended: bool,
    heartbeat_ms: Option<u64>,
    /// The connection that was sent the last ping.
    pinged: usize,
    /// What of the next ping is due already, in parts of `heartbeat_ms`.
    owed: u64,
}

fn main() -> io::Result<()> {
    let (port, heartbeat_ms) = args::port_and_heartbeat();
    let listener = args::listen(port)?;
    listener.set_nonblocking(false)?;
    let mut ring = ring::build()?;
    let files = args::descriptors_max().min(FILES_MAX) as u32;
    let mut floor = Floor {
        ring: Ring::new(&mut ring, files)?,
        listener,
        conns: Vec::new(),
        topics: Topics::default(),
        replies: Vec::new(),
        dirty: Vec::new(),
        held: Vec::new(),
        closes: Vec::new(),
        cancels: Vec::new(),
        starved: Vec::new(),
        accept_ended: false,
        heartbeat_ms,
        pinged: 0,
        owed: 0,
    };
    floor.ring.accept(&floor.listener)?;
    if heartbeat_ms.is_some() {
        floor.ring.tick_every(&TICK)?;
    }
    args::ready();
    let mut news = Vec::new();
    loop {
        let mut count = floor.ring.enter(true, &mut news)?;
        floor.settle(&news)?;
        floor.handle(&mut news)?;
        for _ in 0..ROUNDS_MAX {
            if count < WORK_PER_ENTER || !floor.topics.is_dirty() {
                break;
            }
            count = floor.ring.enter(false, &mut news)?;
            floor.handle(&mut news)?;
        }
        floor.flush()?;
    }
}

impl Floor<'_> {
    /// What the fast sends of the turn before have not sent waits in queues; everything that they
    /// pointed at is free then.
    fn settle(&mut self, news: &[News]) -> io::Result<()> {
        for news in news.iter().filter(|news| news.kind == Kind::Fast) {
            self.unsent(news.slot, news.result)?;
        }
        for slot in self.dirty.drain(..) {
            let conn = &mut self.conns[slot as usize];
            if let Sent::Spill = std::mem::take(&mut conn.sent) {
                conn.rest();
            }
        }
        for buffer in self.held.drain(..) {
            self.ring.give_back(buffer);
        }
        self.ring.publish();
        for slot in std::mem::take(&mut self.starved) {
            self.ring.recv(slot)?;
        }
        Ok(())
    }

    fn unsent(&mut self, slot: u32, result: i32) -> io::Result<()> {
        let conn = &mut self.conns[slot as usize];
        let done = match result {
            done if done >= 0 => done as usize,
            error if error == -libc::EAGAIN => 0,
            // The receive will say the same.
            _ => return Ok(()),
        };
        match (conn.sent, conn.state) {
            (Sent::Buffer { buffer, bytes }, _) => {
                let bytes = &self.ring.lend(buffer, bytes as usize)[done..];
                conn.slow().queue.extend_from_slice(bytes);
            }
            (Sent::Spill, _) => {
                let slow = conn.slow();
                slow.queue.extend_from_slice(&slow.spill[done..]);
            }
            (Sent::Nothing, State::Topic(number)) => {
                let topic = self.topics.of(number);
                conn.slow().queue.extend_from_slice(&topic.sent[done..]);
            }
            (Sent::Nothing, State::Free | State::Head | State::Echo) => return Ok(()),
        }
        self.send_queue(slot)
    }

    fn send_queue(&mut self, slot: u32) -> io::Result<()> {
        let conn = &mut self.conns[slot as usize];
        if conn.send_armed {
            return Ok(());
        }
        let slow = conn.slow();
        if slow.in_flight_at == slow.in_flight.len() {
            slow.in_flight.clear();
            slow.in_flight_at = 0;
            std::mem::swap(&mut slow.in_flight, &mut slow.queue);
        }
        if slow.in_flight.is_empty() {
            conn.rest();
            return Ok(());
        }
        conn.send_armed = true;
        let slow = conn.slow();
        self.ring.send_queued(slot, &slow.in_flight[slow.in_flight_at..])
    }

    fn handle(&mut self, all: &mut Vec<News>) -> io::Result<()> {
        for news in all.drain(..) {
            match news.kind {
                Kind::Accept => self.accepted(news)?,
                Kind::Recv => self.received(news)?,
                Kind::Queued => self.sent(news)?,
                Kind::Tick => self.ping()?,
                Kind::Fast | Kind::Other => {}
            }
        }
        self.ring.publish();
        Ok(())
    }

    /// Pings the share of all connections whose turn it is. Nobody looks whether they answer.
    fn ping(&mut self) -> io::Result<()> {
        let all = self.conns.len() as u64;
        let Some(heartbeat_ms) = self.heartbeat_ms else { return Ok(()) };
        self.owed += all * TICK_MS;
        let share = (self.owed / heartbeat_ms).min(all);
        self.owed %= heartbeat_ms;
        for _ in 0..share {
            self.pinged = (self.pinged + 1) % self.conns.len();
            let conn = &self.conns[self.pinged];
            let is_open = matches!(conn.state, State::Echo | State::Topic(_));
            if is_open && conn.is_flowing() && !conn.closing {
                self.ring.send_fast(self.pinged as u32, PING)?;
            }
        }
        Ok(())
    }

    fn accepted(&mut self, news: News) -> io::Result<()> {
        if let Ok(slot) = u32::try_from(news.result) {
            if self.conns.len() <= slot as usize {
                self.conns.resize_with(slot as usize + 1, Conn::default);
            }
            let conn = &mut self.conns[slot as usize];
            *conn = Conn { state: State::Head, recv_armed: true, ..Conn::default() };
            self.ring.recv(slot)?;
        }
        if !news.more() {
            // A full table stays full until a connection closes.
            self.accept_ended = true;
            if !matches!(-news.result, libc::ENFILE | libc::EMFILE) {
                self.accept_again()?;
            }
        }
        Ok(())
    }

    fn accept_again(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.accept_ended) {
            self.ring.accept(&self.listener)?;
        }
        Ok(())
    }

    #[inline]
    fn received(&mut self, news: News) -> io::Result<()> {
        let slot = news.slot;
        if let (Some(buffer), true) = (news.buffer(), news.result > 0) {
            self.feed(slot, buffer, news.result as usize);
        } else if let Some(buffer) = news.buffer() {
            self.ring.give_back(buffer);
        }
        if news.more() {
            return Ok(());
        }
        let conn = &mut self.conns[slot as usize];
        conn.recv_armed = false;
        let goes_on = news.result > 0 || news.result == -libc::ENOBUFS;
        if goes_on && !conn.closing {
            conn.recv_armed = true;
            self.starved.push(slot);
            return Ok(());
        }
        conn.closing = true;
        self.closes.push(slot);
        Ok(())
    }

    #[inline]
    fn feed(&mut self, slot: u32, buffer: u16, bytes: usize) {
        let conn = &mut self.conns[slot as usize];
        let is_whole = conn.slow.as_ref().is_none_or(|slow| slow.partial.is_empty());
        if conn.closing || matches!(conn.state, State::Free) {
            return self.ring.give_back(buffer);
        }
        let data = self.ring.lend(buffer, bytes);
        match conn.state {
            State::Echo if is_whole => {
                let fed = echo_in_place(data);
                if fed.taken < bytes {
                    conn.slow().partial.extend_from_slice(&data[fed.taken..]);
                }
                if fed.closed {
                    conn.closing = true;
                    self.cancels.push(slot);
                }
                if conn.is_flowing() && fed.replied > 0 {
                    conn.sent = Sent::Buffer { buffer, bytes: fed.replied as u32 };
                    self.dirty.push(slot);
                    self.held.push(buffer);
                    return;
                }
                let replies = data[..fed.replied].to_vec();
                self.reply(slot, &replies);
            }
            State::Topic(number) if is_whole => {
                let data = &*data;
                let taken = Self::publish(
                    conn,
                    slot,
                    number,
                    data,
                    &mut self.topics,
                    &mut self.replies,
                    &mut self.cancels,
                );
                if taken < bytes {
                    conn.slow().partial.extend_from_slice(&data[taken..]);
                }
                self.reply_to_control(slot);
            }
            State::Free | State::Head | State::Echo | State::Topic(_) => {
                conn.slow().partial.extend_from_slice(data);
                self.feed_partial(slot);
            }
        }
        self.ring.give_back(buffer);
    }

    /// What has come in more than one piece, and heads.
    fn feed_partial(&mut self, slot: u32) {
        let conn = &mut self.conns[slot as usize];
        let mut whole = std::mem::take(&mut conn.slow().partial);
        let mut taken = 0;
        if matches!(conn.state, State::Head) {
            taken = self.open(slot, &whole);
        }
        let conn = &mut self.conns[slot as usize];
        match conn.state {
            State::Free | State::Head => {}
            State::Echo => {
                let fed = echo_in_place(&mut whole[taken..]);
                if fed.closed {
                    conn.closing = true;
                    self.cancels.push(slot);
                }
                self.reply(slot, &whole[taken..taken + fed.replied]);
                taken += fed.taken;
            }
            State::Topic(number) => {
                taken += Self::publish(
                    conn,
                    slot,
                    number,
                    &whole[taken..],
                    &mut self.topics,
                    &mut self.replies,
                    &mut self.cancels,
                );
                self.reply_to_control(slot);
            }
        }
        whole.drain(..taken);
        let conn = &mut self.conns[slot as usize];
        if whole.is_empty() {
            conn.rest();
        } else {
            conn.slow().partial = whole;
        }
    }

    fn open(&mut self, slot: u32, data: &[u8]) -> usize {
        let conn = &mut self.conns[slot as usize];
        match http::parse(data) {
            Ok(None) => 0,
            Ok(Some(head)) => {
                conn.state = match head.topic {
                    None => State::Echo,
                    Some(topic) => {
                        let number = self.topics.number(topic);
                        self.topics.of(number).subscribers.push(slot);
                        State::Topic(number)
                    }
                };
                self.reply(slot, http::response(head.key).as_bytes());
                head.bytes
            }
            Err(http::NoUpgrade) => {
                conn.closing = true;
                self.cancels.push(slot);
                data.len()
            }
        }
    }

    #[inline]
    fn publish(
        conn: &mut Conn,
        slot: u32,
        number: u32,
        data: &[u8],
        topics: &mut Topics,
        replies: &mut Vec<u8>,
        cancels: &mut Vec<u32>,
    ) -> usize {
        replies.clear();
        let batch = topics.batch(number);
        let was_empty = batch.is_empty();
        let fed = relay(data, batch, replies);
        if was_empty && !batch.is_empty() {
            topics.mark(number);
        }
        if fed.closed {
            conn.closing = true;
            cancels.push(slot);
        }
        fed.taken
    }

    /// A subscriber's own answers; a batch of the same turn goes out behind them.
    fn reply_to_control(&mut self, slot: u32) {
        if !self.replies.is_empty() {
            let replies = std::mem::take(&mut self.replies);
            self.reply(slot, &replies);
            self.replies = replies;
        }
    }

    /// Answers that do not stand in a receive buffer of their own.
    fn reply(&mut self, slot: u32, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let conn = &mut self.conns[slot as usize];
        if conn.send_armed {
            conn.slow().queue.extend_from_slice(bytes);
            return;
        }
        match conn.sent {
            Sent::Nothing => {
                self.dirty.push(slot);
                conn.slow().spill.clear();
            }
            Sent::Buffer { buffer, bytes } => {
                let first = self.ring.lend(buffer, bytes as usize);
                let slow = conn.slow();
                slow.spill.clear();
                slow.spill.extend_from_slice(first);
            }
            Sent::Spill => {}
        }
        conn.sent = Sent::Spill;
        conn.slow().spill.extend_from_slice(bytes);
    }

    /// A send that had to wait has come to its end.
    fn sent(&mut self, news: News) -> io::Result<()> {
        let conn = &mut self.conns[news.slot as usize];
        conn.send_armed = false;
        let slow = conn.slow();
        if news.result < 0 {
            // Nobody reads any more; the receive will say the same.
            slow.queue.clear();
            slow.in_flight_at = slow.in_flight.len();
        } else {
            slow.in_flight_at += news.result as usize;
        }
        if conn.closing && !conn.recv_armed {
            self.closes.push(news.slot);
        }
        self.send_queue(news.slot)
    }

    /// The end of a turn: one batch for each subscriber, all answers, then what ends.
    fn flush(&mut self) -> io::Result<()> {
        while let Some(topic) = self.topics.next_dirty() {
            for slot in &topic.subscribers {
                let conn = &mut self.conns[*slot as usize];
                if conn.is_flowing() {
                    self.ring.send_fast(*slot, &topic.sent)?;
                } else if conn.send_armed {
                    conn.slow().queue.extend_from_slice(&topic.sent);
                } else {
                    conn.slow().spill.extend_from_slice(&topic.sent);
                }
            }
        }
        for slot in &self.dirty {
            let conn = &self.conns[*slot as usize];
            match (conn.sent, &conn.slow) {
                (Sent::Buffer { buffer, bytes }, _) => {
                    self.ring.send_buffer(*slot, buffer, bytes as usize)?;
                }
                (Sent::Spill, Some(slow)) => self.ring.send_fast(*slot, &slow.spill)?,
                (Sent::Spill | Sent::Nothing, _) => {}
            }
        }
        for slot in self.cancels.drain(..) {
            self.ring.cancel_recv(slot)?;
        }
        for slot in std::mem::take(&mut self.closes) {
            self.end(slot)?;
        }
        Ok(())
    }

    fn end(&mut self, slot: u32) -> io::Result<()> {
        let conn = &mut self.conns[slot as usize];
        if conn.recv_armed || conn.send_armed || matches!(conn.state, State::Free) {
            return Ok(());
        }
        if let State::Topic(number) = conn.state {
            self.topics.leave(number, slot);
        }
        *conn = Conn::default();
        self.ring.close(slot)?;
        self.accept_again()
    }
}
