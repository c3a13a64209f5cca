//! What a process has of memory, as the kernel counts it.

use std::fmt;
use std::thread;
use std::time::Duration;

use crate::common::Deadline;

/// How often the memory is read, to see whether it has come to rest.
const PACE: Duration = Duration::from_millis(200);
/// At rest is what reads the same so many times in a row.
const SAME_READINGS: u32 = 4;
/// What never comes to rest is taken as it is after so many readings.
const READINGS_MAX: u32 = 40;

/// See the module's header; in bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    resident: u64,
    anonymous: u64,
}

impl Memory {
    /// The memory of a process once it has stopped changing.
    pub(crate) fn at_rest(pid: u32, deadline: Deadline) -> Memory {
        let (mut last, mut same) = (Memory::of(pid), 0);
        for _ in 0..READINGS_MAX {
            assert!(deadline.left().is_some(), "out of time");
            thread::sleep(PACE);
            let now = Memory::of(pid);
            same = if now == last { same + 1 } else { 0 };
            last = now;
            if same >= SAME_READINGS {
                break;
            }
        }
        last
    }

    fn of(pid: u32) -> Memory {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = std::fs::read_to_string(&path).expect("the process is there");
        let bytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
            let kib: Option<u64> = kib.and_then(|kib| kib.trim().parse().ok());
            kib.unwrap_or_else(|| panic!("no {name} in {path}")) * 1024
        };
        Memory { resident: bytes("Rss:"), anonymous: bytes("Anonymous:") }
    }

    /// What the process occupies.
    pub(crate) fn resident(self) -> u64 {
        self.resident
    }

    /// What has come since `before`, for each of `count`.
    pub(crate) fn since(self, before: Memory, count: u32) -> Memory {
        let each = |now: u64, then: u64| now.saturating_sub(then) / u64::from(count.max(1));
        Memory {
            resident: each(self.resident, before.resident),
            anonymous: each(self.anonymous, before.anonymous),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Memory { resident, anonymous } = self;
        write!(f, "{resident} bytes resident, {anonymous} of them anonymous")
    }
}
