//! Collects the facts. The only part of the doctor that looks at the host.

use std::fs;
use std::path::Path;

use super::facts::{Card, Conntrack, Facts, Tracking};
use super::memory::HostMemory;
use crate::ring::probe::{self, Needs};

/// Reads everything, and tries a ring of this size. RLIMIT_NOFILE is raised as far as it goes, as
/// at the start of a server. Fails at nothing: what can't be read is `None`.
pub fn gather(needs: &Needs) -> Facts {
    below(Path::new("/"), needs)
}

/// The same, with files from a tree that looks like the root of a file system.
fn below(root: &Path, needs: &Needs) -> Facts {
    let tree = Tree { root };
    let huge = tree.text("sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    let clocks = "sys/devices/system/clocksource/clocksource0";
    Facts {
        ring: probe::gather(needs),
        memory: HostMemory::below(root),
        tcp_mem_pages: tree.numbers("proc/sys/net/ipv4/tcp_mem"),
        tcp_rmem: tree.numbers("proc/sys/net/ipv4/tcp_rmem"),
        tcp_wmem: tree.numbers("proc/sys/net/ipv4/tcp_wmem"),
        syn_backlog: tree.number("proc/sys/net/ipv4/tcp_max_syn_backlog"),
        port_range: tree.numbers("proc/sys/net/ipv4/ip_local_port_range"),
        reserved_ports: tree
            .text("proc/sys/net/ipv4/ip_local_reserved_ports")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        conntrack: tree.conntrack(),
        time_wait_max: tree.number("proc/sys/net/ipv4/tcp_max_tw_buckets"),
        time_wait: tree.time_wait(),
        established_entries: tree.established_entries(),
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
        huge_pages: in_brackets(&huge).map(str::to_owned),
        cards: tree.cards(),
        clock: tree.text(&format!("{clocks}/current_clocksource")).map(|t| t.trim().to_owned()),
        clocks: words(&tree.text(&format!("{clocks}/available_clocksource")).unwrap_or_default()),
    }
}

struct Tree<'a> {
    root: &'a Path,
}

impl Tree<'_> {
    fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.trim().parse().ok()
    }

    fn numbers<const N: usize>(&self, path: &str) -> Option<[u64; N]> {
        let text = self.text(path)?;
        let numbers: Option<Vec<u64>> = text.split_whitespace().map(|n| n.parse().ok()).collect();
        numbers?.try_into().ok()
    }

    fn conntrack(&self) -> Tracking {
        let Some(max) = self.number("proc/sys/net/netfilter/nf_conntrack_max") else {
            let is_readable = self.root.join("proc/sys/net").exists();
            return if is_readable { Tracking::NotLoaded } else { Tracking::Unknown };
        };
        let count = self.number("proc/sys/net/netfilter/nf_conntrack_count").unwrap_or(0);
        Tracking::Table(Conntrack { max, count })
    }

    /// `TCP: inuse 5 orphan 0 tw 3 alloc 7 mem 1`
    fn time_wait(&self) -> Option<u64> {
        let text = self.text("proc/net/sockstat")?;
        let line = text.lines().find_map(|line| line.strip_prefix("TCP:"))?;
        let mut words = line.split_whitespace().skip_while(|word| *word != "tw");
        words.nth(1)?.parse().ok()
    }

    /// Negative where a network namespace uses the table of the host.
    fn established_entries(&self) -> Option<u64> {
        let text = self.text("proc/sys/net/ipv4/tcp_ehash_entries")?;
        text.trim().parse::<i64>().ok().map(i64::unsigned_abs).filter(|entries| *entries > 0)
    }

    /// Interfaces with a device behind them.
    fn cards(&self) -> Option<Vec<Card>> {
        let entries = fs::read_dir(self.root.join("sys/class/net")).ok()?;
        let mut cards: Vec<Card> = entries.flatten().filter_map(|e| card(&e.path())).collect();
        cards.sort_by(|a, b| a.name.cmp(&b.name));
        Some(cards)
    }
}

fn card(path: &Path) -> Option<Card> {
    if !path.join("device").exists() {
        return None;
    }
    let name = path.file_name()?.to_str()?.to_owned();
    let queues = fs::read_dir(path.join("queues")).ok()?.flatten();
    let is_rx = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("rx-");
    let rx: Vec<_> = queues.filter(|entry| is_rx(&entry.file_name())).collect();
    let steers = |mask: String| mask.chars().any(|c| c.is_ascii_hexdigit() && c != '0');
    let has_rps =
        rx.iter().any(|queue| fs::read_to_string(queue.path().join("rps_cpus")).is_ok_and(steers));
    Some(Card { name, rx_queues: rx.len() as u64, has_rps })
}

/// `always [madvise] never`
fn in_brackets(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(word, _)| word)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs() -> Needs {
        Needs {
            rings: 1,
            connections_per_ring: 10,
            files_per_ring: 100,
            process_fds: 10,
            backlog: 128,
            recv_buffers: 8,
        }
    }

    #[test]
    fn files_are_read_as_the_kernel_writes_them() {
        let root = std::env::temp_dir().join(format!("ringwire-gather-{}", std::process::id()));
        for (path, text) in [
            ("proc/sys/net/ipv4/tcp_mem", "285\t381\t570\n"),
            ("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\n"),
            ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
            ("proc/sys/net/ipv4/tcp_ehash_entries", "-262144\n"),
            ("proc/sys/net/netfilter/nf_conntrack_max", "65536\n"),
            ("proc/net/sockstat", "sockets: used 9\nTCP: inuse 5 orphan 0 tw 3 alloc 7 mem 1\n"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
            ("sys/class/net/eth0/device/vendor", "0x1af4\n"),
            ("sys/class/net/eth0/queues/rx-0/rps_cpus", "00\n"),
            ("sys/class/net/eth0/queues/rx-1/rps_cpus", "00000000,00000003\n"),
            ("sys/class/net/eth0/queues/tx-0/xps_cpus", "0\n"),
            ("sys/class/net/lo/queues/rx-0/rps_cpus", "0\n"),
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
            ("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet \n"),
        ] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let facts = below(&root, &needs());
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(facts.tcp_mem_pages, Some([285, 381, 570]));
        assert_eq!(facts.tcp_rmem, None, "a number is missing");
        assert_eq!(facts.port_range, Some([32_768, 60_999]));
        assert_eq!(facts.established_entries, Some(262_144));
        assert_eq!(facts.conntrack, Tracking::Table(Conntrack { max: 65_536, count: 0 }));
        assert_eq!(facts.time_wait, Some(3));
        assert_eq!(facts.huge_pages.as_deref(), Some("madvise"));
        let card = Card { name: "eth0".into(), rx_queues: 2, has_rps: true };
        assert_eq!(facts.cards, Some(vec![card]));
        assert_eq!((facts.clock.as_deref(), facts.clocks.len()), (Some("tsc"), 2));
        assert_eq!(facts.memory, None);
    }

    /// A container that hides all of it.
    #[test]
    fn nothing_is_known_where_nothing_can_be_read() {
        let nowhere = std::env::temp_dir().join(format!("ringwire-none-{}", std::process::id()));
        let facts = below(&nowhere, &needs());
        assert_eq!((facts.conntrack, facts.cards), (Tracking::Unknown, None));
        assert_eq!((facts.memory, facts.tcp_mem_pages, facts.port_range), (None, None, None));
        assert_eq!((facts.time_wait_max, facts.clock, facts.huge_pages), (None, None, None));
    }

    #[test]
    fn this_host_says_a_lot() {
        let facts = gather(&needs());
        assert!(facts.cores >= 1 && facts.tcp_mem_pages.is_some() && facts.tcp_wmem.is_some());
        assert!(facts.time_wait.is_some() && facts.memory.is_some());
    }
}
