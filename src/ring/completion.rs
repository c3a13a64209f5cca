//! Facts from the kernel, in the past tense. The driver decodes errno and flags; above it there
//! are only these enums.

use std::net::SocketAddr;

use super::op::{FileSlot, ListenerId};
use crate::base::ConnKey;

/// One fact from the kernel. `Received` lends its bytes: they go back to the kernel when the
/// handler of the completion returns.
#[derive(Debug)]
pub enum Completion<'a> {
    /// A connection was accepted into a direct descriptor.
    Accepted { listener: ListenerId, file: FileSlot, peer: PeerAddr },
    /// One accept failed; accepting goes on.
    AcceptFailed { listener: ListenerId, fault: AcceptFault },
    /// Accepting has stopped (cancelled, or after `AcceptFault::TableFull`): arm it again at will.
    AcceptStopped { listener: ListenerId },
    /// A connect is over.
    Connected { conn: ConnKey, result: Result<(), KernelFault> },
    /// Bytes arrived. The receive is still armed.
    Received { conn: ConnKey, bytes: &'a mut [u8] },
    /// The armed receive is over and has to be armed again to hear more.
    RecvEnded { conn: ConnKey, why: RecvEnd },
    /// A cancel has found no receive: it has ended before, which was told before, or the kernel was
    /// about to try it again. Cancel again if it has not ended.
    CancelMissed { conn: ConnKey },
    /// A fast-path send was not taken whole: `sent` octets were. The rest has to be queued.
    SentShort { conn: ConnKey, sent: u32 },
    /// A fast-path send failed for good.
    SendFailed { conn: ConnKey, fault: KernelFault },
    /// A queued send is over: how many octets of it were taken, or why none.
    QueuedSent { conn: ConnKey, result: Result<u32, KernelFault> },
    /// The descriptor is closed and its slot in the table free.
    Closed { conn: ConnKey },
    /// Another thread has put something into a lane of this shard.
    Woken,
    /// A wake-up could not be delivered; it has to be repeated.
    WakeFailed { shard: crate::base::ShardId },
}

/// Why a receive ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvEnd {
    /// The peer has closed its half.
    Eof,
    /// No buffer was free (`-ENOBUFS`): a stall, not a fault. Arm again when buffers are back.
    Starved,
    /// Cancelled by us.
    Cancelled,
    /// The kernel ended the multishot for reasons of its own: arm again.
    Again,
    /// The connection is broken.
    Failed(KernelFault),
}

/// Why an accept failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptFault {
    /// The table of direct descriptors is full (`-ENFILE`): `AcceptStopped` follows.
    TableFull,
    /// The connection was gone before it was accepted.
    Aborted,
    /// Memory, descriptors or a limit of the system: `AcceptStopped` follows.
    Kernel(KernelFault),
}

/// An error of the kernel that ends an operation, as an errno(3) number above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", std::io::Error::from_raw_os_error(*.0))]
pub struct KernelFault(pub i32);

/// The address of the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerAddr {
    /// TCP over IPv4 or IPv6.
    Inet(SocketAddr),
    /// A Unix socket, whose peers have no address.
    Unix,
    /// The kernel did not say (the peer had gone).
    Unknown,
}
