//! The document of `/v1/overview`, as far as it is shown.
//!
//! Invariant: no text in it has a character that a terminal would obey or that turns the order of
//! others around: topics are named by clients.

use serde::{Deserialize, Deserializer};

/// See the module's header.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Overview {
    pub(super) status: Status,
    pub(super) topics: Topics,
    pub(super) closes: Vec<Cause>,
    pub(super) refusals: Vec<Cause>,
    pub(super) drops: Vec<Cause>,
    pub(super) history: History,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Status {
    #[serde(deserialize_with = "harmless")]
    pub(super) version: String,
    #[serde(deserialize_with = "harmless")]
    pub(super) state: String,
    pub(super) uptime_seconds: u64,
    pub(super) connections: Connections,
    pub(super) topics: u64,
    pub(super) subscriptions: u64,
    pub(super) egress_queued_bytes: u64,
    pub(super) egress_max_bytes: u64,
    pub(super) memory_resident_bytes: u64,
    pub(super) rates: Rates,
    pub(super) shards: Vec<Shard>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Connections {
    pub(super) open: u64,
    pub(super) max: u64,
    pub(super) accepted: u64,
    pub(super) slow_consumers_closed: u64,
    pub(super) heartbeats_lost: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Rates {
    pub(super) accepts_per_second: f64,
    pub(super) messages_received_per_second: f64,
    pub(super) messages_sent_per_second: f64,
    pub(super) received_bytes_per_second: f64,
    pub(super) sent_bytes_per_second: f64,
    pub(super) publishes_per_second: f64,
    pub(super) deliveries_per_second: f64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Shard {
    pub(super) shard: u64,
    pub(super) connections_open: u64,
    pub(super) subscriptions: u64,
    pub(super) egress_queued_bytes: u64,
    pub(super) loop_busy_ratio: f64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Topics {
    pub(super) busiest: Vec<Topic>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Topic {
    #[serde(deserialize_with = "harmless")]
    pub(super) topic: String,
    pub(super) subscribers: u64,
    pub(super) messages_per_second: f64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Cause {
    #[serde(deserialize_with = "harmless")]
    pub(super) label: String,
    #[serde(deserialize_with = "harmless")]
    pub(super) meaning: String,
    pub(super) recent: u64,
    pub(super) total: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct History {
    pub(super) connections_open: Vec<f64>,
    pub(super) egress_queued_bytes: Vec<f64>,
    pub(super) loop_busy_ratio_max: Vec<f64>,
    pub(super) accepts_per_second: Vec<f64>,
    pub(super) closes_per_second: Vec<f64>,
    pub(super) messages_received_per_second: Vec<f64>,
    pub(super) messages_sent_per_second: Vec<f64>,
    pub(super) deliveries_per_second: Vec<f64>,
}

/// Samples of the history that ten seconds are, over which all other rates are means.
const LATEST: usize = 5;

impl Overview {
    /// Connections closed per second, of the last ten seconds.
    pub(super) fn closes_per_second(&self) -> f64 {
        let closes = &self.history.closes_per_second;
        let latest = &closes[closes.len().saturating_sub(LATEST)..];
        latest.iter().sum::<f64>() / latest.len().max(1) as f64
    }

    /// Messages sent per second: by handlers and by topics, which are counted apart.
    pub(super) fn messages_out_per_second(&self) -> f64 {
        self.status.rates.messages_sent_per_second + self.status.rates.deliveries_per_second
    }

    /// The same over the last minutes.
    pub(super) fn messages_out_history(&self) -> Vec<f64> {
        let (sent, delivered) =
            (&self.history.messages_sent_per_second, &self.history.deliveries_per_second);
        sent.iter().zip(delivered).map(|(sent, delivered)| sent + delivered).collect()
    }

    /// The shard with the highest load.
    pub(super) fn busiest_shard(&self) -> Option<&Shard> {
        self.status.shards.iter().max_by(|a, b| a.loop_busy_ratio.total_cmp(&b.loop_busy_ratio))
    }

    /// The mean load of all shards.
    pub(super) fn mean_load(&self) -> f64 {
        let shards = &self.status.shards;
        shards.iter().map(|shard| shard.loop_busy_ratio).sum::<f64>() / shards.len().max(1) as f64
    }
}

fn harmless<'de, D: Deserializer<'de>>(text: D) -> Result<String, D::Error> {
    String::deserialize(text).map(|text| text.chars().map(harmless_char).collect())
}

/// Controls, and what directs the writing of others without being seen.
fn harmless_char(c: char) -> char {
    let is_unseen = matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}');
    if c.is_control() || is_unseen { '\u{fffd}' } else { c }
}
