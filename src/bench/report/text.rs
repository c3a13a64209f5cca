//! The report for a terminal: what happened, whether it was good, and where to look, in one screen.
//!
//! Lines are at most [`COLUMNS_MAX`] wide. Nothing of a peer reaches the terminal unescaped.

use super::fault::Fault;
use super::headline::{self, Figure};
use super::model::{LatencySummary, Report, Scenario, TimelinePoint};
use super::units::{amount, date, duration, grouped, latency, printable, rate};
use std::fmt::Write;

/// Columns of a line at most; examples of faults are cut to it.
pub const COLUMNS_MAX: usize = 100;
/// Columns of the longest bar of a percentile.
const BAR_COLUMNS: usize = 48;
/// Columns of a line of time.
const TIME_COLUMNS: usize = 60;

/// Whether escape sequences are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A file or a pipe: plain text.
    Plain,
    /// A terminal: bold, green and red.
    Terminal,
}

impl Style {
    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Terminal => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }

    fn good(self, text: &str) -> String {
        self.wrap("1;32", text)
    }

    fn bad(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }
}

/// The whole report.
pub fn render(report: &Report, style: Style) -> String {
    let parts = [
        heading(report, style),
        verdict(report, style),
        faults(&report.faults, style),
        figures(&headline::figures(report), style),
        latencies(report),
        over_time(report),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn heading(report: &Report, style: Style) -> String {
    let name = style.strong(&format!("ringwire bench {}", report.scenario.as_str()));
    let set = headline::settings(&report.settings);
    let set: Vec<String> = set.into_iter().map(|(name, value)| format!("{name} {value}")).collect();
    let when = date(report.started_unix_ms);
    let machine = headline::machine(report);
    format!(
        "{name}  {when}, Ringwire {}\n{}\n{}\n",
        printable(&report.version),
        wrapped(&set),
        shortened(&printable(&machine), COLUMNS_MAX)
    )
}

/// Items with commas between them, in as many lines as they need.
fn wrapped(items: &[String]) -> String {
    let mut out = String::new();
    let mut columns = 0;
    for item in items {
        let item = shortened(&printable(item), COLUMNS_MAX - 1);
        let width = item.chars().count();
        if columns == 0 {
            columns = width;
        } else if columns + 2 + width < COLUMNS_MAX {
            out.push_str(", ");
            columns += 2 + width;
        } else {
            out.push_str(",\n");
            columns = width;
        }
        out.push_str(&item);
    }
    out
}

fn verdict(report: &Report, style: Style) -> String {
    let said = headline::verdict(report);
    if report.ok() {
        format!("{}  {said}\n", style.good("OK"))
    } else {
        format!("{}  {said}\n", style.bad("FAILED"))
    }
}

fn faults(faults: &[Fault], style: Style) -> String {
    let mut out = String::new();
    for fault in faults {
        let count = grouped(fault.count);
        let cause = style.bad(&format!("{:<16}", fault.cause.as_str()));
        let meaning = fault.cause.meaning();
        out.push_str(&line(&format!("  {cause}{count:>14}  {meaning}")));
        if let Some(example) = &fault.example {
            let example = shortened(&printable(example), COLUMNS_MAX - 34);
            out.push_str(&line(&format!("{:34}{example}", "")));
        }
    }
    out
}

fn figures(figures: &[Figure], style: Style) -> String {
    // Latency has a table of its own.
    let figures = figures.iter().filter(|figure| !figure.label.starts_with("latency"));
    let one = |figure: &Figure| {
        let value = style.strong(&format!("{:<14}", figure.value));
        line(&format!("  {:<28}{value}{}", figure.label, figure.detail))
    };
    figures.map(one).collect()
}

fn latencies(report: &Report) -> String {
    let Some(summary) = &report.latency_us else { return String::new() };
    let LatencySummary { count, min, mean, p50, p75, p90, p99, p99_9, p99_99, max } = *summary;
    let rows = [
        ("p50", p50),
        ("p75", p75),
        ("p90", p90),
        ("p99", p99),
        ("p99.9", p99_9),
        ("p99.99", p99_99),
        ("max", max),
    ];
    let mut out = format!(
        "  latency of {} {}, min {}, mean {}\n",
        grouped(count),
        headline::timed(report.scenario),
        latency(min),
        latency(mean)
    );
    for (name, us) in rows {
        let part = if max > 0.0 { us / max } else { 0.0 };
        out.push_str(&line(&format!("    {name:<8}{:>9}  {}", latency(us), bar(part))));
    }
    out
}

/// A bar for a part of the whole, in eighths of a column; what is not nothing is seen.
fn bar(part: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = ((part * (BAR_COLUMNS * 8) as f64).round() as usize).min(BAR_COLUMNS * 8);
    let eighths = if part > 0.0 { eighths.max(1) } else { eighths };
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

/// The measured seconds as lines of columns: how it went, and when it did not.
fn over_time(report: &Report) -> String {
    let points = measured(report);
    if points.len() < 2 {
        return String::new();
    }
    let bundle = points.len().div_ceil(TIME_COLUMNS);
    let bundles: Vec<&[Interval<'_>]> = points.chunks(bundle).collect();
    let mut rows = Vec::new();
    if report.scenario == Scenario::Idle {
        let last = |bundle: &[Interval<'_>]| bundle.last().map(|i| i.point.established as f64);
        rows.push(row("established", &bundles, last, amount));
    } else {
        let name = headline::timed(report.scenario);
        rows.push(row(name, &bundles, received_per_second, rate));
    }
    let p99 =
        |bundle: &[Interval<'_>]| bundle.iter().filter_map(|i| i.point.p99_us).reduce(f64::max);
    rows.push(row("latency p99", &bundles, p99, latency));
    if points.iter().any(|interval| interval.point.faults > 0) {
        let sum =
            |bundle: &[Interval<'_>]| Some(bundle.iter().map(|i| i.point.faults as f64).sum());
        rows.push(row("faults", &bundles, sum, amount));
    }
    let column = duration((bundle as f64 * points[0].seconds).round().max(1.0));
    format!("  over time, one column is {column}\n{}", rows.concat())
}

/// A point of the time line, and how long the interval is that it ends.
struct Interval<'a> {
    point: &'a TimelinePoint,
    seconds: f64,
}

/// The intervals that lie in the measured seconds, but for a tenth of their length.
fn measured(report: &Report) -> Vec<Interval<'_>> {
    let (from, to) = report.measured_window();
    let starts = std::iter::once(0.0).chain(report.timeline.iter().map(|point| point.second));
    let intervals = report.timeline.iter().zip(starts);
    let intervals =
        intervals.map(|(point, start)| Interval { point, seconds: point.second - start });
    let is_inside = |interval: &Interval<'_>| {
        let (end, slack) = (interval.point.second, interval.seconds / 10.0);
        end - interval.seconds >= from - slack && end <= to + slack
    };
    intervals.filter(is_inside).collect()
}

fn received_per_second(bundle: &[Interval<'_>]) -> Option<f64> {
    let seconds: f64 = bundle.iter().map(|interval| interval.seconds).sum();
    let received: u64 = bundle.iter().map(|interval| interval.point.received).sum();
    (seconds > 0.0).then(|| received as f64 / seconds)
}

/// One line of columns with the range of its values; none when there are none.
fn row(
    name: &str,
    bundles: &[&[Interval<'_>]],
    value: impl Fn(&[Interval<'_>]) -> Option<f64>,
    say: fn(f64) -> String,
) -> String {
    let values: Vec<Option<f64>> = bundles.iter().map(|bundle| value(bundle)).collect();
    let Some((low, high)) = extremes(&values) else { return String::new() };
    let (low, said) = (say(low), say(high));
    let range = if low == said { said } else { format!("{low} to {said}") };
    line(&format!("    {name:<12}{}  {range}", spark(&values, high)))
}

fn extremes(values: &[Option<f64>]) -> Option<(f64, f64)> {
    let known = || values.iter().flatten().copied();
    Some((known().reduce(f64::min)?, known().reduce(f64::max)?))
}

/// One column for each value, as high as its part of `high`; a blank where there is none.
fn spark(values: &[Option<f64>], high: f64) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let column = |value: &Option<f64>| match value {
        Some(value) if high > 0.0 => HEIGHTS[((value / high * 8.0) as usize).min(7)],
        Some(_) => HEIGHTS[0],
        None => ' ',
    };
    values.iter().map(column).collect()
}

/// A line without blanks at its end.
fn line(text: &str) -> String {
    let mut out = text.trim_end().to_owned();
    out.write_char('\n').expect("a string takes it");
    out
}

/// `text` cut to `columns`, which an ellipsis tells.
pub(super) fn shortened(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}
