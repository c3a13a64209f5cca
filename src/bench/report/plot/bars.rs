//! Horizontal bars, one for each thing that is compared, in groups.

use super::axis::Unit;
use super::svg::{Anchor, Canvas, Size, Surface, shortened, text_width};

/// Height of a bar's row, and of the bar in it.
const ROW_PX: f64 = 24.0;
const BAR_PX: f64 = 15.0;
/// Height of a group's heading, and the gap above it.
const HEADING_PX: f64 = 24.0;
const GROUP_GAP_PX: f64 = 8.0;
/// Rows above the groups: title and what is shown.
const TOP_PX: f64 = 52.0;
const EDGE_PX: f64 = 16.0;
/// Names take no more than this part of the width.
const NAMES_PART: f64 = 0.34;

/// In which order the bars of a group stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarOrder {
    /// As they were given.
    Given,
    /// The greatest value on top: where more is better.
    GreatestFirst,
    /// The least value on top: where less is better.
    LeastFirst,
}

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Whose it is.
    pub name: String,
    /// How long it is; zero or more. What is not finite is written as absent.
    pub value: f64,
    /// The least and the greatest that were measured, shown as a whisker.
    pub range: Option<(f64, f64)>,
    /// What stands behind the value, such as a ratio; may be empty.
    pub note: String,
    /// True for the one that the reader came for.
    pub highlighted: bool,
}

/// Bars that are compared with each other.
#[derive(Clone, Debug, PartialEq)]
pub struct BarGroup {
    /// The heading; may be empty.
    pub name: String,
    /// The bars.
    pub bars: Vec<Bar>,
}

/// What [`bars`] draws.
#[derive(Clone, Debug, PartialEq)]
pub struct BarPlot {
    /// The heading.
    pub title: String,
    /// What is shown, and whether more or less is better.
    pub subtitle: String,
    /// What the values are.
    pub unit: Unit,
    /// The groups, from top to bottom.
    pub groups: Vec<BarGroup>,
    /// The order in each group.
    pub order: BarOrder,
    /// True when lengths may be compared across groups; otherwise each group has its own scale.
    pub one_scale: bool,
    /// Pixels across; the height follows from the bars.
    pub width: f64,
}

/// Draws bars as one `svg` element.
pub fn bars(plot: &BarPlot, surface: Surface) -> String {
    let columns = Columns::of(plot);
    let mut canvas = Canvas::default();
    canvas.text((EDGE_PX, 25.0), Anchor::Start, "title", &plot.title);
    canvas.text((EDGE_PX, 44.0), Anchor::Start, "", &plot.subtitle);
    let longest_of_all = plot.groups.iter().map(longest).fold(0.0, f64::max);
    let mut y = TOP_PX;
    for group in &plot.groups {
        y += GROUP_GAP_PX;
        if !group.name.is_empty() {
            canvas.text((EDGE_PX, y + 15.0), Anchor::Start, "strong", &group.name);
            y += HEADING_PX;
        }
        let longest = if plot.one_scale { longest_of_all } else { longest(group) };
        for bar in ordered(&group.bars, plot.order) {
            columns.bar(&mut canvas, bar, y, longest);
            y += ROW_PX;
        }
    }
    canvas.finish(Size { width: plot.width, height: y + EDGE_PX }, &plot.title, surface)
}

/// The greatest value of a group, its whiskers included.
fn longest(group: &BarGroup) -> f64 {
    let reach = |bar: &Bar| bar.range.map_or(bar.value, |(_, high)| high.max(bar.value));
    group.bars.iter().map(reach).filter(|reach| reach.is_finite()).fold(0.0, f64::max)
}

fn ordered(bars: &[Bar], order: BarOrder) -> Vec<&Bar> {
    let mut bars: Vec<&Bar> = bars.iter().collect();
    match order {
        BarOrder::Given => {}
        BarOrder::GreatestFirst => bars.sort_by(|a, b| b.value.total_cmp(&a.value)),
        BarOrder::LeastFirst => bars.sort_by(|a, b| a.value.total_cmp(&b.value)),
    }
    // What was not measured stands below what was, in either order.
    bars.sort_by_key(|bar| !bar.value.is_finite());
    bars
}

/// Where names end and bars begin and end; the same in all groups.
struct Columns {
    unit: Unit,
    names_end: f64,
    bars_end: f64,
}

impl Columns {
    fn of(plot: &BarPlot) -> Self {
        let all = || plot.groups.iter().flat_map(|group| &group.bars);
        let names = all().map(|bar| text_width(&bar.name)).fold(0.0, f64::max);
        let said = all().map(|bar| text_width(&said(plot.unit, bar))).fold(0.0, f64::max);
        let names_end = EDGE_PX + names.min(plot.width * NAMES_PART);
        let bars_end = (plot.width - EDGE_PX - said - 8.0).max(names_end + 40.0);
        Self { unit: plot.unit, names_end, bars_end }
    }

    fn bar(&self, canvas: &mut Canvas, bar: &Bar, y: f64, longest: f64) {
        let (base, middle) = (y + ROW_PX / 2.0 + 4.0, y + ROW_PX / 2.0);
        let start = self.names_end + 10.0;
        let px = |value: f64| {
            let part = if longest > 0.0 { (value / longest).clamp(0.0, 1.0) } else { 0.0 };
            part * (self.bars_end - start)
        };
        let strong = if bar.highlighted { "strong" } else { "name" };
        let name = shortened(&bar.name, self.names_end - EDGE_PX);
        canvas.text((self.names_end, base), Anchor::End, strong, &name);
        let mut end = start;
        if bar.value.is_finite() {
            let size = Size { width: px(bar.value).max(1.0), height: BAR_PX };
            let class = if bar.highlighted { "hot" } else { "bar" };
            canvas.rect((start, middle - BAR_PX / 2.0), size, 2.0, class);
            end += size.width;
        }
        if let Some((low, high)) = bar.range.filter(|_| bar.value.is_finite()) {
            let (low, high) = (start + px(low), start + px(high));
            canvas.line((low, middle), (high, middle), "whisker");
            canvas.line((low, middle - 4.0), (low, middle + 4.0), "whisker");
            canvas.line((high, middle - 4.0), (high, middle + 4.0), "whisker");
            end = end.max(high);
        }
        canvas.text((end + 8.0, base), Anchor::Start, strong, &said(self.unit, bar));
    }
}

/// What stands behind a bar.
fn said(unit: Unit, bar: &Bar) -> String {
    let value = if bar.value.is_finite() { unit.say(bar.value) } else { "no result".into() };
    if bar.note.is_empty() { value } else { format!("{value} ({})", bar.note) }
}
