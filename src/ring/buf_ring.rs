//! The pool of receive buffers that a ring shares with the kernel.
//!
//! Owns the pages of the buffers and of the ring of descriptors in front of them. The kernel takes
//! a buffer when bytes arrive and names it in the completion; it is ours until it is given back.
//!
//! Invariants: B1 a buffer is in the ring or lent out by [`BufRing::lend`], never both, because
//! each completion that names a buffer leads to exactly one [`BufRing::give_back`]; B2 the kernel
//! sees a descriptor only after it is complete (`Release` on the tail); B3 the tail is published
//! once per batch, by [`BufRing::publish`].

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use io_uring::{IoUring, cqueue};

use crate::limits::RECV_BUFFERS_MAX;

/// The only group of buffers of a ring.
pub(super) const GROUP: u16 = 0;

/// See the module's header.
pub(super) struct BufRing {
    ring: Mapping,
    memory: Mapping,
    buffers: u16,
    buffer_bytes: u32,
    tail: u16,
}

impl BufRing {
    /// Maps and registers `buffers` (a power of two) of `buffer_bytes` each. Their memory is
    /// touched only as it is used.
    pub(super) fn new(ring: &IoUring, buffers: u16, buffer_bytes: u32) -> io::Result<Self> {
        assert!(buffers.is_power_of_two() && buffers <= RECV_BUFFERS_MAX && buffer_bytes > 0);
        let mut pool = BufRing {
            ring: Mapping::new(usize::from(buffers) * size_of::<BufRingEntry>())?,
            memory: Mapping::new(usize::from(buffers) * buffer_bytes as usize)?,
            buffers,
            buffer_bytes,
            tail: 0,
        };
        let address = pool.ring.start.as_ptr() as u64;
        // SAFETY: the mapping is page-aligned, as large as `buffers` entries, and lives until
        // `unregister` or the ring's end: the driver drops it after the ring.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, buffers, GROUP, 0)? };
        for id in 0..buffers {
            pool.give_back(id);
        }
        pool.publish();
        Ok(pool)
    }

    /// Takes the ring of buffers away from the kernel.
    pub(super) fn unregister(&self, ring: &IoUring) -> io::Result<()> {
        ring.submitter().unregister_buf_ring(GROUP)
    }

    /// The buffer that a completion names.
    pub(super) fn id(flags: u32) -> Option<u16> {
        cqueue::buffer_select(flags)
    }

    /// The first `len` octets of a buffer that a completion has named.
    pub(super) fn lend(&mut self, id: u16, len: u32) -> &mut [u8] {
        assert!(id < self.buffers && len <= self.buffer_bytes, "bug: no such buffer");
        let start = usize::from(id) * self.buffer_bytes as usize;
        // SAFETY: within the mapping by the assertion; the kernel has let go of this buffer (B1)
        // and the borrow of `self` ends before it can be given back.
        unsafe {
            let first = self.memory.start.as_ptr().add(start);
            std::slice::from_raw_parts_mut(first, len as usize)
        }
    }

    /// Puts a buffer back; the kernel sees it at the next [`Self::publish`].
    pub(super) fn give_back(&mut self, id: u16) {
        assert!(id < self.buffers, "bug: no such buffer");
        let start = usize::from(id) * self.buffer_bytes as usize;
        let index = usize::from(self.tail & (self.buffers - 1));
        // SAFETY: both offsets lie within their mappings, and the kernel doesn't read this entry
        // before the tail passes it. Only the three fields are written: the first entry's fourth is
        // the tail itself.
        unsafe {
            let address = self.memory.start.as_ptr().add(start) as u64;
            let entry = &mut *self.ring.start.as_ptr().cast::<BufRingEntry>().add(index);
            entry.set_addr(address);
            entry.set_len(self.buffer_bytes);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel everything given back since the last time.
    pub(super) fn publish(&mut self) {
        // SAFETY: the first entry is mapped and initialised (zeroed by the kernel); its tail field
        // is two octets, aligned, and the kernel only reads it.
        let tail = unsafe {
            let tail = BufRingEntry::tail(self.ring.start.as_ptr().cast::<BufRingEntry>());
            AtomicU16::from_ptr(tail.cast_mut())
        };
        tail.store(self.tail, Ordering::Release);
    }
}

/// Anonymous pages.
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

impl Mapping {
    fn new(len: usize) -> io::Result<Self> {
        // SAFETY: a new private anonymous mapping touches no memory that exists.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping { start: NonNull::new(start.cast()).expect("mmap gives no null page"), len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what `new` mapped, and no borrow of it outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
