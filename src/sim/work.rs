//! What the simulated kernel does between two calls of a shard: connections come, octets arrive,
//! room lets queued sends go on.

use super::fact::Fact;
use super::faults::Canary;
use super::faults::Chance;
use super::kernel::{BROKEN_PIPE, CONNECTION_RESET, Kernel, TIMED_OUT};
use super::port::AcceptState;
use super::socket::SocketId;
use crate::ring::{AcceptFault, KernelFault, ListenerId, RecvEnd};

const OUT_OF_MEMORY: KernelFault = KernelFault(12);
const INVALID: KernelFault = KernelFault(22);
/// Pieces that are received from one socket at a time, at most.
const PIECES_MAX: u64 = 3;
const CANARY: Chance = Chance(60);

impl Kernel {
    /// Makes completions for a shard of whatever can happen now.
    pub fn work(&mut self, shard: usize) {
        self.carry_out_shutdowns(shard);
        for listener in 0..self.ports[shard].listeners.len() {
            self.accept(shard, ListenerId(listener as u16));
        }
        let count = self.ports[shard].live.len();
        // Whose completions come first is nobody's business (K1).
        let first = if self.faults.is_calm() { 0 } else { self.prng.below(count as u64) as usize };
        for index in 0..count {
            let id = self.ports[shard].live[(first + index) % count];
            if !self.faults.delays.strikes(&mut self.prng) {
                self.receive(shard, id);
                self.send_queued(shard, id);
            }
        }
        if self.faults.ghosts.strikes(&mut self.prng) {
            self.haunt(shard);
        }
        if self.faults.idle_wakes.strikes(&mut self.prng) {
            self.ring(shard);
        }
    }

    fn carry_out_shutdowns(&mut self, shard: usize) {
        for (id, how) in std::mem::take(&mut self.ports[shard].shutdowns) {
            if self.faults.late_shutdown.strikes(&mut self.prng) {
                self.ports[shard].shutdowns.push((id, how));
                continue;
            }
            let socket = &mut self.sockets[id.0 as usize];
            socket.shut(how);
            socket.shutdowns -= 1;
            if socket.shutdowns == 0
                && let Some(of) = socket.close_due.take()
            {
                self.close_now(shard, id, of);
            }
        }
    }

    fn accept(&mut self, shard: usize, listener: ListenerId) {
        let faults = &self.faults;
        if faults.delays.strikes(&mut self.prng) {
            return;
        }
        match self.ports[shard].acceptor(listener).state {
            AcceptState::Idle => {}
            AcceptState::Accepting => self.accept_backlog(shard, listener),
            AcceptState::Stopping => {
                // A cancel races with connections.
                if self.faults.late_cancel.strikes(&mut self.prng) {
                    self.accept_one(shard, listener);
                } else {
                    self.ports[shard].acceptor(listener).state = AcceptState::Idle;
                    let stopped = (None, Fact::AcceptStopped(listener));
                    self.ports[shard].queue.push_back(stopped);
                }
            }
        }
    }

    fn accept_backlog(&mut self, shard: usize, listener: ListenerId) {
        if self.ports[shard].is_deaf {
            let fault = AcceptFault::Kernel(INVALID);
            return self.stop_accepting(shard, listener, fault);
        }
        while self.ports[shard].acceptor(listener).state == AcceptState::Accepting
            && self.accept_one(shard, listener)
        {}
    }

    /// False when nobody waits.
    fn accept_one(&mut self, shard: usize, listener: ListenerId) -> bool {
        let faults = &self.faults;
        let port = &mut self.ports[shard];
        let Some(&id) = port.acceptor(listener).backlog.front() else { return false };
        if faults.accept_fails.strikes(&mut self.prng) {
            self.stop_accepting(shard, listener, AcceptFault::Kernel(OUT_OF_MEMORY));
            return true;
        }
        port.acceptor(listener).backlog.pop_front();
        if faults.accept_aborts.strikes(&mut self.prng) {
            self.sockets[id.0 as usize].reset(0);
            let aborted = Fact::AcceptFailed(listener, AcceptFault::Aborted);
            port.queue.push_back((None, aborted));
            return true;
        }
        match port.install(id) {
            Some(file) => {
                self.sockets[id.0 as usize].file = Some(file);
                port.push(id, Fact::Accepted(listener, file));
            }
            None => {
                self.sockets[id.0 as usize].reset(0);
                self.stop_accepting(shard, listener, AcceptFault::TableFull);
            }
        }
        true
    }

    fn stop_accepting(&mut self, shard: usize, listener: ListenerId, fault: AcceptFault) {
        let port = &mut self.ports[shard];
        port.acceptor(listener).state = AcceptState::Stopping;
        port.queue.push_back((None, Fact::AcceptFailed(listener, fault)));
    }

    /// Gives an armed receive what has arrived, or its end.
    fn receive(&mut self, shard: usize, id: SocketId) {
        let is_calm = self.faults.is_calm();
        let pieces = if is_calm { 1 } else { 1 + self.prng.below(PIECES_MAX) };
        for _ in 0..pieces {
            let socket = &self.sockets[id.0 as usize];
            let Some(conn) = socket.recv else { return };
            if socket.is_cancelling && !self.faults.late_cancel.strikes(&mut self.prng) {
                return self.end_recv(shard, id, RecvEnd::Cancelled);
            }
            if self.faults.recv_fails.strikes(&mut self.prng) {
                self.break_socket(id);
                return self.end_recv(shard, id, RecvEnd::Failed(TIMED_OUT));
            }
            if self.sockets[id.0 as usize].input_len() == 0 {
                break;
            }
            let is_dry = self.ports[shard].buffers == 0;
            if is_dry || self.faults.starves.strikes(&mut self.prng) {
                return self.end_recv(shard, id, RecvEnd::Starved);
            }
            let most = self.piece_bytes();
            let octets = self.sockets[id.0 as usize].receive(most);
            self.received(shard, id, Fact::Received(conn, octets));
            if self.faults.ends_again.strikes(&mut self.prng) {
                return self.end_recv(shard, id, RecvEnd::Again);
            }
        }
        let socket = &self.sockets[id.0 as usize];
        if socket.input_len() == 0 && socket.is_broken() {
            self.end_recv(shard, id, RecvEnd::Failed(CONNECTION_RESET));
        } else if socket.is_at_end() {
            self.end_recv(shard, id, RecvEnd::Eof);
        }
    }

    fn received(&mut self, shard: usize, id: SocketId, fact: Fact) {
        let port = &mut self.ports[shard];
        port.buffers -= 1;
        let bug = self.canary.filter(|_| CANARY.strikes(&mut self.prng));
        if bug == Some(Canary::ReceivesTwice) && port.buffers > 0 {
            port.buffers -= 1;
            port.push(id, fact.clone());
        }
        let before = port.queue.len().wrapping_sub(1);
        port.push(id, fact);
        if bug == Some(Canary::SwapsReceived)
            && let Some((Some(other), Fact::Received(..))) = port.queue.get(before)
            && *other == id
        {
            port.queue.swap(before, before + 1);
        }
    }

    /// How much is received at a time: a buffer's worth, or a few octets.
    fn piece_bytes(&mut self) -> usize {
        if !self.faults.is_calm() && self.prng.below(4) == 0 {
            return 1 + self.prng.below(16) as usize;
        }
        self.buffer_bytes
    }

    fn end_recv(&mut self, shard: usize, id: SocketId, why: RecvEnd) {
        let socket = &mut self.sockets[id.0 as usize];
        let conn = socket.recv.expect("an armed receive ends");
        let is_last = match why {
            RecvEnd::Eof | RecvEnd::Failed(_) => true,
            RecvEnd::Starved | RecvEnd::Cancelled | RecvEnd::Again => false,
        };
        socket.end_recv(is_last);
        let forgets = why == RecvEnd::Cancelled && self.canary == Some(Canary::ForgetsTheEnd);
        if !(forgets && CANARY.strikes(&mut self.prng)) {
            self.ports[shard].push(id, Fact::RecvEnded(conn, why));
        }
    }

    /// Moves on with a queued send, as far as there is room.
    fn send_queued(&mut self, shard: usize, id: SocketId) {
        if self.sockets[id.0 as usize].queued.is_none() {
            return;
        }
        if self.faults.queued_fails.strikes(&mut self.prng) {
            self.break_socket(id);
        }
        let is_short = self.faults.queued_short.strikes(&mut self.prng);
        let most = if is_short { self.prng.below(4096) as usize } else { usize::MAX };
        let socket = &mut self.sockets[id.0 as usize];
        let Some((taken, of)) = socket.push_queued(most) else { return };
        let result = if taken == of || (is_short && !socket.cannot_send()) {
            Ok(taken as u32)
        } else if socket.cannot_send() {
            // What went out before is told, or is not: the connection is over either way.
            if taken > 0 && is_short { Ok(taken as u32) } else { Err(BROKEN_PIPE) }
        } else {
            return;
        };
        let queued = self.sockets[id.0 as usize].queued.take().expect("it was pushed");
        self.ports[shard].push(id, Fact::QueuedSent(queued.conn, result));
    }

    /// Speaks of a connection that is gone.
    fn haunt(&mut self, shard: usize) {
        let port = &mut self.ports[shard];
        if port.gone.is_empty() {
            return;
        }
        let conn = port.gone[self.prng.below(port.gone.len() as u64) as usize];
        let fact = match self.prng.below(6) {
            0 => Fact::Received(conn, b"from the grave".to_vec()),
            1 => Fact::RecvEnded(conn, RecvEnd::Eof),
            2 => Fact::RecvEnded(conn, RecvEnd::Starved),
            3 => Fact::QueuedSent(conn, Ok(7)),
            4 => return port.exceptions.push(Fact::SentShort(conn, 3)),
            _ => return port.exceptions.push(Fact::SendFailed(conn, BROKEN_PIPE)),
        };
        port.queue.push_back((None, fact));
    }

    /// True when the next [`Self::work`] of a calm kernel would make something for the shard.
    pub fn has_work(&self, shard: usize) -> bool {
        let port = &self.ports[shard];
        let accepts = port.listeners.iter().any(|acceptor| match acceptor.state {
            AcceptState::Idle => false,
            AcceptState::Accepting => port.is_deaf || !acceptor.backlog.is_empty(),
            AcceptState::Stopping => true,
        });
        let moves = |id: &SocketId| {
            let socket = &self.sockets[id.0 as usize];
            let receives = socket.recv.is_some()
                && (socket.is_cancelling
                    || socket.input_len() > 0
                    || socket.is_at_end()
                    || socket.is_broken());
            let sends = socket.queued.is_some() && (socket.room > 0 || socket.cannot_send());
            receives || sends
        };
        accepts || !port.shutdowns.is_empty() || port.live.iter().any(moves)
    }

    /// True when nothing is under way.
    pub fn is_quiet(&self) -> bool {
        (0..self.ports.len()).all(|shard| !self.has_news(shard) && !self.has_work(shard))
    }

    /// Receive buffers that are lent out, of so many for each shard.
    pub fn buffers_out(&self, of: usize) -> usize {
        self.ports.iter().map(|port| of - port.buffers).sum()
    }
}
