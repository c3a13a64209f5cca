//! A drain as the control plane sees it: how fast it goes, and how far it is.
//!
//! Pure but for the log: the shards close connections, and their counters say how many.

use std::time::{Duration, Instant};

use super::bridge::Bridge;
use super::event::Event;
use crate::limits::{DRAIN_RATE_PER_S, DRAIN_REPORT_MS};
use crate::metrics::Metric;
use crate::pubsub::envelope::DrainOrder;

/// What an operator has set about drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainRules {
    /// Connections of all shards that are told to go in a second.
    pub rate_per_s: u32,
    /// How long the process may live on.
    pub timeout_ms: u64,
    /// How long a closing handshake may take.
    pub close_timeout_ms: u64,
    /// Clients are advised to come back after a random time of up to this.
    pub retry_ms_max: u64,
}

/// Everybody is told at once, and nothing is waited for.
impl Default for DrainRules {
    fn default() -> Self {
        let (timeout_ms, close_timeout_ms, retry_ms_max) = (0, 0, 0);
        DrainRules { rate_per_s: DRAIN_RATE_PER_S, timeout_ms, close_timeout_ms, retry_ms_max }
    }
}

impl DrainRules {
    /// The order for each shard when `open` connections are open.
    pub fn order(&self, open: u64) -> DrainOrder {
        DrainOrder {
            spread_ms: self.spread_ms(open),
            late_ms: self.late_ms(),
            timeout_ms: self.timeout_ms,
            retry_ms_max: self.retry_ms_max,
        }
    }

    /// How long so many connections take at the configured rate.
    pub fn spread_ms(&self, open: u64) -> u64 {
        (open * 1000).div_ceil(u64::from(self.rate_per_s))
    }

    /// What an operator should know who allows so many connections.
    pub fn warning(&self, connections_max: u64) -> Option<String> {
        let (needed, given) = (seconds(self.spread_ms(connections_max)), seconds(self.late_ms()));
        let is_short = needed > given;
        is_short.then(|| {
            format!(
                "a drain of {connections_max} connections takes {needed:.0} s at \
                 server.drain_rate_per_s = {}, but server.drain_timeout_ms = {} leaves \
                 {given:.0} s: those who are left are closed at once then; raise one of the two",
                self.rate_per_s, self.timeout_ms
            )
        })
    }

    /// After how long the rest are told at once: so that their closing handshakes still have time,
    /// or half the time if that is less.
    pub fn late_ms(&self) -> u64 {
        self.timeout_ms - self.close_timeout_ms.min(self.timeout_ms / 2)
    }
}

/// Says how the drain goes, until `stop`; nothing if there is none.
pub async fn report(bridge: &Bridge, stop: &Event) {
    if stop.unless_raised(bridge.drain.wait()).await.is_none() {
        return;
    }
    let rules = bridge.state.in_force().drain;
    let (began, open) = (Instant::now(), bridge.board.total(Metric::ConnectionsOpen));
    let (seconds, late_s) = (seconds(rules.spread_ms(open)), seconds(rules.late_ms()));
    tracing::info!(open, rate_per_s = rules.rate_per_s, seconds, late_s, "draining");
    loop {
        let tick = tokio::time::sleep(Duration::from_millis(DRAIN_REPORT_MS));
        let is_over = stop.unless_raised(tick).await.is_none();
        let total = |metric| bridge.board.total(metric);
        let told = total(Metric::DrainPaced) + total(Metric::DrainLate);
        let (open, late) = (total(Metric::ConnectionsOpen), total(Metric::DrainLate));
        let seconds = began.elapsed().as_secs_f64();
        if is_over {
            return tracing::info!(told, late, open, seconds, "drained");
        }
        tracing::info!(told, late, open, seconds, "draining");
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: DrainRules = DrainRules {
        rate_per_s: 5_000,
        timeout_ms: 30_000,
        close_timeout_ms: 5_000,
        retry_ms_max: 0,
    };

    #[test]
    fn connections_take_the_time_that_the_rate_gives_them() {
        for (open, ms) in [(0, 0), (1, 1), (5_000, 1_000), (50_000, 10_000), (50_001, 10_001)] {
            assert_eq!(RULES.order(open).spread_ms, ms, "{open} connections");
        }
    }

    #[test]
    fn who_allows_more_connections_than_a_drain_can_pace_is_told() {
        assert_eq!(RULES.warning(125_000), None);
        let told = RULES.warning(1_000_000).expect("they take 200 seconds");
        assert_eq!(
            told,
            "a drain of 1000000 connections takes 200 s at server.drain_rate_per_s = 5000, but \
             server.drain_timeout_ms = 30000 leaves 25 s: those who are left are closed at once \
             then; raise one of the two"
        );
    }

    #[test]
    fn the_last_have_time_for_their_closing_handshake_or_half_of_all() {
        assert_eq!(RULES.late_ms(), 25_000);
        assert_eq!(DrainRules { timeout_ms: 6_000, ..RULES }.late_ms(), 3_000);
        assert_eq!(DrainRules { timeout_ms: 0, ..RULES }.late_ms(), 0);
    }
}
