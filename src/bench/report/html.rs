//! The report as one HTML page that needs nothing else: works offline, light, dark and on paper.
//!
//! W1. Everything that came from a peer or the command line is escaped, once, where it is written.
//! W2. The JSON stands in a script element that no string in it can end: `<` is written `\u003c`,
//!     which means the same to whoever parses it.

use super::charts;
use super::fault::Fault;
use super::headline::{self, Figure};
use super::model::{LatencySummary, Report};
use super::plot::{LinePlot, STYLE, Surface, escaped, lines};
use super::units::{date, grouped, latency};

const PAGE_STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The whole page.
pub fn page(report: &Report) -> String {
    let scenario = report.scenario.as_str();
    let word = if report.ok() { "OK" } else { "FAILED" };
    let figures = headline::figures(report);
    let first = figures.first().map(|figure| figure.value.clone()).unwrap_or_default();
    let title = escaped(&format!("{scenario}, {first}, {word} - ringwire bench"));
    [
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n".to_owned(),
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n".to_owned(),
        format!("<title>{title}</title>\n<style>\n{PAGE_STYLE}{STYLE}</style>\n</head>\n<body>\n"),
        heading(report, word),
        tiles(&figures),
        faults(&report.faults),
        plots(report),
        latencies(report),
        set_up(report),
        footer(report),
        "</body>\n</html>\n".to_owned(),
    ]
    .concat()
}

fn heading(report: &Report, word: &str) -> String {
    let class = if report.ok() { "good" } else { "wrong" };
    format!(
        "<h1>ringwire bench {}</h1>\n<p class=\"when\">{}, Ringwire {}, {}</p>\n\
         <div class=\"verdict {class}\"><b>{word}</b><span>{}</span></div>\n",
        report.scenario.as_str(),
        date(report.started_unix_ms),
        escaped(&report.version),
        escaped(&headline::machine(report)),
        escaped(&headline::verdict(report)),
    )
}

fn tiles(figures: &[Figure]) -> String {
    let tile = |(at, figure): (usize, &Figure)| {
        format!(
            "<div class=\"figure{}\"><div class=\"label\">{}</div><div class=\"value\">{}</div>\
             <div class=\"detail\">{}</div></div>\n",
            if at == 0 { " first" } else { "" },
            escaped(figure.label),
            escaped(&figure.value),
            escaped(&figure.detail),
        )
    };
    let tiles: String = figures.iter().enumerate().map(tile).collect();
    format!("<section class=\"figures\">\n{tiles}</section>\n")
}

fn faults(faults: &[Fault]) -> String {
    if faults.is_empty() {
        return String::new();
    }
    let row = |fault: &Fault| {
        format!(
            "<tr><td>{}</td><td class=\"number\">{}</td><td>{}<small class=\"example\">{}</small>\
             </td></tr>\n",
            fault.cause.as_str(),
            grouped(fault.count),
            escaped(fault.cause.meaning()),
            escaped(fault.example.as_deref().unwrap_or_default()),
        )
    };
    let rows: String = faults.iter().map(row).collect();
    format!(
        "<h2>Faults</h2>\n<table class=\"faults\">\n<tr><th>cause</th><th class=\"number\">count\
         </th><th>meaning, and the first example</th></tr>\n{rows}</table>\n"
    )
}

fn plots(report: &Report) -> String {
    let figure = |plot: &LinePlot| {
        let class = if charts::is_wide(plot) { " class=\"wide\"" } else { "" };
        format!("<figure{class}>{}</figure>\n", lines(plot, Surface::Page))
    };
    let figures: String = charts::pictures(report).iter().map(figure).collect();
    format!("<section class=\"plots\">\n{figures}</section>\n")
}

fn latencies(report: &Report) -> String {
    let Some(summary) = report.latency_us else { return String::new() };
    let LatencySummary { count, min, mean, p50, p75, p90, p99, p99_9, p99_99, max } = summary;
    let what = headline::timed(report.scenario);
    let columns = [
        ("min", min),
        ("mean", mean),
        ("p50", p50),
        ("p75", p75),
        ("p90", p90),
        ("p99", p99),
        ("p99.9", p99_9),
        ("p99.99", p99_99),
        ("max", max),
    ];
    let cell = |tag: &str, text: &str| format!("<{tag} class=\"number\">{text}</{tag}>");
    let heads: String = columns.iter().map(|(name, _)| cell("th", name)).collect();
    let values: String = columns.iter().map(|(_, us)| cell("td", &latency(*us))).collect();
    format!(
        "<h2>Latency of {} {what}</h2>\n<table>\n<tr>{heads}</tr>\n<tr>{values}</tr>\n</table>\n",
        grouped(count)
    )
}

fn set_up(report: &Report) -> String {
    let row = |(name, value): &(&str, String)| {
        format!("<tr><th>{}</th><td>{}</td></tr>\n", escaped(name), escaped(value))
    };
    let rows = headline::settings(&report.settings);
    let (left, right) = rows.split_at(rows.len().div_ceil(2));
    let half = |rows: &[(&str, String)]| -> String { rows.iter().map(row).collect() };
    format!(
        "<h2>Settings</h2>\n<div class=\"setup\">\n<table>\n{}</table>\n<table>\n{}</table>\n\
         </div>\n<h2>Command</h2>\n<pre><code>{}</code></pre>\n",
        half(left),
        half(right),
        escaped(&report.command),
    )
}

fn footer(report: &Report) -> String {
    let json = serde_json::to_string(report).expect("all keys are strings");
    let name = format!("{}-{}.json", report.scenario.as_str(), report.started_unix_ms);
    format!(
        "<footer><a id=\"download\" download=\"{name}\" hidden>All figures as JSON</a></footer>\n\
         <script type=\"application/json\" id=\"report\">{}</script>\n\
         <script>\n{SCRIPT}</script>\n",
        json.replace('<', "\\u003c"),
    )
}
