//! Keeps `docs/metrics.md` equal to the catalog. `RINGWIRE_BLESS=1 cargo test metrics` writes it.

use super::families::{self, Family, Kind};
use super::{Metric, Timing, families::process, families::timings};
use std::fmt::Write;

const HEAD: &str = "# Metrics

What `GET /metrics` on the admin listener gives. This page is generated from
`src/metrics/families.rs` and `src/metrics/catalog.rs`; after a change there, write it anew with
`RINGWIRE_BLESS=1 cargo test --lib metrics`. All series exist from the start, so a rate never
misses its first increment. How many there are depends on the number of shards alone: no label
carries what a client chooses (a topic, a user, an address).

";

fn label_of(family: &Family) -> String {
    let Some(label) = family.label else { return String::new() };
    let series = Metric::ALL.iter().filter(|metric| metric.family() == family);
    let values: Vec<_> =
        series.filter_map(|metric| metric.label()).map(|(_, value)| format!("`{value}`")).collect();
    if values.is_empty() {
        format!("`{label}`")
    } else {
        format!("`{label}`: {}", values.join(", "))
    }
}

fn table(title: &str, all: &[&Family]) -> String {
    let mut page = format!("## {title}\n\n| name | kind | label | meaning |\n|---|---|---|---|\n");
    for family in all {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let label = label_of(family);
        writeln!(page, "| `{}` | {kind} | {label} | {} |", family.name, family.help)
            .expect("a string takes it");
    }
    page
}

fn bounds() -> String {
    let mut text = "\nThe bounds of their buckets (`le`), in seconds:\n\n".to_owned();
    for timing in Timing::ALL {
        let bounds = timing.bounds_us().map(|us| (us as f64 / 1e6).to_string());
        writeln!(text, "- `{}`: {}", timing.family().name, bounds.join(", ")).expect("taken");
    }
    text
}

fn page() -> String {
    let shards = table("Counted by the shards", families::ALL);
    let times = table("Times", timings::ALL) + &bounds();
    let process = table("Of the process", process::ALL);
    format!("{HEAD}{shards}\n{times}\n{process}")
}

#[test]
fn the_documented_metrics_are_those_of_the_catalog() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let page = page();
    if std::env::var_os("RINGWIRE_BLESS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).expect("docs/");
        std::fs::write(path, &page).expect("docs/metrics.md is writable");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "docs/metrics.md is stale: RINGWIRE_BLESS=1 cargo test --lib metrics");
}
