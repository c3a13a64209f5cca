//! A control group in which the kernel has little memory for the sockets of a server.
//!
//! `net.ipv4.tcp_mem` would do the same to every socket of the host, for it belongs to no network
//! namespace; the memory controller (version 1) has a limit of its own for TCP. Where there is
//! none, `tcp_mem` is what is left, and a process beside the test sees to it that it is restored.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::{SOON, poll};

const CONTROLLER: &str = "/sys/fs/cgroup/memory";
const LIMIT: &str = "memory.kmem.tcp.limit_in_bytes";
const TCP_MEM: &str = "/proc/sys/net/ipv4/tcp_mem";
/// After which `tcp_mem` is restored, whatever has become of the test.
const RESTORED_AFTER_S: &str = "90";

/// See the module's header. As long as it lives, memory is scarce.
pub(crate) enum Scarcity {
    /// Only for one process.
    Group { folder: PathBuf, pid: u32, bytes: u64 },
    /// For the whole host.
    Host { restorer: Child, pages: u64 },
}

impl Scarcity {
    /// Whether memory would be scarce for nobody but the process that it is made scarce for.
    pub(crate) fn is_private() -> bool {
        Path::new(CONTROLLER).join(LIMIT).exists()
    }

    /// From now on the sockets that the process accepts have no more than about this. `None`: this
    /// process may not do that to others.
    pub(crate) fn of(pid: u32, bytes: u64) -> Option<Scarcity> {
        if Scarcity::is_private() {
            let folder = PathBuf::from(format!("{CONTROLLER}/rw-{}-{pid}", std::process::id()));
            fs::create_dir(&folder).ok()?;
            fs::write(folder.join(LIMIT), bytes.to_string()).ok()?;
            fs::write(folder.join("cgroup.procs"), pid.to_string()).ok()?;
            return Some(Scarcity::Group { folder, pid, bytes });
        }
        let before = fs::read_to_string(TCP_MEM).ok()?;
        // It waits for our end, or for so long, and puts back what was there.
        let script =
            format!("timeout {RESTORED_AFTER_S} cat; echo '{}' > {TCP_MEM}", before.trim());
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null());
        let restorer = command.spawn().ok()?;
        let pages = used_pages() + bytes / 4096;
        if fs::write(TCP_MEM, format!("{pages} {pages} {pages}")).is_err() {
            drop(Scarcity::Host { restorer, pages });
            return None;
        }
        Some(Scarcity::Host { restorer, pages })
    }

    /// Whether the kernel has come up against the limit.
    pub(crate) fn is_felt(&self) -> bool {
        match self {
            Scarcity::Group { folder, bytes, .. } => {
                // What a socket needs to go on at all is granted above the limit.
                let most = fs::read_to_string(folder.join("memory.kmem.tcp.max_usage_in_bytes"));
                let most: Option<u64> = most.ok().and_then(|text| text.trim().parse().ok());
                most.is_some_and(|most| most >= *bytes)
            }
            Scarcity::Host { pages, .. } => used_pages() >= *pages,
        }
    }
}

impl Drop for Scarcity {
    fn drop(&mut self) {
        match self {
            Scarcity::Group { folder, pid, .. } => {
                // A group goes when nobody is in it.
                let _ = fs::write(Path::new(CONTROLLER).join("cgroup.procs"), pid.to_string());
                let _gone = poll(SOON, || fs::remove_dir(&*folder).ok());
            }
            Scarcity::Host { restorer, .. } => {
                drop(restorer.stdin.take());
                let _ = restorer.wait();
            }
        }
    }
}

/// Pages of memory that TCP has, on the whole host.
fn used_pages() -> u64 {
    let text = fs::read_to_string("/proc/net/sockstat").expect("procfs is mounted");
    let line = text.lines().find(|line| line.starts_with("TCP:")).expect("TCP is there");
    let last = line.split(' ').next_back().expect("a number of pages");
    last.parse().expect("a number of pages")
}
