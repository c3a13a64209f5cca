//! The report as data: what JSON shows, key by key. `docs/bench.md` documents the same keys.
//!
//! M1. Every key is always there; what does not apply to a run is `null` or empty.
//! M2. `ok` is computed from the rest and never stored, so it can't disagree.

use super::fault::Fault;
use super::machine::Machine;
use crate::bench::histogram::LatencyHistogram;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde::{Deserialize, Serialize as DeriveSerialize};

/// What was done to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, DeriveSerialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Connections are opened and held.
    Idle,
    /// Connections are opened and closed, over and over.
    Handshake,
    /// Every message comes back to whom it came from.
    Echo,
    /// Every message goes to all subscribers of its topic.
    Fanout,
}

impl Scenario {
    /// The name on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Handshake => "handshake",
            Self::Echo => "echo",
            Self::Fanout => "fanout",
        }
    }
}

/// One run of `ringwire bench`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Report {
    /// What was done.
    pub scenario: Scenario,
    /// The version of Ringwire that did it.
    pub version: String,
    /// The command line.
    pub command: String,
    /// When the run began, in milliseconds since the Unix epoch.
    pub started_unix_ms: u64,
    /// Where the generator ran.
    pub machine: Machine,
    /// How it was done.
    pub settings: Settings,
    /// What went wrong, by cause; empty when nothing did.
    pub faults: Vec<Fault>,
    /// How connecting went.
    pub connections: Connections,
    /// When that begins which counts and rates are of, on the time line: after connecting and
    /// warm-up.
    pub measured_from_second: f64,
    /// How long it is.
    pub measured_seconds: f64,
    /// Messages of the measured seconds; `None` where the scenario sends none.
    pub messages: Option<Messages>,
    /// Latency in figures; `None` where nothing was timed.
    pub latency_us: Option<LatencySummary>,
    /// Latency as a curve of (percentile, microseconds).
    pub percentiles: Vec<(f64, f64)>,
    /// The run second by second.
    pub timeline: Vec<TimelinePoint>,
    /// What the server used; `None` when it was not told which process that is.
    pub server: Option<ServerUsage>,
}

impl Report {
    /// True when nothing went wrong: no fault, and every connection asked for was established and
    /// stayed.
    pub fn ok(&self) -> bool {
        let Connections { asked, established, failed, lost, .. } = self.connections;
        self.faults.is_empty()
            && failed == 0
            && lost == 0
            && established > 0
            && established >= asked
    }

    /// Where on the time line the measured seconds begin and end.
    pub fn measured_window(&self) -> (f64, f64) {
        (self.measured_from_second, self.measured_from_second + self.measured_seconds)
    }

    /// How many faults of all causes there were.
    pub fn faults_total(&self) -> u64 {
        self.faults.iter().map(|fault| fault.count).sum()
    }

    /// Takes over what was timed: the figures and the curve.
    pub fn set_latency(&mut self, latencies: &LatencyHistogram) {
        self.latency_us = LatencySummary::of(latencies);
        let points = latencies.curve().into_iter();
        self.percentiles = points.map(|(percentile, ns)| (percentile, us(ns))).collect();
    }

    /// The report as one JSON object, indented, with a newline at its end.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("all keys are strings");
        json.push('\n');
        json
    }
}

/// Derived but for `ok`, which has no field (M2).
impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Report", 16)?;
        object.serialize_field("scenario", &self.scenario)?;
        object.serialize_field("version", &self.version)?;
        object.serialize_field("command", &self.command)?;
        object.serialize_field("started_unix_ms", &self.started_unix_ms)?;
        object.serialize_field("machine", &self.machine)?;
        object.serialize_field("settings", &self.settings)?;
        object.serialize_field("ok", &self.ok())?;
        object.serialize_field("faults", &self.faults)?;
        object.serialize_field("connections", &self.connections)?;
        object.serialize_field("measured_from_second", &self.measured_from_second)?;
        object.serialize_field("measured_seconds", &self.measured_seconds)?;
        object.serialize_field("messages", &self.messages)?;
        object.serialize_field("latency_us", &self.latency_us)?;
        object.serialize_field("percentiles", &self.percentiles)?;
        object.serialize_field("timeline", &self.timeline)?;
        object.serialize_field("server", &self.server)?;
        object.end()
    }
}

/// How a run was asked for; `None` where the scenario has no such setting.
#[derive(Clone, Debug, Default, PartialEq, DeriveSerialize, Deserialize)]
pub struct Settings {
    /// Where it connected to, as given.
    pub urls: Vec<String>,
    /// Connections asked for.
    pub connections: u64,
    /// Threads with one ring each.
    pub rings: u64,
    /// Processors that the threads were pinned to; empty when they were not.
    pub pin: Vec<usize>,
    /// Local addresses, as given.
    pub source: Option<String>,
    /// Seconds asked to be measured.
    pub duration_seconds: Option<f64>,
    /// Seconds of load before those.
    pub warmup_seconds: Option<f64>,
    /// Seconds that idle connections were to be held.
    pub hold_seconds: Option<f64>,
    /// Connections begun per second at most.
    pub connect_rate_per_second: Option<f64>,
    /// Seconds that an answer may take.
    pub timeout_seconds: Option<f64>,
    /// Payload of a message.
    pub bytes: Option<u64>,
    /// Messages (echo, fan-out) or connections being opened (handshake) at a time.
    pub in_flight: Option<u64>,
    /// Messages per second over all connections, sent on a schedule; `None`: as fast as answers
    /// come.
    pub rate_per_second: Option<f64>,
    /// Seconds between the moments at which all senders sent one message each.
    pub together_every_seconds: Option<f64>,
    /// True when messages were text frames, false when binary.
    pub text: Option<bool>,
    /// Publishers of all topics together.
    pub publishers: Option<u64>,
    /// Topics.
    pub topics: Option<u64>,
    /// Subscribers of each topic.
    pub subscribers_per_topic: Option<u64>,
    /// What was spoken above WebSocket: `ringwire` or `plain`.
    pub protocol: Option<String>,
    /// How messages were compressed: `permessage-deflate`, if at all.
    pub compression: Option<String>,
    /// How connections were closed: `frame` or `reset`.
    pub close: Option<String>,
}

/// How connecting went. In a handshake run every handshake is one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, DeriveSerialize, Deserialize)]
pub struct Connections {
    /// Connections that were to be established.
    pub asked: u64,
    /// Those that were, whether or not they stayed.
    pub established: u64,
    /// Those that never were.
    pub failed: u64,
    /// Those that were and that the server ended.
    pub lost: u64,
    /// Seconds from the first attempt to the last answer.
    pub connect_seconds: f64,
    /// Established per second of that.
    pub per_second: f64,
}

/// Messages of the measured seconds, unless a name says total. In a fan-out `received` counts every
/// delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, DeriveSerialize, Deserialize)]
pub struct Messages {
    /// Messages that the generator sent.
    pub sent: u64,
    /// Messages that it received.
    pub received: u64,
    /// Messages that it sent in the whole run, the warm-up included.
    pub sent_total: u64,
    /// Messages that it received in the whole run. When nothing was lost, this is `sent_total`
    /// times the receivers of a message.
    pub received_total: u64,
    /// Sent per measured second.
    pub sent_per_second: f64,
    /// Received per measured second.
    pub received_per_second: f64,
    /// Payload of each.
    pub bytes_per_message: u64,
    /// Messages that came compressed in the whole run, if that was agreed on.
    pub compressed_total: Option<u64>,
    /// Octets of such a message on the wire, on average.
    pub compressed_bytes_per_message: Option<f64>,
}

/// Latency in figures, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, DeriveSerialize, Deserialize)]
pub struct LatencySummary {
    /// How many were timed.
    pub count: u64,
    /// The least.
    pub min: f64,
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// Three of four are not above it.
    pub p75: f64,
    /// Nine of ten are not above it.
    pub p90: f64,
    /// All but one of a hundred are not above it.
    pub p99: f64,
    /// All but one of a thousand are not above it.
    pub p99_9: f64,
    /// All but one of ten thousand are not above it.
    pub p99_99: f64,
    /// The greatest.
    pub max: f64,
}

impl LatencySummary {
    /// The figures of a histogram; `None` when it is empty.
    pub fn of(latencies: &LatencyHistogram) -> Option<Self> {
        let at = |percentile| latencies.percentile_ns(percentile).map(us);
        Some(Self {
            count: latencies.count(),
            min: us(latencies.min_ns()?),
            mean: (latencies.mean_ns()?).round() / 1e3,
            p50: at(50.0)?,
            p75: at(75.0)?,
            p90: at(90.0)?,
            p99: at(99.0)?,
            p99_9: at(99.9)?,
            p99_99: at(99.99)?,
            max: us(latencies.max_ns()?),
        })
    }
}

/// One interval of the run, normally a second; counts are of the interval alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, DeriveSerialize, Deserialize)]
pub struct TimelinePoint {
    /// Its end, in seconds since the run began to connect.
    pub second: f64,
    /// Connections that were open at its end.
    pub established: u64,
    /// Messages sent (handshake: connections begun).
    pub sent: u64,
    /// Messages received (handshake: connections established).
    pub received: u64,
    /// Faults of all causes.
    pub faults: u64,
    /// The median latency; `None` when nothing was timed.
    pub p50_us: Option<f64>,
    /// Latency that one of a hundred exceeded.
    pub p99_us: Option<f64>,
    /// The greatest latency.
    pub max_us: Option<f64>,
    /// Cores that the server kept busy.
    pub server_cpu_cores: Option<f64>,
    /// Resident memory of the server at its end.
    pub server_rss_bytes: Option<u64>,
}

impl TimelinePoint {
    /// Takes over the latencies of the interval.
    pub fn set_latency(&mut self, interval: &LatencyHistogram) {
        self.p50_us = interval.percentile_ns(50.0).map(us);
        self.p99_us = interval.percentile_ns(99.0).map(us);
        self.max_us = interval.max_ns().map(us);
    }
}

/// What the server's process used over the measured seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, DeriveSerialize, Deserialize)]
pub struct ServerUsage {
    /// Which process.
    pub pid: u32,
    /// Processor time, user and system.
    pub cpu_seconds: f64,
    /// Processor time for each message received (handshake: connection established); `None` when
    /// there was none.
    pub cpu_us_per_message: Option<f64>,
    /// Resident memory before the first connection.
    pub rss_before_bytes: u64,
    /// Resident memory at the end of the measured seconds.
    pub rss_after_bytes: u64,
    /// The difference for each connection; `None` when there was none.
    pub rss_bytes_per_connection: Option<f64>,
}

/// Nanoseconds as microseconds.
fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}
