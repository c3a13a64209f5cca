//! Standings as a table, for the terminal and for the document alike.

use ringwire::bench::report::units;

use super::args::Plan;
use super::results::{Measured, Results};
use super::rows::{Figure, ROWS, row};
use super::servers::{OURS, OURS_JSON};
use super::stats::{Ranking, Standing, ranking};

/// What stands where there is nothing to say.
const NOTHING: &str = "–";

/// Headings, and a line of cells for each server. The first column is a name, the others numbers.
pub(crate) struct Table {
    pub(crate) heads: Vec<&'static str>,
    pub(crate) lines: Vec<Vec<String>>,
}

/// A column: its heading, and what it shows.
type Column = (&'static str, fn(&Standing) -> String);

fn columns(figure: Figure) -> Vec<Column> {
    let mut columns: Vec<Column> = vec![("server", |place| place.server.clone())];
    match figure {
        Figure::Echoes | Figure::Deliveries | Figure::Handshakes => {
            columns.push(("rate", |place| value(place, units::rate)));
            columns.push(("least to most", |place| range(place, units::rate)));
        }
        Figure::Latency => {
            columns.push(("p50", |place| told(place.p50_us, units::latency)));
            columns.push(("p99", |place| value(place, units::latency)));
            columns.push(("p99.9", |place| told(place.p99_9_us, units::latency)));
            columns.push(("rate", |place| told(place.per_second, units::rate)));
            columns.push(("Ringwire's p99.9 is", |place| told(place.ours_late_times, times)));
        }
        Figure::Memory => {
            columns.push(("per connection", |place| value(place, units::bytes)));
            columns.push(("least to most", |place| range(place, units::bytes)));
        }
    }
    columns.push(("of the floor", |place| told(place.of_floor, times)));
    columns.push(("Ringwire is", |place| told(place.ours_times, times)));
    if figure != Figure::Memory {
        columns.push(("CPU each", |place| told(place.cpu_us, units::latency)));
        columns.push(("CPU against Ringwire's", |place| told(place.cpu_times, times)));
    }
    columns.push(("memory", |place| told(place.memory_bytes, units::bytes)));
    if matches!(figure, Figure::Echoes | Figure::Deliveries | Figure::Handshakes) {
        columns.push(("p50", |place| told(place.p50_us, units::latency)));
        columns.push(("p99", |place| told(place.p99_us, units::latency)));
    }
    columns
}

/// The table of a row; `label` gives a server's name for the reader.
pub(crate) fn table(ranking: &Ranking, figure: Figure, label: impl Fn(&str) -> String) -> Table {
    let columns = columns(figure);
    let line = |place: &Standing| {
        let mut cells: Vec<String> = columns.iter().map(|(_, cell)| cell(place)).collect();
        cells[0] = label(&place.server);
        if place.good < place.runs {
            cells[0] += &format!(" ({} of {} runs failed)", place.runs - place.good, place.runs);
        }
        cells
    };
    let lines = ranking.standings.iter().map(line).collect();
    Table { heads: columns.iter().map(|(head, _)| *head).collect(), lines }
}

/// A ratio.
pub(crate) fn times(ratio: f64) -> String {
    format!("{ratio:.2} ×")
}

/// A figure, or a dash.
pub(crate) fn told(figure: Option<f64>, say: impl Fn(f64) -> String) -> String {
    figure.map_or(NOTHING.to_owned(), say)
}

fn value(place: &Standing, say: fn(f64) -> String) -> String {
    told(place.value.map(|value| value.median), say)
}

fn range(place: &Standing, say: fn(f64) -> String) -> String {
    let said = place.value.map(|value| format!("{} to {}", say(value.low), say(value.high)));
    said.unwrap_or(NOTHING.to_owned())
}

impl Table {
    /// For a terminal: columns padded, the first one to the left.
    pub(crate) fn to_text(&self) -> String {
        let heads: Vec<String> = self.heads.iter().map(|head| (*head).to_owned()).collect();
        let all: Vec<&Vec<String>> = std::iter::once(&heads).chain(&self.lines).collect();
        let width = |column: usize| {
            let widths = all.iter().map(|line| line[column].chars().count());
            widths.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        let padded = |line: &&Vec<String>| {
            let cells = line.iter().zip(&widths).enumerate().map(|(at, (cell, &width))| {
                if at == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        };
        all.iter().map(padded).collect()
    }

    /// For the document; the line of `highlighted` is in bold.
    pub(crate) fn to_markdown(&self, highlighted: &str) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let heads: Vec<String> = self.heads.iter().map(|head| (*head).to_owned()).collect();
        let rules: String = self.heads.iter().skip(1).map(|_| "--:|").collect();
        let mut out = line(&heads) + "|---|" + &rules + "\n";
        for cells in &self.lines {
            let bold = |cell: &String| format!("**{cell}**");
            let cells: Vec<String> = match cells.first() {
                Some(first) if first.starts_with(highlighted) => cells.iter().map(bold).collect(),
                Some(_) | None => cells.clone(),
            };
            out += &line(&cells);
        }
        out
    }
}

/// Why runs are not counted.
pub(crate) fn failures(measured: &Measured) -> impl Iterator<Item = String> {
    let failed = measured.samples.iter().filter(|sample| !sample.is_good());
    failed.map(|sample| {
        format!("{}, round {}: {}", sample.server, sample.round + 1, sample.faults.join("; "))
    })
}

/// All standings, on standard output.
pub(crate) fn show(results: &Results, plan: &Plan) {
    for measured in &results.rows {
        let Some(row) = row(&measured.row) else { continue };
        let ranking = ranking(measured, row.figure());
        let table = table(&ranking, row.figure(), str::to_owned);
        println!("\n{} ({})\n{}", row.title, row.id, table.to_text());
        for failure in failures(measured) {
            println!("  {failure}");
        }
    }
    if plan.is_tiny {
        println!("(tiny: these figures mean nothing)");
    }
}

/// What can be chosen, on standard output.
pub(crate) fn list() {
    println!("rows:");
    for row in ROWS {
        println!("  {:<16}{}", row.id, row.title);
    }
    println!("servers:\n  {OURS}\n  {OURS_JSON}\n  those of benches/peers/setup.sh");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::test_data::measured;

    #[test]
    fn the_table_says_what_was_ranked() {
        let row = measured(
            "echo-64",
            &[("bun", &[100_000.0]), ("ringwire", &[150_000.0]), ("floor-uring", &[200_000.0])],
        );
        let ranking = ranking(&row, Figure::Echoes);
        let table = table(&ranking, Figure::Echoes, str::to_owned);
        let text = table.to_text();
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split("  ").filter(|c| !c.is_empty()).collect()).collect();
        assert_eq!(lines[1][0], "floor-uring");
        assert_eq!(lines[2][..3], ["ringwire", " 150 k/s", "150 k/s to 150 k/s"]);
        assert!(lines[3].iter().any(|cell| cell.trim() == "1.50 ×"), "{text}");
        let markdown = table.to_markdown("ringwire");
        assert!(markdown.lines().all(|line| line.matches('|').count() == table.heads.len() + 1));
        assert_eq!(markdown.matches("| **ringwire** |").count(), 1, "{markdown}");
    }

    #[test]
    fn failures_are_told_beside_the_name() {
        let mut row = measured("echo-64", &[("bun", &[1.0, 2.0])]);
        row.samples[1].faults.push("3 lost".into());
        let ranking = ranking(&row, Figure::Echoes);
        let table = table(&ranking, Figure::Echoes, str::to_owned);
        assert_eq!(table.lines[0][0], "bun (1 of 2 runs failed)");
    }

    #[test]
    fn every_figure_has_a_table_of_its_own() {
        for known in ROWS {
            let row = measured(known.id, &[("ringwire", &[2.0]), ("bun", &[1.0])]);
            let ranking = ranking(&row, known.figure());
            let table = table(&ranking, known.figure(), str::to_owned);
            assert!(table.lines.iter().all(|line| line.len() == table.heads.len()));
            assert!(table.heads.contains(&"Ringwire is"), "{}", known.id);
        }
    }
}
