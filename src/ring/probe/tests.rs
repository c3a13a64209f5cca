//! Rules by example, every message word for word, and the real host.

use super::*;

fn needs() -> Needs {
    Needs {
        rings: 4,
        connections_per_ring: 10_000,
        files_per_ring: 10_064,
        process_fds: 64,
        backlog: 4096,
        recv_buffers: 256,
    }
}

fn ring() -> RingFacts {
    RingFacts {
        operations: (0..=62).collect(),
        nodrop: true,
        cqe_skip: true,
        ext_arg: true,
        bundles: true,
        min_wait: true,
        resize: true,
    }
}

fn host() -> HostFacts {
    HostFacts {
        kernel_release: "6.18.1-generic".into(),
        io_uring_disabled: Some(0),
        io_uring_group: Some(-1),
        gid: 1000,
        in_io_uring_group: false,
        seccomp: SeccompMode::Off,
        cap_sys_admin: false,
        cap_ipc_lock: false,
        nofile_soft: 20_000,
        nofile_hard: 20_000,
        memlock_bytes: 8 << 20,
        somaxconn: Some(4096),
        file_max: Some(1_000_000),
        nr_open: Some(1 << 20),
        ring: Ok(ring()),
    }
}

fn failing(call: RingCall, errno: i32) -> HostFacts {
    HostFacts { ring: Err(RingFault { call, fault: KernelFault(errno) }), ..host() }
}

#[track_caller]
fn says(facts: &HostFacts, needs: &Needs, text: &str) {
    assert_eq!(diagnose(facts, needs).expect_err("a fault").to_string(), text);
}

#[test]
fn a_good_host_is_good_and_says_what_else_it_has() {
    let found = diagnose(&host(), &needs()).unwrap();
    assert_eq!(found.optional, OptionalFeature::ALL);
    assert_eq!(found.warnings, []);

    let plain = RingFacts { bundles: false, min_wait: false, resize: false, ..ring() };
    let plain = RingFacts { operations: (0..=48).collect(), ..plain };
    let facts = HostFacts { kernel_release: "6.1.0-13-amd64".into(), ring: Ok(plain), ..host() };
    let found = diagnose(&facts, &needs()).unwrap();
    assert_eq!(found.optional, [OptionalFeature::SendMsgZeroCopy]);
    assert_eq!(OptionalFeature::FixedFdInstall.describe(), ("fixed fd install", "6.8"));
}

#[test]
fn kernel_too_old() {
    let text = "kernel 5.15.0-91-generic is too old: needs 6.1\n  \
        boot a newer one, e.g. that of Debian 12, Ubuntu 24.04 or RHEL 10; `uname -r` shows it";
    let old = |facts| HostFacts { kernel_release: "5.15.0-91-generic".into(), ..facts };
    says(&old(failing(RingCall::Setup, libc::EINVAL)), &needs(), text);
    says(&old(failing(RingCall::Setup, libc::ENOSYS)), &needs(), text);
    let lacking = RingFacts { operations: (0..=39).collect(), ..ring() };
    says(&old(HostFacts { ring: Ok(lacking), ..host() }), &needs(), text);
}

#[test]
fn backported_rings_are_welcome_with_a_warning() {
    let facts = HostFacts { kernel_release: "5.14.0-503.el9".into(), ..host() };
    let warnings = diagnose(&facts, &needs()).unwrap().warnings;
    assert_eq!(
        warnings[0].to_string(),
        "kernel 5.14.0-503.el9 is older than 6.1, but its io_uring has all that is needed; \
         if anything is odd, try a newer one first"
    );
}

#[test]
fn releases_are_compared_as_numbers() {
    for (release, old) in [
        ("6.1.0", false),
        ("6.10.2", false),
        ("6.0.19", true),
        ("5.19.17-2", true),
        ("10.0", false),
        ("4.4.0", true),
        ("6.1", false),
        ("7.0-rc1+", false),
        ("strange", false),
        ("", false),
        ("99999999999.1", false),
    ] {
        assert_eq!(is_too_old(release), old, "{release}");
    }
}

#[test]
fn not_built() {
    says(
        &failing(RingCall::Setup, libc::ENOSYS),
        &needs(),
        "kernel 6.18.1-generic has no io_uring (io_uring_setup is unknown to it)\n  \
         boot a kernel with it: `grep IO_URING /boot/config-$(uname -r)` must say \
         CONFIG_IO_URING=y\n  \
         in a gVisor sandbox: use another runtime (`docker run --runtime runc`)",
    );
}

#[test]
fn disabled_for_everyone() {
    let facts = HostFacts { io_uring_disabled: Some(2), ..failing(RingCall::Setup, libc::EPERM) };
    let text = "io_uring is switched off for everyone: kernel.io_uring_disabled is 2\n  \
         as root on the host: sysctl -w kernel.io_uring_disabled=0\n  \
         to keep it: echo 'kernel.io_uring_disabled=0' > /etc/sysctl.d/60-io_uring.conf";
    says(&facts, &needs(), text);
    // The sysctl comes first: with it no profile would help.
    says(&HostFacts { seccomp: SeccompMode::Filter, ..facts }, &needs(), text);
}

#[test]
fn disabled_for_unprivileged_users() {
    let facts = HostFacts { io_uring_disabled: Some(1), ..failing(RingCall::Setup, libc::EPERM) };
    says(
        &facts,
        &needs(),
        "io_uring is switched off for unprivileged users: kernel.io_uring_disabled is 1\n  \
         for this group only, as root on the host: sysctl -w kernel.io_uring_group=1000\n  \
         for everyone, as root on the host: sysctl -w kernel.io_uring_disabled=0",
    );
    // Root and the group are exempt, so that it must have been something else.
    for facts in [
        HostFacts { cap_sys_admin: true, ..facts.clone() },
        HostFacts { in_io_uring_group: true, ..facts },
    ] {
        let fault = diagnose(&facts, &needs()).unwrap_err();
        assert!(matches!(fault, EnvironmentFault::Denied { .. }), "{fault}");
    }
}

#[test]
fn blocked_by_seccomp() {
    let filtered = |facts| HostFacts { seccomp: SeccompMode::Filter, ..facts };
    let remedies = "\n  \
         docker, podman: run with `--security-opt seccomp=unconfined`, or with a profile that\n    \
         allows io_uring_setup, io_uring_enter and io_uring_register: \
         `--security-opt seccomp=FILE`\n  \
         Kubernetes: securityContext.seccompProfile: {type: Localhost, localhostProfile: FILE}\n  \
         systemd: SystemCallFilter=io_uring_setup io_uring_enter io_uring_register";
    for (call, errno, what) in [
        (RingCall::Setup, libc::EPERM, "io_uring_setup (Operation not permitted (os error 1))"),
        (RingCall::Setup, libc::ENOSYS, "io_uring_setup (Function not implemented (os error 38))"),
        (
            RingCall::RegisterFiles,
            libc::EACCES,
            "io_uring_register (file table) (Permission denied (os error 13))",
        ),
        (RingCall::Enter, libc::EPERM, "io_uring_enter (Operation not permitted (os error 1))"),
    ] {
        let text = format!("a seccomp filter blocks {what}{remedies}");
        says(&filtered(failing(call, errno)), &needs(), &text);
    }
}

#[test]
fn denied_by_something_else() {
    says(
        &failing(RingCall::Setup, libc::EACCES),
        &needs(),
        "io_uring_setup is not permitted (Permission denied (os error 13)), most likely by a \
         security module\n  \
         see who refused: journalctl -k | grep -iE 'avc|apparmor|denied'\n  \
         SELinux: ausearch -m avc -c ringwire | audit2allow -M ringwire && semodule -i ringwire.pp",
    );
}

#[test]
fn incomplete() {
    let operations = (0..=62).filter(|code| *code != io_uring::opcode::MsgRingData::CODE).collect();
    let lacking = RingFacts { operations, cqe_skip: false, ..ring() };
    says(
        &HostFacts { ring: Ok(lacking), ..host() },
        &needs(),
        "io_uring of kernel 6.18.1-generic lacks MSG_RING, FEAT_CQE_SKIP\n  \
         boot a stock kernel of 6.1 or newer; in a sandbox use a runtime that passes io_uring on",
    );
}

#[test]
fn locked_memory() {
    let small = HostFacts { memlock_bytes: 65_536, ..failing(RingCall::Setup, libc::ENOMEM) };
    says(
        &small,
        &needs(),
        "the rings need 716800 bytes of locked memory, RLIMIT_MEMLOCK is 65536\n  \
         shell, as root: ulimit -l 700\n  \
         systemd: LimitMEMLOCK=716800\n  \
         docker, podman: --ulimit memlock=716800:716800\n  \
         or run with fewer --shards",
    );
    // 8 MiB are enough, but someone else has them.
    let fault = diagnose(&failing(RingCall::RegisterBuffers, libc::ENOMEM), &needs()).unwrap_err();
    assert!(fault.to_string().contains("systemd: LimitMEMLOCK=9105408\n"), "{fault}");
    let fine = HostFacts { ring: Ok(ring()), ..small };
    assert_eq!(
        diagnose(&fine, &needs()).unwrap().warnings[0].to_string(),
        "the rings take up to 716800 bytes of locked memory, RLIMIT_MEMLOCK is 65536: \
         ulimit -l 700, systemd LimitMEMLOCK=716800, or fewer --shards"
    );
    let exempt = HostFacts { cap_ipc_lock: true, ..fine };
    assert_eq!(diagnose(&exempt, &needs()).unwrap().warnings, []);
}

#[test]
fn no_memory() {
    says(
        &HostFacts { memlock_bytes: u64::MAX, ..failing(RingCall::RegisterFiles, libc::ENOMEM) },
        &needs(),
        "the kernel has no memory for a ring (io_uring_register (file table))\n  \
         systemd: raise MemoryMax=; docker, podman: raise --memory; see what is free: free -m\n  \
         or run with fewer --max-connections",
    );
}

#[test]
fn table_above_the_limit_of_files() {
    let needs = Needs { rings: 2, connections_per_ring: 50_000, files_per_ring: 50_064, ..needs() };
    says(
        &host(),
        &needs,
        "a shard needs a table of 50064 descriptors, RLIMIT_NOFILE is 20000\n  \
         shell, as root: ulimit -n 50064\n  \
         systemd: LimitNOFILE=50064\n  \
         docker, podman: --ulimit nofile=50064:50064\n  \
         or run with --shards 6 or with --max-connections 39872",
    );
    // Both ways out lead out.
    let more_shards = Needs {
        rings: 6,
        connections_per_ring: 100_000_u32.div_ceil(6),
        files_per_ring: 100_000_u32.div_ceil(6) + 64,
        ..needs.clone()
    };
    assert!(diagnose(&host(), &more_shards).is_ok());
    let fewer = Needs { connections_per_ring: 39_872 / 2, files_per_ring: 20_000, ..needs.clone() };
    assert!(diagnose(&host(), &fewer).is_ok());

    says(
        &HostFacts { nofile_soft: 64, nr_open: Some(50_000), ..host() },
        &needs,
        "a shard needs a table of 50064 descriptors, RLIMIT_NOFILE is 64\n  \
         first, as root on the host (fs.nr_open is 50000): sysctl -w fs.nr_open=50064\n  \
         shell, as root: ulimit -n 50064\n  \
         systemd: LimitNOFILE=50064\n  \
         docker, podman: --ulimit nofile=50064:50064\n  \
         no smaller configuration fits",
    );
}

#[test]
fn table_above_what_a_ring_can_have() {
    let needs =
        Needs { rings: 1, connections_per_ring: 2_000_000, files_per_ring: 2_000_064, ..needs() };
    says(
        &HostFacts { nofile_soft: 4_000_000, ..host() },
        &needs,
        "a shard needs a table of 2000064 descriptors, a ring has 1048576 at most\n  \
         or run with --shards 2 or with --max-connections 1048512",
    );
}

#[test]
fn process_files() {
    let text = "the process needs 30000 descriptors, RLIMIT_NOFILE is 20000\n  \
         shell, as root: ulimit -n 30000\n  \
         systemd: LimitNOFILE=30000\n  \
         docker, podman: --ulimit nofile=30000:30000";
    let needs = Needs { process_fds: 30_000, ..needs() };
    says(&host(), &needs, text);
    says(&failing(RingCall::Setup, libc::EMFILE), &needs, text);
}

#[test]
fn system_files() {
    let facts = HostFacts { file_max: Some(40_000), ..host() };
    let text = "all tables together need 40320 open files, fs.file-max is 40000\n  \
         as root on the host: sysctl -w fs.file-max=40320\n  \
         or run with --max-connections 39680";
    says(&facts, &needs(), text);
    let refused = failing(RingCall::Setup, libc::ENFILE);
    says(&HostFacts { file_max: Some(40_000), ..refused }, &needs(), text);
    // The kernel does not hold root to it.
    assert!(diagnose(&HostFacts { cap_sys_admin: true, ..facts }, &needs()).is_ok());
}

#[test]
fn anything_else() {
    says(
        &failing(RingCall::RegisterBuffers, libc::EINVAL),
        &needs(),
        "io_uring_register (buffer ring) failed on kernel 6.18.1-generic: \
         Invalid argument (os error 22)\n  \
         see what the kernel says: dmesg | tail; run a stock kernel of 6.1 or newer",
    );
}

#[test]
fn a_short_backlog_is_a_warning() {
    let facts = HostFacts { somaxconn: Some(128), ..host() };
    assert_eq!(
        diagnose(&facts, &needs()).unwrap().warnings[0].to_string(),
        "a backlog of 4096 is cut down to 128 by net.core.somaxconn: \
         sysctl -w net.core.somaxconn=4096"
    );
    assert_eq!(diagnose(&HostFacts { somaxconn: None, ..facts }, &needs()).unwrap().warnings, []);
}

proptest::proptest! {
    /// Whatever the numbers, there is an answer, and a way out that is offered is one.
    #[test]
    fn offered_ways_out_lead_out(
        rings in 1_u32..64,
        connections in 1_u32..3_000_000,
        beside in 0_u32..1000,
        nofile in 65_u64..2_000_000,
    ) {
        let with = |rings: u32, connections: u32| {
            let (connections_per_ring, process_fds) = (connections.div_ceil(rings), 64);
            let files_per_ring = connections_per_ring + beside;
            Needs { rings, connections_per_ring, files_per_ring, process_fds, ..needs() }
        };
        let facts = HostFacts { nofile_soft: nofile, file_max: None, ..host() };
        match diagnose(&facts, &with(rings, connections)) {
            Err(
                EnvironmentFault::TableFiles { shards, connections_max, .. }
                | EnvironmentFault::TableTooLarge { shards, connections_max, .. },
            ) => {
                if let Some(shards) = shards {
                    assert!(diagnose(&facts, &with(shards as u32, connections)).is_ok());
                }
                if connections_max > 0 {
                    assert!(connections_max < u64::from(connections) + u64::from(rings));
                    assert!(diagnose(&facts, &with(rings, connections_max as u32)).is_ok());
                }
            }
            other => assert!(other.is_ok(), "{other:?}"),
        }
    }
}
