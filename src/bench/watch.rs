//! The server's process as the kernel accounts for it (proc(5)).

use std::fs;

/// What a process has used and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// CPU time of all its threads, in nanoseconds.
    pub(super) cpu_ns: u64,
    /// Its resident memory.
    pub(super) rss_bytes: u64,
}

/// Looks at a process on this host; `None` when there is none (any more).
pub(super) fn look(pid: u32) -> Option<Usage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = resident.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    let mut cpu_ns = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        // `schedstat` counts nanoseconds where `stat` counts hundredths of a second. A thread that
        // has just ended has none: its time is lost to us, and servers keep their threads.
        if let Ok(text) = fs::read_to_string(task.path().join("schedstat")) {
            cpu_ns += text.split_ascii_whitespace().next()?.parse::<u64>().ok()?;
        }
    }
    Some(Usage { cpu_ns, rss_bytes: kib * 1024 })
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::*;

    /// A process of its own: threads of this one end while others are counted.
    #[test]
    fn sees_a_process_work() {
        let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let before = look(busy.id()).unwrap();
        let began = Instant::now();
        let mut after = before;
        while after.cpu_ns <= before.cpu_ns && began.elapsed() < Duration::from_secs(20) {
            after = look(busy.id()).unwrap();
        }
        busy.kill().unwrap();
        busy.wait().unwrap();
        assert!(after.cpu_ns > before.cpu_ns && after.rss_bytes > 0, "{before:?} {after:?}");
        assert_eq!(look(u32::MAX), None);
    }
}
