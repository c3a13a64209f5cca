//! What a measurement ran on, as Linux tells it. A figure without its machine means little.

use serde::{Deserialize, Serialize};
use std::fs;
use std::thread::available_parallelism;

/// The host of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The kernel's release, such as `6.18.0`.
    pub kernel: String,
    /// The model of the first processor.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Memory of the host.
    pub memory_bytes: u64,
}

impl Machine {
    /// The machine that this process runs on. What the kernel does not tell stays empty or zero.
    pub fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu: cpu_model(&read("/proc/cpuinfo")).unwrap_or_default().to_owned(),
            cores: available_parallelism().map_or(0, usize::from),
            memory_bytes: memory_bytes(&read("/proc/meminfo")).unwrap_or_default(),
        }
    }
}

/// `model name : Intel ...` of /proc/cpuinfo; on ARM there is none.
fn cpu_model(cpuinfo: &str) -> Option<&str> {
    let fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    fields
        .map(|(key, value)| (key.trim(), value.trim()))
        .find(|(key, _)| *key == "model name")
        .map(|(_, value)| value)
}

/// `MemTotal: 123 kB` of /proc/meminfo, in bytes.
fn memory_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        let cpuinfo = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon: fast\n";
        assert_eq!(cpu_model(cpuinfo), Some("Xeon: fast"));
        assert_eq!(cpu_model("processor\t: 0\nBogoMIPS\t: 50.00\n"), None);
        let meminfo = "MemTotal:       24689592 kB\nMemFree:        18520044 kB\n";
        assert_eq!(memory_bytes(meminfo), Some(24_689_592 * 1024));
        assert_eq!(memory_bytes("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn this_machine_has_a_kernel_cores_and_memory() {
        let here = Machine::here();
        assert!(!here.kernel.is_empty() && !here.kernel.contains('\n'), "{here:?}");
        assert!(here.cores > 0 && here.memory_bytes > 1 << 20, "{here:?}");
    }
}
