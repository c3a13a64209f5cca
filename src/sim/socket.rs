//! One simulated connection: what lies in it, and what a shard has ordered of it.
//!
//! Owns the octets under way. The client's side may do what it likes. The shard's side is strict:
//! an order that breaks O1 to O3 of `ring::op` panics, and it is judged by what the shard can know,
//! so a receive is outstanding until its end was told, not until it was over.

use bytes::Bytes;

use crate::base::ConnKey;
use crate::ring::{FileSlot, ShutdownHow};

/// Index of a socket in its kernel; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u32);

/// How a client's stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// By FIN, behind the last octet.
    Finished,
    /// By RST: octets may be missing.
    Reset,
}

/// What a connection was slow for, counted in sends that were not taken whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// All of them.
    pub shorts: u64,
    /// Those from before the last moment at which nothing waited.
    pub settled: u64,
}

impl Pace {
    /// Something may wait, or may have been left out since.
    pub fn is_slow(self) -> bool {
        self.shorts > self.settled
    }
}

/// A queued send that the kernel works on.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) conn: ConnKey,
    octets: Vec<u8>,
    taken: usize,
}

/// A close that waits for a shutdown (D1 of `ring::files`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseOf {
    Conn(ConnKey),
    Unused,
}

/// See the module's header.
#[derive(Debug)]
pub struct Socket {
    /// The shard whose listener it came to.
    pub shard: usize,
    pub(super) file: Option<FileSlot>,
    input: Vec<u8>,
    input_at: usize,
    /// Octets that the shard gets at a time, at most.
    pub input_step: usize,
    has_ended: bool,
    is_broken: bool,
    output: Vec<u8>,
    /// Octets that the socket takes before it is full; counts down.
    pub room: usize,
    is_shut: bool,
    is_shut_both: bool,
    /// The shard has closed it.
    pub is_closed: bool,
    /// Who receives, from the order to the end.
    pub(super) recv: Option<ConnKey>,
    pub(super) is_cancelling: bool,
    /// The shard wants nothing more for now: it pauses, or has given the connection up.
    is_unwanted: bool,
    recv_outstanding: bool,
    is_end_told: bool,
    pub(super) queued: Option<Queued>,
    send_outstanding: bool,
    submit_of_send: u64,
    pub(super) shutdowns: u32,
    pub(super) close_due: Option<CloseOf>,
    /// Sends that were not taken whole and at once.
    shorts: u64,
    /// How many of them there were when nothing waited for it any more.
    settled: u64,
    /// When octets were last told to the shard.
    heard_ms: u64,
    /// The longest time between two times that they were.
    silence_ms: u64,
}

impl Socket {
    pub(super) fn new(shard: usize, now_ms: u64) -> Self {
        Socket {
            shard,
            file: None,
            input: Vec::new(),
            input_at: 0,
            input_step: 4096,
            has_ended: false,
            is_broken: false,
            output: Vec::new(),
            room: usize::MAX,
            is_shut: false,
            is_shut_both: false,
            is_closed: false,
            recv: None,
            is_cancelling: false,
            is_unwanted: false,
            recv_outstanding: false,
            is_end_told: false,
            queued: None,
            send_outstanding: false,
            submit_of_send: 0,
            shutdowns: 0,
            close_due: None,
            shorts: 0,
            settled: 0,
            heard_ms: now_ms,
            silence_ms: 0,
        }
    }

    // The client's side.

    /// Writes octets; the client has looked at [`Self::input_len`] if it minds how many lie there.
    pub fn write(&mut self, octets: &[u8]) {
        if !self.is_closed && !self.is_broken {
            assert!(!self.has_ended, "a client that has ended its stream writes nothing");
            self.input.extend_from_slice(octets);
        }
    }

    /// Closes its half of the stream.
    pub fn end(&mut self) {
        self.has_ended = true;
    }

    /// Breaks the connection: the client by RST, or the network for good. `kept` octets of what the
    /// shard had not received yet still reach it.
    pub fn reset(&mut self, kept: usize) {
        self.is_broken = true;
        self.has_ended = true;
        self.input.truncate(self.input_at + kept.min(self.input_len()));
    }

    /// Octets that the shard has not received.
    pub fn input_len(&self) -> usize {
        self.input.len() - self.input_at
    }

    /// What the shard has sent and nobody has looked at.
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// Takes octets out, which makes room.
    pub fn read(&mut self, most: usize, into: &mut Vec<u8>) {
        let count = most.min(self.output.len());
        into.extend(self.output.drain(..count));
        self.room = self.room.saturating_add(count);
    }

    /// How the client's stream has ended, once it has read everything.
    pub fn stream_end(&self) -> Option<StreamEnd> {
        if !self.output.is_empty() {
            None
        } else if self.is_broken {
            Some(StreamEnd::Reset)
        } else if self.is_shut || self.is_shut_both || self.is_closed {
            Some(StreamEnd::Finished)
        } else {
            None
        }
    }

    /// The shard has nothing more to do. Whoever has read everything then has all that it will get
    /// of what was before, unless the shard has given it up.
    pub fn settle(&mut self) {
        let is_ending = self.cannot_send() || self.is_closed || self.shutdowns > 0;
        let is_ending = is_ending || self.is_unwanted;
        if self.output.is_empty() && !self.send_outstanding && !is_ending {
            self.settled = self.shorts;
        }
    }

    /// Since when something may have had to wait for it, and until when, in sends that were not
    /// taken whole.
    pub fn pace(&self) -> Pace {
        Pace { shorts: self.shorts, settled: self.settled }
    }

    /// True while the shard wants its octets.
    pub fn is_armed(&self) -> bool {
        self.recv.is_some()
    }

    /// What the shard has ordered and not yet heard the end of: a receive, a queued send.
    pub fn outstanding(&self) -> (bool, bool) {
        (self.recv_outstanding, self.send_outstanding)
    }

    // The shard's side: orders.

    pub(super) fn arm(&mut self, conn: ConnKey) {
        assert!(!self.recv_outstanding, "O1: one receive per connection: {conn:?}");
        assert!(!self.is_closed, "O3: a receive after the close: {conn:?}");
        assert!(!self.is_end_told, "armed again after the end: {conn:?}");
        self.recv = Some(conn);
        self.is_cancelling = false;
        self.is_unwanted = false;
        self.recv_outstanding = true;
    }

    /// A cancel is ordered, whatever becomes of it.
    pub(super) fn cancel_ordered(&mut self, conn: ConnKey) {
        self.is_unwanted |= self.recv == Some(conn);
    }

    /// True when it is this connection's receive that is under way; otherwise the cancel is late.
    pub(super) fn cancel(&mut self, conn: ConnKey) -> bool {
        let is_armed = self.recv == Some(conn);
        self.is_cancelling |= is_armed;
        is_armed
    }

    /// A fast send: how many octets are taken of `octets`. `None`: the connection is broken.
    pub(super) fn take_fast(
        &mut self,
        conn: ConnKey,
        octets: &[u8],
        most: usize,
        submit: u64,
    ) -> Option<usize> {
        assert!(!self.send_outstanding, "O2: one send per connection: {conn:?}");
        assert!(self.submit_of_send != submit, "O2: two sends in one turn: {conn:?}");
        assert!(!self.is_closed, "O3: a send after the close: {conn:?}");
        self.submit_of_send = submit;
        if self.cannot_send() {
            return None;
        }
        let taken = octets.len().min(self.room).min(most);
        self.put(&octets[..taken]);
        self.shorts += u64::from(taken < octets.len());
        Some(taken)
    }

    pub(super) fn queue(&mut self, conn: ConnKey, frames: &[Bytes], skip: u32, submit: u64) {
        assert!(!self.send_outstanding, "O2: one send per connection: {conn:?}");
        assert!(self.submit_of_send != submit, "O2: two sends in one turn: {conn:?}");
        assert!(!self.is_closed, "O3: a send after the close: {conn:?}");
        assert!((skip as usize) < frames[0].len(), "something of the first frame is left");
        self.send_outstanding = true;
        self.shorts += 1;
        let octets = frames.concat().split_off(skip as usize);
        self.queued = Some(Queued { conn, octets, taken: 0 });
    }

    pub(super) fn shut(&mut self, how: ShutdownHow) {
        match how {
            ShutdownHow::Write => self.is_shut = true,
            ShutdownHow::Both => self.is_shut_both = true,
        }
    }

    /// The close is carried out. True when octets lay there that nobody will receive: then the
    /// client is reset instead of told the end (RFC 1122, section 4.2.2.13).
    pub(super) fn close(&mut self, of: CloseOf) -> bool {
        self.check_close(of);
        self.is_closed = true;
        self.file = None;
        let is_unread = self.input_len() > 0 && !self.is_broken;
        self.is_broken |= is_unread;
        is_unread
    }

    pub(super) fn check_close(&self, of: CloseOf) {
        assert!(!self.is_closed, "O3: closed once: {of:?}");
        assert!(!self.recv_outstanding, "O3: a receive is outstanding: {of:?}");
        assert!(!self.send_outstanding, "O3: a queued send is outstanding: {of:?}");
    }

    // The kernel's side: what becomes of them.

    /// What there is to receive, at most `most` octets of it.
    pub(super) fn receive(&mut self, most: usize) -> Vec<u8> {
        let count = most.min(self.input_step).min(self.input_len());
        let octets = self.input[self.input_at..][..count].to_vec();
        self.input_at += count;
        if self.input_at == self.input.len() {
            self.input.clear();
            self.input_at = 0;
        }
        octets
    }

    /// Nothing is left to receive, and nothing more will come.
    pub(super) fn is_at_end(&self) -> bool {
        self.input_len() == 0 && (self.has_ended || self.is_shut_both)
    }

    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// The receive is over as far as the kernel is concerned.
    pub(super) fn end_recv(&mut self, is_last: bool) {
        assert!(self.recv.take().is_some());
        self.is_cancelling = false;
        self.is_end_told |= is_last;
    }

    /// Octets are told to the shard.
    pub(super) fn input_told(&mut self, now_ms: u64) {
        self.silence_ms = self.silence_ms(now_ms);
        self.heard_ms = now_ms;
    }

    /// The longest time in which the shard has heard nothing of it.
    pub fn silence_ms(&self, now_ms: u64) -> u64 {
        self.silence_ms.max(now_ms - self.heard_ms)
    }

    /// The shard hears of it.
    pub(super) fn recv_end_told(&mut self) {
        self.recv_outstanding = false;
    }

    /// The shard hears that a queued send is over.
    pub(super) fn send_end_told(&mut self) {
        self.send_outstanding = false;
    }

    /// Moves on with a queued send, by at most `most` octets. Gives how many are out of how many.
    pub(super) fn push_queued(&mut self, most: usize) -> Option<(usize, usize)> {
        let mut queued = self.queued.take()?;
        let rest = &queued.octets[queued.taken..];
        let count = if self.cannot_send() { 0 } else { rest.len().min(self.room).min(most) };
        self.put(&rest[..count]);
        queued.taken += count;
        let progress = (queued.taken, queued.octets.len());
        self.queued = Some(queued);
        Some(progress)
    }

    /// True when nothing can be sent any more.
    pub(super) fn cannot_send(&self) -> bool {
        self.is_broken || self.is_shut || self.is_shut_both
    }

    /// What the network had not delivered when the connection broke is gone, from `kept` on.
    pub(super) fn lose_output(&mut self, kept: usize) {
        self.output.truncate(kept);
    }

    /// Drops the last octet that was sent: a kernel with a bug.
    pub(super) fn drop_an_octet(&mut self) {
        self.output.pop();
    }

    fn put(&mut self, octets: &[u8]) {
        self.room -= octets.len();
        self.output.extend_from_slice(octets);
    }
}
