//! What the machine does beside the comparison, as Linux tells it, and what it allows.

use std::fs;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Processes that wanted a core, on average of the last minute.
pub(crate) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

/// Jiffies of all cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Jiffies {
    all: u64,
    stolen: u64,
}

impl Jiffies {
    /// Up to now.
    pub(crate) fn now() -> Jiffies {
        Jiffies::parse(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// `cpu  user nice system idle iowait irq softirq steal ...`
    fn parse(stat: &str) -> Jiffies {
        let line = stat.lines().next().unwrap_or_default();
        let fields: Vec<u64> = line
            .split_whitespace()
            .skip(1)
            .take(8)
            .filter_map(|field| field.parse().ok())
            .collect();
        Jiffies { all: fields.iter().sum(), stolen: fields.get(7).copied().unwrap_or(0) }
    }

    /// The part of the time since `before` that the host gave to other machines.
    pub(crate) fn stolen_since(self, before: Jiffies) -> f64 {
        let all = self.all.saturating_sub(before.all);
        if all == 0 {
            return 0.0;
        }
        self.stolen.saturating_sub(before.stolen) as f64 / all as f64
    }
}

/// As many descriptors as the system allows, for this process and those that it starts.
pub(crate) fn raise_descriptors() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Runs that need more say so themselves.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// While it lives, what this process starts gets no huge pages: they come 2 MiB at a time.
pub(crate) struct SmallPages(());

impl SmallPages {
    /// A kernel that refuses costs precision only.
    pub(crate) fn new() -> SmallPages {
        let _ = prctl::set_thp_disable(true);
        SmallPages(())
    }
}

impl Drop for SmallPages {
    fn drop(&mut self) {
        let _ = prctl::set_thp_disable(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_a_part_of_all_time() {
        let before = Jiffies::parse("cpu  100 0 100 700 0 0 50 50 9 9\ncpu0 1 2 3\n");
        let after = Jiffies::parse("cpu  150 0 150 700 0 0 75 75 9 9\n");
        assert_eq!(before, Jiffies { all: 1000, stolen: 50 });
        assert!((after.stolen_since(before) - 25.0 / 150.0).abs() < 1e-9);
        assert_eq!(after.stolen_since(after), 0.0);
        assert_eq!(Jiffies::parse(""), Jiffies::default());
        assert!(Jiffies::now().all > 0 && load_average() >= 0.0);
    }
}
