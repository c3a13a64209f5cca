//! One picture for each row: bars, sorted, with Ringwire highlighted and how many times as good it
//! is behind each of the others.

use ringwire::bench::report::plot::{Bar, BarGroup, BarOrder, BarPlot, Surface, Unit, bars};

use super::rows::{Figure, Row};
use super::servers::OURS;
use super::stats::{Ranking, Standing, more_is_better};
use super::text::times;

const WIDTH_PX: f64 = 760.0;

/// The picture of a row, as a file of its own.
pub(crate) fn picture(row: &Row, ranking: &Ranking, label: impl Fn(&str) -> String) -> String {
    let figure = row.figure();
    let value = |place: &Standing| Shown {
        value: place.value.map(|value| value.median),
        range: place.value.map(|value| (value.low, value.high)),
        ours_times: place.ours_times,
    };
    let late = |place: &Standing| Shown {
        value: place.p99_9_us,
        range: None,
        ours_times: place.ours_late_times,
    };
    let group = |name: &str, shown: &dyn Fn(&Standing) -> Shown| BarGroup {
        name: name.to_owned(),
        bars: ranking.standings.iter().map(|place| bar(place, shown(place), &label)).collect(),
    };
    let groups = match figure {
        Figure::Echoes | Figure::Deliveries | Figure::Handshakes | Figure::Memory => {
            vec![group("", &value)]
        }
        Figure::Latency => vec![
            group("99 of 100 messages take no longer than", &value),
            group("999 of 1,000 messages take no longer than", &late),
        ],
    };
    let plot = BarPlot {
        title: row.title.to_owned(),
        subtitle: subtitle(figure).to_owned(),
        unit: unit(figure),
        groups,
        order: if more_is_better(figure) { BarOrder::GreatestFirst } else { BarOrder::LeastFirst },
        one_scale: false,
        width: WIDTH_PX,
    };
    bars(&plot, Surface::File)
}

/// What a bar shows of a server.
struct Shown {
    value: Option<f64>,
    range: Option<(f64, f64)>,
    ours_times: Option<f64>,
}

fn bar(place: &Standing, shown: Shown, label: impl Fn(&str) -> String) -> Bar {
    let note = |ratio: f64| format!("Ringwire {}", times(ratio));
    Bar {
        name: label(&place.server),
        value: shown.value.unwrap_or(f64::NAN),
        range: shown.range,
        note: shown.ours_times.map(note).unwrap_or_default(),
        highlighted: place.server == OURS,
    }
}

fn unit(figure: Figure) -> Unit {
    match figure {
        Figure::Echoes | Figure::Deliveries | Figure::Handshakes => Unit::PerSecond,
        Figure::Latency => Unit::Microseconds,
        Figure::Memory => Unit::Bytes,
    }
}

fn subtitle(figure: Figure) -> &'static str {
    match figure {
        Figure::Echoes => "messages echoed per second on one core: more is better",
        Figure::Deliveries => "messages delivered per second on one core: more is better",
        Figure::Handshakes => "connections opened per second on one core: more is better",
        Figure::Latency => "from when a message was due to its echo: less is better",
        Figure::Memory => "resident memory of the server for each connection: less is better",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::rows::ROWS;
    use crate::compare::stats::ranking;
    use crate::compare::test_data::measured;

    #[test]
    fn every_row_has_a_picture_with_all_servers_and_ratios() {
        for row in ROWS {
            let data = measured(
                row.id,
                &[("bun", &[10.0, 20.0]), ("ringwire", &[20.0, 40.0]), ("x", &[])],
            );
            let ranking = ranking(&data, row.figure());
            let svg = picture(row, &ranking, |name| format!("<{name}>"));
            assert!(svg.contains("&lt;bun&gt;") && svg.contains("&lt;ringwire&gt;"), "{svg}");
            let ratio = if more_is_better(row.figure()) || row.figure() == Figure::Latency {
                "Ringwire 2.00 ×"
            } else {
                "Ringwire 0.50 ×"
            };
            assert!(svg.contains(ratio), "{}: {svg}", row.id);
        }
    }
}
