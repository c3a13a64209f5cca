//! The eight figures above, each with its last five minutes. Pure.

use std::borrow::Cow;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Padding, Sparkline};

use super::figures::{count, octets, rate, share};
use super::overview::Overview;
use super::view::panel;

pub(super) const RING: Color = Color::Cyan;
pub(super) const SOFT: Style = Style::new().add_modifier(Modifier::DIM);
/// Samples of the whole history; there are fewer after a start.
const SAMPLES: usize = 150;

/// One figure with its plot.
struct Tile<'a> {
    title: &'static str,
    value: String,
    detail: String,
    /// Its colour, if it is one to look at.
    mood: Option<Color>,
    history: Cow<'a, [f64]>,
}

/// Draws them in two rows.
pub(super) fn draw(frame: &mut Frame, area: Rect, overview: &Overview) {
    let rows: [Rect; 2] = Layout::vertical([Constraint::Fill(1); 2]).areas(area);
    for (row, tiles) in rows.into_iter().zip([flows(overview), levels(overview)]) {
        let cells: [Rect; 4] = Layout::horizontal([Constraint::Fill(1); 4]).areas(row);
        for (tile, cell) in tiles.iter().zip(cells) {
            draw_tile(frame, cell, tile);
        }
    }
}

/// The colour of something that is so full.
pub(super) fn mood(ratio: f64) -> Option<Color> {
    match ratio {
        r if r >= 0.95 => Some(Color::Red),
        r if r >= 0.8 => Some(Color::Yellow),
        _ => None,
    }
}

fn tile<'a>(
    title: &'static str,
    value: String,
    detail: String,
    history: impl Into<Cow<'a, [f64]>>,
) -> Tile<'a> {
    Tile { title, value, detail, mood: None, history: history.into() }
}

fn flows(overview: &Overview) -> [Tile<'_>; 4] {
    let (connections, rates) = (&overview.status.connections, &overview.status.rates);
    let history = &overview.history;
    let received = per_second(rates.messages_received_per_second);
    let received_bytes = bytes_per_second(rates.received_bytes_per_second);
    let sent = per_second(overview.messages_out_per_second());
    let sent_bytes = bytes_per_second(rates.sent_bytes_per_second);
    let delivered = per_second(rates.deliveries_per_second);
    let published = format!("from {}", per_second(rates.publishes_per_second));
    let (open, max) = (connections.open, connections.max);
    let limit = if max == 0 { String::new() } else { format!("of {}", count(max)) };
    [
        Tile {
            mood: mood(part(open, max)),
            ..tile("Connections", count(open), limit, &history.connections_open)
        },
        tile("Messages in", received, received_bytes, &history.messages_received_per_second),
        tile("Messages out", sent, sent_bytes, overview.messages_out_history()),
        tile("Deliveries", delivered, published, &history.deliveries_per_second),
    ]
}

fn levels(overview: &Overview) -> [Tile<'_>; 4] {
    let (status, history) = (&overview.status, &overview.history);
    let busiest = overview.busiest_shard();
    let load = busiest.map_or(0.0, |shard| shard.loop_busy_ratio);
    let whose = busiest.map_or_else(String::new, |shard| format!("shard {}", shard.shard));
    let (queued, max) = (status.egress_queued_bytes, status.egress_max_bytes);
    let limit = if max == 0 { String::new() } else { format!("of {}", octets(max as f64)) };
    let connections = &status.connections;
    let accepted = format!("{} so far", count(connections.accepted));
    let (slow, lost) = (connections.slow_consumers_closed, connections.heartbeats_lost);
    let ended = format!("{} slow, {} lost", count(slow), count(lost));
    let accepts = per_second(status.rates.accepts_per_second);
    let closes = per_second(overview.closes_per_second());
    [
        Tile {
            mood: mood(load),
            ..tile("Busiest shard", share(load), whose, &history.loop_busy_ratio_max)
        },
        Tile {
            mood: mood(part(queued, max)),
            ..tile("Waiting", octets(queued as f64), limit, &history.egress_queued_bytes)
        },
        tile("New", accepts, accepted, &history.accepts_per_second),
        tile("Closed", closes, ended, &history.closes_per_second),
    ]
}

fn per_second(number: f64) -> String {
    format!("{}/s", rate(number))
}

fn bytes_per_second(number: f64) -> String {
    format!("{}/s", octets(number))
}

fn part(have: u64, max: u64) -> f64 {
    if max == 0 { 0.0 } else { have as f64 / max as f64 }
}

fn draw_tile(frame: &mut Frame, area: Rect, tile: &Tile<'_>) {
    let block = panel(tile.title).padding(Padding::horizontal(1));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let lines = [Constraint::Length(1), Constraint::Length(1), Constraint::Fill(1)];
    let [value, detail, plot] = Layout::vertical(lines).areas(inner);
    let mut shown = Span::from(&*tile.value).bold();
    if let Some(mood) = tile.mood {
        shown = shown.fg(mood);
    }
    frame.render_widget(Line::from(shown), value);
    frame.render_widget(Line::from(&*tile.detail).style(SOFT), detail);
    let bars = bars(&tile.history, usize::from(plot.width));
    frame.render_widget(Sparkline::default().data(bars).style(Style::new().fg(RING)), plot);
}

/// The history over so many columns, newest on the right: each shows the highest of its samples.
fn bars(history: &[f64], columns: usize) -> Vec<u64> {
    let missing = SAMPLES.saturating_sub(history.len());
    let most = history.iter().copied().fold(0.0, f64::max);
    let height = |column: usize| {
        let from = column * SAMPLES / columns;
        let to = ((column + 1) * SAMPLES / columns).max(from + 1);
        let range = from.saturating_sub(missing)..to.saturating_sub(missing).min(history.len());
        let samples = history.get(range).unwrap_or(&[]);
        let high = samples.iter().copied().fold(0.0, f64::max);
        if most > 0.0 { (high / most * 1000.0) as u64 } else { 0 }
    };
    (0..columns).map(height).collect()
}
