//! The memory that a configuration allows the process to use, added up before it starts.
//!
//! User space only: what the kernel holds for sockets comes on top (about 4 KiB for an idle one).
//! Every figure is a bound that the code keeps, not an estimate of what will be used; memory is
//! touched only as it is needed. Not in it are the messages that wait in lanes for a shard that
//! stands still: each entry has at most one, and may keep a piece of the press for it.

use std::fmt;

use super::config::Config;
use crate::conn::Conn;
use crate::limits::{
    ACCEPTS_IN_FLIGHT, CQ_ENTRIES, LANE_ENTRIES_MIN, PARTIAL_PAYLOAD_KEPT_BYTES,
    PARTIALS_POOLED_MAX, PRESS_PIECE_BYTES, PRESS_PIECES, REFUSAL_SLOTS, SQ_ENTRIES,
};
use crate::pubsub::envelope::{Request, Response};
use crate::shard::mailbox::lane_capacity;

/// Code, thread stacks, the control plane, and what an allocator needs beside what is asked of it.
const PROCESS_BYTES: u64 = 64 << 20;
/// What one topic costs at its home, or on a shard with subscribers: the longest name twice, and
/// what is known of it.
const TOPIC_BYTES: u64 = 1024;
/// What a subscription costs: a place among the topic's members, and in the connection's list.
const SUBSCRIPTION_BYTES: u64 = 24;

/// One part of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is for.
    pub what: &'static str,
    /// How much it may be.
    pub bytes: u64,
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
        let partials = (PARTIALS_POOLED_MAX * (PARTIAL_PAYLOAD_KEPT_BYTES + 512)) as u64;
        let queued_frames_slack = config.egress_total_bytes_max as u64 / 8;
        let topics = shards * (config.topics_max + home_topics_per_shard(config)) as u64;
        let subscriptions = u64::from(config.connections_max) * config.subscriptions_max as u64;
        let mut parts = vec![
            Part { what: "process", bytes: PROCESS_BYTES },
            Part { what: "connection tables", bytes: slots * per_slot },
            Part { what: "receive buffers", bytes: shards * pool },
            Part { what: "send arenas", bytes: shards * arena_bytes(config) as u64 },
            Part { what: "memory for publishing", bytes: participants as u64 * press },
            Part { what: "rings", bytes: shards * rings },
            Part {
                what: "lanes between shards",
                bytes: (participants * participants) as u64 * lane * envelopes,
            },
            Part {
                what: "egress queues",
                bytes: config.egress_total_bytes_max as u64 + queued_frames_slack,
            },
            Part {
                what: "unfinished messages and handshakes",
                bytes: 2 * config.ingress_total_bytes_max as u64 + shards * partials,
            },
            Part { what: "topics", bytes: topics * TOPIC_BYTES },
            Part { what: "subscriptions", bytes: subscriptions * SUBSCRIPTION_BYTES },
        ];
        parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
        Plan { parts }
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
    let accepts = config.listen.len() as u32 * u32::from(ACCEPTS_IN_FLIGHT);
    slots_per_shard(config) + accepts
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
    fn shards_have_headroom_above_the_mean_but_one_shard_needs_none() {
        let one = Config { shards: 1, connections_max: 10_000, ..Config::default() };
        assert_eq!(connections_per_shard(&one), 10_000);
        let eight = Config { shards: 8, connections_max: 100_000, ..Config::default() };
        assert_eq!(connections_per_shard(&eight), 15_689);
    }
}
