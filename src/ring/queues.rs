//! The two queues of a ring: operations in, completions out.
//!
//! Owns the ring. Collects every completion that the kernel has into a list, so that the kernel's
//! queue is always drained before the next turn. Never decodes a result.
//!
//! Invariants:
//! - Q1 when [`Queues::flush`] or [`Queues::enter`] returns `Ok`, the kernel has taken every
//!   operation pushed before it, and whatever memory an operation needed only to be started is
//!   free;
//! - Q2 no completion is lost: overflowed ones are fetched before a call returns;
//! - Q3 the list is bounded by what can be outstanding, not by time: each `Received` holds a buffer
//!   that comes back only when the list is handed out, each connection has at most one receive, one
//!   send and one close (O1-O3), accepts are bounded by their slots or the descriptor table, and
//!   any number of wake-ups is one.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use io_uring::{IoUring, squeue};

use super::stats::DriverStats;
use super::syscall::{Enter, Wait};
use super::user_data::UserData;
use crate::base::ConnKey;
use crate::limits::ENTER_RETRIES_MAX;

/// One completion as the kernel gave it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cqe {
    pub(super) data: UserData,
    pub(super) result: i32,
    pub(super) flags: u32,
}

/// See the module's header.
pub(super) struct Queues {
    pub(super) ring: IoUring,
    enter: Enter,
    /// What came, but for the two below.
    pub(super) staged: Vec<Cqe>,
    /// Fast sends that were not silent.
    pub(super) exceptions: Vec<(ConnKey, i32)>,
    /// Whether any wake-up came.
    pub(super) woken: bool,
    /// A turn with fewer completions asks for more, if there may be more.
    turn_completions: usize,
    pub(super) stats: DriverStats,
}

/// The kernel runs no more than this much deferred work per call (since 6.13; before, all of it).
const WORK_PER_ENTER: u64 = 20;

impl Queues {
    /// Makes the ring; the calling thread is the only one that may use it.
    pub(super) fn new(
        sq_entries: u32,
        cq_entries: u32,
        turn_completions: usize,
    ) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(cq_entries)
            .dontfork()
            .build(sq_entries)?;
        let enter = Enter::new(ring.as_raw_fd());
        Ok(Queues {
            ring,
            enter,
            staged: Vec::with_capacity(cq_entries as usize),
            exceptions: Vec::with_capacity(sq_entries as usize),
            woken: false,
            turn_completions,
            stats: DriverStats::default(),
        })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }

    /// Queues an operation; submits what is queued first when there is no room.
    ///
    /// # Safety
    ///
    /// What the operation points at stays valid as long as the kernel uses it: until Q1 for what it
    /// copies or carries out at once, else until the operation's last completion.
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: the caller's promise is the one that `push` asks for.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.stats.sq_full += 1;
            self.flush()?;
        }
        self.stats.sqes += 1;
        Ok(())
    }

    /// Operations that the next submission takes.
    pub(super) fn queued(&mut self) -> u32 {
        self.ring.submission().len() as u32
    }

    /// Submits everything that is queued, waiting for nothing.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let mut refusals = 0;
        loop {
            let count = self.queued();
            if count == 0 {
                return Ok(());
            }
            self.stats.enters += 1;
            if let Err(error) = self.enter.submit(count) {
                self.tolerate(error, &mut refusals)?;
            }
            self.reap();
        }
    }

    /// Submits everything that is queued, and waits as told unless there is something to hand out.
    /// A busy ring gives more than one portion of the kernel: larger turns coalesce better.
    pub(super) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        let mut refusals = 0;
        loop {
            let before = self.stats.cqes;
            let wait = if self.has_news() { Wait::Now } else { wait };
            let count = self.queued();
            self.stats.enters += 1;
            if let Err(error) = self.enter.events(count, wait) {
                self.tolerate(error, &mut refusals)?;
            }
            self.reap();
            let more = self.stats.cqes - before >= WORK_PER_ENTER;
            if self.queued() == 0 && !(more && self.staged.len() < self.turn_completions) {
                return self.fetch_overflowed();
            }
        }
    }

    /// Q2. The kernel moves what it had to put aside into the queue only when asked to.
    fn fetch_overflowed(&mut self) -> io::Result<()> {
        let mut refusals = 0;
        while self.ring.submission().cq_overflow() {
            self.stats.cq_overflows += 1;
            self.stats.enters += 1;
            if let Err(error) = self.enter.events(0, Wait::Now) {
                self.tolerate(error, &mut refusals)?;
            }
            self.reap();
        }
        Ok(())
    }

    /// Waits without submitting anything.
    pub(super) fn wait_only(&mut self, timeout: Duration) -> io::Result<()> {
        self.stats.enters += 1;
        if let Err(error) = self.enter.events(0, Wait::Until(timeout)) {
            self.tolerate(error, &mut 0)?;
        }
        self.reap();
        self.fetch_overflowed()
    }

    /// Whether something waits to be handed out.
    pub(super) fn has_news(&self) -> bool {
        self.woken || !self.staged.is_empty() || !self.exceptions.is_empty()
    }

    fn reap(&mut self) {
        for cqe in self.ring.completion() {
            self.stats.cqes += 1;
            let data = UserData::decode(cqe.user_data()).expect("bug: not a word of ours");
            match data {
                UserData::Send(conn) => self.exceptions.push((conn, cqe.result())),
                UserData::Woken => self.woken = true,
                UserData::Accept { .. }
                | UserData::CancelAccept { .. }
                | UserData::Recv(_)
                | UserData::CancelRecv(_)
                | UserData::SendQueued(_)
                | UserData::Shutdown(_)
                | UserData::Close(_)
                | UserData::CloseUnused
                | UserData::Wake(_)
                | UserData::WakeControl
                | UserData::Connect(_) => {
                    self.staged.push(Cqe { data, result: cqe.result(), flags: cqe.flags() });
                }
            }
        }
    }

    /// Tells errors that mean "not now" from errors that end the ring.
    fn tolerate(&mut self, error: io::Error, refusals: &mut u32) -> io::Result<()> {
        match error.raw_os_error() {
            // The wait is over, and everything was submitted before it began.
            Some(libc::ETIME | libc::EINTR) => Ok(()),
            // No memory for a request just now, or completions to be taken first.
            Some(libc::EAGAIN | libc::EBUSY) if *refusals < ENTER_RETRIES_MAX => {
                *refusals += 1;
                std::thread::yield_now();
                Ok(())
            }
            Some(_) | None => Err(error),
        }
    }
}

impl Drop for Queues {
    /// Lets go of the thread's own reference to the ring, so that dropping it really closes it.
    fn drop(&mut self) {
        self.enter.unregister();
    }
}
