//! Waking threads: shards by a message to their ring, the control plane by an eventfd.
//!
//! Owns what a thread without a data ring needs to wake a shard. Carries no data: what there is to
//! say lies in a lane already.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

use io_uring::{IoUring, opcode, types::Fd};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::io::{Interest, unix::AsyncFd};

use super::user_data::UserData;
use crate::base::ShardId;

const ENTRIES: u32 = 2;

/// Wakes shards from a thread that has no data ring. Costs one system call a time.
pub struct Doorbell {
    ring: IoUring,
    shards: Vec<RawFd>,
}

impl Doorbell {
    /// A doorbell for shards whose rings are `shards`, by `ShardId`. They have to stay open.
    pub fn new(shards: Vec<RawFd>) -> io::Result<Self> {
        Ok(Doorbell { ring: IoUring::builder().dontfork().build(ENTRIES)?, shards })
    }

    /// Wakes a shard, asleep or not.
    pub fn ring(&mut self, shard: ShardId) -> io::Result<()> {
        // What an earlier call could not submit goes out with this one; a wake-up more does no
        // harm.
        self.ring.completion().for_each(drop);
        let entry = wake(self.shards[shard.index()]).user_data(UserData::Wake(shard).encode());
        // SAFETY: a ring message points at no memory, so nothing has to outlive this call.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.map_err(|_full| io::Error::from(io::ErrorKind::WouldBlock))?;
        loop {
            match self.ring.submit_and_wait(1) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if let Some(cqe) = self.ring.completion().next() {
                let failed = cqe.result() < 0;
                return if failed {
                    Err(io::Error::from_raw_os_error(-cqe.result()))
                } else {
                    Ok(())
                };
            }
        }
    }
}

/// A message to another ring that arrives as `Woken`.
pub(super) fn wake(ring: RawFd) -> io_uring::squeue::Entry {
    opcode::MsgRingData::new(Fd(ring), 0, UserData::Woken.encode(), None).build()
}

/// Wakes the control plane, which waits for it to become readable.
#[derive(Debug)]
pub struct ControlBell {
    event: EventFd,
}

impl ControlBell {
    /// A silent bell.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(ControlBell { event: EventFd::from_value_and_flags(0, flags)? })
    }

    /// Takes all rings since the last call; true when there were any.
    pub fn answer(&self) -> io::Result<bool> {
        match self.event.read() {
            Ok(rings) => Ok(rings > 0),
            Err(nix::Error::EAGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// A bell that tasks of a tokio runtime can wait for.
pub type AwaitedBell = AsyncFd<Arc<ControlBell>>;

/// Registers the bell with the runtime of this thread. Lives here because that needs a promise
/// about the descriptor which only its owner can give.
pub fn await_bell(bell: Arc<ControlBell>) -> io::Result<AwaitedBell> {
    // SAFETY: the bell never changes or closes its eventfd while it lives, and the `Arc` that is
    // handed over keeps it alive as long as it is registered.
    let registered = unsafe { AsyncFd::register_with_interest(bell, Interest::READABLE) };
    registered.map_err(io::Error::from)
}

impl AsFd for ControlBell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl AsRawFd for ControlBell {
    fn as_raw_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}
