//! Orders to the kernel. A shard writes them, the driver (or the simulator) carries them out.
//!
//! Invariants that a shard keeps and the driver relies on:
//! - O1 at most one `ArmRecv` per connection is outstanding until its `RecvEnded`;
//! - O2 at most one send per connection is outstanding: `Send` only when nothing is queued and no
//!   `SendQueued` is in flight, once per turn; `SendQueued` only after the previous `QueuedSent`;
//! - O3 `Close` comes last, once, when no receive and no queued send is outstanding.

use bytes::Bytes;

use super::staging::SegmentId;
use crate::base::{ConnKey, ShardId};

/// Index in the shard's table of direct descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileSlot(pub u32);

/// Index of a listener in the server's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u16);

/// Index of an address to connect to in the driver's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TargetId(pub u16);

/// Index of an address to connect from in the driver's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceId(pub u16);

/// Which half of a connection to shut down, as in shutdown(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownHow {
    /// `SHUT_WR`: the peer sees the end of our stream, we still read.
    Write,
    /// `SHUT_RDWR`: ends pending receives as well.
    Both,
}

/// One order to the kernel.
#[derive(Debug)]
pub enum Op {
    /// Accept connections from a listener until `AcceptStopped`.
    ArmAccept { listener: ListenerId },
    /// Stop accepting; `AcceptStopped` follows.
    CancelAccept { listener: ListenerId },
    /// Connect a new socket in a slot of the table that is free; `Connected` follows. A failed one
    /// has to be closed too.
    Connect { conn: ConnKey, file: FileSlot, target: TargetId, source: Option<SourceId> },
    /// Receive into provided buffers until `RecvEnded`.
    ArmRecv { conn: ConnKey, file: FileSlot },
    /// End an armed receive early; its `RecvEnded` follows.
    CancelRecv { conn: ConnKey },
    /// The fast path: try to send a chain of staged segments now, without waiting. Silent when all
    /// was taken; otherwise `SentShort`, before any other completion of the connection.
    Send { conn: ConnKey, file: FileSlot, first: SegmentId },
    /// The slow path: send these frames in order, waiting for room. `QueuedSent` follows.
    /// `skip` octets of the first frame are out already.
    SendQueued { conn: ConnKey, file: FileSlot, frames: Vec<Bytes>, skip: u32 },
    /// Shut down one or both halves of a connection. Reports nothing: it can't be undone or missed.
    Shutdown { file: FileSlot, how: ShutdownHow },
    /// Close a connection's descriptor; `Closed` follows.
    Close { conn: ConnKey, file: FileSlot },
    /// Close a descriptor that never became a connection.
    CloseUnused { file: FileSlot },
    /// Wake a shard that may be asleep.
    Wake { shard: ShardId },
    /// Wake the control plane.
    WakeControl,
}

/// Orders of one turn, first to last.
pub type OpQueue = Vec<Op>;
