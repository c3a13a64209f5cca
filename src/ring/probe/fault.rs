//! What is wrong with a host, in the operator's words: one sentence about the fault, then one line
//! per remedy with exactly what to type.

use std::fmt;

use super::KERNEL_FLOOR;
use crate::ring::completion::KernelFault;

/// A call that a ring needs, as a step of setting it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingCall {
    /// `io_uring_setup` with the driver's flags.
    Setup,
    /// `io_uring_register`: what is supported.
    Probe,
    /// `io_uring_register`: the table of direct descriptors.
    RegisterFiles,
    /// `io_uring_register`: the ring of receive buffers.
    RegisterBuffers,
    /// `io_uring_enter`.
    Enter,
}

impl fmt::Display for RingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RingCall::Setup => "io_uring_setup",
            RingCall::Probe => "io_uring_register (probe)",
            RingCall::RegisterFiles => "io_uring_register (file table)",
            RingCall::RegisterBuffers => "io_uring_register (buffer ring)",
            RingCall::Enter => "io_uring_enter",
        })
    }
}

/// Why this host can't run the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentFault {
    /// Below [`KERNEL_FLOOR`], and something is missing.
    #[error(
        "kernel {release} is too old: needs {}.{}\n  \
         boot a newer one, e.g. that of Debian 12, Ubuntu 24.04 or RHEL 10; `uname -r` shows it",
        KERNEL_FLOOR.0, KERNEL_FLOOR.1
    )]
    KernelTooOld {
        /// `uname -r`.
        release: String,
    },
    /// io_uring is not in this kernel.
    #[error(
        "kernel {release} has no io_uring (io_uring_setup is unknown to it)\n  \
         boot a kernel with it: `grep IO_URING /boot/config-$(uname -r)` must say \
         CONFIG_IO_URING=y\n  \
         in a gVisor sandbox: use another runtime (`docker run --runtime runc`)"
    )]
    NotBuilt {
        /// `uname -r`.
        release: String,
    },
    /// `kernel.io_uring_disabled` is 2.
    #[error(
        "io_uring is switched off for everyone: kernel.io_uring_disabled is 2\n  \
         as root on the host: sysctl -w kernel.io_uring_disabled=0\n  \
         to keep it: echo 'kernel.io_uring_disabled=0' > /etc/sysctl.d/60-io_uring.conf"
    )]
    Disabled,
    /// `kernel.io_uring_disabled` is 1, and that means this process.
    #[error(
        "io_uring is switched off for unprivileged users: kernel.io_uring_disabled is 1\n  \
         for this group only, as root on the host: sysctl -w kernel.io_uring_group={gid}\n  \
         for everyone, as root on the host: sysctl -w kernel.io_uring_disabled=0"
    )]
    DisabledForUser {
        /// The process's effective group.
        gid: u32,
    },
    /// A filter forbids the call.
    #[error(
        "a seccomp filter blocks {call} ({fault})\n  \
         docker, podman: run with `--security-opt seccomp=unconfined`, or with a profile that\n    \
         allows io_uring_setup, io_uring_enter and io_uring_register: \
         `--security-opt seccomp=FILE`\n  \
         Kubernetes: securityContext.seccompProfile: \
         {{type: Localhost, localhostProfile: FILE}}\n  \
         systemd: SystemCallFilter=io_uring_setup io_uring_enter io_uring_register"
    )]
    Seccomp {
        /// Which.
        call: RingCall,
        /// How it was refused.
        fault: KernelFault,
    },
    /// Neither sysctl nor filter, so most likely a security module.
    #[error(
        "{call} is not permitted ({fault}), most likely by a security module\n  \
         see who refused: journalctl -k | grep -iE 'avc|apparmor|denied'\n  \
         SELinux: ausearch -m avc -c ringwire | audit2allow -M ringwire && semodule -i ringwire.pp"
    )]
    Denied {
        /// Which.
        call: RingCall,
        /// How it was refused.
        fault: KernelFault,
    },
    /// A kernel that is new enough by its number, but cut down.
    #[error(
        "io_uring of kernel {release} lacks {}\n  \
         boot a stock kernel of {}.{} or newer; in a sandbox use a runtime that passes io_uring on",
        .missing.join(", "), KERNEL_FLOOR.0, KERNEL_FLOOR.1
    )]
    Incomplete {
        /// `uname -r`.
        release: String,
        /// Operations and features by name.
        missing: Vec<&'static str>,
    },
    /// RLIMIT_MEMLOCK.
    #[error(
        "the rings need {needed_bytes} bytes of locked memory, RLIMIT_MEMLOCK is {limit_bytes}\n  \
         shell, as root: ulimit -l {kib}\n  \
         systemd: LimitMEMLOCK={needed_bytes}\n  \
         docker, podman: --ulimit memlock={needed_bytes}:{needed_bytes}\n  \
         or run with fewer --shards",
        kib = .needed_bytes.div_ceil(1024)
    )]
    LockedMemory {
        /// RLIMIT_MEMLOCK.
        limit_bytes: u64,
        /// For all rings.
        needed_bytes: u64,
    },
    /// Memory of the host or of the control group.
    #[error(
        "the kernel has no memory for a ring ({call})\n  \
         systemd: raise MemoryMax=; docker, podman: raise --memory; see what is free: free -m\n  \
         or run with fewer --max-connections"
    )]
    NoMemory {
        /// Which call.
        call: RingCall,
    },
    /// A shard's table is larger than RLIMIT_NOFILE.
    #[error(
        "a shard needs a table of {needed} descriptors, RLIMIT_NOFILE is {limit}\n{}  \
         shell, as root: ulimit -n {needed}\n  \
         systemd: LimitNOFILE={needed}\n  \
         docker, podman: --ulimit nofile={needed}:{needed}\n{}",
        NrOpen(*nr_open, *needed), Instead(*shards, *connections_max)
    )]
    TableFiles {
        /// Entries of the table.
        needed: u32,
        /// RLIMIT_NOFILE.
        limit: u64,
        /// `fs.nr_open` where it has to be raised first.
        nr_open: Option<u64>,
        /// Shards that would do with this limit.
        shards: Option<u64>,
        /// Connections that fit with this limit and these shards.
        connections_max: u64,
    },
    /// A shard's table is larger than a ring can have.
    #[error(
        "a shard needs a table of {needed} descriptors, a ring has {} at most\n{}",
        crate::limits::SLOTS_PER_SHARD_MAX, Instead(*shards, *connections_max)
    )]
    TableTooLarge {
        /// Entries of the table.
        needed: u32,
        /// Shards that would do.
        shards: Option<u64>,
        /// Connections that fit with these shards.
        connections_max: u64,
    },
    /// Process descriptors.
    #[error(
        "the process needs {needed} descriptors, RLIMIT_NOFILE is {limit}\n  \
         shell, as root: ulimit -n {needed}\n  \
         systemd: LimitNOFILE={needed}\n  \
         docker, podman: --ulimit nofile={needed}:{needed}"
    )]
    ProcessFiles {
        /// Rings, listeners, control plane, files.
        needed: u64,
        /// RLIMIT_NOFILE.
        limit: u64,
    },
    /// Open files of the whole host.
    #[error(
        "all tables together need {needed} open files, fs.file-max is {limit}\n  \
         as root on the host: sysctl -w fs.file-max={needed}\n{}",
        Instead(None, *connections_max)
    )]
    SystemFiles {
        /// Of this process.
        needed: u64,
        /// `fs.file-max`.
        limit: u64,
        /// Connections that fit.
        connections_max: u64,
    },
    /// Anything else that ends a trial.
    #[error(
        "{call} failed on kernel {release}: {fault}\n  \
         see what the kernel says: dmesg | tail; run a stock kernel of {}.{} or newer",
        KERNEL_FLOOR.0, KERNEL_FLOOR.1
    )]
    Ring {
        /// Which call.
        call: RingCall,
        /// Why.
        fault: KernelFault,
        /// `uname -r`.
        release: String,
    },
}

struct NrOpen(Option<u64>, u32);

impl fmt::Display for NrOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(most) => writeln!(
                f,
                "  first, as root on the host (fs.nr_open is {most}): sysctl -w fs.nr_open={}",
                self.1
            ),
            None => Ok(()),
        }
    }
}

/// What to change in the configuration instead of in the host.
struct Instead(Option<u64>, u64);

impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Instead(shards, connections_max) = self;
        match (shards, connections_max) {
            (Some(shards), most) => {
                write!(f, "  or run with --shards {shards} or with --max-connections {most}")
            }
            (None, 0) => f.write_str("  no smaller configuration fits"),
            (None, most) => write!(f, "  or run with --max-connections {most}"),
        }
    }
}

/// What works, but worse than configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentWarning {
    /// The kernel cuts a listener's backlog down.
    #[error(
        "a backlog of {backlog} is cut down to {somaxconn} by net.core.somaxconn: \
         sysctl -w net.core.somaxconn={backlog}"
    )]
    Backlog {
        /// As configured.
        backlog: u32,
        /// `net.core.somaxconn`.
        somaxconn: u32,
    },
    /// Newer kernels may refuse one of the rings.
    #[error(
        "the rings take up to {needed_bytes} bytes of locked memory, RLIMIT_MEMLOCK is \
         {limit_bytes}: ulimit -l {kib}, systemd LimitMEMLOCK={needed_bytes}, or fewer --shards",
        kib = .needed_bytes.div_ceil(1024)
    )]
    LockedMemory {
        /// RLIMIT_MEMLOCK.
        limit_bytes: u64,
        /// For all rings.
        needed_bytes: u64,
    },
    /// A release below the floor whose io_uring is newer.
    #[error(
        "kernel {release} is older than {}.{}, but its io_uring has all that is needed; \
         if anything is odd, try a newer one first",
        KERNEL_FLOOR.0, KERNEL_FLOOR.1
    )]
    Backported {
        /// `uname -r`.
        release: String,
    },
}
