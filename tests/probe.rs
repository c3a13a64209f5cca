//! The probe on this host, and in child processes that are worse off: behind a seccomp filter as
//! container runtimes install it, and with lowered limits.
//!
//! A child is this test binary again, told to run only `child`; what it prints is the diagnosis.

use std::os::unix::process::CommandExt;
use std::process::Command;

use ringwire::ring::probe::{self, Needs, diagnose, gather};

const CHILD: &str = "RINGWIRE_TEST_PROBE_CHILD";
const NEEDS: Needs = Needs {
    rings: 2,
    connections_per_ring: 1000,
    files_per_ring: 1064,
    process_fds: 64,
    backlog: 1024,
    recv_buffers: 256,
};

/// Not a test: what a child runs.
#[test]
#[ignore = "runs in the children of the others"]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    match diagnose(&gather(&NEEDS), &NEEDS) {
        Ok(features) => println!("\n[[good: {:?}]]", features.optional),
        Err(fault) => println!("\n[[{fault}]]"),
    }
}

/// Runs `child` after `worsen`, which must be async-signal-safe, and gives its diagnosis.
fn diagnosis_after(worsen: impl FnMut() -> std::io::Result<()> + Send + Sync + 'static) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(CHILD, "1");
    // SAFETY: `worsen` makes system calls and nothing else; it neither allocates nor locks.
    unsafe { command.pre_exec(worsen) };
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, rest) = text.split_once("[[").unwrap_or_else(|| panic!("{text}"));
    rest.split_once("]]").unwrap().0.to_owned()
}

/// A filter that answers `call` with `errno` and allows everything else.
fn deny(call: libc::c_long, errno: i32) -> impl FnMut() -> std::io::Result<()> + Send + Sync {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let program = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, call as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    move || {
        let mut program = program;
        let filter = libc::sock_fprog { len: 4, filter: program.as_mut_ptr() };
        // SAFETY: prctl with integers only.
        let sealed = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        // SAFETY: `filter` and the program it points to are live, and the kernel copies both.
        let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter) };
        if sealed == 0 && set == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    }
}

fn limit(resource: libc::__rlimit_resource_t, soft: u64, hard: u64) -> std::io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` is live for the call.
    match unsafe { libc::setrlimit(resource, &limit) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

#[test]
fn this_host_is_good() {
    let facts = gather(&NEEDS);
    let features = diagnose(&facts, &NEEDS).unwrap_or_else(|fault| panic!("{fault}\n{facts:?}"));
    assert_eq!(facts.nofile_soft, facts.nofile_hard);
    assert!(facts.kernel_release.starts_with(|c: char| c.is_ascii_digit()));
    assert!(facts.somaxconn.is_some() && facts.file_max.is_some() && facts.nr_open.is_some());
    // The kernel's own number is the oracle of what was tried, unless it was backported.
    let mut numbers = facts.kernel_release.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next().unwrap().parse::<u32>().unwrap();
    let kernel = (number(), number());
    for feature in probe::OptionalFeature::ALL {
        let (name, since) = feature.describe();
        let (major, minor) = since.split_once('.').unwrap();
        let since = (major.parse().unwrap(), minor.parse().unwrap());
        assert!(kernel < since || features.optional.contains(&feature), "{name}");
    }
}

#[test]
fn a_seccomp_filter_is_named() {
    for (call, errno, text) in [
        (libc::SYS_io_uring_setup, libc::EPERM, "io_uring_setup (Operation not permitted"),
        (libc::SYS_io_uring_setup, libc::ENOSYS, "io_uring_setup (Function not implemented"),
        (libc::SYS_io_uring_register, libc::EPERM, "io_uring_register (probe) (Operation not"),
        (libc::SYS_io_uring_enter, libc::EPERM, "io_uring_enter (Operation not permitted"),
    ] {
        let told = diagnosis_after(deny(call, errno));
        assert!(told.starts_with(&format!("a seccomp filter blocks {text}")), "{told}");
        assert!(told.contains("--security-opt seccomp=unconfined"), "{told}");
    }
}

#[test]
fn a_filter_of_something_else_is_no_obstacle() {
    let told = diagnosis_after(deny(libc::SYS_ptrace, libc::EPERM));
    assert!(told.starts_with("good"), "{told}");
}

#[test]
fn a_low_hard_limit_of_files_is_named() {
    let told = diagnosis_after(|| limit(libc::RLIMIT_NOFILE, 500, 500));
    assert_eq!(
        told,
        "a shard needs a table of 1064 descriptors, RLIMIT_NOFILE is 500\n  \
         shell, as root: ulimit -n 1064\n  \
         systemd: LimitNOFILE=1064\n  \
         docker, podman: --ulimit nofile=1064:1064\n  \
         or run with --shards 5 or with --max-connections 872"
    );
}

#[test]
fn a_low_soft_limit_of_files_is_raised() {
    let told = diagnosis_after(|| limit(libc::RLIMIT_NOFILE, 100, 2000));
    assert!(told.starts_with("good"), "{told}");
}

/// What the rule about RLIMIT_NOFILE stands on.
#[test]
fn the_kernel_bounds_a_table_by_the_limit_of_files() {
    let facts = gather(&NEEDS);
    let ring = io_uring::IoUring::new(8).unwrap();
    let limit = u32::try_from(facts.nofile_soft.min(1 << 20)).unwrap();
    let error = ring.submitter().register_files_sparse(limit + 1).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    ring.submitter().register_files_sparse(limit).unwrap();
}

/// Newer kernels charge rings to RLIMIT_MEMLOCK, older ones do not: either way there is an answer.
#[test]
fn little_locked_memory_is_named_or_no_obstacle() {
    // SAFETY: geteuid takes no argument and can't fail.
    if unsafe { libc::geteuid() } != 0 {
        return; // Dropping a capability takes one.
    }
    let told = diagnosis_after(|| {
        limit(libc::RLIMIT_MEMLOCK, 4096, 4096)?;
        // SAFETY: prctl with integers only. Without CAP_IPC_LOCK (14) in the bounding set, root
        // does not get it back at the exec.
        let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, 14, 0, 0, 0) };
        if dropped == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    });
    let named = "the rings need 430080 bytes of locked memory, RLIMIT_MEMLOCK is 4096\n";
    assert!(told.starts_with("good") || told.starts_with(named), "{told}");
}
