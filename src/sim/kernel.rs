//! The simulated kernel: carries out what shards order, and says what came of it.
//!
//! Owns all sockets, and for each shard a [`Port`]. Orders are carried out at once by
//! [`Kernel::submit`]; what sockets do by themselves happens in [`Kernel::work`], which makes
//! completions; [`Kernel::reap`] hands them out. What it may do at each place is in the table of
//! assumptions ([`crate::sim`]), and how often it does that in [`Faults`]. A calm kernel has no
//! faults, makes one piece of what was received at a time, and uses no random number.

use super::fact::Fact;
use super::faults::{Canary, Chance, Faults};
use super::port::{AcceptState, Port};
use super::socket::{CloseOf, Socket, SocketId};
use super::trace::Trace;
use crate::base::prng::Prng;
use crate::base::{ConnKey, ShardId};
use crate::ring::{FileSlot, KernelFault, ListenerId, Op, ShutdownHow, Staging};
use crate::shard::audit::Held;

pub(super) const BROKEN_PIPE: KernelFault = KernelFault(32);
pub(super) const CONNECTION_RESET: KernelFault = KernelFault(104);
pub(super) const TIMED_OUT: KernelFault = KernelFault(110);
/// How often a bug that was put in on purpose shows.
const CANARY: Chance = Chance(60);

/// The sizes of a kernel.
#[derive(Clone, Copy, Debug)]
pub struct KernelSizes {
    /// Listeners of each shard.
    pub listeners: u16,
    /// Slots of each table of descriptors.
    pub files: usize,
    /// Receive buffers of each shard.
    pub buffers: usize,
    /// Octets of each of them.
    pub buffer_bytes: usize,
}

/// See the module's header.
pub struct Kernel {
    pub(super) sockets: Vec<Socket>,
    pub(super) ports: Vec<Port>,
    pub(super) prng: Prng,
    /// What goes wrong at present.
    pub faults: Faults,
    /// A bug that is put in on purpose.
    pub canary: Option<Canary>,
    /// What has happened.
    pub trace: Trace,
    pub(super) buffer_bytes: usize,
    now_ms: u64,
    /// Whether the control plane was rung for.
    pub(super) is_control_woken: bool,
}

impl Kernel {
    /// A calm kernel for so many shards.
    pub fn new(shards: usize, sizes: KernelSizes, seed: u64) -> Self {
        let port = |_| Port::new(sizes.listeners, sizes.files, sizes.buffers);
        Kernel {
            sockets: Vec::new(),
            ports: (0..shards).map(port).collect(),
            prng: Prng::new(seed),
            faults: Faults::default(),
            canary: None,
            trace: Trace::default(),
            buffer_bytes: sizes.buffer_bytes,
            now_ms: 0,
            is_control_woken: false,
        }
    }

    /// A client connects to a listener of a shard.
    pub fn connect(&mut self, shard: usize, listener: ListenerId) -> SocketId {
        let id = SocketId(self.sockets.len() as u32);
        self.sockets.push(Socket::new(shard, self.now_ms));
        match self.ports[shard].is_deaf {
            true => self.sockets[id.0 as usize].reset(0),
            false => self.ports[shard].acceptor(listener).backlog.push_back(id),
        }
        id
    }

    /// One connection.
    pub fn socket(&self, id: SocketId) -> &Socket {
        &self.sockets[id.0 as usize]
    }

    /// See [`Self::socket`].
    pub fn socket_mut(&mut self, id: SocketId) -> &mut Socket {
        &mut self.sockets[id.0 as usize]
    }

    /// True while a shard accepts from a listener.
    pub fn accepts(&self, shard: usize, listener: ListenerId) -> bool {
        let acceptor = &self.ports[shard].listeners[usize::from(listener.0)];
        acceptor.state == AcceptState::Accepting
    }

    /// Descriptors that are open.
    pub fn open_files(&self) -> usize {
        self.ports.iter().map(|port| port.live.len()).sum()
    }

    /// True when there is something to tell a shard.
    pub fn has_news(&self, shard: usize) -> bool {
        self.ports[shard].has_news()
    }

    /// Wakes a shard from outside of all rings.
    pub fn ring(&mut self, shard: usize) {
        self.ports[shard].is_woken = true;
    }

    /// The shard's listening sockets are shut down: who waits is turned away, and so is who comes.
    pub fn stop_listening(&mut self, shard: usize) {
        let port = &mut self.ports[shard];
        port.is_deaf = true;
        for acceptor in &mut port.listeners {
            for id in acceptor.backlog.drain(..) {
                self.sockets[id.0 as usize].reset(0);
            }
        }
    }

    /// The shard's shell has returned, and its ring goes: with it goes what it still held.
    pub(super) fn drop_ring(&mut self, shard: usize) {
        let port = &mut self.ports[shard];
        for id in std::mem::take(&mut port.live) {
            self.sockets[id.0 as usize].reset(0);
        }
        port.files.fill(None);
        let held = std::mem::take(&mut port.queue).into_iter();
        let is_lent = |(socket, fact): &(Option<SocketId>, Fact)| {
            socket.is_some() && matches!(fact, Fact::Received(..))
        };
        port.buffers += held.filter(is_lent).count();
    }

    /// The time, for the record of when a socket was last heard.
    pub(super) fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Carries out the orders of a turn.
    pub fn submit(&mut self, shard: usize, ops: &mut Vec<Op>, staging: &Staging) {
        self.ports[shard].submits += 1;
        for op in ops.drain(..) {
            self.trace.say(format_args!("  {shard} {op:?}"));
            self.carry_out(shard, op, staging);
        }
    }

    /// What is to be told to a shard now: what fast sends left over, then a wake-up, then the rest
    /// in the order in which it came, or the beginning of it.
    pub fn reap(&mut self, shard: usize) -> Vec<Fact> {
        let port = &mut self.ports[shard];
        let mut facts = std::mem::take(&mut port.exceptions);
        if std::mem::take(&mut port.is_woken) {
            facts.push(Fact::Woken);
        }
        let most = match self.faults.overflows.strikes(&mut self.prng) {
            true => 1 + self.prng.below(4) as usize,
            false => usize::MAX,
        };
        for _ in 0..most.min(port.queue.len()) {
            let (socket, fact) = port.queue.pop_front().expect("so many are there");
            if let Some(id) = socket {
                self.trace.say(format_args!("  {shard} hears of {id:?}"));
                let socket = &mut self.sockets[id.0 as usize];
                match &fact {
                    Fact::Received(..) => {
                        port.buffers += 1;
                        socket.input_told(self.now_ms);
                    }
                    Fact::RecvEnded(..) => socket.recv_end_told(),
                    Fact::QueuedSent(..) => socket.send_end_told(),
                    Fact::Closed(conn) => port.remember(*conn),
                    Fact::Accepted(..)
                    | Fact::AcceptFailed(..)
                    | Fact::AcceptStopped(_)
                    | Fact::CancelMissed(_)
                    | Fact::SentShort(..)
                    | Fact::SendFailed(..)
                    | Fact::Woken
                    | Fact::WakeFailed(_) => {}
                }
            }
            facts.push(fact);
        }
        for fact in &facts {
            self.trace.mix_kind(fact);
            self.trace.mix(conn_word(fact.conn()));
            self.trace.say(format_args!("  {shard} <- {fact:?}"));
        }
        facts
    }

    fn carry_out(&mut self, shard: usize, op: Op, staging: &Staging) {
        self.trace.mix_kind(&op);
        match op {
            Op::ArmAccept { listener } => {
                let acceptor = self.ports[shard].acceptor(listener);
                assert_eq!(acceptor.state, AcceptState::Idle, "armed again before it has stopped");
                acceptor.state = AcceptState::Accepting;
            }
            Op::CancelAccept { listener } => {
                let acceptor = self.ports[shard].acceptor(listener);
                if acceptor.state == AcceptState::Accepting {
                    acceptor.state = AcceptState::Stopping;
                }
            }
            Op::Connect { .. } => unreachable!("a shard connects to nobody"),
            Op::ArmRecv { conn, file } => self.at(shard, file).arm(conn),
            Op::CancelRecv { conn } => {
                let is_missed = self.faults.missed_cancel.strikes(&mut self.prng);
                let (port, sockets) = (&mut self.ports[shard], &mut self.sockets);
                port.live.iter().for_each(|id| sockets[id.0 as usize].cancel_ordered(conn));
                let finds = |id: &SocketId| sockets[id.0 as usize].cancel(conn);
                if is_missed || !port.live.iter().any(finds) {
                    port.queue.push_back((None, Fact::CancelMissed(conn)));
                }
            }
            Op::Send { conn, file, first } => {
                let octets = staging.pieces(first).collect::<Vec<_>>().concat();
                self.send(shard, conn, file, &octets);
            }
            Op::SendQueued { conn, file, frames, skip } => {
                let submit = self.ports[shard].submits;
                self.at(shard, file).queue(conn, &frames, skip, submit);
            }
            Op::Shutdown { file, how } => self.shutdown(shard, file, how),
            Op::Close { conn, file } => self.close(shard, file, CloseOf::Conn(conn)),
            Op::CloseUnused { file } => self.close(shard, file, CloseOf::Unused),
            Op::Wake { shard: to } => self.wake(shard, to),
            Op::WakeControl => self.is_control_woken = true,
        }
    }

    /// What connections believe that is held of them is what is held of them.
    pub(super) fn audit(&self, shard: usize, connections: impl Iterator<Item = Held>) {
        let port = &self.ports[shard];
        for held in connections.filter(|held| !held.is_closing) {
            let id = port.socket_at(held.file);
            let outstanding = self.sockets[id.0 as usize].outstanding();
            assert_eq!((held.recv, held.send), outstanding, "{:?} at {id:?}", held.conn);
        }
    }

    fn at(&mut self, shard: usize, file: FileSlot) -> &mut Socket {
        let id = self.ports[shard].socket_at(file);
        &mut self.sockets[id.0 as usize]
    }

    fn send(&mut self, shard: usize, conn: ConnKey, file: FileSlot, octets: &[u8]) {
        let id = self.ports[shard].socket_at(file);
        let submit = self.ports[shard].submits;
        let faults = &self.faults;
        if faults.send_fails.strikes(&mut self.prng) {
            self.break_socket(id);
        }
        let faults = &self.faults;
        let most = if faults.would_block.strikes(&mut self.prng) {
            0
        } else if faults.short_send.strikes(&mut self.prng) {
            self.prng.below(octets.len() as u64) as usize
        } else {
            octets.len()
        };
        let taken = self.sockets[id.0 as usize].take_fast(conn, octets, most, submit);
        self.trace.mix(conn_word(Some(conn)));
        self.trace.mix_octets(octets);
        let exceptions = &mut self.ports[shard].exceptions;
        match taken {
            None => exceptions.push(Fact::SendFailed(conn, BROKEN_PIPE)),
            Some(taken) if taken < octets.len() => {
                let lies = taken + 1 < octets.len()
                    && self.canary == Some(Canary::CountsOneTooMany)
                    && CANARY.strikes(&mut self.prng);
                exceptions.push(Fact::SentShort(conn, taken as u32 + u32::from(lies)));
            }
            Some(_) => {
                if self.canary == Some(Canary::DropsAnOctet) && CANARY.strikes(&mut self.prng) {
                    self.sockets[id.0 as usize].drop_an_octet();
                }
            }
        }
    }

    fn shutdown(&mut self, shard: usize, file: FileSlot, how: ShutdownHow) {
        let id = self.ports[shard].socket_at(file);
        if self.faults.late_shutdown.strikes(&mut self.prng) {
            self.sockets[id.0 as usize].shutdowns += 1;
            self.ports[shard].shutdowns.push((id, how));
        } else {
            self.sockets[id.0 as usize].shut(how);
        }
    }

    fn close(&mut self, shard: usize, file: FileSlot, of: CloseOf) {
        let id = self.ports[shard].socket_at(file);
        let socket = &mut self.sockets[id.0 as usize];
        socket.check_close(of);
        assert!(socket.close_due.is_none(), "O3: closed once: {of:?}");
        if socket.shutdowns > 0 {
            socket.close_due = Some(of);
        } else {
            self.close_now(shard, id, of);
        }
    }

    pub(super) fn close_now(&mut self, shard: usize, id: SocketId, of: CloseOf) {
        let socket = &mut self.sockets[id.0 as usize];
        let file = socket.file.expect("an open socket has a descriptor");
        if socket.close(of) && !self.faults.is_calm() {
            let kept = self.prng.below(socket.output().len() as u64 + 1) as usize;
            socket.lose_output(kept);
        }
        self.ports[shard].remove(id, file);
        let forgets = self.canary == Some(Canary::ForgetsTheClose);
        if forgets && CANARY.strikes(&mut self.prng) {
            return;
        }
        match of {
            CloseOf::Conn(conn) => self.ports[shard].push(id, Fact::Closed(conn)),
            CloseOf::Unused => {}
        }
    }

    fn wake(&mut self, from: usize, to: ShardId) {
        if self.faults.wake_fails.strikes(&mut self.prng) {
            self.ports[from].queue.push_back((None, Fact::WakeFailed(to)));
        } else if !(self.canary == Some(Canary::LosesWakes) && CANARY.strikes(&mut self.prng)) {
            self.ports[to.index()].is_woken = true;
        }
    }

    /// The network gives a connection up: either side finds out when it looks.
    pub(super) fn break_socket(&mut self, id: SocketId) {
        let socket = &mut self.sockets[id.0 as usize];
        let (input, output) = (socket.input_len() as u64, socket.output().len() as u64);
        socket.lose_output(self.prng.below(output + 1) as usize);
        socket.reset(self.prng.below(input + 1) as usize);
    }
}

pub(super) fn conn_word(conn: Option<ConnKey>) -> u64 {
    conn.map_or(1, |conn| u64::from(conn.slot.0) << 32 | u64::from(conn.generation.0))
}
