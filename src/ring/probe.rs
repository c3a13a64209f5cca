//! The start-up probe: may this host run a ring, and if not, what does the operator type?
//!
//! Owns the facts about the host ([`HostFacts`]), what a configuration needs of it ([`Needs`]) and
//! the rules between the two ([`diagnose`], pure). `gather` collects the facts; it is the only part
//! that touches the kernel, and it keeps nothing open. Never guesses from version numbers what it
//! can try: distributions backport, sandboxes take away.
//!
//! Invariants: P1 one fault at a time, the one that has to be mended first; P2 every fault names a
//! command or a setting; P3 what works is never refused, at most warned about.

mod fault;
mod gather;

pub use fault::{EnvironmentFault, EnvironmentWarning, RingCall};
pub use gather::gather;

use crate::limits;
use crate::ring::completion::KernelFault;

/// The oldest kernel with everything the driver relies on (`IORING_SETUP_DEFER_TASKRUN`).
pub const KERNEL_FLOOR: (u32, u32) = (6, 1);

/// What a configuration asks of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Shards, with one ring each.
    pub rings: u32,
    /// Connections that one shard serves.
    pub connections_per_ring: u32,
    /// Entries of one ring's table of direct descriptors: the connections and what is beside them.
    pub files_per_ring: u32,
    /// Process descriptors: rings, listeners, control plane, files.
    pub process_fds: u64,
    /// Backlog of a listener.
    pub backlog: u32,
    /// Buffers of one ring's receive pool.
    pub recv_buffers: u16,
}

impl Needs {
    /// Open files of the whole process; direct descriptors count for the system, not for the
    /// process.
    pub fn system_files(&self) -> u64 {
        u64::from(self.rings) * u64::from(self.files_per_ring) + self.process_fds
    }

    /// Entries of a table that serve no connection.
    fn files_beside(&self) -> u32 {
        self.files_per_ring.saturating_sub(self.connections_per_ring)
    }

    /// Kernel memory of all rings as newer kernels charge it to RLIMIT_MEMLOCK, in whole pages
    /// (checked on 6.18: one page less is refused). One ring more than asked for, because a closed
    /// ring is released in the background: the trial's may still be charged when the first shard
    /// makes its own.
    pub fn locked_bytes(&self) -> u64 {
        const PAGE: u64 = 4096;
        const HEADER: u64 = 320;
        let (sq, cq) = (u64::from(limits::SQ_ENTRIES), u64::from(limits::CQ_ENTRIES));
        let regions = [sq * 64, HEADER + cq * 16 + sq * 4, u64::from(self.recv_buffers) * 16];
        let per_ring: u64 = regions.iter().map(|bytes| bytes.next_multiple_of(PAGE)).sum();
        (u64::from(self.rings) + 1) * per_ring
    }
}

/// What was found out about the host. `None` where the host does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// As `uname -r` prints it.
    pub kernel_release: String,
    /// `kernel.io_uring_disabled`, since 6.6.
    pub io_uring_disabled: Option<u32>,
    /// `kernel.io_uring_group`: who may use io_uring when that is 1; -1 for nobody.
    pub io_uring_group: Option<i64>,
    /// Effective group of the process.
    pub gid: u32,
    /// Whether one of the process's groups is `io_uring_group`.
    pub in_io_uring_group: bool,
    /// The process's seccomp mode.
    pub seccomp: SeccompMode,
    /// CAP_SYS_ADMIN: exempt from `io_uring_disabled=1` and from `fs.file-max`.
    pub cap_sys_admin: bool,
    /// CAP_IPC_LOCK: exempt from RLIMIT_MEMLOCK.
    pub cap_ipc_lock: bool,
    /// RLIMIT_NOFILE as it is now, after raising it.
    pub nofile_soft: u64,
    /// The most that RLIMIT_NOFILE may be raised to.
    pub nofile_hard: u64,
    /// RLIMIT_MEMLOCK; `u64::MAX` for unlimited.
    pub memlock_bytes: u64,
    /// `net.core.somaxconn`.
    pub somaxconn: Option<u32>,
    /// `fs.file-max`.
    pub file_max: Option<u64>,
    /// `fs.nr_open`: the most that RLIMIT_NOFILE can ever be.
    pub nr_open: Option<u64>,
    /// A ring as the driver sets it up, tried.
    pub ring: Result<RingFacts, RingFault>,
}

/// Field `Seccomp` of `/proc/self/status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeccompMode {
    /// Not in use, or not in this kernel.
    Off,
    /// Strict mode.
    Strict,
    /// A filter, as container runtimes and systemd install it.
    Filter,
}

/// What a ring on this host can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingFacts {
    /// Supported operations by number.
    pub operations: Vec<u8>,
    /// Completions beyond the CQ are kept (`IORING_FEAT_NODROP`).
    pub nodrop: bool,
    /// `IOSQE_CQE_SKIP_SUCCESS` (`IORING_FEAT_CQE_SKIP`).
    pub cqe_skip: bool,
    /// Waiting with a time limit (`IORING_FEAT_EXT_ARG`).
    pub ext_arg: bool,
    /// `IORING_FEAT_RECVSEND_BUNDLE`.
    pub bundles: bool,
    /// `IORING_FEAT_MIN_TIMEOUT`.
    pub min_wait: bool,
    /// `IORING_REGISTER_RESIZE_RINGS` is known.
    pub resize: bool,
}

impl RingFacts {
    /// Optional features that are there, oldest first.
    pub fn optional(&self) -> impl Iterator<Item = OptionalFeature> {
        OptionalFeature::ALL.into_iter().filter(|feature| feature.is_in(self))
    }
}

/// The first step of setting up a ring that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingFault {
    /// Which call.
    pub call: RingCall,
    /// Why.
    pub fault: KernelFault,
}

/// A feature newer than [`KERNEL_FLOOR`] or optional in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionalFeature {
    /// Zero-copy sends of several pieces.
    SendMsgZeroCopy,
    /// A process descriptor for a direct one.
    FixedFdInstall,
    /// Several buffers per receive or send.
    Bundles,
    /// Waiting for more completions for a short time.
    MinWait,
    /// Resizing the queues.
    RingResize,
    /// Zero-copy receive.
    RecvZeroCopy,
}

impl OptionalFeature {
    /// All, oldest first.
    pub const ALL: [OptionalFeature; 6] = [
        OptionalFeature::SendMsgZeroCopy,
        OptionalFeature::FixedFdInstall,
        OptionalFeature::Bundles,
        OptionalFeature::MinWait,
        OptionalFeature::RingResize,
        OptionalFeature::RecvZeroCopy,
    ];

    /// Its name and the kernel that brought it.
    pub fn describe(self) -> (&'static str, &'static str) {
        match self {
            OptionalFeature::SendMsgZeroCopy => ("zero-copy sendmsg", "6.1"),
            OptionalFeature::FixedFdInstall => ("fixed fd install", "6.8"),
            OptionalFeature::Bundles => ("receive and send bundles", "6.10"),
            OptionalFeature::MinWait => ("minimum wait", "6.12"),
            OptionalFeature::RingResize => ("ring resize", "6.13"),
            OptionalFeature::RecvZeroCopy => ("zero-copy receive", "6.15"),
        }
    }

    fn is_in(self, ring: &RingFacts) -> bool {
        use io_uring::opcode;
        match self {
            OptionalFeature::SendMsgZeroCopy => has(ring, opcode::SendMsgZc::CODE),
            OptionalFeature::FixedFdInstall => has(ring, opcode::FixedFdInstall::CODE),
            OptionalFeature::Bundles => ring.bundles,
            OptionalFeature::MinWait => ring.min_wait,
            OptionalFeature::RingResize => ring.resize,
            OptionalFeature::RecvZeroCopy => has(ring, opcode::RecvZc::CODE),
        }
    }
}

/// A host that will do, and what else is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// Optional features that are there, oldest first.
    pub optional: Vec<OptionalFeature>,
    /// What works, but worse than configured.
    pub warnings: Vec<EnvironmentWarning>,
}

/// Judges the host. Pure.
pub fn diagnose(facts: &HostFacts, needs: &Needs) -> Result<Features, EnvironmentFault> {
    let ring = facts.ring.as_ref().map_err(|fault| ring_fault(facts, needs, *fault))?;
    let missing = missing(ring);
    if !missing.is_empty() {
        let release = facts.kernel_release.clone();
        return Err(if is_too_old(&release) {
            EnvironmentFault::KernelTooOld { release }
        } else {
            EnvironmentFault::Incomplete { release, missing }
        });
    }
    check_files(facts, needs)?;
    Ok(Features { optional: ring.optional().collect(), warnings: warnings(facts, needs) })
}

fn ring_fault(facts: &HostFacts, needs: &Needs, fault: RingFault) -> EnvironmentFault {
    let RingFault { call, fault } = fault;
    let release = facts.kernel_release.clone();
    let filtered = facts.seccomp != SeccompMode::Off;
    match fault.0 {
        libc::EPERM | libc::EACCES => match facts.io_uring_disabled {
            Some(2..) => EnvironmentFault::Disabled,
            Some(1) if !facts.cap_sys_admin && !facts.in_io_uring_group => {
                EnvironmentFault::DisabledForUser { gid: facts.gid }
            }
            _ if filtered => EnvironmentFault::Seccomp { call, fault },
            _ => EnvironmentFault::Denied { call, fault },
        },
        libc::ENOSYS if filtered => EnvironmentFault::Seccomp { call, fault },
        libc::ENOSYS | libc::EINVAL if is_too_old(&release) => {
            EnvironmentFault::KernelTooOld { release }
        }
        libc::ENOSYS => EnvironmentFault::NotBuilt { release },
        libc::ENOMEM if !facts.cap_ipc_lock && facts.memlock_bytes != u64::MAX => {
            // The limit is the user's, not the process's: others may have used it up.
            let (limit_bytes, needed) = (facts.memlock_bytes, needs.locked_bytes());
            let used_up = limit_bytes >= needed;
            let needed_bytes = if used_up { limit_bytes.saturating_add(needed) } else { needed };
            EnvironmentFault::LockedMemory { limit_bytes, needed_bytes }
        }
        libc::ENOMEM => EnvironmentFault::NoMemory { call },
        libc::EMFILE => EnvironmentFault::ProcessFiles {
            needed: needs.process_fds.max(facts.nofile_soft + 1),
            limit: facts.nofile_soft,
        },
        libc::ENFILE => system_files_fault(needs, facts.file_max.unwrap_or(0)),
        _ => EnvironmentFault::Ring { call, fault, release },
    }
}

/// Needed operations and features that a ring lacks, by name.
fn missing(ring: &RingFacts) -> Vec<&'static str> {
    use io_uring::opcode;
    let needed = [
        ("NOP", has(ring, opcode::Nop::CODE)),
        ("ACCEPT", has(ring, opcode::Accept::CODE)),
        ("RECV", has(ring, opcode::Recv::CODE)),
        ("SEND", has(ring, opcode::Send::CODE)),
        ("SENDMSG", has(ring, opcode::SendMsg::CODE)),
        ("ASYNC_CANCEL", has(ring, opcode::AsyncCancel::CODE)),
        ("SHUTDOWN", has(ring, opcode::Shutdown::CODE)),
        ("CLOSE", has(ring, opcode::Close::CODE)),
        ("READ", has(ring, opcode::Read::CODE)),
        ("WRITE", has(ring, opcode::Write::CODE)),
        ("MSG_RING", has(ring, opcode::MsgRingData::CODE)),
        ("FEAT_NODROP", ring.nodrop),
        ("FEAT_CQE_SKIP", ring.cqe_skip),
        ("FEAT_EXT_ARG", ring.ext_arg),
    ];
    needed.into_iter().filter(|(_, there)| !there).map(|(name, _)| name).collect()
}

fn has(ring: &RingFacts, operation: u8) -> bool {
    ring.operations.contains(&operation)
}

fn check_files(facts: &HostFacts, needs: &Needs) -> Result<(), EnvironmentFault> {
    let table = needs.files_per_ring;
    let table_max = limits::SLOTS_PER_SHARD_MAX.min(facts.nofile_soft.try_into().unwrap_or(!0));
    if table > table_max {
        let room = u64::from(table_max.saturating_sub(needs.files_beside()));
        let connections = u64::from(needs.rings) * u64::from(needs.connections_per_ring);
        let shards = (room > 0).then(|| connections.div_ceil(room));
        let shards = shards.filter(|&shards| shards <= u64::from(limits::SHARDS_MAX));
        let connections_max = room * u64::from(needs.rings);
        return Err(if table > limits::SLOTS_PER_SHARD_MAX {
            EnvironmentFault::TableTooLarge { needed: table, shards, connections_max }
        } else {
            EnvironmentFault::TableFiles {
                needed: table,
                limit: facts.nofile_soft,
                nr_open: facts.nr_open.filter(|&most| most < u64::from(table)),
                shards,
                connections_max,
            }
        });
    }
    if needs.process_fds > facts.nofile_soft {
        let (needed, limit) = (needs.process_fds, facts.nofile_soft);
        return Err(EnvironmentFault::ProcessFiles { needed, limit });
    }
    match facts.file_max {
        Some(limit) if needs.system_files() > limit && !facts.cap_sys_admin => {
            Err(system_files_fault(needs, limit))
        }
        Some(_) | None => Ok(()),
    }
}

fn system_files_fault(needs: &Needs, limit: u64) -> EnvironmentFault {
    let beside = needs.process_fds + u64::from(needs.rings) * u64::from(needs.files_beside());
    EnvironmentFault::SystemFiles {
        needed: needs.system_files(),
        limit,
        connections_max: limit.saturating_sub(beside),
    }
}

fn warnings(facts: &HostFacts, needs: &Needs) -> Vec<EnvironmentWarning> {
    let mut warnings = Vec::new();
    if let Some(somaxconn) = facts.somaxconn
        && somaxconn < needs.backlog
    {
        warnings.push(EnvironmentWarning::Backlog { backlog: needs.backlog, somaxconn });
    }
    if !facts.cap_ipc_lock && facts.memlock_bytes < needs.locked_bytes() {
        warnings.push(EnvironmentWarning::LockedMemory {
            limit_bytes: facts.memlock_bytes,
            needed_bytes: needs.locked_bytes(),
        });
    }
    if is_too_old(&facts.kernel_release) {
        warnings.push(EnvironmentWarning::Backported { release: facts.kernel_release.clone() });
    }
    warnings
}

/// Whether a release like `5.15.0-91-generic` is below the floor; one that can't be read is not.
pub fn is_too_old(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < KERNEL_FLOOR,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
