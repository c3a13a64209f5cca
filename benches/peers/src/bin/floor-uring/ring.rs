//! The ring of the io_uring floor, with its receive buffers.
//!
//! Fast sends are tried while they are submitted and are silent when the socket takes everything:
//! what they point at must stay as it is until [`Ring::enter`] has returned and its exceptions have
//! been looked at. The floor keeps that by holding back the buffers and batches of the turn before.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, CancelBuilder, Fd, Fixed, TimeoutFlags, Timespec};
use io_uring::{CompletionQueue, EnterFlags, IoUring, SubmissionQueue, Submitter};
use io_uring::{cqueue, opcode, squeue};

/// Operations between two submissions.
pub const SUBMISSIONS: u32 = 4096;
const COMPLETIONS: u32 = 16_384;
const BUFFERS: u16 = 512;
const BUFFER_BYTES: usize = 8192;
const GROUP: u16 = 0;
const FAST: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
const QUEUED: i32 = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

/// What a completion is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Accept,
    Recv,
    /// A fast send that was not silent.
    Fast,
    /// A send that waits for the socket.
    Queued,
    /// See [`Ring::tick_every`].
    Tick,
    /// Nobody asks how these went.
    Other,
}

/// One completion.
#[derive(Clone, Copy, Debug)]
pub struct News {
    pub kind: Kind,
    pub slot: u32,
    pub result: i32,
    pub flags: u32,
}

impl News {
    /// Whether the operation goes on.
    pub fn more(&self) -> bool {
        cqueue::more(self.flags)
    }

    /// The receive buffer that it brings.
    pub fn buffer(&self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }
}

fn word(kind: Kind, slot: u32) -> u64 {
    let kind: u64 = match kind {
        Kind::Accept => 0,
        Kind::Recv => 1,
        Kind::Fast => 2,
        Kind::Queued => 3,
        Kind::Other => 4,
        Kind::Tick => 5,
    };
    kind << 32 | u64::from(slot)
}

fn news(entry: &cqueue::Entry) -> News {
    let kind = match entry.user_data() >> 32 {
        0 => Kind::Accept,
        1 => Kind::Recv,
        2 => Kind::Fast,
        3 => Kind::Queued,
        5 => Kind::Tick,
        _ => Kind::Other,
    };
    let slot = entry.user_data() as u32;
    News { kind, slot, result: entry.result(), flags: entry.flags() }
}

/// See the module's header.
pub struct Ring<'a> {
    submitter: Submitter<'a>,
    queue: SubmissionQueue<'a>,
    completions: CompletionQueue<'a>,
    /// Descriptors of buffers, which the kernel reads, and behind them the buffers.
    memory: *mut u8,
    tail: u16,
}

const DESCRIPTORS_BYTES: usize = BUFFERS as usize * size_of::<BufRingEntry>();

/// A ring that only the calling thread uses, and whose completions only it runs.
pub fn build() -> io::Result<IoUring> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_cqsize(COMPLETIONS)
        .build(SUBMISSIONS)
}

impl<'a> Ring<'a> {
    pub fn new(ring: &'a mut IoUring, files: u32) -> io::Result<Self> {
        let (mut submitter, queue, completions) = ring.split();
        submitter.register_ring_fd()?;
        submitter.register_files_sparse(files)?;
        let bytes = DESCRIPTORS_BYTES + usize::from(BUFFERS) * BUFFER_BYTES;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new anonymous mapping, which stays until the process ends.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: page-aligned, large enough for BUFFERS entries, and never unmapped.
        unsafe { submitter.register_buf_ring_with_flags(memory as u64, BUFFERS, GROUP, 0)? };
        let mut ring = Ring { submitter, queue, completions, memory: memory.cast(), tail: 0 };
        (0..BUFFERS).for_each(|buffer| ring.give_back(buffer));
        ring.publish();
        Ok(ring)
    }

    pub fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        let entry = opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).allocate_file_index(true);
        self.push(entry.build().user_data(word(Kind::Accept, 0)))
    }

    /// A completion each time `period` has passed. It has to stay until the ring is gone.
    pub fn tick_every(&mut self, period: &'static Timespec) -> io::Result<()> {
        let entry = opcode::Timeout::new(period).flags(TimeoutFlags::MULTISHOT);
        self.push(entry.build().user_data(word(Kind::Tick, 0)))
    }

    pub fn recv(&mut self, slot: u32) -> io::Result<()> {
        let entry = opcode::RecvMulti::new(Fixed(slot), GROUP).build();
        self.push(entry.user_data(word(Kind::Recv, slot)))
    }

    /// See the module's header for how long `bytes` has to stay.
    #[inline]
    pub fn send_fast(&mut self, slot: u32, bytes: &[u8]) -> io::Result<()> {
        let entry = opcode::Send::new(Fixed(slot), bytes.as_ptr(), bytes.len() as u32).flags(FAST);
        let entry = entry.build().flags(squeue::Flags::SKIP_SUCCESS);
        self.push(entry.user_data(word(Kind::Fast, slot)))
    }

    /// Like [`Self::send_fast`]: the beginning of a receive buffer, which is to be held back.
    #[inline]
    pub fn send_buffer(&mut self, slot: u32, buffer: u16, bytes: usize) -> io::Result<()> {
        let start = self.lend(buffer, bytes).as_ptr();
        let entry = opcode::Send::new(Fixed(slot), start, bytes as u32).flags(FAST);
        let entry = entry.build().flags(squeue::Flags::SKIP_SUCCESS);
        self.push(entry.user_data(word(Kind::Fast, slot)))
    }

    /// `bytes` has to stay until the completion.
    pub fn send_queued(&mut self, slot: u32, bytes: &[u8]) -> io::Result<()> {
        let entry = opcode::Send::new(Fixed(slot), bytes.as_ptr(), bytes.len() as u32);
        self.push(entry.flags(QUEUED).build().user_data(word(Kind::Queued, slot)))
    }

    pub fn cancel_recv(&mut self, slot: u32) -> io::Result<()> {
        let builder = CancelBuilder::user_data(word(Kind::Recv, slot));
        let entry = opcode::AsyncCancel2::new(builder).build();
        self.push(entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(word(Kind::Other, slot)))
    }

    pub fn close(&mut self, slot: u32) -> io::Result<()> {
        let entry = opcode::Close::new(Fixed(slot)).build();
        self.push(entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(word(Kind::Other, slot)))
    }

    #[inline]
    fn push(&mut self, entry: squeue::Entry) -> io::Result<()> {
        // SAFETY: only sends point at memory, and their callers keep it as they were told.
        while unsafe { self.queue.push(&entry) }.is_err() {
            self.submit(0, EnterFlags::empty())?;
        }
        Ok(())
    }

    /// Submits everything and takes the completions that are there, after waiting for one if so
    /// asked. Gives how many have come.
    pub fn enter(&mut self, waits: bool, out: &mut Vec<News>) -> io::Result<usize> {
        let before = out.len();
        self.submit(u32::from(waits), EnterFlags::GETEVENTS)?;
        self.reap(out);
        while self.queue.cq_overflow() || !self.queue.is_empty() {
            self.submit(0, EnterFlags::GETEVENTS)?;
            self.reap(out);
        }
        Ok(out.len() - before)
    }

    fn submit(&mut self, wanted: u32, flags: EnterFlags) -> io::Result<()> {
        self.queue.sync();
        let count = self.queue.len() as u32;
        // SAFETY: plain numbers and no argument; what the operations point at was vouched for when
        // they were pushed.
        let done =
            unsafe { self.submitter.enter::<libc::sigset_t>(count, wanted, flags.bits(), None) };
        self.queue.sync();
        match done {
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR | libc::EAGAIN | libc::EBUSY) => Ok(()),
                _ => Err(error),
            },
            Ok(_) => Ok(()),
        }
    }

    fn reap(&mut self, out: &mut Vec<News>) {
        self.completions.sync();
        out.extend(self.completions.by_ref().map(|entry| news(&entry)));
        self.completions.sync();
    }

    /// The octets of a buffer that a completion has brought.
    #[inline]
    pub fn lend(&mut self, buffer: u16, bytes: usize) -> &mut [u8] {
        assert!(buffer < BUFFERS && bytes <= BUFFER_BYTES);
        // SAFETY: inside of the mapping, initialised by the kernel, and not in the kernel's hands
        // until it is given back, which the borrow of the ring prevents.
        unsafe {
            let start = self.memory.add(DESCRIPTORS_BYTES + usize::from(buffer) * BUFFER_BYTES);
            std::slice::from_raw_parts_mut(start, bytes)
        }
    }

    /// Puts a buffer back; the kernel sees it at the next [`Self::publish`].
    #[inline]
    pub fn give_back(&mut self, buffer: u16) {
        assert!(buffer < BUFFERS);
        let index = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: within the mapping; the kernel reads the entry only once the tail is past it, and
        // the tail itself, a part of the first entry, is not written here.
        unsafe {
            let start = self.memory.add(DESCRIPTORS_BYTES + usize::from(buffer) * BUFFER_BYTES);
            let entry = &mut *self.memory.cast::<BufRingEntry>().add(index);
            entry.set_addr(start as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(buffer);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what was given back.
    #[inline]
    pub fn publish(&mut self) {
        // SAFETY: the tail lies in the first entry: mapped, aligned, and written by us alone.
        let tail = unsafe {
            AtomicU16::from_ptr(BufRingEntry::tail(self.memory.cast::<BufRingEntry>()).cast_mut())
        };
        tail.store(self.tail, Ordering::Release);
    }
}
