//! The board as Prometheus text.
//!
//! One recorder for each server, held here and never installed globally, so several servers of one
//! process do not mix. Every series is registered at the start: it shows as zero before its first
//! increment. A scrape copies the board into the recorder and renders; it never stops a shard, and
//! what it costs depends on the number of shards, not on that of connections.

use super::bridge::{Bridge, Stage};
use super::log_limit;
use super::rates::Rates;
use super::times;
use crate::metrics::families::{self, Family, Kind, process};
use crate::metrics::{Board, Metric};
use metrics::{Counter, Gauge, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use nix::sys::resource::{Resource, getrlimit};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::UNIX_EPOCH;

/// The media type of what [`Exporter::render`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

static METADATA: Metadata<'static> = Metadata::new("ringwire", Level::INFO, None);

/// Turns the board's numbers into the text of a scrape.
pub struct Exporter {
    handle: PrometheusHandle,
    bridge: Bridge,
    series: Vec<(Metric, Series)>,
    by_shard: Vec<ByShard>,
    busy_ratios: Vec<Gauge>,
    ready: Gauge,
    draining: Gauge,
    resident: Gauge,
    mapped: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    connections_max: Gauge,
    egress_max: Gauge,
    reloads_ok: Counter,
    reloads_failed: Counter,
    log_left_out: Counter,
    refused: Counter,
    accept_failures: Counter,
}

/// One family with a series for each shard.
struct ByShard {
    metric: Metric,
    series: Vec<Series>,
}

/// What is shown by shard as well as in sum: what an uneven load shows in.
static BY_SHARD: [(&Family, Metric); 4] = [
    (&process::SHARD_OPEN, Metric::ConnectionsOpen),
    (&process::SHARD_TURNS, Metric::Turns),
    (&process::SHARD_BUSY, Metric::LoopBusyMicroseconds),
    (&process::SHARD_EGRESS, Metric::EgressQueuedBytes),
];

enum Series {
    Counter(Counter),
    Gauge(Gauge),
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").field("series", &self.series.len()).finish_non_exhaustive()
    }
}

impl Exporter {
    /// Registers and describes every series.
    pub fn new(bridge: Bridge) -> Exporter {
        let recorder = PrometheusBuilder::new().build_recorder();
        // The processor's time is a fraction, which the recorder's counters can't hold.
        let is_whole = |family: &&&'static Family| **family != &process::CPU;
        for family in families::ALL.iter().chain(process::ALL).filter(is_whole) {
            describe(&recorder, family);
        }
        set_constants(&recorder, &bridge);
        Exporter {
            handle: recorder.handle(),
            series: Metric::ALL.iter().map(|m| (*m, of_all(&recorder, *m))).collect(),
            by_shard: BY_SHARD
                .map(|(family, metric)| by_shard(&recorder, family, metric, &bridge))
                .into(),
            busy_ratios: shard_labels(&bridge)
                .map(|label| gauge(&recorder, &process::SHARD_BUSY_RATIO, label))
                .collect(),
            ready: gauge(&recorder, &process::READY, None),
            draining: gauge(&recorder, &process::DRAINING, None),
            resident: gauge(&recorder, &process::RESIDENT, None),
            mapped: gauge(&recorder, &process::VIRTUAL, None),
            open_fds: gauge(&recorder, &process::OPEN_FDS, None),
            max_fds: gauge(&recorder, &process::MAX_FDS, None),
            connections_max: gauge(&recorder, &process::CONNECTIONS_MAX, None),
            egress_max: gauge(&recorder, &process::EGRESS_MAX, None),
            reloads_ok: reloads(&recorder, "ok"),
            reloads_failed: reloads(&recorder, "failed"),
            log_left_out: counter(&recorder, &process::LOG_LEFT_OUT, None),
            refused: counter(&recorder, &process::ADMIN_REFUSED, None),
            accept_failures: counter(&recorder, &process::ADMIN_ACCEPT_FAILURES, None),
            bridge,
        }
    }

    /// Counts a connection that the admin listener refused.
    pub fn count_refused(&self) {
        self.refused.increment(1);
    }

    /// Counts an accept that the kernel failed.
    pub fn count_accept_failed(&self) {
        self.accept_failures.increment(1);
    }

    /// The text of a scrape, now.
    pub fn render(&self, rates: &Rates) -> String {
        self.copy_board(&self.bridge.board);
        for (gauge, ratio) in self.busy_ratios.iter().zip(rates.busy_ratios()) {
            gauge.set(ratio);
        }
        let state = &self.bridge.state;
        let in_force = state.in_force();
        self.connections_max.set(in_force.connections_max as f64);
        self.egress_max.set(in_force.egress_bytes_max as f64);
        self.reloads_ok.absolute(state.reloads_ok.load(Relaxed));
        self.reloads_failed.absolute(state.reloads_failed.load(Relaxed));
        let stage = self.bridge.state.stage();
        self.ready.set(f64::from(u8::from(stage == Stage::Ready)));
        self.draining.set(f64::from(u8::from(stage == Stage::Draining)));
        if let Some((mapped, resident)) = memory_bytes() {
            self.mapped.set(mapped as f64);
            self.resident.set(resident as f64);
        }
        if let Ok(fds) = std::fs::metadata("/proc/self/fd") {
            // Since Linux 6.2 the size is the count; walking a million entries would stall.
            self.open_fds.set(fds.len() as f64);
        }
        if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
            self.max_fds.set(soft as f64);
        }
        self.log_left_out.absolute(log_limit::left_out_total());
        let mut text = self.handle.render();
        times::render(&mut text, &self.bridge.board);
        text
    }

    fn copy_board(&self, board: &Arc<Board>) {
        for (metric, series) in &self.series {
            series.set(board.total(*metric));
        }
        for ByShard { metric, series } in &self.by_shard {
            for (series, value) in series.iter().zip(board.per_shard(*metric)) {
                series.set(value);
            }
        }
    }
}

impl Series {
    fn set(&self, value: u64) {
        match self {
            Series::Counter(counter) => counter.absolute(value),
            Series::Gauge(gauge) => gauge.set(value as f64),
        }
    }
}

fn describe(recorder: &PrometheusRecorder, family: &'static Family) {
    let name = KeyName::from_const_str(family.name);
    match family.kind {
        Kind::Counter => recorder.describe_counter(name, None, family.help.into()),
        Kind::Gauge => recorder.describe_gauge(name, None, family.help.into()),
        Kind::Histogram => {}
    }
}

/// What does not change while the process lives.
fn set_constants(recorder: &PrometheusRecorder, bridge: &Bridge) {
    let version = Some(("version", env!("CARGO_PKG_VERSION").to_owned()));
    gauge(recorder, &process::BUILD_INFO, version).set(1.0);
    gauge(recorder, &process::SHARDS, None).set(f64::from(bridge.board.shards()));
    // A clock before 1970 is shown as 1970: the scrape goes on.
    let started = bridge.state.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    gauge(recorder, &process::START_TIME, None).set(started.as_secs_f64());
}

fn series(recorder: &PrometheusRecorder, family: &'static Family, label: LabelPair) -> Series {
    match family.kind {
        Kind::Counter => Series::Counter(counter(recorder, family, label)),
        Kind::Gauge => Series::Gauge(gauge(recorder, family, label)),
        Kind::Histogram => unreachable!("bug: {} is rendered by `times`", family.name),
    }
}

fn of_all(recorder: &PrometheusRecorder, metric: Metric) -> Series {
    let label = metric.label().map(|(key, value)| (key, value.to_owned()));
    series(recorder, metric.family(), label)
}

fn by_shard(
    recorder: &PrometheusRecorder,
    family: &'static Family,
    metric: Metric,
    bridge: &Bridge,
) -> ByShard {
    let series = shard_labels(bridge).map(|label| series(recorder, family, label)).collect();
    ByShard { metric, series }
}

fn shard_labels(bridge: &Bridge) -> impl Iterator<Item = LabelPair> {
    (0..bridge.board.shards()).map(|shard| Some(("shard", shard.to_string())))
}

type LabelPair = Option<(&'static str, String)>;

fn gauge(recorder: &PrometheusRecorder, family: &'static Family, label: LabelPair) -> Gauge {
    recorder.register_gauge(&key(family, label), &METADATA)
}

fn counter(recorder: &PrometheusRecorder, family: &'static Family, label: LabelPair) -> Counter {
    recorder.register_counter(&key(family, label), &METADATA)
}

fn reloads(recorder: &PrometheusRecorder, result: &str) -> Counter {
    counter(recorder, &process::RELOADS, Some(("result", result.to_owned())))
}

fn key(family: &'static Family, label: LabelPair) -> Key {
    let labels: Vec<Label> = label.map(|(key, value)| Label::new(key, value)).into_iter().collect();
    Key::from_parts(family.name, labels)
}

/// Mapped and resident memory of the process; `None` where procfs is hidden.
pub(super) fn memory_bytes() -> Option<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some((kib("VmSize:")? * 1024, kib("VmRSS:")? * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ShardId;
    use crate::control::{Event, ServerState};
    use crate::metrics::ShardCounters;

    fn exporter(shards: u16) -> Exporter {
        let bridge = Bridge::new(Board::new(shards), ServerState::new(), Event::new()).0;
        Exporter::new(bridge)
    }

    #[test]
    fn every_series_is_there_once_from_the_start_with_help_and_type() {
        let text = exporter(2).render(&Rates::default());
        for family in families::ALL.iter().chain(process::ALL).chain(families::timings::ALL) {
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            for line in [
                format!("# HELP {} {}", family.name, family.help),
                format!("# TYPE {} {kind}", family.name),
            ] {
                assert_eq!(text.lines().filter(|l| **l == line).count(), 1, "{line}");
            }
        }
        for metric in Metric::ALL {
            let label = metric.label().map_or(String::new(), |(k, v)| format!("{{{k}=\"{v}\"}}"));
            let line = format!("{}{label} 0", metric.family().name);
            assert_eq!(text.lines().filter(|l| **l == line).count(), 1, "{line}");
        }
    }

    #[test]
    fn a_scrape_shows_the_sums_and_two_servers_do_not_mix() {
        let (one, other) = (exporter(2), exporter(1));
        for shard in 0..2 {
            let mut counters = ShardCounters::new();
            counters.set(Metric::ConnectionsOpen, 20 + u64::from(shard));
            counters.add(Metric::RefusedNotFound, 3);
            one.bridge.board.publish(ShardId(shard), &mut counters);
        }
        one.bridge.state.advance(Stage::Ready);
        let text = one.render(&Rates::default());
        for line in [
            "ringwire_connections_open 41",
            "ringwire_shard_connections_open{shard=\"1\"} 21",
            "ringwire_handshakes_refused_total{cause=\"not_found\"} 6",
            "ringwire_ready 1",
            "ringwire_shards 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        assert!(
            other.render(&Rates::default()).lines().any(|l| l == "ringwire_connections_open 0")
        );
    }

    #[test]
    fn memory_is_in_bytes() {
        let ballast = vec![1u8; 32 << 20];
        let (mapped, resident) = memory_bytes().expect("procfs");
        assert!(mapped >= resident && resident >= ballast.len() as u64);
        assert!(resident < 4 << 30, "a test process of {resident} bytes");
    }
}
