//! From counts to figures: samples of the time line, and the report.

use std::time::Duration;

use super::histogram::LatencyHistogram;
use super::plan::{Pace, Plan, Work};
use super::report::{
    Connections, FaultLog, Machine, Messages, Report, Scenario, ServerUsage, Settings,
    TimelinePoint,
};
use super::stage::Sums;
use super::stamp::Form;
use super::tally::Tally;
use super::watch::Usage;

/// What the conductor has seen of a run.
pub(super) struct Observed {
    pub(super) started_unix_ms: u64,
    /// How long connecting took.
    pub(super) opened_in: Duration,
    /// When it was over.
    pub(super) opened: Sums,
    /// When the measured time began, on the time line.
    pub(super) from_second: f64,
    /// The measured time, which is shorter than the plan's when the run was ended early.
    pub(super) seconds: f64,
    pub(super) rss_before_bytes: Option<u64>,
    /// Of the server, at the beginning and the end of the window.
    pub(super) usage: Option<(Usage, Usage)>,
    pub(super) timeline: Vec<TimelinePoint>,
}

/// What rings have counted, put together.
struct Totals {
    lost: u64,
    failed: u64,
    window_upgraded: u64,
    window_sent: u64,
    window_received: u64,
    sent: u64,
    received: u64,
    inflated_messages: u64,
    inflated_bytes: u64,
    faults: FaultLog,
    latency: LatencyHistogram,
}

pub(super) fn report(plan: &Plan, seen: Observed, tallies: &[Tally]) -> Report {
    let totals = Totals::of(tallies);
    let is_handshake = matches!(plan.work, Work::Handshake { .. });
    let connections = if is_handshake {
        Connections {
            asked: totals.window_upgraded + totals.failed,
            established: totals.window_upgraded,
            failed: totals.failed,
            lost: totals.lost,
            connect_seconds: seen.seconds,
            per_second: per(totals.window_upgraded, seen.seconds),
        }
    } else {
        let established = seen.opened.established + seen.opened.lost;
        let connect_seconds = seen.opened_in.as_secs_f64();
        Connections {
            asked: u64::from(plan.connections),
            established,
            failed: totals.failed,
            lost: totals.lost,
            connect_seconds,
            per_second: per(established, connect_seconds),
        }
    };
    let counted = if is_handshake { totals.window_upgraded } else { totals.window_received };
    let mut report = Report {
        scenario: scenario(plan),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command: std::env::args().collect::<Vec<_>>().join(" "),
        started_unix_ms: seen.started_unix_ms,
        machine: Machine::here(),
        settings: settings(plan),
        faults: totals.faults.faults(),
        connections,
        measured_from_second: seen.from_second,
        measured_seconds: seen.seconds,
        messages: bytes_of(plan).map(|bytes| Messages {
            sent: totals.window_sent,
            received: totals.window_received,
            sent_total: totals.sent,
            received_total: totals.received,
            sent_per_second: per(totals.window_sent, seen.seconds),
            received_per_second: per(totals.window_received, seen.seconds),
            bytes_per_message: bytes as u64,
            compressed_total: plan.deflate.then_some(totals.inflated_messages),
            compressed_bytes_per_message: (totals.inflated_messages > 0)
                .then(|| totals.inflated_bytes as f64 / totals.inflated_messages as f64),
        }),
        latency_us: None,
        percentiles: Vec::new(),
        timeline: seen.timeline,
        server: None,
    };
    report.server = plan.server_pid.zip(seen.usage).map(|(pid, (before, after))| {
        let cpu_seconds = after.cpu_ns.saturating_sub(before.cpu_ns) as f64 / 1e9;
        let rss_before_bytes = seen.rss_before_bytes.unwrap_or(before.rss_bytes);
        let grown = after.rss_bytes as f64 - rss_before_bytes as f64;
        let established = if is_handshake { 0 } else { connections.established };
        ServerUsage {
            pid,
            cpu_seconds,
            cpu_us_per_message: (counted > 0).then(|| cpu_seconds * 1e6 / counted as f64),
            rss_before_bytes,
            rss_after_bytes: after.rss_bytes,
            rss_bytes_per_connection: (established > 0).then(|| grown / established as f64),
        }
    });
    report.set_latency(&totals.latency);
    report
}

/// One point of the time line, from the sums before and after it.
pub(super) fn sample(
    second: f64,
    interval_seconds: f64,
    plan: &Plan,
    (before, after): (&Sums, &Sums),
    usage: (Option<Usage>, Option<Usage>),
    faults: u64,
    latency: &LatencyHistogram,
) -> TimelinePoint {
    let is_handshake = matches!(plan.work, Work::Handshake { .. });
    let received = if is_handshake {
        after.upgraded - before.upgraded
    } else {
        after.received - before.received
    };
    let mut point = TimelinePoint {
        second,
        established: after.established,
        sent: after.sent - before.sent,
        received,
        faults,
        server_rss_bytes: usage.1.map(|usage| usage.rss_bytes),
        ..TimelinePoint::default()
    };
    if let (Some(before), Some(after)) = usage {
        let busy_seconds = after.cpu_ns.saturating_sub(before.cpu_ns) as f64 / 1e9;
        point.server_cpu_cores = Some(busy_seconds / interval_seconds);
    }
    point.set_latency(latency);
    point
}

impl Totals {
    fn of(tallies: &[Tally]) -> Totals {
        let sum = |count: fn(&Tally) -> u64| tallies.iter().map(count).sum();
        let mut totals = Totals {
            lost: sum(|tally| u64::from(tally.lost)),
            failed: sum(|tally| u64::from(tally.failed)),
            window_upgraded: sum(|tally| tally.window_upgraded),
            window_sent: sum(|tally| tally.window_sent),
            window_received: sum(|tally| tally.window_received),
            sent: sum(|tally| tally.sent),
            received: sum(|tally| tally.received),
            inflated_messages: sum(|tally| tally.inflated.messages),
            inflated_bytes: sum(|tally| tally.inflated.bytes_in),
            faults: FaultLog::default(),
            latency: LatencyHistogram::new(),
        };
        for tally in tallies {
            totals.faults.merge(&tally.faults);
            tally.latency.add_to(&mut totals.latency);
        }
        totals
    }
}

fn scenario(plan: &Plan) -> Scenario {
    match plan.work {
        Work::Idle { .. } => Scenario::Idle,
        Work::Handshake { .. } => Scenario::Handshake,
        Work::Echo { .. } => Scenario::Echo,
        Work::Fanout(_) => Scenario::Fanout,
    }
}

fn bytes_of(plan: &Plan) -> Option<usize> {
    match plan.work {
        Work::Idle { .. } | Work::Handshake { .. } => None,
        Work::Echo { bytes, .. } => Some(bytes),
        Work::Fanout(shape) => Some(shape.bytes),
    }
}

fn settings(plan: &Plan) -> Settings {
    let mut settings = Settings {
        urls: plan.urls.clone(),
        connections: u64::from(plan.connections),
        rings: u64::from(plan.rings),
        pin: plan.cpus.clone(),
        source: plan.sources.first().map(|first| match plan.sources.last() {
            Some(last) if last != first => format!("{first}-{last}"),
            Some(_) | None => first.to_string(),
        }),
        duration_seconds: Some(plan.duration.as_secs_f64()),
        warmup_seconds: Some(plan.warmup.as_secs_f64()),
        hold_seconds: Some(plan.hold.as_secs_f64()),
        connect_rate_per_second: plan.connect_rate,
        timeout_seconds: Some(plan.timeout.as_secs_f64()),
        bytes: bytes_of(plan).map(|bytes| bytes as u64),
        protocol: Some(plan.dialect.as_str().to_owned()),
        compression: plan.deflate.then(|| "permessage-deflate".to_owned()),
        ..Settings::default()
    };
    match plan.work {
        Work::Idle { topics } => {
            settings.topics = Some(u64::from(topics));
            settings.hold_seconds = settings.duration_seconds.take();
            settings.warmup_seconds = None;
        }
        Work::Handshake { reset } => {
            settings.in_flight = Some(u64::from(plan.connections));
            settings.close = Some(if reset { "reset" } else { "frame" }.to_owned());
        }
        Work::Echo { form, pace, .. } => {
            settings.text = Some(form == Form::Text);
            set_pace(&mut settings, pace);
        }
        Work::Fanout(shape) => {
            settings.publishers = Some(u64::from(shape.publishers));
            settings.topics = Some(u64::from(shape.topics));
            settings.subscribers_per_topic = Some(u64::from(shape.subscribers));
            set_pace(&mut settings, shape.pace);
        }
    }
    settings
}

fn set_pace(settings: &mut Settings, pace: Pace) {
    match pace {
        Pace::Closed { in_flight } => settings.in_flight = Some(u64::from(in_flight)),
        Pace::Open { per_second } => settings.rate_per_second = Some(per_second),
        Pace::Together { every } => settings.together_every_seconds = Some(every.as_secs_f64()),
    }
}

fn per(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}
