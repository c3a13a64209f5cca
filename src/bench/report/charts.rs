//! Which pictures a report has: latency by percentile, and the run over time.

use super::headline;
use super::model::{Report, Scenario, TimelinePoint};
use super::plot::{Axis, Colour, LinePlot, Mark, Series, Shape, Size, Unit, nines};
use super::units::latency;

/// Pixels of a picture that takes the width of the page, of one of two in a row, and of one that
/// found no other for its row.
const WIDE: Size = Size { width: 900.0, height: 320.0 };
const HALF: Size = Size { width: 440.0, height: 240.0 };
const ALONE: Size = Size { width: 900.0, height: 240.0 };
/// Percentiles that are named on the curve, by importance.
const NAMED: [f64; 6] = [50.0, 99.0, 100.0, 99.9, 90.0, 99.99];
/// Sent and received that differ by less in every second are shown as one line.
const RATES_ALIKE: f64 = 0.02;

const TIME_LABEL: &str = "time since the run began; what was not measured is faded";

/// A value at a second; `None` where there is none.
type Point = (f64, Option<f64>);

/// All pictures, the most telling first.
pub(super) fn pictures(report: &Report) -> Vec<LinePlot> {
    let wide = [percentiles(report), rate(report), latency_over_time(report)];
    let half = [established(report), faults(report), server_cpu(report), server_memory(report)];
    let mut half: Vec<LinePlot> = half.into_iter().flatten().collect();
    if half.len() % 2 == 1 {
        half[0].size = ALONE;
    }
    wide.into_iter().flatten().chain(half).collect()
}

/// True when a picture takes the width of the page.
pub(super) fn is_wide(plot: &LinePlot) -> bool {
    plot.size.width > HALF.width
}

/// Latency over log(1 / (1 - p)), so that the tail has as much room as the body.
fn percentiles(report: &Report) -> Option<LinePlot> {
    let summary = report.latency_us.as_ref()?;
    let timed = headline::timed(report.scenario);
    let place = |percentile| nines(percentile, summary.count);
    let points: Vec<(f64, Option<f64>)> =
        report.percentiles.iter().map(|(percentile, us)| (place(*percentile), Some(*us))).collect();
    let at = |named: f64| report.percentiles.iter().find(|(percentile, _)| *percentile == named);
    let mark = |(percentile, us): &(f64, f64)| Mark {
        x: place(*percentile),
        y: *us,
        label: if *percentile == 100.0 { format!("max {}", latency(*us)) } else { latency(*us) },
    };
    Some(LinePlot {
        title: "Latency by percentile".into(),
        x: Axis::linear(
            &format!("percentile of all {timed}, logarithmic towards 100 %"),
            Unit::Nines,
        ),
        y: Axis::latency("latency", summary.min, summary.max),
        series: vec![Series {
            name: "latency".into(),
            points,
            shape: Shape::Area,
            colour: Colour::First,
        }],
        window: None,
        marks: NAMED.into_iter().filter_map(at).map(mark).collect(),
        size: WIDE,
    })
}

/// Messages (or handshakes) per second.
fn rate(report: &Report) -> Option<LinePlot> {
    let (title, name, sent_name) = match report.scenario {
        Scenario::Idle => return None,
        Scenario::Handshake => ("Handshakes over time", "established", Some("begun")),
        Scenario::Echo => ("Echoes over time", "received", Some("sent")),
        // Sent and delivered differ by the number of subscribers: no common axis shows both.
        Scenario::Fanout => ("Deliveries over time", "received", None),
    };
    let unlike = |point: &TimelinePoint| {
        point.sent.abs_diff(point.received) as f64 > RATES_ALIKE * point.sent.max(1) as f64
    };
    let sent_name = sent_name.filter(|_| report.timeline.iter().any(unlike));
    let sent = sent_name.map(|name| {
        let points = per_second(report, |point| point.sent);
        series(name, points, Shape::Thin, Colour::Second)
    });
    let points = per_second(report, |point| point.received);
    let received = series(name, points, Shape::Area, Colour::First);
    let lines = [received].into_iter().chain(sent).collect();
    over_time(report, title, Axis::linear("per second", Unit::PerSecond), WIDE, lines)
}

/// A count of each interval as a rate.
fn per_second(report: &Report, count: fn(&TimelinePoint) -> u64) -> Vec<Point> {
    let starts = std::iter::once(0.0).chain(report.timeline.iter().map(|point| point.second));
    let rates = report.timeline.iter().zip(starts).map(|(point, start)| {
        let seconds = point.second - start;
        (point.second, (seconds > 0.0).then(|| count(point) as f64 / seconds))
    });
    since_the_start(rates)
}

/// Values of intervals stand at their ends; the first is true since the run began.
fn since_the_start(points: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut points = points.peekable();
    let first = points.peek().map(|point| (0.0, point.1));
    first.into_iter().chain(points).collect()
}

/// The median, the 99th percentile and the maximum of each second.
fn latency_over_time(report: &Report) -> Option<LinePlot> {
    let all = |value: fn(&TimelinePoint) -> Option<f64>| -> Vec<_> {
        since_the_start(report.timeline.iter().map(|point| (point.second, value(point))))
    };
    let lines = [all(|p| p.max_us), all(|p| p.p99_us), all(|p| p.p50_us)];
    let known = || lines.iter().flatten().filter_map(|point| point.1);
    let (min, max) = (known().reduce(f64::min)?, known().reduce(f64::max)?);
    let [greatest, p99, p50] = lines;
    let lines = vec![
        series("max", greatest, Shape::Thin, Colour::Muted),
        series("p99", p99, Shape::Line, Colour::Second),
        series("p50", p50, Shape::Line, Colour::First),
    ];
    over_time(report, "Latency over time", Axis::latency("latency", min, max), WIDE, lines)
}

fn established(report: &Report) -> Option<LinePlot> {
    let points = report.timeline.iter().map(|p| (p.second, Some(p.established as f64)));
    // Nothing was open when the run began.
    let points = std::iter::once((0.0, Some(0.0))).chain(points).collect();
    let line = series("established", points, Shape::Area, Colour::First);
    let axis = Axis::linear("connections", Unit::Count);
    over_time(report, "Open connections", axis, HALF, vec![line])
}

fn faults(report: &Report) -> Option<LinePlot> {
    if report.timeline.iter().all(|point| point.faults == 0) {
        return None;
    }
    let points = report.timeline.iter().map(|p| (p.second, Some(p.faults as f64)));
    let points = since_the_start(points);
    let line = series("faults", points, Shape::Area, Colour::Bad);
    let axis = Axis::linear("in each second", Unit::Count);
    over_time(report, "Faults over time", axis, HALF, vec![line])
}

fn server_cpu(report: &Report) -> Option<LinePlot> {
    let points = since_the_start(report.timeline.iter().map(|p| (p.second, p.server_cpu_cores)));
    points.iter().any(|point| point.1.is_some()).then_some(())?;
    let line = series("server CPU", points, Shape::Area, Colour::Third);
    over_time(report, "Server CPU", Axis::linear("busy cores", Unit::Cores), HALF, vec![line])
}

fn server_memory(report: &Report) -> Option<LinePlot> {
    let bytes = |p: &TimelinePoint| (p.second, p.server_rss_bytes.map(|bytes| bytes as f64));
    let points = since_the_start(report.timeline.iter().map(bytes));
    points.iter().any(|point| point.1.is_some()).then_some(())?;
    let line = series("server memory", points, Shape::Area, Colour::Third);
    over_time(report, "Server memory", Axis::linear("resident", Unit::Bytes), HALF, vec![line])
}

fn series(name: &str, points: Vec<(f64, Option<f64>)>, shape: Shape, colour: Colour) -> Series {
    Series { name: name.into(), points, shape, colour }
}

/// A picture over the seconds of the run; none when it had none.
fn over_time(
    report: &Report,
    title: &str,
    y: Axis,
    size: Size,
    series: Vec<Series>,
) -> Option<LinePlot> {
    let any = !report.timeline.is_empty();
    any.then(|| LinePlot {
        title: title.into(),
        x: Axis::linear(TIME_LABEL, Unit::Seconds),
        y,
        series,
        window: Some(report.measured_window()),
        marks: Vec::new(),
        size,
    })
}
