//! The driver of a shard's ring: carries out orders, hands out facts.
//!
//! Owns the ring and all memory that the kernel may touch: receive buffers, the addresses of
//! accepts, the frames of queued sends. Decodes errno and flags. Knows nothing of connections but
//! their keys: whether a key is stale is for the shard to see.
//!
//! Invariants:
//! - R1 the kernel never holds memory that may be freed: what it needs beyond a submission lives
//!   here and is dropped after the ring, or not at all if the kernel won't let go;
//! - R2 nothing that was staged for a fast send is referred to after [`Driver::submit`] returns;
//! - R3 every receive buffer goes back, whoever the bytes were for;
//! - R4 the ring is used by the thread that made it (`Driver` is not `Send`).

use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::types::{CancelBuilder, Fd, Fixed};
use io_uring::{cqueue, opcode, squeue};

use super::accept::Accepts;
use super::armed::Armed;
use super::buf_ring::{self, BufRing};
use super::completion::{Completion, KernelFault, RecvEnd};
use super::dial::{DialConfig, Dialer};
use super::doorbell::{self, ControlBell};
use super::fast_send::FastSends;
use super::files::Files;
use super::in_flight::InFlight;
use super::op::{FileSlot, Op, OpQueue, SourceId, TargetId};
use super::queues::{Cqe, Queues};
use super::socket::Listener;
use super::staging::{SegmentId, Staging};
use super::stats::DriverStats;
pub use super::syscall::Wait;
use super::user_data::UserData;
use crate::base::ConnKey;
use crate::limits::{RING_TEARDOWN_MS_MAX, RING_WORKERS_MAX};

static ONE: u64 = 1;

/// How long a driver that goes away waits for the kernel at a time.
const TEARDOWN_LOOK: Duration = Duration::from_millis(1);
/// Operations that it ends between two looks at the clock.
const TEARDOWN_PORTION: usize = 256;

/// The sizes of a driver and what it listens on.
pub struct DriverConfig {
    /// Entries of the submission queue.
    pub sq_entries: u32,
    /// Entries of the completion queue.
    pub cq_entries: u32,
    /// Receive buffers, a power of two.
    pub recv_buffers: u16,
    /// Octets of a receive buffer.
    pub recv_buffer_bytes: u32,
    /// Slots of the table of direct descriptors: at most RLIMIT_NOFILE.
    pub files: u32,
    /// Accepts in flight per TCP listener.
    pub accepts_in_flight: u16,
    /// What to listen on, by `ListenerId`.
    pub listeners: Vec<Listener>,
    /// Wakes the control plane, if there is one.
    pub control: Option<Arc<ControlBell>>,
    /// Where to connect to, in the client role.
    pub dial: DialConfig,
}

/// See the module's header.
pub struct Driver {
    queues: Queues,
    memory: ManuallyDrop<Memory>,
    fast: FastSends,
    files: Files,
    peers: Vec<RawFd>,
    control: Option<Arc<ControlBell>>,
    dialer: Dialer,
    not_send: PhantomData<*mut ()>,
}

/// What the kernel may use at any time.
struct Memory {
    buffers: BufRing,
    accepts: Accepts,
    sends: InFlight,
    recvs: Armed,
}

impl Driver {
    /// Makes the ring, its buffers and its table of descriptors.
    pub fn new(config: DriverConfig) -> io::Result<Driver> {
        // More in one turn would only run the pool of buffers dry.
        let turn_completions = usize::from(config.recv_buffers / 2);
        let queues = Queues::new(config.sq_entries, config.cq_entries, turn_completions)?;
        let submitter = queues.ring.submitter();
        submitter.register_files_sparse(config.files)?;
        submitter.register_iowq_max_workers(&mut [RING_WORKERS_MAX, RING_WORKERS_MAX])?;
        let buffers = BufRing::new(&queues.ring, config.recv_buffers, config.recv_buffer_bytes)?;
        let memory = Memory {
            buffers,
            accepts: Accepts::new(config.listeners, config.accepts_in_flight),
            sends: InFlight::default(),
            recvs: Armed::new(config.files),
        };
        Ok(Driver {
            memory: ManuallyDrop::new(memory),
            fast: FastSends::new(config.sq_entries),
            queues,
            files: Files::default(),
            peers: Vec::new(),
            control: config.control,
            dialer: Dialer::new(config.dial),
            not_send: PhantomData,
        })
    }

    /// The ring's descriptor, by which other threads wake this one.
    pub fn ring_fd(&self) -> RawFd {
        self.queues.fd()
    }

    /// The rings of all shards by `ShardId`. They have to stay open as long as they may be woken.
    pub fn set_peers(&mut self, rings: Vec<RawFd>) {
        self.peers = rings;
    }

    /// Takes the listening sockets away from new clients, who are refused from now on instead of
    /// waiting in a backlog that nobody reads, or are served by the next process on the same port.
    pub fn stop_listening(&mut self) {
        self.memory.accepts.stop_listening();
    }

    /// What has been counted.
    pub fn stats(&self) -> &DriverStats {
        &self.queues.stats
    }

    /// Carries out all orders, then waits as told unless there is something to hand out already. An
    /// error is the end of the ring: the kernel is broken or was given nonsense.
    pub fn submit(&mut self, ops: &mut OpQueue, staging: &Staging, wait: Wait) -> io::Result<()> {
        self.memory.accepts.follow_up(&mut self.queues)?;
        while let Some((file, data)) = self.files.due.pop() {
            self.close(file, data)?;
        }
        for op in ops.drain(..) {
            self.carry_out(op, staging)?;
        }
        self.queues.enter(wait)?;
        self.fast.clear();
        Ok(())
    }

    /// Hands out everything collected: fast sends that were not silent first, then the rest in the
    /// order of the kernel. Receive buffers go back at the end.
    pub fn completions(&mut self, mut f: impl FnMut(Completion<'_>)) {
        self.queues.stats.sends_short += self.queues.exceptions.len() as u64;
        for (conn, result) in self.queues.exceptions.drain(..) {
            f(fast_send_result(conn, result));
        }
        if std::mem::take(&mut self.queues.woken) {
            f(Completion::Woken);
        }
        for index in 0..self.queues.staged.len() {
            self.hand_out(self.queues.staged[index], &mut f);
        }
        self.queues.staged.clear();
        self.memory.buffers.publish();
    }

    fn carry_out(&mut self, op: Op, staging: &Staging) -> io::Result<()> {
        match op {
            Op::ArmAccept { listener } => self.memory.accepts.arm(listener, &mut self.queues),
            Op::CancelAccept { listener } => self.memory.accepts.cancel(listener, &mut self.queues),
            Op::Connect { conn, file, target, source } => self.connect(conn, file, target, source),
            Op::ArmRecv { conn, file } => self.arm_recv(conn, file),
            Op::CancelRecv { conn } => self.cancel_recv(conn),
            Op::Send { conn, file, first } => self.send(conn, file, first, staging),
            Op::SendQueued { conn, file, frames, skip } => {
                let entry = self.memory.sends.start(conn, file, frames, skip);
                // SAFETY: the record that the entry points at stays in `sends` until its
                // completion.
                unsafe { self.queues.push(&entry) }
            }
            Op::Shutdown { file, how } => {
                let entry = self.files.shutdown(file, how);
                self.push(&entry)
            }
            Op::Close { conn, file } => self.close(file, UserData::Close(conn)),
            Op::CloseUnused { file } => self.close(file, UserData::CloseUnused),
            Op::Wake { shard } => {
                let entry = doorbell::wake(self.peers[shard.index()])
                    .flags(squeue::Flags::SKIP_SUCCESS)
                    .user_data(UserData::Wake(shard).encode());
                self.push(&entry)
            }
            Op::WakeControl => self.wake_control(),
        }
    }

    fn connect(
        &mut self,
        conn: ConnKey,
        file: FileSlot,
        target: TargetId,
        source: Option<SourceId>,
    ) -> io::Result<()> {
        if let Err(error) = self.dialer.open(&self.queues.ring, file, target, source) {
            // The one completion that no kernel gives: to the caller it is like any other.
            let result = -error.raw_os_error().unwrap_or(libc::EIO);
            let data = UserData::Connect(conn);
            self.queues.staged.push(Cqe { data, result, flags: 0 });
            return Ok(());
        }
        let entry = self.dialer.connect(conn, file, target);
        // SAFETY: the address lives in the dialer, which never changes, until the ring is gone.
        unsafe { self.queues.push(&entry) }
    }

    fn arm_recv(&mut self, conn: ConnKey, file: FileSlot) -> io::Result<()> {
        let entry = opcode::RecvMulti::new(Fixed(file.0), buf_ring::GROUP)
            .build()
            .user_data(UserData::Recv(conn).encode());
        self.push(&entry)?;
        self.memory.recvs.begin(conn);
        Ok(())
    }

    fn cancel_recv(&mut self, conn: ConnKey) -> io::Result<()> {
        let entry = opcode::AsyncCancel::new(UserData::Recv(conn).encode())
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(UserData::CancelRecv(conn).encode());
        self.push(&entry)
    }

    fn send(
        &mut self,
        conn: ConnKey,
        file: FileSlot,
        first: SegmentId,
        staging: &Staging,
    ) -> io::Result<()> {
        if !self.fast.has_room() {
            self.queues.stats.sq_full += 1;
            self.queues.flush()?;
            self.fast.clear();
        }
        let gathered = self.fast.gathered();
        let entry = self.fast.start(conn, file, staging.pieces(first));
        self.queues.stats.sends_gathered += (self.fast.gathered() - gathered) as u64;
        // SAFETY: the entry points into `staging` and `fast`, which outlive the submission; with
        // MSG_DONTWAIT the kernel is done with both when the submission returns (R2).
        unsafe { self.queues.push(&entry) }
    }

    fn close(&mut self, file: FileSlot, data: UserData) -> io::Result<()> {
        match self.files.close(file, data) {
            Some(entry) => self.push(&entry),
            None => {
                self.queues.stats.closes_deferred += 1;
                Ok(())
            }
        }
    }

    fn wake_control(&mut self) -> io::Result<()> {
        let Some(bell) = &self.control else { return Ok(()) };
        let one = (&raw const ONE).cast();
        let entry = opcode::Write::new(Fd(bell.as_raw_fd()), one, size_of_val(&ONE) as u32)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(UserData::WakeControl.encode());
        // SAFETY: the octets are static.
        unsafe { self.queues.push(&entry) }
    }

    /// Queues an operation that points at no memory of ours.
    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: receives use the registered buffers; cancel, close, shutdown and ring messages
        // carry no pointer.
        unsafe { self.queues.push(entry) }
    }

    fn hand_out(&mut self, cqe: Cqe, f: &mut impl FnMut(Completion<'_>)) {
        let stats = &mut self.queues.stats;
        match cqe.data {
            UserData::Accept { listener, index } => {
                self.memory.accepts.accepted(listener, index, cqe, f);
            }
            UserData::CancelAccept { listener } => self.memory.accepts.cancelled(listener, f),
            UserData::Recv(conn) => self.received(conn, cqe, f),
            UserData::SendQueued(conn) => {
                self.memory.sends.finish(conn);
                f(Completion::QueuedSent { conn, result: queued_send_result(cqe.result) });
            }
            UserData::Close(conn) => {
                stats.closes_failed += u64::from(cqe.result < 0);
                f(Completion::Closed { conn });
            }
            UserData::Connect(conn) => {
                let result = if cqe.result < 0 { Err(KernelFault(-cqe.result)) } else { Ok(()) };
                f(Completion::Connected { conn, result });
            }
            UserData::CloseUnused => stats.closes_failed += u64::from(cqe.result < 0),
            UserData::Shutdown(file) => self.files.shut(file),
            UserData::Wake(shard) => f(Completion::WakeFailed { shard }),
            UserData::CancelRecv(conn) => {
                stats.cancels_late += 1;
                f(Completion::CancelMissed { conn });
            }
            UserData::WakeControl => stats.control_wakes_failed += 1,
            UserData::Send(_) | UserData::Woken => unreachable!("bug: collected elsewhere"),
        }
    }

    fn received(&mut self, conn: ConnKey, cqe: Cqe, f: &mut impl FnMut(Completion<'_>)) {
        if let Some(buffer) = BufRing::id(cqe.flags) {
            if cqe.result > 0 {
                let bytes = self.memory.buffers.lend(buffer, cqe.result as u32);
                f(Completion::Received { conn, bytes });
            }
            self.memory.buffers.give_back(buffer);
        }
        if !cqueue::more(cqe.flags) {
            self.memory.recvs.end(conn);
            let why = recv_end(cqe.result);
            self.queues.stats.starved += u64::from(why == RecvEnd::Starved);
            f(Completion::RecvEnded { conn, why });
        }
    }
}

impl Drop for Driver {
    /// R1: ends everything that is in flight before the memory goes.
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_millis(RING_TEARDOWN_MS_MAX);
        self.end_by_name(deadline);
        while self.memory.in_use() && Instant::now() < deadline {
            // It fails with ENOENT when all have just ended; what counts is `in_use`. Operations
            // still queued are never submitted: what they point at may be gone.
            let submitter = self.queues.ring.submitter();
            let _ =
                submitter.register_sync_cancel(Some(TEARDOWN_LOOK.into()), CancelBuilder::any());
            if self.collect_ended().is_err() {
                break;
            }
        }
        if !self.memory.in_use() && self.memory.buffers.unregister(&self.queues.ring).is_ok() {
            // SAFETY: dropped once, here; no operation is in flight and the buffers are no longer
            // registered, so the kernel has no use for any of it.
            unsafe { ManuallyDrop::drop(&mut self.memory) };
        }
    }
}

impl Driver {
    /// Ends what there may be thousands of, and waits for it: see [`Armed`] for why not all at
    /// once.
    fn end_by_name(&mut self, deadline: Instant) {
        let submitter = self.queues.ring.submitter();
        let recvs = self.memory.recvs.keys().map(UserData::Recv);
        let sends = self.memory.sends.keys().map(UserData::SendQueued);
        let mut named = 0;
        for (index, data) in recvs.chain(sends).enumerate() {
            if index % TEARDOWN_PORTION == 0 && Instant::now() >= deadline {
                return;
            }
            let one = CancelBuilder::user_data(data.encode());
            // What has ended by itself in the meantime is not found, and needn't be.
            let _ = submitter.register_sync_cancel(Some(TEARDOWN_LOOK.into()), one);
            named = index + 1;
        }
        let mut held = u64::MAX;
        while named > 0 && self.memory.held() < held && Instant::now() < deadline {
            held = self.memory.held();
            if self.collect_ended().is_err() {
                return;
            }
        }
    }

    fn collect_ended(&mut self) -> io::Result<()> {
        self.queues.wait_only(TEARDOWN_LOOK)?;
        self.completions(|_| {});
        Ok(())
    }
}

impl Memory {
    /// Receives and queued sends that the kernel holds.
    fn held(&self) -> u64 {
        self.recvs.len() + self.sends.len() as u64
    }

    fn in_use(&self) -> bool {
        self.recvs.len() > 0 || self.accepts.in_flight() > 0 || self.sends.len() > 0
    }
}

fn fast_send_result<'a>(conn: ConnKey, result: i32) -> Completion<'a> {
    match result {
        0.. => Completion::SentShort { conn, sent: result as u32 },
        _ if [-libc::EAGAIN, -libc::EINTR].contains(&result) => {
            Completion::SentShort { conn, sent: 0 }
        }
        _ => Completion::SendFailed { conn, fault: KernelFault(-result) },
    }
}

fn queued_send_result(result: i32) -> Result<u32, KernelFault> {
    match result {
        0.. => Ok(result as u32),
        _ if [-libc::EAGAIN, -libc::EINTR].contains(&result) => Ok(0),
        _ => Err(KernelFault(-result)),
    }
}

/// Why a receive ended whose last completion has this result.
fn recv_end(result: i32) -> RecvEnd {
    match -result {
        0 => RecvEnd::Eof,
        ..0 => RecvEnd::Again,
        libc::ENOBUFS => RecvEnd::Starved,
        libc::ECANCELED => RecvEnd::Cancelled,
        libc::EAGAIN | libc::EINTR => RecvEnd::Again,
        errno => RecvEnd::Failed(KernelFault(errno)),
    }
}
