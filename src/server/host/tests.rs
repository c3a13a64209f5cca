//! Findings on made-up hosts, and that what the doctor says to type is what the file sets.

use super::facts::{Card, Conntrack, Facts, Tracking};
use super::finding::{Finding, Verdict, grouped};
use super::findings::{Wanted, examine};
use super::memory::HostMemory;
use super::sysctls::SYSCTLS;
use crate::ring::KernelFault;
use crate::ring::probe::{HostFacts, RingCall, RingFacts, RingFault, SeccompMode};
use crate::server::config::Config;
use crate::server::plan;

const GIB: u64 = 1 << 30;

/// A host that was prepared for a million connections on eight shards.
fn prepared() -> Facts {
    let ring = RingFacts {
        operations: (0..=62).collect(),
        nodrop: true,
        cqe_skip: true,
        ext_arg: true,
        bundles: true,
        min_wait: true,
        resize: true,
    };
    Facts {
        ring: HostFacts {
            kernel_release: "6.12.9-amd64".into(),
            io_uring_disabled: Some(0),
            io_uring_group: Some(-1),
            gid: 0,
            in_io_uring_group: false,
            seccomp: SeccompMode::Off,
            cap_sys_admin: false,
            cap_ipc_lock: false,
            nofile_soft: 1 << 20,
            nofile_hard: 1 << 20,
            memlock_bytes: GIB,
            somaxconn: Some(65_535),
            file_max: Some(i64::MAX as u64),
            nr_open: Some(1 << 20),
            ring: Ok(ring),
        },
        memory: Some(HostMemory {
            total_bytes: 64 * GIB,
            available_bytes: 60 * GIB,
            cgroup_bytes: None,
        }),
        tcp_mem_pages: Some([1_000_000, 2_000_000, 3_000_000]),
        tcp_rmem: Some([4096, 16_384, 1 << 20]),
        tcp_wmem: Some([4096, 16_384, 1 << 20]),
        syn_backlog: Some(65_535),
        port_range: Some([10_000, 65_535]),
        reserved_ports: "9001,9002".into(),
        conntrack: Tracking::NotLoaded,
        time_wait_max: Some(1_000_000),
        time_wait: Some(3),
        established_entries: Some(2_097_152),
        cores: 8,
        huge_pages: Some("always".into()),
        cards: Some(vec![card(8, false)]),
        clock: Some("tsc".into()),
        clocks: vec!["tsc".into(), "hpet".into()],
    }
}

fn card(rx_queues: u64, has_rps: bool) -> Card {
    Card { name: "eth0".into(), rx_queues, has_rps }
}

fn wanted(connections_max: u32) -> Wanted {
    let admin = Some("127.0.0.1:9002".parse().unwrap());
    let config = Config { connections_max, shards: 8, admin, ..Config::default() };
    Wanted { needs: plan::needs(&config), config }
}

fn of<'a>(findings: &'a [Finding], check: &str) -> &'a Finding {
    let exact = findings.iter().find(|finding| finding.check == check);
    let found = exact.or_else(|| findings.iter().find(|finding| finding.check.contains(check)));
    found.unwrap_or_else(|| panic!("no check named {check}"))
}

#[test]
fn a_prepared_host_needs_nothing() {
    let findings = examine(&prepared(), &wanted(1_000_000));
    for finding in &findings {
        assert_eq!((finding.verdict, finding.fix.len()), (Verdict::Good, 0), "{finding:?}");
        assert!(!finding.is.is_empty() && !finding.needs.is_empty() && !finding.why.is_empty());
    }
    assert_eq!(findings.len(), 22);
}

/// A container may hide all but what the process finds out by itself.
#[test]
fn what_the_host_does_not_say_is_unknown_and_nothing_is_short_for_it() {
    let mut facts = prepared();
    facts.ring.somaxconn = None;
    facts.ring.file_max = None;
    facts.ring.nr_open = None;
    let facts = Facts {
        ring: facts.ring,
        memory: None,
        tcp_mem_pages: None,
        tcp_rmem: None,
        tcp_wmem: None,
        syn_backlog: None,
        port_range: None,
        reserved_ports: String::new(),
        conntrack: Tracking::Unknown,
        time_wait_max: None,
        time_wait: None,
        established_entries: None,
        cores: 8,
        huge_pages: None,
        cards: None,
        clock: None,
        clocks: Vec::new(),
    };
    let findings = examine(&facts, &wanted(1_000_000));
    let (unknown, known): (Vec<_>, Vec<_>) =
        findings.iter().partition(|finding| finding.verdict == Verdict::Unknown);
    assert!(unknown.iter().all(|finding| finding.is == "unknown" && finding.fix.is_empty()));
    assert!(known.iter().all(|finding| finding.verdict == Verdict::Good), "{known:?}");
    assert_eq!((unknown.len(), known.len()), (15, 7), "{known:?}");
}

/// One thing changed on the prepared host, what becomes of which check, and the first line to type.
type Case = (&'static str, fn(&mut Facts), Verdict, &'static str);

const CASES: &[Case] = &[
    (
        "kernel",
        |f| {
            f.ring.kernel_release = "5.15.0".into();
            f.ring.ring = fault(libc::EINVAL);
        },
        Verdict::Short,
        "boot a newer kernel, e.g. that of Debian 12, Ubuntu 24.04 or RHEL 10",
    ),
    (
        "kernel",
        |f| f.ring.kernel_release = "5.14.0-503.el9".into(),
        Verdict::Advice,
        "boot a newer kernel, e.g. that of Debian 12, Ubuntu 24.04 or RHEL 10",
    ),
    (
        "io_uring",
        |f| f.ring.ring = fault(libc::ENOSYS),
        Verdict::Short,
        "boot a kernel with it: `grep IO_URING /boot/config-$(uname -r)` must say \
         CONFIG_IO_URING=y",
    ),
    (
        "io_uring_disabled",
        |f| {
            f.ring.io_uring_disabled = Some(2);
            f.ring.ring = fault(libc::EPERM);
        },
        Verdict::Short,
        "sysctl -w kernel.io_uring_disabled=0",
    ),
    (
        "io_uring_disabled",
        |f| f.ring.io_uring_disabled = Some(1),
        Verdict::Advice,
        "sysctl -w kernel.io_uring_disabled=0",
    ),
    (
        "seccomp",
        |f| {
            f.ring.seccomp = SeccompMode::Filter;
            f.ring.ring = fault(libc::EPERM);
        },
        Verdict::Short,
        "docker, podman: --security-opt seccomp=FILE, a profile with io_uring_setup, \
         io_uring_enter and io_uring_register",
    ),
    ("seccomp", |f| f.ring.seccomp = SeccompMode::Filter, Verdict::Good, ""),
    (
        "RLIMIT_NOFILE",
        |f| f.ring.nofile_soft = 20_000,
        Verdict::Short,
        "systemd: LimitNOFILE=156394",
    ),
    (
        "fs.nr_open",
        |f| f.ring.nr_open = Some(65_536),
        Verdict::Short,
        "sysctl -w fs.nr_open=1048576",
    ),
    (
        "fs.file-max",
        |f| f.ring.file_max = Some(1_000_000),
        Verdict::Short,
        "sysctl -w fs.file-max=9223372036854775807",
    ),
    (
        "RLIMIT_MEMLOCK",
        |f| f.ring.memlock_bytes = 65_536,
        Verdict::Advice,
        "systemd: LimitMEMLOCK=",
    ),
    (
        "tcp_mem",
        |f| f.tcp_mem_pages = Some([285_000, 381_000, 570_000]),
        Verdict::Short,
        "sysctl -w net.ipv4.tcp_mem=\"1000000 2000000 3000000\"",
    ),
    (
        "tcp_mem",
        |f| f.tcp_mem_pages = Some([1_000_000, 2_000_000, 30_000_000]),
        Verdict::Advice,
        "the high mark is more than this host's memory: lower it, or TCP can use it all up",
    ),
    (
        "tcp_rmem",
        |f| f.tcp_rmem = Some([4096, 131_072, 6_291_456]),
        Verdict::Advice,
        "sysctl -w net.ipv4.tcp_rmem=\"4096 16384 1048576\"",
    ),
    (
        "tcp_wmem",
        |f| f.tcp_wmem = Some([4096, 16_384, 4_194_304]),
        Verdict::Advice,
        "sysctl -w net.ipv4.tcp_wmem=\"4096 16384 1048576\"",
    ),
    (
        "somaxconn",
        |f| f.ring.somaxconn = Some(128),
        Verdict::Advice,
        "sysctl -w net.core.somaxconn=65535",
    ),
    (
        "syn_backlog",
        |f| f.syn_backlog = Some(512),
        Verdict::Advice,
        "sysctl -w net.ipv4.tcp_max_syn_backlog=65535",
    ),
    (
        "port range",
        |f| {
            f.port_range = Some([1024, 65_535]);
            f.reserved_ports.clear();
        },
        Verdict::Advice,
        "sysctl -w net.ipv4.ip_local_reserved_ports=9001,9002",
    ),
    ("port range", |f| f.port_range = Some([1024, 65_535]), Verdict::Good, ""),
    (
        "tracking",
        |f| f.conntrack = Tracking::Table(Conntrack { max: 262_144, count: 9 }),
        Verdict::Short,
        "sysctl -w net.netfilter.nf_conntrack_max=2000000",
    ),
    (
        "tracking",
        |f| f.conntrack = Tracking::Table(Conntrack { max: 262_144, count: 0 }),
        Verdict::Advice,
        "sysctl -w net.netfilter.nf_conntrack_max=2000000",
    ),
    (
        "tracking",
        |f| f.conntrack = Tracking::Table(Conntrack { max: 2_000_000, count: 9 }),
        Verdict::Good,
        "",
    ),
    (
        "TIME_WAIT",
        |f| f.time_wait_max = Some(262_144),
        Verdict::Advice,
        "sysctl -w net.ipv4.tcp_max_tw_buckets=1000000",
    ),
    (
        "established",
        |f| f.established_entries = Some(262_144),
        Verdict::Advice,
        "at the next boot, on the kernel's command line: thash_entries=2097152",
    ),
    (
        "memory",
        |f| f.memory = f.memory.map(|m| HostMemory { cgroup_bytes: Some(2 * GIB), ..m }),
        Verdict::Short,
        "lower what the largest parts follow from: ",
    ),
    ("cores", |f| f.cores = 0, Verdict::Advice, "give the service 1 cores"),
    (
        "cards",
        |f| f.cards = Some(vec![card(1, false)]),
        Verdict::Advice,
        "ethtool -L eth0 combined 8",
    ),
    ("cards", |f| f.cards = Some(vec![card(1, true)]), Verdict::Good, ""),
    (
        "clock",
        |f| f.clock = Some("hpet".into()),
        Verdict::Advice,
        "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource",
    ),
];

fn fault(errno: i32) -> Result<RingFacts, RingFault> {
    Err(RingFault { call: RingCall::Setup, fault: KernelFault(errno) })
}

#[test]
fn each_thing_that_is_short_is_found_with_what_to_type() {
    for (check, change, verdict, line) in CASES {
        let mut facts = prepared();
        change(&mut facts);
        let findings = examine(&facts, &wanted(1_000_000));
        let finding = of(&findings, check);
        assert_eq!(finding.verdict, *verdict, "{check}: {finding:?}");
        let first = finding.fix.first().map_or("", String::as_str);

        assert!(first.starts_with(line) && first.is_empty() == line.is_empty(), "{check}: {first}");
    }
}

/// Other checks stay as they are when one thing changes, but for those that say why together.
#[test]
fn what_is_small_is_enough_for_few() {
    let mut facts = prepared();
    facts.ring.nofile_soft = 20_000;
    facts.tcp_mem_pages = Some([20_000, 30_000, 40_000]);
    facts.tcp_rmem = Some([4096, 131_072, 6_291_456]);
    facts.established_entries = Some(16_384);
    facts.ring.file_max = Some(100_000);
    facts.memory = facts.memory.map(|memory| HostMemory { total_bytes: 8 * GIB, ..memory });
    for finding in examine(&facts, &wanted(10_000)) {
        assert_eq!(finding.verdict, Verdict::Good, "{finding:?}");
    }
}

#[test]
fn more_shards_help_where_descriptors_are_few() {
    let mut facts = prepared();
    facts.ring.nofile_soft = 20_000;
    let findings = examine(&facts, &wanted(1_000_000));
    let line = of(&findings, "RLIMIT_NOFILE").fix.last().unwrap().clone();
    let shards: u16 = line.strip_prefix("or --shards ").unwrap().parse().unwrap();
    let config = |shards| Config { shards, ..wanted(1_000_000).config };
    assert!(plan::files_per_shard(&config(shards)) <= 20_000, "{line}");
    assert!(plan::files_per_shard(&config(shards - 1)) > 20_000, "{line}");
}

/// A host with nothing prepared is told no other value than the file sets for a million.
#[test]
fn what_the_doctor_says_to_type_is_what_the_file_sets() {
    let mut facts = prepared();
    for (_, change, _, _) in CASES {
        change(&mut facts);
    }
    facts.conntrack = Tracking::Table(Conntrack { max: 1, count: 1 });
    facts.tcp_mem_pages = Some([1, 2, 3]);
    facts.port_range = Some([1024, 65_535]);
    facts.reserved_ports.clear();
    let findings = examine(&facts, &wanted(1_000_000));
    let lines = findings.iter().flat_map(|finding| &finding.fix);
    let mut said = Vec::new();
    for line in lines.filter_map(|line| line.strip_prefix("sysctl -w ")) {
        let (name, value) = line.split_once('=').unwrap();
        let known = SYSCTLS.iter().find(|sysctl| sysctl.name == name);
        let known = known.unwrap_or_else(|| panic!("{name} is not in the file"));
        assert_eq!(value.trim_matches('"'), (known.value)(1_000_000), "{name}");
        said.push(name);
    }
    let silent: Vec<_> = SYSCTLS.iter().filter(|sysctl| !said.contains(&sysctl.name)).collect();
    let names: Vec<_> = silent.iter().map(|sysctl| sysctl.name).collect();
    // The range itself is as good as its reserved ports.
    assert_eq!(names, ["net.ipv4.ip_local_port_range"]);
}

#[test]
fn thousands_are_grouped() {
    let told = [0, 999, 1000, 1_048_576].map(grouped);
    assert_eq!(told, ["0", "999", "1,000", "1,048,576"]);
}
