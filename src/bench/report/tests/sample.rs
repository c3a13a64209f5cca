//! Reports as runs would give them, made of formulas: no clock, no randomness but a fixed seed.

use crate::base::prng::Prng;
use crate::bench::histogram::LatencyHistogram;
use crate::bench::report::{
    Connections, Fault, FaultCause, Machine, Messages, Report, Scenario, ServerUsage, Settings,
    TimelinePoint,
};

/// 2026-08-01 12:34:56 UTC.
const STARTED_UNIX_MS: u64 = 1_785_587_696_000;

fn machine() -> Machine {
    Machine {
        kernel: "6.18.0".into(),
        cpu: "Example CPU @ 2.00GHz".into(),
        cores: 2,
        memory_bytes: 24 << 30,
    }
}

fn settings(connections: u64) -> Settings {
    Settings {
        urls: vec!["ws://127.0.0.1:9001/ws".into()],
        connections,
        rings: 1,
        pin: vec![1],
        ..Settings::default()
    }
}

/// Latencies like a server's: a body around `middle_ns`, and a tail of rare stalls.
fn record_second(into: &mut LatencyHistogram, random: &mut Prng, middle_ns: u64, count: u64) {
    for _ in 0..count {
        let body = middle_ns + (0..6).map(|_| random.below(middle_ns / 6)).sum::<u64>();
        let stall = if random.below(500) == 0 { random.below(middle_ns * 30) } else { 0 };
        into.record(body + stall);
    }
}

/// Seconds of connecting and warm-up of an echo run.
const RAMP: u64 = 3;

/// An echo run of `seconds`, good unless faults are put into it.
pub(crate) fn echo(seconds: u64) -> Report {
    let mut random = Prng::new(7);
    let (mut total, mut second) = (LatencyHistogram::new(), LatencyHistogram::new());
    let mut timeline = Vec::new();
    let mut messages = 0;
    for at in 1..=seconds + RAMP + 1 {
        second.reset();
        let slow = if at % 40 == 39 { 6 } else { 1 };
        // The first second connects, the last one only drains.
        let (timed, share) = match at {
            1 => (0, 0),
            end if end > seconds + RAMP => (40, 1),
            _within => (500, 10),
        };
        record_second(&mut second, &mut random, 80_000 * slow, timed);
        let received = (380_000 / slow + random.below(9_000)) * share / 10;
        let mut point = TimelinePoint {
            second: at as f64,
            established: 64,
            sent: received,
            received,
            server_cpu_cores: Some(0.97),
            server_rss_bytes: Some((40 << 20) + (at << 14)),
            ..TimelinePoint::default()
        };
        point.set_latency(&second);
        if (RAMP + 1..=RAMP + seconds).contains(&at) {
            total.merge(&second);
            messages += received;
        }
        timeline.push(point);
    }
    let mut report = Report {
        scenario: Scenario::Echo,
        version: "0.1.0".into(),
        command: "ringwire bench echo --connections 64 ws://127.0.0.1:9001/ws".into(),
        started_unix_ms: STARTED_UNIX_MS,
        machine: machine(),
        settings: Settings {
            bytes: Some(64),
            in_flight: Some(1),
            duration_seconds: Some(seconds as f64),
            warmup_seconds: Some(2.0),
            text: Some(false),
            ..settings(64)
        },
        faults: Vec::new(),
        connections: Connections {
            asked: 64,
            established: 64,
            connect_seconds: 0.1,
            per_second: 640.0,
            ..Connections::default()
        },
        measured_from_second: RAMP as f64 + 0.1,
        measured_seconds: seconds as f64,
        messages: Some(Messages {
            sent: messages,
            received: messages,
            sent_total: messages,
            received_total: messages,
            sent_per_second: messages as f64 / seconds as f64,
            received_per_second: messages as f64 / seconds as f64,
            bytes_per_message: 64,
            compressed_total: None,
            compressed_bytes_per_message: None,
        }),
        latency_us: None,
        percentiles: Vec::new(),
        timeline,
        server: Some(ServerUsage {
            pid: 4242,
            cpu_seconds: 0.97 * seconds as f64,
            cpu_us_per_message: Some(970_000.0 * seconds as f64 / messages as f64),
            rss_before_bytes: 40 << 20,
            rss_after_bytes: 41 << 20,
            rss_bytes_per_connection: Some((1 << 20) as f64 / 64.0),
        }),
    };
    report.set_latency(&total);
    report
}

/// An idle run: a hundred thousand connections are opened and held; no message, no latency.
pub(crate) fn idle() -> Report {
    let open = |second: u64| (second * 23_000).min(100_000);
    let timeline = (1..=65).map(|second| TimelinePoint {
        second: second as f64,
        established: open(second),
        ..TimelinePoint::default()
    });
    Report {
        scenario: Scenario::Idle,
        version: "0.1.0".into(),
        command: "ringwire bench idle --connections 100000 --hold 60s ws://[::1]:9001/".into(),
        started_unix_ms: STARTED_UNIX_MS,
        machine: machine(),
        settings: Settings { hold_seconds: Some(60.0), topics: Some(0), ..settings(100_000) },
        faults: Vec::new(),
        connections: Connections {
            asked: 100_000,
            established: 100_000,
            connect_seconds: 4.35,
            per_second: 22_988.5,
            ..Connections::default()
        },
        measured_from_second: 4.4,
        measured_seconds: 60.0,
        messages: None,
        latency_us: None,
        percentiles: Vec::new(),
        timeline: timeline.collect(),
        server: None,
    }
}

/// A run in which all that can go wrong did, with examples that are hostile to whoever shows them.
pub(crate) fn faulty() -> Report {
    let mut report = echo(10);
    report.connections = Connections {
        asked: 64,
        established: 60,
        failed: 4,
        lost: 2,
        connect_seconds: 5.0,
        per_second: 12.0,
    };
    let example = |cause: FaultCause| match cause {
        FaultCause::Lost => None,
        FaultCause::Corrupted => {
            Some("</script><script>alert(\"&amp;\")</script> \u{1b}[31m".into())
        }
        FaultCause::Protocol => Some("frame ".repeat(60) + &"x".repeat(300)),
        FaultCause::Duplicated
        | FaultCause::Reordered
        | FaultCause::Refused
        | FaultCause::ConnectFailed
        | FaultCause::UpgradeRefused
        | FaultCause::ClosedEarly
        | FaultCause::TimedOut
        | FaultCause::Overrun => Some(format!("connection 17: {}", cause.meaning())),
    };
    let fault = |(at, cause)| Fault { cause, count: 7_u64.pow(at as u32), example: example(cause) };
    report.faults = FaultCause::ALL.into_iter().enumerate().map(fault).collect();
    report.timeline.iter_mut().skip(4).for_each(|point| point.faults = 31);
    report
}
