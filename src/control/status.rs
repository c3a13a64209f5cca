//! `GET /v1/status`: the state of the process as one JSON object.

use super::bridge::Bridge;
use super::prometheus::memory_bytes;
use super::rates::Rates;
use crate::metrics::Metric;
use serde::Serialize;
use std::collections::BTreeMap;

/// What the status shows.
#[derive(Debug, Serialize)]
pub struct Status {
    version: &'static str,
    state: &'static str,
    uptime_seconds: u64,
    connections: Connections,
    topics: u64,
    subscriptions: u64,
    egress_queued_bytes: u64,
    egress_max_bytes: u64,
    memory_resident_bytes: u64,
    rates: BTreeMap<&'static str, f64>,
    shards: Vec<Shard>,
}

#[derive(Debug, Serialize)]
struct Connections {
    open: u64,
    max: u64,
    accepted: u64,
    handshakes_completed: u64,
    slow_consumers_closed: u64,
    heartbeats_lost: u64,
}

#[derive(Debug, Serialize)]
struct Shard {
    shard: usize,
    connections_open: u64,
    topics: u64,
    subscriptions: u64,
    egress_queued_bytes: u64,
    turns: u64,
    loop_busy_microseconds: u64,
    loop_busy_ratio: f64,
}

impl Status {
    /// The state now, with the rates of the last seconds.
    pub fn of(bridge: &Bridge, rates: &Rates) -> Status {
        let total = |metric| bridge.board.total(metric);
        let in_force = bridge.state.in_force();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            state: bridge.state.stage().as_str(),
            uptime_seconds: bridge.state.started.elapsed().as_secs(),
            connections: Connections {
                open: total(Metric::ConnectionsOpen),
                max: in_force.connections_max,
                accepted: total(Metric::ConnectionsAccepted),
                handshakes_completed: total(Metric::HandshakesCompleted),
                slow_consumers_closed: total(Metric::SlowConsumersClosed),
                heartbeats_lost: total(Metric::HeartbeatsLost),
            },
            topics: total(Metric::Topics),
            subscriptions: total(Metric::Subscriptions),
            egress_queued_bytes: total(Metric::EgressQueuedBytes),
            egress_max_bytes: in_force.egress_bytes_max,
            memory_resident_bytes: memory_bytes().map_or(0, |(_, resident)| resident),
            rates: rates.per_second().collect(),
            shards: shards(bridge, rates),
        }
    }
}

fn shards(bridge: &Bridge, rates: &Rates) -> Vec<Shard> {
    let column = |metric| bridge.board.per_shard(metric).collect::<Vec<u64>>();
    let open = column(Metric::ConnectionsOpen);
    let topics = column(Metric::Topics);
    let subscriptions = column(Metric::Subscriptions);
    let queued = column(Metric::EgressQueuedBytes);
    let turns = column(Metric::Turns);
    let busy = column(Metric::LoopBusyMicroseconds);
    let ratios: Vec<f64> = rates.busy_ratios().collect();
    let row = |shard: usize| Shard {
        shard,
        connections_open: open[shard],
        topics: topics[shard],
        subscriptions: subscriptions[shard],
        egress_queued_bytes: queued[shard],
        turns: turns[shard],
        loop_busy_microseconds: busy[shard],
        // None before there are two samples.
        loop_busy_ratio: ratios.get(shard).copied().unwrap_or(0.0),
    };
    (0..open.len()).map(row).collect()
}
