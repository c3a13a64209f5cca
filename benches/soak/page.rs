//! The samples as one page that needs nothing else.

use ringwire::bench::report::plot::{
    Axis, Colour, LinePlot, STYLE, Series, Shape, Size, Surface, Unit, lines,
};

use crate::sample::{Quantity, Sampler};

const SIZE: Size = Size { width: 760.0, height: 240.0 };
const PAGE_STYLE: &str = "body { max-width: 800px; margin: 2em auto; font-family: sans-serif; }";

/// See the module's header.
pub(crate) fn page(sampler: &Sampler) -> String {
    let plots: String = Quantity::ALL.iter().map(|quantity| plot(sampler, *quantity)).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <title>Ringwire soak</title>\n<style>\n{PAGE_STYLE}\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>Soak</h1>\n<p>Under churn, fan-out and slow readers. What is faded is the time in \
         which caches and pools fill.</p>\n{plots}</body>\n</html>\n"
    )
}

fn plot(sampler: &Sampler, quantity: Quantity) -> String {
    let points = sampler.points(quantity).into_iter().map(|(at, value)| (at, Some(value)));
    let series = Series {
        name: quantity.name().to_owned(),
        points: points.collect(),
        shape: Shape::Line,
        colour: Colour::First,
    };
    let plot = LinePlot {
        title: quantity.name().to_owned(),
        x: Axis::linear("time", Unit::Seconds),
        y: Axis::linear("", quantity.unit()),
        series: vec![series],
        window: Some(sampler.judged()),
        marks: Vec::new(),
        size: SIZE,
    };
    lines(&plot, Surface::Page)
}
