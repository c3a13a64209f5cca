//! Accepting connections into direct descriptors.
//!
//! Owns the listeners, and for each TCP listener a fixed set of accepts in flight. Each of them has
//! a socket address of its own that the kernel fills in: a multishot accept can't give the peer's
//! address, and asking for it afterwards costs operations per connection. Unix peers have no
//! address, so there one multishot accept is enough.
//!
//! Invariants: A1 an address neither moves nor is read while its accept is in flight; A2 what ends
//! while accepting is armed again by the driver; A3 one `AcceptStopped` per `ArmAccept`, after the
//! last accept in flight has ended.

use std::cell::UnsafeCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use io_uring::types::{CancelBuilder, DestinationSlot, Fd};
use io_uring::{cqueue, opcode, squeue};

use super::completion::{AcceptFault, Completion, KernelFault, PeerAddr};
use super::op::{FileSlot, ListenerId};
use super::queues::{Cqe, Queues};
use super::socket::{Listener, ListenerKind};
use super::user_data::UserData;

/// See the module's header.
pub(super) struct Accepts {
    acceptors: Vec<Acceptor>,
    /// Accepts that ended and go back to the kernel with the next submission.
    rearm: Vec<(ListenerId, u32)>,
    /// Listeners that a fault has stopped, whose other accepts have to be cancelled, and those
    /// where a cancel may have missed one.
    cancel: Vec<ListenerId>,
}

struct Acceptor {
    listener: Listener,
    state: State,
    in_flight: u32,
    slots: Box<[UnsafeCell<Address>]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Accepting,
    /// Waits for the cancel and for all accepts in flight; the flag says that the cancel is over.
    Stopping {
        cancelled: bool,
    },
}

struct Address {
    storage: libc::sockaddr_storage,
    len: libc::socklen_t,
}

impl Accepts {
    pub(super) fn new(listeners: Vec<Listener>, in_flight_max: u16) -> Self {
        assert!(in_flight_max > 0 || listeners.is_empty());
        let acceptors = listeners.into_iter().map(|listener| {
            let slots = match listener.kind() {
                ListenerKind::Inet => (0..in_flight_max).map(|_| Address::empty()).collect(),
                ListenerKind::Unix => Box::default(),
            };
            Acceptor { listener, state: State::Idle, in_flight: 0, slots }
        });
        Accepts { acceptors: acceptors.collect(), rearm: Vec::new(), cancel: Vec::new() }
    }

    /// Shuts the listening sockets down. Accepts in flight end with a fault.
    pub(super) fn stop_listening(&self) {
        for acceptor in &self.acceptors {
            acceptor.listener.stop();
        }
    }

    /// Accepts that the kernel holds.
    pub(super) fn in_flight(&self) -> u32 {
        self.acceptors.iter().map(|acceptor| acceptor.in_flight).sum()
    }

    pub(super) fn arm(&mut self, id: ListenerId, queues: &mut Queues) -> io::Result<()> {
        let acceptor = &mut self.acceptors[usize::from(id.0)];
        assert!(acceptor.state == State::Idle, "A3: armed again before it has stopped");
        acceptor.state = State::Accepting;
        let accepts = acceptor.slots.len().max(1) as u32;
        (0..accepts).try_for_each(|index| acceptor.start(id, index, queues))
    }

    pub(super) fn cancel(&mut self, id: ListenerId, queues: &mut Queues) -> io::Result<()> {
        let acceptor = &mut self.acceptors[usize::from(id.0)];
        match acceptor.state {
            State::Accepting => {
                acceptor.state = State::Stopping { cancelled: false };
                acceptor.push_cancel(id, queues)
            }
            // A fault was faster; the order is as good as carried out.
            State::Idle | State::Stopping { .. } => Ok(()),
        }
    }

    /// Carries out what the last completions asked for.
    pub(super) fn follow_up(&mut self, queues: &mut Queues) -> io::Result<()> {
        for id in self.cancel.drain(..) {
            self.acceptors[usize::from(id.0)].push_cancel(id, queues)?;
        }
        for (id, index) in self.rearm.drain(..) {
            let acceptor = &mut self.acceptors[usize::from(id.0)];
            if acceptor.state == State::Accepting {
                acceptor.start(id, index, queues)?;
            }
        }
        Ok(())
    }

    /// One accept has given something.
    pub(super) fn accepted(
        &mut self,
        id: ListenerId,
        index: u32,
        cqe: Cqe,
        f: &mut impl FnMut(Completion<'_>),
    ) {
        let acceptor = &mut self.acceptors[usize::from(id.0)];
        let over = !cqueue::more(cqe.flags);
        if over {
            acceptor.in_flight -= 1;
        }
        if let Ok(file) = u32::try_from(cqe.result) {
            let peer = acceptor.peer(index);
            f(Completion::Accepted { listener: id, file: FileSlot(file), peer });
        } else if let Some(fault) = fault(-cqe.result) {
            f(Completion::AcceptFailed { listener: id, fault });
            if fault != AcceptFault::Aborted && acceptor.state == State::Accepting {
                acceptor.state = State::Stopping { cancelled: false };
                self.cancel.push(id);
            }
        }
        if over && acceptor.state == State::Accepting {
            self.rearm.push((id, index));
        }
        acceptor.stop_if_over(id, f);
    }

    /// A cancel of a listener's accepts is over. It may have missed one: a connection has woken it,
    /// another accept was faster, and while the kernel is about to try it again no cancel finds it.
    /// So it is repeated until none is in flight.
    pub(super) fn cancelled(&mut self, id: ListenerId, f: &mut impl FnMut(Completion<'_>)) {
        let acceptor = &mut self.acceptors[usize::from(id.0)];
        if acceptor.in_flight > 0 {
            return self.cancel.push(id);
        }
        acceptor.state = State::Stopping { cancelled: true };
        acceptor.stop_if_over(id, f);
    }
}

impl Acceptor {
    fn start(&mut self, id: ListenerId, index: u32, queues: &mut Queues) -> io::Result<()> {
        let fd = Fd(self.listener.as_raw_fd());
        let entry = match self.slots.get(index as usize) {
            None => opcode::AcceptMulti::new(fd).allocate_file_index(true).build(),
            Some(slot) => {
                let address = slot.get();
                // SAFETY: this slot's accept has ended (A1), so nobody else refers to it.
                let (storage, len) = unsafe {
                    (*address).len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
                    (&raw mut (*address).storage, &raw mut (*address).len)
                };
                opcode::Accept::new(fd, storage.cast(), len)
                    .file_index(Some(DestinationSlot::auto_target()))
                    .build()
            }
        };
        let data = UserData::Accept { listener: id, index };
        // SAFETY: the address lives in a boxed slice that the driver frees only after the kernel
        // has given up all accepts (A1).
        unsafe { queues.push(&entry.user_data(data.encode()))? };
        self.in_flight += 1;
        Ok(())
    }

    fn push_cancel(&mut self, id: ListenerId, queues: &mut Queues) -> io::Result<()> {
        let all = CancelBuilder::fd(Fd(self.listener.as_raw_fd())).all();
        let data = UserData::CancelAccept { listener: id };
        let entry: squeue::Entry = opcode::AsyncCancel2::new(all).build();
        // SAFETY: a cancel points at no memory.
        unsafe { queues.push(&entry.user_data(data.encode())) }
    }

    fn stop_if_over(&mut self, id: ListenerId, f: &mut impl FnMut(Completion<'_>)) {
        if self.state == (State::Stopping { cancelled: true }) && self.in_flight == 0 {
            self.state = State::Idle;
            f(Completion::AcceptStopped { listener: id });
        }
    }

    fn peer(&self, index: u32) -> PeerAddr {
        let Some(slot) = self.slots.get(index as usize) else { return PeerAddr::Unix };
        // SAFETY: the accept has ended, so the kernel no longer writes here (A1), and it has filled
        // in `len` octets of an address or left a family of zero.
        let address = unsafe {
            let address = &*slot.get();
            let storage = std::mem::transmute_copy(&address.storage);
            socket2::SockAddr::new(storage, address.len)
        };
        address.as_socket().map_or(PeerAddr::Unknown, |peer| PeerAddr::Inet(canonical(peer)))
    }
}

impl Address {
    fn empty() -> UnsafeCell<Address> {
        // SAFETY: `sockaddr_storage` is plain integers; all zero is "no address".
        UnsafeCell::new(Address { storage: unsafe { std::mem::zeroed() }, len: 0 })
    }
}

/// A socket for both families, which we never make but may inherit, shows IPv4 peers in IPv6's
/// clothes.
fn canonical(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V4(_) => peer,
        SocketAddr::V6(v6) => match v6.ip().to_canonical() {
            ip @ IpAddr::V4(_) => SocketAddr::new(ip, v6.port()),
            IpAddr::V6(_) => peer,
        },
    }
}

/// What an errno of accept(2) means, or `None` where the accept only has to be repeated.
fn fault(errno: i32) -> Option<AcceptFault> {
    match errno {
        libc::ECANCELED | libc::EAGAIN | libc::EINTR => None,
        libc::ENFILE => Some(AcceptFault::TableFull),
        // accept(2) passes on what has already happened to the new connection.
        libc::ECONNABORTED
        | libc::EPERM
        | libc::EPROTO
        | libc::ENOPROTOOPT
        | libc::ENETDOWN
        | libc::ENETUNREACH
        | libc::EHOSTDOWN
        | libc::EHOSTUNREACH
        | libc::ENONET => Some(AcceptFault::Aborted),
        errno => Some(AcceptFault::Kernel(KernelFault(errno))),
    }
}
