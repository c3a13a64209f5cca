//! Pictures: what is in them and where it stands, read back from the SVG.

use crate::bench::report::plot::{
    Axis, Bar, BarGroup, BarOrder, BarPlot, Colour, LinePlot, Mark, Series, Shape, Size, Surface,
    Unit, bars, lines,
};

fn bar(name: &str, value: f64, spread: f64) -> Bar {
    Bar {
        name: name.into(),
        value,
        range: (spread > 0.0).then_some((value * (1.0 - spread), value * (1.0 + spread))),
        note: String::new(),
        highlighted: name == "ringwire",
    }
}

fn group(name: &str, factor: f64) -> BarGroup {
    let mut bars = vec![
        bar("tokio-tungstenite", 264_000.0 * factor, 0.05),
        bar("ringwire", 372_000.0 * factor, 0.02),
        bar("bare io_uring floor", 375_000.0 * factor, 0.01),
        bar(
            "node ws with a name that is far too long for its column to hold",
            71_234.0 * factor,
            0.1,
        ),
        bar("sockudo-ws", f64::NAN, 0.0),
    ];
    bars[0].note = "0.71 ×".into();
    BarGroup { name: name.into(), bars }
}

fn comparison() -> BarPlot {
    BarPlot {
        title: "Echo on one core".into(),
        subtitle: "messages per second, median of 5 runs, least to greatest; more is better".into(),
        unit: Unit::PerSecond,
        groups: vec![
            group("64 connections, 1 in flight, 64 B", 1.0),
            group("64 connections, 16 in flight, 64 B", 12.0),
        ],
        order: BarOrder::GreatestFirst,
        one_scale: false,
        width: 860.0,
    }
}

/// The texts of a picture with their places.
fn texts(svg: &str) -> Vec<(f64, f64, String)> {
    let number = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!(" {name}=\"")).expect(name);
        rest.split('"').next().and_then(|digits| digits.parse().ok()).expect("a number")
    };
    let elements = svg.split("<text").skip(1).map(|rest| rest.split_once('>').expect("its end"));
    elements
        .map(|(tag, rest)| {
            let text = rest.split('<').next().unwrap_or_default().to_owned();
            (number(tag, "x"), number(tag, "y"), text)
        })
        .collect()
}

/// Set `RINGWIRE_PAGES` to a folder to look at the picture.
#[test]
fn bars_stand_in_order_with_their_values() {
    let svg = bars(&comparison(), Surface::File);
    if let Some(folder) = std::env::var_os("RINGWIRE_PAGES") {
        std::fs::write(std::path::Path::new(&folder).join("bars.svg"), &svg).expect("writable");
    }
    let texts = texts(&svg);
    let row = |wanted: &str| {
        let found = texts.iter().find(|(_, _, text)| text.starts_with(wanted));
        found.unwrap_or_else(|| panic!("no {wanted}")).1
    };
    let order = ["bare io_uring floor", "ringwire", "tokio-tungstenite", "node ws", "sockudo-ws"];
    assert!(order.map(row).is_sorted_by(|a, b| a < b), "the greatest on top, the absent below");
    assert_eq!(row("372 k/s"), row("ringwire"), "the value stands in its row");
    assert_eq!(row("264 k/s (0.71 ×)"), row("tokio-tungstenite"));
    assert_eq!(row("no result"), row("sockudo-ws"));
    assert!(texts.iter().any(|(_, _, text)| text.starts_with("node ws") && text.ends_with('…')));
    assert_eq!(svg.matches("class=\"hot\"").count(), 2, "one highlighted bar in each group");
    assert!(texts.iter().all(|(x, _, _)| (0.0..860.0).contains(x)));
}

#[test]
fn the_least_stands_on_top_where_less_is_better() {
    let plot = BarPlot { order: BarOrder::LeastFirst, ..comparison() };
    let texts = texts(&bars(&plot, Surface::Page));
    let names: Vec<&str> = texts.iter().map(|(_, _, text)| text.as_str()).collect();
    let at = |wanted: &str| names.iter().position(|text| text.starts_with(wanted));
    assert!(at("node ws") < at("ringwire") && at("ringwire") < at("sockudo-ws"), "{names:?}");
}

#[test]
fn bars_of_nothing_are_still_a_picture() {
    let mut plot = comparison();
    plot.groups.iter_mut().for_each(|group| {
        group.bars.iter_mut().for_each(|bar| (bar.value, bar.range) = (0.0, None));
    });
    assert!(!bars(&plot, Surface::File).contains("NaN"));
    plot.groups.clear();
    assert!(bars(&plot, Surface::File).contains("Echo on one core"));
}

fn curve(points: Vec<(f64, Option<f64>)>) -> LinePlot {
    LinePlot {
        title: "A curve".into(),
        x: Axis::linear("time", Unit::Seconds),
        y: Axis::linear("rate", Unit::PerSecond),
        series: vec![Series {
            name: "received".into(),
            points,
            shape: Shape::Area,
            colour: Colour::First,
        }],
        window: None,
        marks: Vec::new(),
        size: Size { width: 900.0, height: 300.0 },
    }
}

/// The points of the line, in pixels: one list for each piece without a gap.
fn pieces(svg: &str) -> Vec<Vec<(f64, f64)>> {
    let (_, rest) = svg.split_once("<path class=\"line c1\" d=\"").expect("the line");
    let data = rest.split('"').next().unwrap_or_default();
    let point = |text: &str| {
        let (x, y) = text.split_once(' ').expect("two numbers");
        let y = y.trim_end_matches("h0");
        (x.parse().expect("a number"), y.parse().expect("a number"))
    };
    let pieces = data.split('M').filter(|piece| !piece.is_empty());
    pieces.map(|piece| piece.split('L').map(point).collect()).collect()
}

#[test]
fn a_line_stands_where_the_ticks_say() {
    let svg = lines(
        &curve(vec![(0.0, Some(0.0)), (5.0, Some(50.0)), (10.0, Some(100.0))]),
        Surface::Page,
    );
    let texts = texts(&svg);
    let place = |label: &str| texts.iter().find(|(_, _, text)| text == label).expect(label);
    let points = &pieces(&svg)[0];
    // Labels on the left are centred on their line 4 pixels below it.
    assert_eq!(points[2].1 + 4.0, place("100/s").1);
    assert_eq!(points[2].0, place("10 s").0);
    assert_eq!(points[1].0, (points[0].0 + points[2].0) / 2.0);
    assert!((points[1].1 - (points[0].1 + points[2].1) / 2.0).abs() < 0.11);
}

#[test]
fn gaps_interrupt_a_line_and_single_points_are_seen() {
    let points =
        vec![(0.0, Some(1.0)), (1.0, Some(2.0)), (2.0, None), (3.0, Some(3.0)), (4.0, None)];
    let svg = lines(&curve(points), Surface::Page);
    let lengths: Vec<usize> = pieces(&svg).iter().map(Vec::len).collect();
    assert_eq!(lengths, [2, 1]);
    assert!(svg.contains("h0"), "a line of no length has round ends");
    let nothing = lines(&curve(vec![(0.0, None)]), Surface::Page);
    assert!(!nothing.contains("NaN") && !nothing.contains("inf"), "{nothing}");
    assert!(lines(&curve(Vec::new()), Surface::Page).contains("A curve"));
}

#[test]
fn what_is_outside_of_the_window_is_faded() {
    let points = vec![(0.0, Some(1.0)), (10.0, Some(1.0))];
    let faded = |window| {
        let plot = LinePlot { window: Some(window), ..curve(points.clone()) };
        lines(&plot, Surface::Page).matches("class=\"faded\"").count()
    };
    assert_eq!(faded((2.0, 9.0)), 2);
    assert_eq!(faded((2.0, 10.5)), 1);
    assert_eq!(faded((0.0, 10.0)), 0);
}

#[test]
fn names_of_points_do_not_cover_each_other() {
    let mut plot = curve(vec![(0.0, Some(50.0)), (10.0, Some(50.0))]);
    let mark = |x| Mark { x, y: 50.0, label: "a label of some length".into() };
    plot.marks = (0..100).map(|n| mark(f64::from(n) / 10.0)).collect();
    let svg = lines(&plot, Surface::Page);
    let mut labels: Vec<_> =
        texts(&svg).into_iter().filter(|(_, _, text)| text.starts_with("a label")).collect();
    assert!((4..20).contains(&labels.len()), "{} labels", labels.len());
    labels.sort_by(|a, b| (a.1, a.0).partial_cmp(&(b.1, b.0)).expect("numbers"));
    let apart = |pair: &[(f64, f64, String)]| {
        pair[0].1 != pair[1].1 || (pair[1].0 - pair[0].0).abs() > 22.0 * 5.0
    };
    assert!(labels.windows(2).all(apart), "{labels:?}");
}
