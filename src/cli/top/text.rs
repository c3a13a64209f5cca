//! An overview as plain text, for scripts and for terminals that are too small for more.

use std::fmt::Write;

use super::figures::{count, octets, rate, share, span};
use super::overview::{Cause, Overview};

/// All of it.
pub(super) fn page(overview: &Overview, place: &str) -> String {
    let mut page = String::new();
    for line in summary(overview, place) {
        page.push_str(&line);
        page.push('\n');
    }
    shards(&mut page, overview);
    topics(&mut page, overview);
    causes(&mut page, "closed connections", &overview.closes, true);
    causes(&mut page, "refused handshakes", &overview.refusals, false);
    causes(&mut page, "dropped deliveries", &overview.drops, false);
    page
}

/// The figures of the tiles, a line for each.
pub(super) fn summary(overview: &Overview, place: &str) -> Vec<String> {
    let status = &overview.status;
    let (rates, connections) = (&status.rates, &status.connections);
    let line = |name: &str, text: String| format!("{name:<20}{text}");
    let flow = |messages: f64, bytes: f64| format!("{}/s, {}/s", rate(messages), octets(bytes));
    let open = match connections.max {
        0 => count(connections.open),
        max => format!("{} of {} allowed", count(connections.open), count(max)),
    };
    let queued = octets(status.egress_queued_bytes as f64);
    let busiest = overview.busiest_shard().map_or_else(String::new, |shard| {
        format!("{}, shard {}", share(shard.loop_busy_ratio), shard.shard)
    });
    vec![
        format!(
            "ringwire {} at {place}: {}, up {}, {} of memory",
            status.version,
            status.state,
            span(status.uptime_seconds),
            octets(status.memory_resident_bytes as f64)
        ),
        line("connections", open),
        line(
            "messages in",
            flow(rates.messages_received_per_second, rates.received_bytes_per_second),
        ),
        line("messages out", flow(overview.messages_out_per_second(), rates.sent_bytes_per_second)),
        line("published", format!("{}/s", rate(rates.publishes_per_second))),
        line("deliveries", format!("{}/s", rate(rates.deliveries_per_second))),
        line("busiest shard", busiest),
        line(
            "waiting to be sent",
            match status.egress_max_bytes {
                0 => queued,
                max => format!("{queued} of {}", octets(max as f64)),
            },
        ),
        line("new connections", format!("{}/s", rate(rates.accepts_per_second))),
        line("closed connections", format!("{}/s", rate(overview.closes_per_second()))),
        line("slow consumers", count(connections.slow_consumers_closed)),
        line("heartbeats lost", count(connections.heartbeats_lost)),
        line("topics", count(status.topics)),
        line("subscriptions", count(status.subscriptions)),
    ]
}

fn shards(page: &mut String, overview: &Overview) {
    let head = ["shard", "load", "connections", "subscriptions", "queued"];
    let [a, b, c, d, e] = head;
    put(page, format_args!("\n{a:<8}{b:>8}{c:>14}{d:>15}{e:>12}\n"));
    for shard in &overview.status.shards {
        let load = share(shard.loop_busy_ratio);
        let (open, subscribed) = (count(shard.connections_open), count(shard.subscriptions));
        let queued = octets(shard.egress_queued_bytes as f64);
        let number = shard.shard;
        put(page, format_args!("{number:<8}{load:>8}{open:>14}{subscribed:>15}{queued:>12}\n"));
    }
}

fn topics(page: &mut String, overview: &Overview) {
    let [a, b, c] = ["subscribers", "messages/s", "busiest topics"];
    put(page, format_args!("\n{a:>11}{b:>12}  {c}\n"));
    for topic in &overview.topics.busiest {
        let (subscribers, messages) = (count(topic.subscribers), rate(topic.messages_per_second));
        put(page, format_args!("{subscribers:>11}{messages:>12}  {}\n", topic.topic));
    }
}

fn causes(page: &mut String, title: &str, causes: &[Cause], has_code: bool) {
    let [a, b] = ["5 min", "all"];
    put(page, format_args!("\n{a:>11}{b:>12}  {title}\n"));
    for cause in causes {
        let (recent, total) = (count(cause.recent), count(cause.total));
        let code = if has_code { format!("{} ", cause.label) } else { String::new() };
        put(page, format_args!("{recent:>11}{total:>12}  {code}{}\n", cause.meaning));
    }
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("a string takes everything");
}
