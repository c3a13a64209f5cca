//! Collects the facts about this host. Fails at nothing: what can't be read is `None`, and what the
//! kernel refuses is a fact too.
//!
//! The trial ring is set up as the driver does it and is gone when this returns.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fs;
use std::io;
use std::str::FromStr;

use io_uring::{IoUring, Probe, opcode};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{HostFacts, Needs, RingCall, RingFacts, RingFault, SeccompMode};
use crate::limits;
use crate::ring::completion::KernelFault;

const PAGE_BYTES: usize = 4096;
/// Octets of one entry of a ring of provided buffers.
const BUFFER_ENTRY_BYTES: usize = 16;
const REGISTER_RESIZE_RINGS: u32 = 33;

/// Raises RLIMIT_NOFILE as far as it goes, then collects everything that [`super::diagnose`] needs.
pub fn gather(needs: &Needs) -> HostFacts {
    let (nofile_soft, nofile_hard) = raise_nofile();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let io_uring_group = read("/proc/sys/kernel/io_uring_group");
    let gids: Vec<u32> = numbers(&status, "Gid:").chain(numbers(&status, "Groups:")).collect();
    let capabilities = field(&status, "CapEff:").and_then(|set| u64::from_str_radix(set, 16).ok());
    let capable = |bit: u32| capabilities.is_some_and(|set| set >> bit & 1 == 1);
    HostFacts {
        kernel_release: read("/proc/sys/kernel/osrelease").unwrap_or_default(),
        io_uring_disabled: read("/proc/sys/kernel/io_uring_disabled"),
        io_uring_group,
        gid: gids.get(1).copied().unwrap_or(0), // real, effective, saved, file system
        in_io_uring_group: gids.iter().any(|&gid| io_uring_group == Some(i64::from(gid))),
        seccomp: match field(&status, "Seccomp:") {
            Some("1") => SeccompMode::Strict,
            Some("2") => SeccompMode::Filter,
            Some(_) | None => SeccompMode::Off,
        },
        cap_sys_admin: capable(21),
        cap_ipc_lock: capable(14),
        nofile_soft,
        nofile_hard,
        memlock_bytes: getrlimit(Resource::RLIMIT_MEMLOCK).map_or(u64::MAX, |(soft, _)| soft),
        somaxconn: read("/proc/sys/net/core/somaxconn"),
        file_max: read("/proc/sys/fs/file-max"),
        nr_open: read("/proc/sys/fs/nr_open"),
        ring: try_ring(needs, nofile_soft),
    }
}

/// Gives (soft, hard). Direct tables are bounded by the soft limit, so there is no use in a lower
/// one: nothing here uses select(2).
fn raise_nofile() -> (u64, u64) {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((0, 0));
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return (hard, hard);
    }
    (soft, hard)
}

fn read<T: FromStr>(path: &str) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn numbers<'a>(status: &'a str, name: &str) -> impl Iterator<Item = u32> + use<'a> {
    field(status, name).unwrap_or_default().split_whitespace().filter_map(|gid| gid.parse().ok())
}

fn at(call: RingCall) -> impl Fn(io::Error) -> RingFault {
    move |error| RingFault { call, fault: KernelFault(error.raw_os_error().unwrap_or(0)) }
}

fn try_ring(needs: &Needs, nofile: u64) -> Result<RingFacts, RingFault> {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_submit_all();
    builder.setup_cqsize(limits::CQ_ENTRIES);
    let mut ring = builder.build(limits::SQ_ENTRIES).map_err(at(RingCall::Setup))?;

    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(at(RingCall::Probe))?;

    // A table beyond the limits is `diagnose`'s to refuse; the trial is about what else may fail.
    let most = limits::SLOTS_PER_SHARD_MAX.min(nofile.try_into().unwrap_or(u32::MAX));
    let files = needs.files_per_ring.min(most).max(1);
    ring.submitter().register_files_sparse(files).map_err(at(RingCall::RegisterFiles))?;

    try_buffer_ring(&ring, needs.recv_buffers).map_err(at(RingCall::RegisterBuffers))?;
    try_enter(&mut ring).map_err(at(RingCall::Enter))?;

    let params = ring.params();
    Ok(RingFacts {
        operations: (0..=u8::MAX).filter(|&code| probe.is_supported(code)).collect(),
        nodrop: params.is_feature_nodrop(),
        cqe_skip: params.is_feature_skip_cqe_on_success(),
        ext_arg: params.is_feature_ext_arg(),
        bundles: params.is_feature_recvsend_bundle(),
        min_wait: params.is_feature_min_timeout(),
        resize: knows_resize(&ring),
    })
}

fn try_buffer_ring(ring: &IoUring, buffers: u16) -> io::Result<()> {
    let bytes = usize::from(buffers.max(1)) * BUFFER_ENTRY_BYTES;
    let layout = Layout::from_size_align(bytes.next_multiple_of(PAGE_BYTES), PAGE_BYTES)
        .expect("at most 1 MiB, aligned to a power of two");
    // SAFETY: the layout is not of size zero, because it is rounded up to whole pages.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        return Err(io::Error::from_raw_os_error(libc::ENOMEM));
    }
    // SAFETY: `memory` is page-aligned, large enough for `buffers` entries and outlives the
    // registration: it is given back below, after unregistering. No operation uses the group.
    let registered = unsafe {
        ring.submitter().register_buf_ring_with_flags(memory as u64, buffers.max(1), 0, 0)
    };
    let unregistered = match &registered {
        Ok(()) => ring.submitter().unregister_buf_ring(0),
        Err(_) => Ok(()),
    };
    if unregistered.is_ok() {
        // SAFETY: allocated above with this layout, and the kernel does not hold it any more. (If
        // it might, one leaked page of a process that will not start is the better end.)
        unsafe { dealloc(memory, layout) };
    }
    registered.and(unregistered)
}

fn try_enter(ring: &mut IoUring) -> io::Result<()> {
    // SAFETY: a no-op points at no memory.
    unsafe { ring.submission().push(&opcode::Nop::new().build()) }
        .expect("the submission queue of a new ring has room");
    ring.submit_and_wait(1).map(drop)
}

/// There is no list of what `io_uring_register` knows. A kernel that knows how to resize reads its
/// argument and finds it bad (`EFAULT`), another one finds the command invalid (`EINVAL`).
fn knows_resize(ring: &IoUring) -> bool {
    use std::os::fd::AsRawFd;
    let bad_address = std::ptr::without_provenance::<u8>(1);
    // SAFETY: the kernel checks the address before it uses it, and page zero is never mapped.
    let result = unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            ring.as_raw_fd(),
            REGISTER_RESIZE_RINGS,
            bad_address,
            1,
        )
    };
    result < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
}
