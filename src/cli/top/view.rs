//! What is drawn: a picture of an overview, of whatever size. Pure.

use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Stylize};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, BorderType, Cell, Padding, Paragraph, Row, Table};

use super::figures::{count, octets, rate, share, span};
use super::overview::{Cause, Overview, Shard};
use super::text;
use super::tiles::{self, RING, SOFT, mood};

/// Below this there is only text.
const COLUMNS_MIN: u16 = 72;
/// See [`COLUMNS_MIN`].
const LINES_MIN: u16 = 20;
/// From here on plots are several lines high.
const LINES_TALL: u16 = 34;
const BARS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// What there is to draw.
pub(super) struct Scene {
    pub(super) overview: Overview,
    pub(super) place: String,
    pub(super) interval: Duration,
    /// Since when there is no answer, and why.
    pub(super) lost: Option<(Instant, Duration, String)>,
}

impl Scene {
    /// The server has answered, or has not.
    pub(super) fn take(&mut self, answer: Result<Overview, String>, now: Instant) {
        match answer {
            Ok(overview) => (self.overview, self.lost) = (overview, None),
            Err(why) => {
                let since = self.lost.as_ref().map_or(now, |(since, _, _)| *since);
                self.lost = Some((since, now.duration_since(since), why));
            }
        }
    }
}

/// Draws it.
pub(super) fn draw(frame: &mut Frame, scene: &Scene) {
    let area = frame.area();
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)])
            .areas(area);
    frame.render_widget(headline(scene), head);
    frame.render_widget(footline(scene), foot);
    if area.width < COLUMNS_MIN || area.height < LINES_MIN {
        let lines = text::summary(&scene.overview, &scene.place).into_iter().skip(1);
        return frame.render_widget(Text::from_iter(lines.map(Line::from)), body);
    }
    let tile_lines = if area.height >= LINES_TALL { 7 } else { 5 };
    let [tiles_area, rest] =
        Layout::vertical([Constraint::Length(2 * tile_lines), Constraint::Fill(1)]).areas(body);
    tiles::draw(frame, tiles_area, &scene.overview);
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(rest);
    let shards = scene.overview.status.shards.len() as u16;
    let shard_lines = (shards + 3).min(rest.height / 2).max(4);
    let [upper, lower] =
        Layout::vertical([Constraint::Length(shard_lines), Constraint::Fill(1)]).areas(left);
    show_shards(frame, upper, &scene.overview);
    show_topics(frame, lower, &scene.overview);
    show_causes(frame, right, &scene.overview);
}

fn headline(scene: &Scene) -> Line<'_> {
    let status = &scene.overview.status;
    let (mood, state) = match (&scene.lost, status.state.as_str()) {
        (Some(_), _) => (Color::Red, "no answer"),
        (None, state @ "ready") => (Color::Green, state),
        (None, state) => (Color::Yellow, state),
    };
    let facts = format!(
        "  up {}  {}  {}",
        span(status.uptime_seconds),
        octets(status.memory_resident_bytes as f64),
        scene.place
    );
    Line::from(vec![
        Span::from(" Ringwire ").bold(),
        Span::from(&*status.version),
        Span::from("  ● ").fg(mood),
        Span::from(state).fg(mood).bold(),
        Span::from(facts),
    ])
}

fn footline(scene: &Scene) -> Line<'_> {
    match &scene.lost {
        Some((_, passed, why)) => {
            let text = format!(" No answer for {}: {why}", span(passed.as_secs()));
            Line::from(text).fg(Color::Red)
        }
        None => {
            let every = scene.interval.as_secs_f64();
            let text =
                format!(" q quits   a look every {every} s   plots: 5 min   rates: means of 10 s");
            Line::from(text).style(SOFT)
        }
    }
}

pub(super) fn panel(title: &str) -> Block<'_> {
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(SOFT)
        .title(Span::from(format!(" {title} ")).bold())
}

fn show_shards(frame: &mut Frame, area: Rect, overview: &Overview) {
    let shards = &overview.status.shards;
    let title =
        format!("Shards: {}, on average {} busy", shards.len(), share(overview.mean_load()));
    let block = panel(&title).padding(Padding::horizontal(1));
    let inner = block.inner(area);
    if shards.len() + 1 > usize::from(inner.height) {
        let strip: Text = strip(shards, usize::from(inner.width)).into();
        return frame.render_widget(Paragraph::new(strip).block(block), area);
    }
    let bar_columns = inner.width.saturating_sub(30).max(4);
    let row = |shard: &Shard| {
        Row::new([
            Cell::from(Line::from(shard.shard.to_string())),
            Cell::from(load_bar(shard.loop_busy_ratio, usize::from(bar_columns))),
            right(share(shard.loop_busy_ratio)),
            right(count(shard.connections_open)),
            right(octets(shard.egress_queued_bytes as f64)),
        ])
    };
    let head = Row::new([
        Cell::from("#"),
        Cell::from("load"),
        right(String::new()),
        right("open".into()),
        right("queued".into()),
    ]);
    let widths = [3, bar_columns, 5, 9, 9].map(Constraint::Length);
    let table = Table::new(shards.iter().map(row), widths).header(head.style(SOFT));
    frame.render_widget(table.column_spacing(1).block(block), area);
}

fn load_bar(ratio: f64, columns: usize) -> Line<'static> {
    let filled = ((ratio * columns as f64).round() as usize).min(columns);
    let color = mood(ratio).unwrap_or(RING);
    Line::from(vec![
        Span::from("━".repeat(filled)).fg(color),
        Span::from("─".repeat(columns - filled)).style(SOFT),
    ])
}

/// One character for each shard, in as many lines as it takes.
fn strip(shards: &[Shard], columns: usize) -> Vec<Line<'static>> {
    let mark = |shard: &Shard| {
        let eighths = (shard.loop_busy_ratio * 8.0).round() as usize;
        Span::from(BARS[eighths.clamp(1, 8)]).fg(mood(shard.loop_busy_ratio).unwrap_or(RING))
    };
    shards.chunks(columns.max(1)).map(|some| some.iter().map(mark).collect()).collect()
}

fn show_topics(frame: &mut Frame, area: Rect, overview: &Overview) {
    let title = format!("Busiest of {} topics", count(overview.status.topics));
    let block = panel(&title).padding(Padding::horizontal(1));
    let topics = &overview.topics.busiest;
    let row = |topic: &super::overview::Topic| {
        Row::new([
            Cell::from(topic.topic.clone()),
            right(count(topic.subscribers)),
            right(rate(topic.messages_per_second)),
        ])
    };
    let head = Row::new([Cell::from("topic"), right("subscribers".into()), right("msgs/s".into())]);
    let widths = [Constraint::Fill(1), Constraint::Length(11), Constraint::Length(9)];
    let table = Table::new(topics.iter().map(row), widths).header(head.style(SOFT));
    frame.render_widget(table.column_spacing(1).block(block), area);
}

fn show_causes(frame: &mut Frame, area: Rect, overview: &Overview) {
    let block = panel("Closed, refused, dropped").padding(Padding::horizontal(1));
    let code = |cause: &Cause| format!("{} {}", cause.label, cause.meaning);
    let words = |cause: &Cause| cause.meaning.clone();
    let closes = overview.closes.iter().map(|cause| cause_row(cause, code(cause)));
    let refusals = group("refused", &overview.refusals, words);
    let drops = group("dropped", &overview.drops, words);
    let rows = closes.chain(refusals).chain(drops);
    let head = Row::new([Cell::from("closed"), right("5 min".into()), right("all".into())]);
    let widths = [Constraint::Fill(1), Constraint::Length(6), Constraint::Length(7)];
    let table = Table::new(rows, widths).header(head.style(SOFT));
    frame.render_widget(table.column_spacing(1).block(block), area);
}

/// Causes of another kind, below a line that says so; nothing if there are none.
fn group<'a>(
    title: &'static str,
    causes: &'a [Cause],
    name: impl Fn(&Cause) -> String + 'a,
) -> impl Iterator<Item = Row<'static>> + 'a {
    let title = (!causes.is_empty()).then(|| Row::new([title]).style(SOFT));
    title.into_iter().chain(causes.iter().map(move |cause| cause_row(cause, name(cause))))
}

fn cause_row(cause: &Cause, name: String) -> Row<'static> {
    let recent = Line::from(count(cause.recent)).right_aligned();
    let recent = if cause.recent > 0 { recent.bold() } else { recent.style(SOFT) };
    Row::new([Cell::from(name), Cell::from(recent), right(count(cause.total))])
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Line::from(text).right_aligned())
}
