//! What was found out about the host: plain values, so that findings can be tested on made-up ones.

use super::memory::HostMemory;
use crate::ring::probe::HostFacts;

/// See the module's header. `None` where the host does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Kernel, io_uring, limits of the process: what the start of a server looks at too.
    pub ring: HostFacts,
    /// Memory, and what bounds it.
    pub memory: Option<HostMemory>,
    /// `net.ipv4.tcp_mem`, in pages: low, pressure, high.
    pub tcp_mem_pages: Option<[u64; 3]>,
    /// `net.ipv4.tcp_rmem`: least, initial, most.
    pub tcp_rmem: Option<[u64; 3]>,
    /// `net.ipv4.tcp_wmem`.
    pub tcp_wmem: Option<[u64; 3]>,
    /// `net.ipv4.tcp_max_syn_backlog`.
    pub syn_backlog: Option<u64>,
    /// `net.ipv4.ip_local_port_range`.
    pub port_range: Option<[u64; 2]>,
    /// `net.ipv4.ip_local_reserved_ports`, as it is written.
    pub reserved_ports: String,
    /// Connection tracking.
    pub conntrack: Tracking,
    /// `net.ipv4.tcp_max_tw_buckets`.
    pub time_wait_max: Option<u64>,
    /// Sockets in TIME_WAIT now.
    pub time_wait: Option<u64>,
    /// Entries of the kernel's table of established connections.
    pub established_entries: Option<u64>,
    /// Cores that this process may use.
    pub cores: u64,
    /// `/sys/kernel/mm/transparent_hugepage/enabled`: the word in brackets.
    pub huge_pages: Option<String>,
    /// Network cards, not those that exist in software only.
    pub cards: Option<Vec<Card>>,
    /// The clock source that is in use.
    pub clock: Option<String>,
    /// All that there are.
    pub clocks: Vec<String>,
}

/// Whether the host can track connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// The kernel's settings can't be read.
    Unknown,
    /// The module is not loaded.
    NotLoaded,
    /// It has a table.
    Table(Conntrack),
}

/// `net.netfilter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conntrack {
    /// `nf_conntrack_max`.
    pub max: u64,
    /// `nf_conntrack_count`: with no rule that needs it, nothing is tracked.
    pub count: u64,
}

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Such as `eth0`.
    pub name: String,
    /// Receive queues, each with an interrupt of its own.
    pub rx_queues: u64,
    /// Whether the kernel spreads packets over cores itself (RPS).
    pub has_rps: bool,
}
