//! Lines over an axis: time plots and the latency by percentile.

use super::axis::{Axis, Ruler, Tick, without_overlap};
use super::sample::{Point, range, thinned};
use super::svg::{Anchor, Canvas, Size, Surface, text_width};
use std::fmt::Write;

/// Rows above the plot: title, then label and legend.
const TOP_PX: f64 = 60.0;
/// Room right of the plot: half of the last label.
const RIGHT_PX: f64 = 26.0;
/// Rows below it: labels of ticks, then of the axis.
const BOTTOM_PX: f64 = 42.0;
/// Margin between a picture's edge and its text.
const EDGE_PX: f64 = 12.0;
/// Points of a line for each pixel of width at most.
const POINTS_PER_PX: f64 = 0.8;
/// Areas that say something when pointed at.
const HINTS_MAX: usize = 240;

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A line.
    Line,
    /// A thin line, for what matters less.
    Thin,
    /// A line with the area below it filled.
    Area,
}

/// One of the colours of the style, told apart by people with any colour vision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// The main one.
    First,
    /// The second.
    Second,
    /// The third.
    Third,
    /// Without emphasis.
    Muted,
    /// For faults.
    Bad,
}

impl Colour {
    /// Classes of a stroke and of a filling.
    fn classes(self) -> (&'static str, &'static str) {
        match self {
            Self::First => ("c1", "f1"),
            Self::Second => ("c2", "f2"),
            Self::Third => ("c3", "f3"),
            Self::Muted => ("c4", "f4"),
            Self::Bad => ("bad", "fbad"),
        }
    }
}

/// Values along the axis, in ascending order of their places.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What it is, for the legend.
    pub name: String,
    /// (place, value); `None` interrupts the line.
    pub points: Vec<(f64, Option<f64>)>,
    /// How it is drawn.
    pub shape: Shape,
    /// In which colour.
    pub colour: Colour,
}

/// A point that is named in the picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Where along the axis.
    pub x: f64,
    /// At which value.
    pub y: f64,
    /// What stands there.
    pub label: String,
}

/// What [`lines`] draws.
#[derive(Clone, Debug, PartialEq)]
pub struct LinePlot {
    /// The heading.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The lines; later ones on top.
    pub series: Vec<Series>,
    /// The part of the horizontal axis that counts; the rest is faded.
    pub window: Option<(f64, f64)>,
    /// Points with names, the most important first: what has no room is left out.
    pub marks: Vec<Mark>,
    /// Pixels of the picture.
    pub size: Size,
}

/// Draws lines as one `svg` element.
pub fn lines(plot: &LinePlot, surface: Surface) -> String {
    let drawing = Drawing::new(plot);
    let mut canvas = Canvas::default();
    drawing.heading(&mut canvas);
    drawing.grid(&mut canvas);
    for series in &plot.series {
        drawing.series(&mut canvas, series);
    }
    drawing.window(&mut canvas);
    drawing.marks(&mut canvas);
    drawing.hints(&mut canvas);
    canvas.finish(plot.size, &plot.title, surface)
}

/// A plot with its axes in place.
struct Drawing<'a> {
    plot: &'a LinePlot,
    x: Ruler,
    y: Ruler,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    left: f64,
    right: f64,
    bottom: f64,
}

impl<'a> Drawing<'a> {
    fn new(plot: &'a LinePlot) -> Self {
        let points = || plot.series.iter().flat_map(|series| &series.points);
        let mut x = Ruler::over(&plot.x, points().map(|point| point.0), false);
        let mut y = Ruler::over(&plot.y, points().filter_map(|point| point.1), true);
        let (right, bottom) = (plot.size.width - RIGHT_PX, plot.size.height - BOTTOM_PX);
        y.place(bottom, TOP_PX);
        let y_ticks = y.ticks(34.0);
        let widest = y_ticks.iter().map(|tick| text_width(&tick.label)).fold(20.0, f64::max);
        let left = EDGE_PX + widest + 6.0;
        x.place(left, right);
        let mut x_ticks = x.ticks(90.0);
        without_overlap(&mut x_ticks, |value| x.px(value));
        Self { plot, x, y, x_ticks, y_ticks, left, right, bottom }
    }

    fn heading(&self, canvas: &mut Canvas) {
        canvas.text((EDGE_PX, 22.0), Anchor::Start, "title", &self.plot.title);
        canvas.text((EDGE_PX, 42.0), Anchor::Start, "", &self.plot.y.label);
        if self.plot.series.len() < 2 {
            return;
        }
        let mut end = self.right;
        for series in self.plot.series.iter().rev() {
            canvas.text((end, 42.0), Anchor::End, "name", &series.name);
            let line_end = end - text_width(&series.name) - 6.0;
            let class = format!("line {}", series.colour.classes().0);
            canvas.line((line_end - 16.0, 38.0), (line_end, 38.0), &class);
            end = line_end - 36.0;
        }
    }

    fn grid(&self, canvas: &mut Canvas) {
        for tick in &self.y_ticks {
            let y = self.y.px(tick.value);
            canvas.line((self.left, y), (self.right, y), "grid");
            canvas.text((self.left - 6.0, y + 4.0), Anchor::End, "", &tick.label);
        }
        for tick in &self.x_ticks {
            let x = self.x.px(tick.value);
            canvas.line((x, TOP_PX), (x, self.bottom), "grid");
            canvas.text((x, self.bottom + 17.0), Anchor::Middle, "", &tick.label);
        }
        canvas.line((self.left, self.bottom), (self.right, self.bottom), "axis");
        let middle = (self.left + self.right) / 2.0;
        let below = (middle, self.plot.size.height - 8.0);
        canvas.text(below, Anchor::Middle, "", &self.plot.x.label);
    }

    fn series(&self, canvas: &mut Canvas, series: &Series) {
        let points_max = (self.right - self.left) * POINTS_PER_PX;
        let points = thinned(&series.points, points_max as usize);
        let (stroke, fill) = series.colour.classes();
        let runs = points.split(|point| point.1.is_none()).filter(|run| !run.is_empty());
        let paths: Vec<_> = runs.map(|run| self.path(run)).collect();
        if series.shape == Shape::Area {
            let closed = paths.iter().map(|(data, first, last)| {
                let bottom = self.bottom;
                format!("{data}L{last:.1} {bottom:.1}L{first:.1} {bottom:.1}Z")
            });
            canvas.path(&closed.collect::<String>(), &format!("area {fill}"));
        }
        let thin = if series.shape == Shape::Thin { " thin" } else { "" };
        let data: String = paths.into_iter().map(|(data, ..)| data).collect();
        canvas.path(&data, &format!("line{thin} {stroke}"));
    }

    /// A line without gaps, and where it begins and ends. One point becomes a dot: a line of no
    /// length with round ends.
    fn path(&self, run: &[Point]) -> (String, f64, f64) {
        let mut data = String::new();
        let place = |point: &Point| (self.x.px(point.0), self.y.px(point.1.unwrap_or(0.0)));
        for (at, (x, y)) in run.iter().map(place).enumerate() {
            let command = if at == 0 { 'M' } else { 'L' };
            write!(data, "{command}{x:.1} {y:.1}").expect("a string takes it");
        }
        if run.len() == 1 {
            data.push_str("h0");
        }
        let ends = (run.first().map_or(0.0, |p| p.0), run.last().map_or(0.0, |p| p.0));
        (data, self.x.px(ends.0), self.x.px(ends.1))
    }

    /// Fades what is outside of the window.
    fn window(&self, canvas: &mut Canvas) {
        let Some((from, to)) = self.plot.window else { return };
        let (from, to) = (self.x.px(from), self.x.px(to));
        let height = self.bottom - TOP_PX;
        for (left, right, edge) in [(self.left, from, from), (to, self.right, to)] {
            if right - left >= 1.0 {
                let size = Size { width: right - left, height };
                canvas.rect((left, TOP_PX), size, 0.0, "faded");
                canvas.line((edge, TOP_PX), (edge, self.bottom), "edge");
            }
        }
    }

    fn marks(&self, canvas: &mut Canvas) {
        let mut taken: Vec<[f64; 4]> = Vec::new();
        for mark in &self.plot.marks {
            let (x, y) = (self.x.px(mark.x), self.y.px(mark.y));
            canvas.dot((x, y), "f1 dot");
            let width = text_width(&mark.label);
            let places = [
                (Anchor::End, x - 7.0, x - 7.0 - width, y - 8.0),
                (Anchor::Start, x + 7.0, x + 7.0, y + 17.0),
                (Anchor::Start, x + 7.0, x + 7.0, y - 8.0),
            ];
            for (anchor, at, from, base) in places {
                let label = [from, from + width, base - 12.0, base + 3.0];
                let inside = from >= self.left
                    && from + width <= self.plot.size.width - 2.0
                    && base < self.bottom - 2.0;
                if inside && !taken.iter().any(|other| overlap(other, &label)) {
                    canvas.text((at, base), anchor, "strong halo", &mark.label);
                    taken.push(label);
                    break;
                }
            }
        }
    }

    /// What the values are where the pointer is.
    fn hints(&self, canvas: &mut Canvas) {
        let longest = self.plot.series.iter().max_by_key(|series| series.points.len());
        let Some(points) = longest.map(|series| &series.points) else { return };
        let bundle = points.len().div_ceil(HINTS_MAX).max(1);
        let starts: Vec<f64> = points.iter().step_by(bundle).map(|point| point.0).collect();
        for (at, from) in starts.iter().enumerate() {
            let to = starts.get(at + 1).copied().unwrap_or(f64::MAX);
            let (left, right) = self.around(&starts, at);
            let said: Vec<String> = std::iter::once(self.plot.x.unit.say(*from))
                .chain(self.plot.series.iter().filter_map(|series| self.said(series, *from, to)))
                .collect();
            let size = Size { width: (right - left).max(1.0), height: self.bottom - TOP_PX };
            canvas.hint((left, TOP_PX), size, &said.join("\n"));
        }
    }

    /// Pixels that belong to one of `starts`: half of the way to its neighbours.
    fn around(&self, starts: &[f64], at: usize) -> (f64, f64) {
        let here = self.x.px(starts[at]);
        let half_way = |other: Option<&f64>| other.map(|other| (self.x.px(*other) + here) / 2.0);
        let left = half_way(at.checked_sub(1).and_then(|before| starts.get(before)));
        let right = half_way(starts.get(at + 1));
        (left.unwrap_or(self.left.max(here - 8.0)), right.unwrap_or(self.right.min(here + 8.0)))
    }

    fn said(&self, series: &Series, from: f64, to: f64) -> Option<String> {
        let (low, high) = range(&series.points, from, to)?;
        let (low, high) = (self.plot.y.unit.say(low), self.plot.y.unit.say(high));
        let values = if low == high { low } else { format!("{low} to {high}") };
        Some(format!("{}: {values}", series.name))
    }
}

/// True when two boxes (left, right, top, bottom) share a place.
fn overlap(a: &[f64; 4], b: &[f64; 4]) -> bool {
    a[0] < b[1] && b[0] < a[1] && a[2] < b[3] && b[2] < a[3]
}
