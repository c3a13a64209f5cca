//! One shard's share of the simulated kernel: its table of descriptors, its listeners, and the
//! completions that wait for it.

use std::collections::VecDeque;

use super::fact::Fact;
use super::socket::SocketId;
use crate::base::ConnKey;
use crate::ring::{FileSlot, ListenerId, ShutdownHow};

/// Keys of connections that are gone, of which ghosts may speak.
const GONE_MAX: usize = 8;

/// A listener, as `ring::accept` drives it.
#[derive(Debug, Default)]
pub(super) struct Acceptor {
    pub(super) state: AcceptState,
    /// Connections that nobody has accepted.
    pub(super) backlog: VecDeque<SocketId>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum AcceptState {
    #[default]
    Idle,
    Accepting,
    /// Cancelled, or stopped by a fault: `AcceptStopped` follows.
    Stopping,
}

/// See the module's header.
#[derive(Debug)]
pub(super) struct Port {
    /// By `FileSlot`.
    pub(super) files: Vec<Option<SocketId>>,
    pub(super) listeners: Vec<Acceptor>,
    /// Accepted and not closed.
    pub(super) live: Vec<SocketId>,
    /// What fast sends left over: told before anything else.
    pub(super) exceptions: Vec<Fact>,
    pub(super) is_woken: bool,
    /// All other completions, in the order in which they were made.
    pub(super) queue: VecDeque<(Option<SocketId>, Fact)>,
    /// Receive buffers that are not lent out.
    pub(super) buffers: usize,
    pub(super) shutdowns: Vec<(SocketId, ShutdownHow)>,
    pub(super) submits: u64,
    /// The listening sockets are shut down.
    pub(super) is_deaf: bool,
    pub(super) gone: Vec<ConnKey>,
}

impl Port {
    pub(super) fn new(listeners: u16, files: usize, buffers: usize) -> Self {
        Port {
            files: vec![None; files],
            listeners: (0..listeners).map(|_| Acceptor::default()).collect(),
            live: Vec::new(),
            exceptions: Vec::new(),
            is_woken: false,
            queue: VecDeque::new(),
            buffers,
            shutdowns: Vec::new(),
            submits: 0,
            is_deaf: false,
            gone: Vec::new(),
        }
    }

    /// Puts a socket into the lowest free slot of the table.
    pub(super) fn install(&mut self, socket: SocketId) -> Option<FileSlot> {
        let slot = self.files.iter().position(Option::is_none)?;
        self.files[slot] = Some(socket);
        self.live.push(socket);
        Some(FileSlot(slot as u32))
    }

    /// Frees the slot of a socket.
    pub(super) fn remove(&mut self, socket: SocketId, file: FileSlot) {
        assert_eq!(self.files[file.0 as usize].take(), Some(socket));
        self.live.retain(|other| *other != socket);
    }

    /// The socket behind a descriptor that an order names.
    pub(super) fn socket_at(&self, file: FileSlot) -> SocketId {
        self.files[file.0 as usize].unwrap_or_else(|| panic!("O3: {file:?} is not open"))
    }

    pub(super) fn acceptor(&mut self, listener: ListenerId) -> &mut Acceptor {
        &mut self.listeners[usize::from(listener.0)]
    }

    pub(super) fn push(&mut self, socket: SocketId, fact: Fact) {
        self.queue.push_back((Some(socket), fact));
    }

    pub(super) fn has_news(&self) -> bool {
        self.is_woken || !self.exceptions.is_empty() || !self.queue.is_empty()
    }

    pub(super) fn remember(&mut self, conn: ConnKey) {
        if self.gone.len() == GONE_MAX {
            self.gone.remove(0);
        }
        self.gone.push(conn);
    }
}
