//! `docs/benchmarks.md`, made of the results and nothing else.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use ringwire::bench::report::units;

use super::Failure;
use super::pictures::picture;
use super::results::{Measured, Results, folder, said};
use super::rows::{Figure, Row, row};
use super::servers::OURS;
use super::stats::{Ranking, Standing, ranking};
use super::text::{failures, table, times, told};

/// What the peers say of themselves.
const PEERS: &str = include_str!("../peers/README.md");
/// The heading of the part of it that belongs here.
const UNFAIR: &str = "## What is unfair\n";

/// Writes the document and its pictures.
pub(crate) fn write(results: &Results) -> Result<(), Failure> {
    fs::create_dir_all(folder()).map_err(|error| said(&folder(), error))?;
    for (row, _, ranking) in ranked(results) {
        let path = folder().join(format!("{}.svg", row.id));
        let svg = picture(row, &ranking, |name| label(results, name));
        fs::write(&path, svg).map_err(|error| said(&path, error))?;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.md");
    fs::write(&path, document(results)).map_err(|error| said(&path, error))
}

/// The rows that are known, with their standings.
fn ranked(results: &Results) -> Vec<(&'static Row, &Measured, Ranking)> {
    let mut all = Vec::new();
    for measured in &results.rows {
        if let Some(row) = row(&measured.row) {
            all.push((row, measured, ranking(measured, row.figure())));
        }
    }
    all
}

fn label(results: &Results, name: &str) -> String {
    let server = results.servers.iter().find(|server| server.name == name);
    server.map_or(name, |server| server.label.as_str()).to_owned()
}

/// The document as Markdown.
fn document(results: &Results) -> String {
    let rows = ranked(results);
    let mut out = String::from(INTRODUCTION);
    out += &summary(&rows);
    out += &conditions(results);
    for (row, measured, ranking) in &rows {
        out += &section(results, row, measured, ranking);
    }
    out += "\n## What is unfair\n\n";
    out += OURS_UNFAIR;
    out += unfair_to_peers();
    out
}

const INTRODUCTION: &str = "\
# Benchmarks

Ringwire beside other servers, on one machine, with one core for the server and one for the load
generator. This page is written by the command that stands with each row; do not edit it.

- **The floors** are servers that check nothing and do as little as a server can, one on io_uring
  and one on epoll. They say what the kernel leaves to reach. *Of the floor* compares with the
  better one.
- **Ringwire is** says how many times as good Ringwire is as that server in the same round.
- All figures are medians over the rounds, and ratios are medians of the ratios of each round.
- *CPU of the floor* compares processor time for each message with the floor that takes least of it,
  so that more is better here too.
- *CPU each* is the processor time of the server for each message: a generator at its limit can't
  hide it.
- The load generator checks every message. Runs in which one was lost, repeated, reordered or
  corrupted are not counted, and said so.

";

const OURS_UNFAIR: &str = "\
- **ringwire serve** speaks JSON: its messages are texts of at least 32 bytes, which come to each
  subscriber in an envelope with topic, offset and time. Everything else relays what it was sent.
- **Server and generator share a machine**, its memory and caches, and talk over loopback: the
  kernel's work for both ends of a connection is on their two cores. Over a network it is not.
- **One core.** Ringwire is made for many; the peers are run on one thread each. What crossing
  cores costs is not on this page.
";

/// The peers' own list, from their README.
fn unfair_to_peers() -> &'static str {
    let part = PEERS.split_once(UNFAIR).map_or("", |(_, rest)| rest);
    part.split_once("\n## ").map_or(part, |(part, _)| part).trim_start()
}

fn summary(rows: &[(&Row, &Measured, Ranking)]) -> String {
    let mut out = String::from(
        "| | Ringwire | of the floor | CPU of the floor | against Bun | against the best peer |\n\
         |---|--:|--:|--:|--:|--:|\n",
    );
    for (row, _, ranking) in rows {
        let Some(ours) = ranking.ours() else { continue };
        let against = |place: Option<&Standing>| told(place.and_then(|p| p.ours_times), times);
        let best = ranking.best_peer();
        let best_name = best.map_or(String::new(), |best| format!(" ({})", best.server));
        let cpu = ours.cpu_of_floor.filter(|_| row.figure() != Figure::Memory);
        writeln!(
            out,
            "| [{}](#{}) | {} | {} | {} | {} | {}{best_name} |",
            row.title,
            anchor(row.title),
            value(row.figure(), ours),
            told(ours.of_floor, times),
            told(cpu, times),
            against(ranking.of("bun")),
            against(best),
        )
        .expect("a String takes everything");
    }
    out
}

fn value(figure: Figure, place: &Standing) -> String {
    let median = place.value.map(|value| value.median);
    match figure {
        Figure::Echoes | Figure::Deliveries | Figure::Handshakes => told(median, units::rate),
        Figure::Latency => format!("p99 {}", told(median, units::latency)),
        Figure::Memory => told(median, units::bytes),
    }
}

/// A heading's anchor, as usual renderers make it.
fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn conditions(results: &Results) -> String {
    let machine = &results.machine;
    let mut out = format!(
        "\n## The machine\n\n\
         {}, {} cores, {} of memory, Linux {}.\n\n\
         | server | version |\n|---|---|\n",
        machine.cpu,
        machine.cores,
        units::bytes(machine.memory_bytes as f64),
        machine.kernel,
    );
    for server in &results.servers {
        let version = server.version.as_deref().unwrap_or("unknown");
        let name = if server.name == OURS { &server.label } else { &server.name };
        writeln!(out, "| {name} | {version} |").expect("a String takes everything");
    }
    out += "\nVersions of the floors are those of the crates that they reach the kernel through.\n\
            All are in the lock files of [`benches/peers`](../benches/peers/README.md).\n";
    out
}

fn section(results: &Results, row: &Row, measured: &Measured, ranking: &Ranking) -> String {
    let label = |name: &str| label(results, name);
    let table = table(ranking, row.figure(), label);
    let mut out = format!(
        "\n## {}\n\n{}\n\n![{}: bars of all servers](benchmarks/{}.svg)\n\n{}\n",
        row.title,
        row.what(),
        row.title,
        row.id,
        table.to_markdown(&label(OURS)),
    );
    for failure in failures(measured) {
        writeln!(out, "Not counted: {failure}.\n").expect("a String takes everything");
    }
    let stolen = measured.samples.iter().map(|sample| sample.stolen).fold(0.0, f64::max);
    let scheduled =
        told(measured.scheduled_per_second, |rate| format!(" The rate was {}.", units::rate(rate)));
    let revision = measured.revision.as_deref().unwrap_or("unknown");
    writeln!(
        out,
        "{}, revision {revision}: {} rounds of {} s after {} s of warm-up, row `{}` of `{}`. Load \
         average before it {:.2}; at most {:.1} % of the machine's time went to others.{}",
        units::date(measured.started_unix_ms),
        measured.rounds,
        units::amount(measured.seconds),
        units::amount(measured.warmup),
        measured.row,
        measured.command,
        measured.load_average,
        stolen * 100.0,
        if measured.scheduled_per_second.is_some() { scheduled.as_str() } else { "" },
    )
    .expect("a String takes everything");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::rows::ROWS;
    use crate::compare::test_data::{measured, results};

    fn page() -> String {
        let servers: &[(&str, &[f64])] = &[
            ("ringwire", &[300_000.0, 320_000.0]),
            ("floor-uring", &[330_000.0, 350_000.0]),
            ("bun", &[150_000.0, 160_000.0]),
        ];
        let rows: Vec<Measured> = ROWS.iter().map(|row| measured(row.id, servers)).collect();
        document(&results(&rows))
    }

    #[test]
    fn every_row_has_a_section_a_picture_and_a_line_in_the_summary() {
        let page = page();
        for row in ROWS {
            assert!(page.contains(&format!("\n## {}\n", row.title)), "{}", row.id);
            assert!(page.contains(&format!("(benchmarks/{}.svg)", row.id)), "{}", row.id);
            let line = format!("| [{}](#{}) | ", row.title, anchor(row.title));
            assert!(page.contains(&line), "{line}\n{page}");
        }
        assert!(page.contains("2.00 × (bun) |"), "{page}");
    }

    #[test]
    fn the_machine_the_command_and_what_is_unfair_are_told() {
        let page = page();
        for said in [
            "Made up, 2 cores, 24.0 GiB of memory, Linux 6.18.0.",
            "2026-09-21 14:13:20 UTC, revision abc1234: 2 rounds of 5 s after 1 s of warm-up",
            "`cargo bench --bench compare -- --write`",
            "| bun | 1.2.3 |",
            "The rate was 150 k/s.",
            "- **The floors** are no servers.",
            "- **One core.**",
        ] {
            assert!(page.contains(said), "no `{said}` in\n{page}");
        }
        assert_eq!(page.matches("The rate was").count(), 1);
        assert!(!page.contains("\n\n\n"));
    }

    #[test]
    fn what_is_not_counted_is_said_with_its_reason() {
        let mut row = measured("echo-64", &[("ringwire", &[1.0]), ("ws", &[1.0, 2.0])]);
        row.samples[2].faults.push("3 lost: sent and never received".into());
        let page = document(&results(&[row]));
        assert!(page.contains("Not counted: ws, round 2: 3 lost: sent and never received.\n"));
        assert!(page.contains("| ws (1 of 2 runs failed) |"), "{page}");
    }

    #[test]
    fn anchors_are_those_of_usual_renderers() {
        assert_eq!(anchor("Fan-out: 1,000 to 1,000"), "fan-out-1000-to-1000");
    }
}
