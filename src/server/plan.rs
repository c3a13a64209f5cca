//! The memory that a configuration allows the process to use, added up before it starts.
//!
//! Every figure of user space is a bound that the code keeps, not an estimate of what will be used;
//! memory is touched only as it is needed. Not in it are the messages that wait in lanes for a
//! shard that stands still: each entry has at most one, and may keep a piece of the press for it.
//! Of the kernel it has what an idle socket takes; what TCP buffers on top is bounded by the host
//! (`net.ipv4.tcp_mem`), for all programs together.

use std::fmt;

use super::config::Config;
use super::host::HostMemory;
use crate::conn::Conn;
use crate::limits::{
    ACCEPTS_IN_FLIGHT, CQ_ENTRIES, LANE_ENTRIES_MIN, PARTIAL_PAYLOAD_KEPT_BYTES,
    PARTIALS_POOLED_MAX, PRESS_PIECE_BYTES, PRESS_PIECES, REFUSAL_SLOTS, SQ_ENTRIES,
};
use crate::pubsub::envelope::{Request, Response};
use crate::ring::probe::Needs;
use crate::shard::mailbox::lane_capacity;

/// Descriptors of the process beside rings and listeners: standard streams, the control plane,
/// logs.
const FDS_BESIDE: u64 = 128;
/// Code, thread stacks, the control plane, and what an allocator needs beside what is asked of it.
const PROCESS_BYTES: u64 = 64 << 20;
/// What one topic costs at its home, or on a shard with subscribers: the longest name twice, and
/// what is known of it.
const TOPIC_BYTES: u64 = 1024;
/// What a subscription costs: a place among the topic's members, and in the connection's list.
const SUBSCRIPTION_BYTES: u64 = 24;

/// What a shard compresses and inflates with: zlib's compressors of all window sizes, its
/// inflaters, and one message each.
const COMPRESSING_BYTES: u64 = 3 << 20;

/// What the kernel holds for an idle connection: socket, file, armed receive. Measured: 3.9 KiB.
const KERNEL_SOCKET_BYTES: u64 = 4096;

/// One part of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is for.
    pub what: &'static str,
    /// How much it may be.
    pub bytes: u64,
    /// The keys that it follows from.
    pub keys: &'static str,
}

/// The limits allow more memory than there is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the limits allow {} of memory, but this host has {} ({limited_by})\n  \
     the largest parts: {largest}\n  \
     lower what they follow from (`ringwire config plan` shows all), \
     or start all the same: --allow-overcommit",
    Size(*plan_bytes), Size(*memory_bytes)
)]
pub struct PlanTooLarge {
    /// What the limits allow.
    pub plan_bytes: u64,
    /// What there is.
    pub memory_bytes: u64,
    /// Where that bound comes from.
    pub limited_by: &'static str,
    /// Some parts, with the keys that they follow from.
    pub largest: String,
}

/// Parts that are named when a plan does not fit.
const PARTS_NAMED: usize = 3;

/// A number of octets for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["KiB", "MiB", "GiB", "TiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let step = (self.0.ilog2() / 10).min(units.len() as u32);
        let scaled = self.0 as f64 / (1u64 << (10 * step)) as f64;
        write!(f, "{scaled:.1} {}", units[step as usize - 1])
    }
}

/// See the module's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The parts, largest first.
    pub parts: Vec<Part>,
}

impl Plan {
    /// Adds up what a checked configuration allows.
    pub fn of(config: &Config) -> Plan {
        let shards = u64::from(config.shards);
        let slots = shards * u64::from(slots_per_shard(config));
        let per_slot = size_of::<Conn>() as u64 + 8 + 12 + 8 + 16;
        let pool = u64::from(config.recv_buffers) * u64::from(config.recv_buffer_bytes);
        let rings = u64::from(SQ_ENTRIES) * 68 + u64::from(CQ_ENTRIES) * 16;
        let participants = usize::from(config.shards) + 1;
        let lane = lane_capacity(participants).max(LANE_ENTRIES_MIN) as u64;
        let envelopes = (size_of::<Request>() + size_of::<Response>()) as u64;
        let press = (PRESS_PIECES * PRESS_PIECE_BYTES) as u64;
        let partials = (PARTIALS_POOLED_MAX * (2 * PARTIAL_PAYLOAD_KEPT_BYTES + 512)) as u64;
        let queued_frames_slack = config.egress_total_bytes_max as u64 / 8;
        let topics = shards * (config.topics_max + home_topics_per_shard(config)) as u64;
        let subscriptions = u64::from(config.connections_max) * config.subscriptions_max as u64;
        let part = |what, bytes, keys| Part { what, bytes, keys };
        let mesh = (participants * participants) as u64;
        let egress = config.egress_total_bytes_max as u64 + queued_frames_slack;
        let ingress = 2 * config.ingress_total_bytes_max as u64 + shards * partials;
        let sockets = u64::from(config.connections_max) * KERNEL_SOCKET_BYTES;
        let windows = config.compression.windows_bytes(config.shards);
        let compressing =
            if config.compression.is_enabled { shards * COMPRESSING_BYTES } else { 0 };
        let mut parts = vec![
            part("compressing", compressing, "compression.enabled x server.shards"),
            part("windows of clients", windows, "compression.takeover_connections_max"),
            part("process", PROCESS_BYTES, "nothing"),
            part("connection tables", slots * per_slot, "server.max_connections"),
            part(
                "receive buffers",
                shards * pool,
                "server.shards x limits.recv_buffers x limits.recv_buffer_bytes",
            ),
            part(
                "send arenas",
                shards * arena_bytes(config) as u64,
                "server.shards x limits.recv_buffers x limits.recv_buffer_bytes",
            ),
            part("memory for publishing", participants as u64 * press, "server.shards"),
            part("rings", shards * rings, "server.shards"),
            part("lanes between shards", mesh * lane * envelopes, "server.shards"),
            part("egress queues", egress, "limits.egress_total_bytes_max"),
            part("unfinished messages and handshakes", ingress, "limits.ingress_total_bytes_max"),
            part("topics", topics * TOPIC_BYTES, "limits.topics_max x server.shards"),
            part(
                "subscriptions",
                subscriptions * SUBSCRIPTION_BYTES,
                "server.max_connections x limits.subscriptions_max",
            ),
            part("the kernel's sockets", sockets, "server.max_connections"),
        ];
        parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
        Plan { parts }
    }

    /// Whether it fits into the memory that there is.
    pub fn check(&self, memory: &HostMemory) -> Result<(), PlanTooLarge> {
        let (plan_bytes, memory_bytes) = (self.total_bytes(), memory.limit_bytes());
        if plan_bytes <= memory_bytes {
            return Ok(());
        }
        let largest = self.parts.iter().take(PARTS_NAMED);
        let named = |part: &Part| format!("{} {} ({})", part.what, Size(part.bytes), part.keys);
        let largest = largest.map(named).collect::<Vec<_>>().join(", ");
        let limited_by = memory.limited_by();
        Err(PlanTooLarge { plan_bytes, memory_bytes, limited_by, largest })
    }

    /// The sum.
    pub fn total_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes:", self.total_bytes())?;
        for (index, part) in self.parts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma} {} {}", part.what, part.bytes)?;
        }
        Ok(())
    }
}

/// Connections of one shard. With several shards there is headroom above the mean, because the
/// kernel spreads connections by hash.
pub fn connections_per_shard(config: &Config) -> u32 {
    let shards = u32::from(config.shards);
    if shards == 1 {
        return config.connections_max;
    }
    let mean = config.connections_max.div_ceil(shards);
    (mean + mean / 4 + 64).min(config.connections_max)
}

/// Topics whose home is one shard. With several shards there is headroom above the mean, because
/// homes are spread by hash.
pub fn home_topics_per_shard(config: &Config) -> usize {
    let shards = usize::from(config.shards);
    if shards == 1 {
        return config.topics_max;
    }
    let mean = config.topics_max.div_ceil(shards);
    (mean + mean / 4 + 64).min(config.topics_max)
}

/// Entries of a shard's table of direct descriptors. Accepts in flight have entries of their own:
/// an accept that finds the table full loses the connection.
pub fn files_per_shard(config: &Config) -> u32 {
    let accepts = config.listeners() as u32 * u32::from(ACCEPTS_IN_FLIGHT);
    slots_per_shard(config) + accepts
}

/// What the host has to provide for the configuration.
pub fn needs(config: &Config) -> Needs {
    let shards = u32::from(config.shards);
    let listeners = config.listeners() as u64;
    Needs {
        rings: shards,
        connections_per_ring: connections_per_shard(config),
        files_per_ring: files_per_shard(config),
        process_fds: u64::from(shards) * (1 + listeners) + FDS_BESIDE,
        backlog: config.backlog,
        recv_buffers: config.recv_buffers,
    }
}

/// Octets of a shard's arena: all that one turn can receive, echoed, and as much again.
pub fn arena_bytes(config: &Config) -> usize {
    2 * usize::from(config.recv_buffers) * config.recv_buffer_bytes as usize + (64 << 10)
}

fn slots_per_shard(config: &Config) -> u32 {
    connections_per_shard(config) + REFUSAL_SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_grows_with_what_it_is_made_of() {
        let base = Config { shards: 2, ..Config::default() };
        let total = |config: &Config| Plan::of(config).total_bytes();
        let more_egress =
            Config { egress_total_bytes_max: base.egress_total_bytes_max * 2, ..base.clone() };
        let more_connections = Config { connections_max: 20_000, ..base.clone() };
        assert!(total(&more_egress) - total(&base) >= base.egress_total_bytes_max as u64);
        assert!(total(&more_connections) > total(&base));
    }

    #[test]
    fn a_plan_that_does_not_fit_says_what_is_largest_and_how_to_go_on() {
        let config = Config { shards: 1, ..Config::default() };
        let plan = Plan::of(&config);
        let memory = |total_bytes, cgroup_bytes| HostMemory {
            total_bytes,
            available_bytes: 0,
            cgroup_bytes,
        };
        let total = plan.total_bytes();
        assert_eq!(plan.check(&memory(total, None)), Ok(()));
        assert_eq!(plan.check(&memory(total, Some(total))), Ok(()));
        assert!(plan.check(&memory(total - 1, None)).is_err());
        let error = plan.check(&memory(total, Some(256 << 20))).unwrap_err().to_string();
        let expected = format!(
            "the limits allow {} of memory, but this host has 256.0 MiB (its control group)\n  \
             the largest parts: egress queues 576.0 MiB (limits.egress_total_bytes_max), \
             unfinished messages and handshakes 258.0 MiB (limits.ingress_total_bytes_max), \
             topics 195.3 MiB (limits.topics_max x server.shards)\n  lower what they follow from \
             (`ringwire config plan` shows all), or start all the same: --allow-overcommit",
            Size(total)
        );
        assert_eq!(error, expected);
    }

    #[test]
    fn sizes_are_told_in_the_unit_that_fits() {
        let told = [0, 1023, 1024, 1536, 1 << 20, 3 << 30, 1 << 50].map(|n| Size(n).to_string());
        let expected = ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "3.0 GiB", "1024.0 TiB"];
        assert_eq!(told, expected);
    }

    #[test]
    fn shards_have_headroom_above_the_mean_but_one_shard_needs_none() {
        let one = Config { shards: 1, connections_max: 10_000, ..Config::default() };
        assert_eq!(connections_per_shard(&one), 10_000);
        let eight = Config { shards: 8, connections_max: 100_000, ..Config::default() };
        assert_eq!(connections_per_shard(&eight), 15_689);
    }
}
