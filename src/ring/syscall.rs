//! The two system calls of the ring that the `io-uring` crate can't make for us.
//!
//! Its `Submitter` forgets the index of a registered ring when it goes out of scope, and it can't
//! be kept beside the ring that it borrows. So the index lives here, and `enter` is called
//! directly.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use io_uring::EnterFlags;
use io_uring::types::{SubmitArgs, Timespec};

const REGISTER_RING_FDS: libc::c_uint = 20;
const UNREGISTER_RING_FDS: libc::c_uint = 21;

/// `struct io_uring_rsrc_update`.
#[repr(C)]
struct RingUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

/// How long an `enter` waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: submit, and take what is there.
    Now,
    /// For one completion, but no longer than this.
    Until(Duration),
    /// For one completion.
    Forever,
}

/// The way into the kernel for one ring. Belongs to the thread that made it.
#[derive(Debug)]
pub(super) struct Enter {
    ring: RawFd,
    registered: Option<u32>,
}

impl Enter {
    /// Registers the ring's descriptor with this thread, which spares a look-up per call. A kernel
    /// that refuses (each thread has room for 16) costs speed only.
    pub(super) fn new(ring: RawFd) -> Self {
        let mut update = RingUpdate { offset: u32::MAX, reserved: 0, data: ring as u64 };
        let registered = register(ring, REGISTER_RING_FDS, &mut update).ok();
        Enter { ring, registered: registered.map(|_| update.offset) }
    }

    /// Gives the registration back: until then the kernel keeps the ring open.
    pub(super) fn unregister(&mut self) {
        if let Some(offset) = self.registered.take() {
            let mut update = RingUpdate { offset, reserved: 0, data: 0 };
            let done = register(self.ring, UNREGISTER_RING_FDS, &mut update);
            debug_assert!(done.is_ok(), "the ring was registered by this thread");
        }
    }

    /// Submits `count` operations, runs the ring's pending work and waits for a completion.
    pub(super) fn events(&self, count: u32, wait: Wait) -> io::Result<u32> {
        match wait {
            Wait::Now => self.call(count, 0, EnterFlags::GETEVENTS, None),
            Wait::Forever => self.call(count, 1, EnterFlags::GETEVENTS, None),
            Wait::Until(timeout) => {
                let timeout = Timespec::from(timeout);
                let args = SubmitArgs::new().timespec(&timeout);
                let flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
                self.call(count, 1, flags, Some(&args))
            }
        }
    }

    /// Submits `count` operations and nothing else.
    pub(super) fn submit(&self, count: u32) -> io::Result<u32> {
        self.call(count, 0, EnterFlags::empty(), None)
    }

    fn call(
        &self,
        count: u32,
        wanted: u32,
        flags: EnterFlags,
        args: Option<&SubmitArgs<'_, '_>>,
    ) -> io::Result<u32> {
        let (fd, flags) = match self.registered {
            Some(index) => (index, flags | EnterFlags::REGISTERED_RING),
            None => (self.ring as u32, flags),
        };
        let (arg, size) = match args {
            Some(args) => (std::ptr::from_ref(args).cast(), size_of_val(args)),
            None => (std::ptr::null::<libc::c_void>(), 0),
        };
        // SAFETY: `arg` is null, or a `SubmitArgs` (transparent over `io_uring_getevents_arg`,
        // which EXT_ARG announces) that lives, with its timespec, until the call returns. What the
        // queued operations point at was vouched for when they were pushed.
        let done = unsafe {
            libc::syscall(libc::SYS_io_uring_enter, fd, count, wanted, flags.bits(), arg, size)
        };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done as u32) }
    }
}

fn register(ring: RawFd, opcode: libc::c_uint, update: &mut RingUpdate) -> io::Result<()> {
    // SAFETY: both opcodes read and write exactly one `io_uring_rsrc_update`, which `RingUpdate`
    // matches field for field, and keep no reference to it.
    let done = unsafe {
        libc::syscall(libc::SYS_io_uring_register, ring, opcode, std::ptr::from_mut(update), 1)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
