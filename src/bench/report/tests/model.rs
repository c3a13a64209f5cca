//! The JSON of a report against the keys that are promised, written out here once more.

use super::sample;
use crate::bench::report::{FaultCause, Report, TimelinePoint};
use serde_json::Value;

const PAGE: &str = include_str!("../../../../docs/bench.md");

/// What is promised: a path and the keys of the object there.
const KEYS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "scenario",
            "version",
            "command",
            "started_unix_ms",
            "machine",
            "settings",
            "ok",
            "faults",
            "connections",
            "measured_from_second",
            "measured_seconds",
            "messages",
            "latency_us",
            "percentiles",
            "timeline",
            "server",
        ],
    ),
    ("/machine", &["kernel", "cpu", "cores", "memory_bytes"]),
    (
        "/settings",
        &[
            "urls",
            "connections",
            "rings",
            "pin",
            "source",
            "duration_seconds",
            "warmup_seconds",
            "hold_seconds",
            "connect_rate_per_second",
            "timeout_seconds",
            "bytes",
            "in_flight",
            "rate_per_second",
            "text",
            "together_every_seconds",
            "publishers",
            "topics",
            "subscribers_per_topic",
            "protocol",
            "compression",
            "close",
        ],
    ),
    ("/faults/0", &["cause", "count", "example"]),
    ("/connections", &["asked", "established", "failed", "lost", "connect_seconds", "per_second"]),
    (
        "/messages",
        &[
            "sent",
            "received",
            "sent_total",
            "received_total",
            "sent_per_second",
            "received_per_second",
            "bytes_per_message",
            "compressed_total",
            "compressed_bytes_per_message",
        ],
    ),
    (
        "/latency_us",
        &["count", "min", "mean", "p50", "p75", "p90", "p99", "p99_9", "p99_99", "max"],
    ),
    (
        "/timeline/0",
        &[
            "second",
            "established",
            "sent",
            "received",
            "faults",
            "p50_us",
            "p99_us",
            "max_us",
            "server_cpu_cores",
            "server_rss_bytes",
        ],
    ),
    (
        "/server",
        &[
            "pid",
            "cpu_seconds",
            "cpu_us_per_message",
            "rss_before_bytes",
            "rss_after_bytes",
            "rss_bytes_per_connection",
        ],
    ),
];

fn json(report: &Report) -> Value {
    serde_json::from_str(&report.to_json()).expect("JSON")
}

#[test]
fn the_keys_are_those_that_are_promised() {
    let report = json(&sample::faulty());
    for (path, keys) in KEYS {
        let object = report.pointer(path).and_then(Value::as_object).expect(path);
        let mut found: Vec<_> = object.keys().map(String::as_str).collect();
        let mut promised = keys.to_vec();
        found.sort_unstable();
        promised.sort_unstable();
        assert_eq!(found, promised, "at {path:?}");
    }
}

#[test]
fn the_page_names_every_key() {
    for key in KEYS.iter().flat_map(|(_, keys)| *keys) {
        assert!(PAGE.contains(&format!("`{key}`")), "docs/bench.md does not name {key}");
    }
}

#[test]
fn the_page_explains_every_cause() {
    for cause in FaultCause::ALL {
        let row = format!("| `{}` | ", cause.as_str());
        assert!(PAGE.contains(&row), "docs/bench.md does not explain {}", cause.as_str());
    }
}

#[test]
fn a_report_comes_back_as_it_went() {
    for report in [sample::echo(3), sample::idle(), sample::faulty()] {
        let back: Report = serde_json::from_str(&report.to_json()).expect("its own JSON");
        assert_eq!(back, report);
    }
}

#[test]
fn what_does_not_apply_is_null() {
    let report = json(&sample::idle());
    for path in ["/messages", "/latency_us", "/server", "/settings/bytes", "/timeline/0/p99_us"] {
        assert_eq!(report.pointer(path), Some(&Value::Null), "{path}");
    }
    assert_eq!(report["percentiles"], serde_json::json!([]));
    assert_eq!(report["faults"], serde_json::json!([]));
}

#[test]
fn ok_is_what_the_rest_says() {
    let good = sample::echo(3);
    assert_eq!(json(&good)["ok"], true);
    let spoil: [fn(&mut Report); 4] = [
        |report| report.faults = sample::faulty().faults,
        |report| report.connections.failed = 1,
        |report| report.connections.lost = 1,
        |report| report.connections.established -= 1,
    ];
    for spoil in spoil {
        let mut report = good.clone();
        spoil(&mut report);
        assert!(!report.ok());
        assert_eq!(json(&report)["ok"], false);
    }
}

#[test]
fn latencies_are_microseconds() {
    let mut histogram = crate::bench::histogram::LatencyHistogram::new();
    [1_500, 2_500, 10_000].iter().for_each(|ns| histogram.record(*ns));
    let mut report = sample::idle();
    report.set_latency(&histogram);
    let json = json(&report);
    assert_eq!(json["latency_us"]["min"], 1.5);
    assert_eq!(json["latency_us"]["mean"], 4.667);
    assert_eq!(json["latency_us"]["p50"], 2.501, "the upper end of a bucket of 2 ns");
    assert_eq!(json["latency_us"]["max"], 10.0);
    assert_eq!(
        json["percentiles"].as_array().and_then(|points| points.last()).cloned(),
        Some(serde_json::json!([100.0, 10.0]))
    );
    let mut point = TimelinePoint::default();
    point.set_latency(&histogram);
    assert_eq!((point.p99_us, point.max_us), (Some(10.0), Some(10.0)));
}
