//! What so many connections need of the host, and what it has. Pure: facts in, findings out.
//!
//! Here is what the kernel and its limits allow; `network` and `machine` have the rest.

use super::facts::Facts;
use super::finding::{Finding, Verdict, grouped};
use super::{machine, network, sysctls};
use crate::limits::{SHARDS_MAX, SLOTS_PER_SHARD_MAX};
use crate::ring::probe::{
    EnvironmentFault, EnvironmentWarning, KERNEL_FLOOR, Needs, SeccompMode, diagnose, is_too_old,
};
use crate::server::config::Config;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The configuration that shall run.
    pub config: Config,
    /// What its rings need.
    pub needs: Needs,
}

impl Wanted {
    pub(super) fn connections(&self) -> u64 {
        u64::from(self.config.connections_max)
    }
}

/// Looks at everything, in the order in which it matters.
pub fn examine(facts: &Facts, wanted: &Wanted) -> Vec<Finding> {
    let checks: [fn(&Facts, &Wanted) -> Finding; 8] = [
        kernel,
        io_uring,
        io_uring_disabled,
        seccomp,
        open_files,
        nr_open,
        file_max,
        locked_memory,
    ];
    let all = checks.into_iter().chain(network::CHECKS).chain(machine::CHECKS);
    all.map(|check| check(facts, wanted)).collect()
}

fn kernel(facts: &Facts, _: &Wanted) -> Finding {
    let release = &facts.ring.kernel_release;
    let needs = format!("{}.{} or newer", KERNEL_FLOOR.0, KERNEL_FLOOR.1);
    let why = "the ring is driven by what io_uring has since then (IORING_SETUP_DEFER_TASKRUN)";
    let verdict = if is_usable(facts) { Verdict::Advice } else { Verdict::Short };
    let fix = "boot a newer kernel, e.g. that of Debian 12, Ubuntu 24.04 or RHEL 10".to_owned();
    Finding::new("kernel", release, needs, why).unless_wrong(is_too_old(release), verdict, [fix])
}

/// Whether a ring could be set up and has all that is needed.
fn is_usable(facts: &Facts) -> bool {
    ring_fault(facts).is_none()
}

/// What is wrong with rings as such, whatever their size.
fn ring_fault(facts: &Facts) -> Option<EnvironmentFault> {
    let smallest = Needs {
        rings: 1,
        connections_per_ring: 1,
        files_per_ring: 1,
        process_fds: 1,
        backlog: 1,
        recv_buffers: 8,
    };
    diagnose(&facts.ring, &smallest).err()
}

fn io_uring(facts: &Facts, _: &Wanted) -> Finding {
    let why = "connections are served by io_uring; newer features are used where they are";
    let needs = "a ring with the operations of the driver";
    let Some(fault) = ring_fault(facts) else {
        let names: Vec<String> = features(facts);
        let has = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
        return Finding::new("io_uring", format!("works{has}"), needs, why);
    };
    let text = fault.to_string();
    let mut lines = text.lines().map(|line| line.trim().to_owned());
    let is = lines.next().unwrap_or_default();
    Finding::new("io_uring", is, needs, why).unless_wrong(true, Verdict::Short, lines)
}

fn features(facts: &Facts) -> Vec<String> {
    let ring = facts.ring.ring.iter();
    let found = ring.flat_map(|ring| ring.optional().map(|feature| feature.describe()));
    found.map(|(name, since)| format!("{name} ({since})")).collect()
}

fn io_uring_disabled(facts: &Facts, _: &Wanted) -> Finding {
    let value = facts.ring.io_uring_disabled;
    let is = value.map_or_else(|| "not in this kernel".to_owned(), |value| value.to_string());
    let verdict = if is_usable(facts) { Verdict::Advice } else { Verdict::Short };
    let fix = sysctls::command("kernel.io_uring_disabled", "0");
    let why = "1 and 2 take io_uring away from the service's user, whatever root may do here";
    let is_restricted = value.is_some_and(|value| value > 0);
    Finding::new("kernel.io_uring_disabled", is, "0", why).unless_wrong(
        is_restricted,
        verdict,
        [fix],
    )
}

fn seccomp(facts: &Facts, _: &Wanted) -> Finding {
    let is = match facts.ring.seccomp {
        SeccompMode::Off => "off",
        SeccompMode::Strict => "strict",
        SeccompMode::Filter => "a filter",
    };
    let fault = ring_fault(facts);
    let blocks = matches!(fault, Some(EnvironmentFault::Seccomp { .. }));
    let why = "container runtimes forbid io_uring unless told otherwise";
    let fix = [
        "docker, podman: --security-opt seccomp=FILE, a profile with io_uring_setup, \
         io_uring_enter and io_uring_register",
        "systemd: SystemCallFilter=io_uring_setup io_uring_enter io_uring_register",
    ];
    Finding::new("seccomp", is, "nothing that blocks io_uring", why).unless_wrong(
        blocks,
        Verdict::Short,
        fix.map(str::to_owned),
    )
}

/// Descriptors that a shard's table, or the process, has to have.
fn descriptors(wanted: &Wanted) -> u64 {
    u64::from(wanted.needs.files_per_ring).max(wanted.needs.process_fds)
}

fn open_files(facts: &Facts, wanted: &Wanted) -> Finding {
    let (needed, limit) = (descriptors(wanted), facts.ring.nofile_soft);
    let why = "each shard has a table of direct descriptors, with headroom because the kernel \
               spreads connections unevenly; RLIMIT_NOFILE bounds it, and the service's own \
               counts";
    let mut fix = vec![
        format!("systemd: LimitNOFILE={needed}"),
        format!("shell, as root: ulimit -n {needed}"),
        format!("docker, podman: --ulimit nofile={needed}:{needed}"),
    ];
    if needed > u64::from(SLOTS_PER_SHARD_MAX) {
        fix.clear();
    }
    fix.extend(enough_shards(facts, wanted).map(|shards| format!("or --shards {shards}")));
    let needs = format!("{} for each of {} shards", grouped(needed), wanted.config.shards);
    let is_short = needed > limit || needed > u64::from(SLOTS_PER_SHARD_MAX);
    Finding::new("open files (RLIMIT_NOFILE)", grouped(limit), needs, why).unless_wrong(
        is_short,
        Verdict::Short,
        fix,
    )
}

/// The least number of shards whose tables fit, with the headroom that each has.
fn enough_shards(facts: &Facts, wanted: &Wanted) -> Option<u16> {
    let most = facts.ring.nofile_soft.min(u64::from(SLOTS_PER_SHARD_MAX));
    (wanted.config.shards..=SHARDS_MAX).find(|shards| {
        let config = Config { shards: *shards, ..wanted.config.clone() };
        u64::from(crate::server::plan::files_per_shard(&config)) <= most
    })
}

fn nr_open(facts: &Facts, wanted: &Wanted) -> Finding {
    let needed = descriptors(wanted).min(u64::from(SLOTS_PER_SHARD_MAX));
    let why = "RLIMIT_NOFILE can't be raised beyond it";
    let fix = sysctls::command("fs.nr_open", &sysctls::value("fs.nr_open", wanted.connections()));
    let is_short = facts.ring.nr_open.is_some_and(|most| most < needed);
    let is = facts.ring.nr_open.map(grouped);
    Finding::maybe("fs.nr_open", is, grouped(needed), why).unless_wrong(
        is_short,
        Verdict::Short,
        [fix],
    )
}

fn file_max(facts: &Facts, wanted: &Wanted) -> Finding {
    let needed = wanted.needs.system_files();
    let why = "open files of the whole host: each connection is one, as a direct descriptor too";
    let value = sysctls::value("fs.file-max", wanted.connections());
    let is_short = facts.ring.file_max.is_some_and(|most| most < needed);
    let is = facts.ring.file_max.map(grouped);
    Finding::maybe("fs.file-max", is, grouped(needed), why).unless_wrong(
        is_short,
        Verdict::Short,
        [sysctls::command("fs.file-max", &value)],
    )
}

fn locked_memory(facts: &Facts, wanted: &Wanted) -> Finding {
    let needed = wanted.needs.locked_bytes();
    let limit = facts.ring.memlock_bytes;
    let is = match (facts.ring.cap_ipc_lock, limit) {
        (true, _) => "exempt (CAP_IPC_LOCK)".to_owned(),
        (false, u64::MAX) => "unlimited".to_owned(),
        (false, limit) => format!("{} bytes", grouped(limit)),
    };
    let why = "newer kernels charge the rings to it";
    let warned = diagnose(&facts.ring, &wanted.needs).map(|features| features.warnings);
    let is_little = warned.unwrap_or_default().iter().any(|warning| match warning {
        EnvironmentWarning::LockedMemory { .. } => true,
        EnvironmentWarning::Backlog { .. } | EnvironmentWarning::Backported { .. } => false,
    });
    let needs = format!("{} bytes", grouped(needed));
    let fix = [
        format!("systemd: LimitMEMLOCK={needed}"),
        format!("shell: ulimit -l {}", needed.div_ceil(1024)),
    ];
    Finding::new("locked memory (RLIMIT_MEMLOCK)", is, needs, why).unless_wrong(
        is_little,
        Verdict::Advice,
        fix,
    )
}
