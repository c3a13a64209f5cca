//! What a reader has to know first: the verdict, a handful of figures, how the run was set up.
//! Text and page show the same, so both take it from here.

use super::model::{Connections, LatencySummary, Report, Scenario, ServerUsage, Settings};
use super::units::{amount, bytes, duration, grouped, latency, rate, trimmed};

/// A figure with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What it is.
    pub label: &'static str,
    /// The figure with its unit.
    pub value: String,
    /// What belongs to it.
    pub detail: String,
}

fn figure(label: &'static str, value: String, detail: String) -> Figure {
    Figure { label, value, detail }
}

/// One sentence on whether the run was good, and how much of it there was.
pub fn verdict(report: &Report) -> String {
    if report.ok() { praise(report) } else { blame(report) }
}

fn praise(report: &Report) -> String {
    let Connections { established, .. } = report.connections;
    let seconds = duration(report.measured_seconds);
    let received = report.messages.map_or(0, |messages| messages.received);
    match report.scenario {
        Scenario::Idle => {
            format!("{} connections held for {seconds}; none lost", grouped(established))
        }
        Scenario::Handshake => {
            format!("{} connections opened and closed; none failed", grouped(established))
        }
        Scenario::Echo => format!(
            "{} echoes in {seconds}; none lost, duplicated, reordered or corrupted",
            grouped(received)
        ),
        Scenario::Fanout => format!(
            "{} deliveries in {seconds}; none lost, duplicated, reordered or corrupted",
            grouped(received)
        ),
    }
}

fn blame(report: &Report) -> String {
    let Connections { asked, established, failed, lost, .. } = report.connections;
    let mut said = Vec::new();
    if failed > 0 {
        said.push(format!("{} of {} connections failed", grouped(failed), grouped(asked)));
    } else if established < asked {
        said.push(format!(
            "{} of {} connections established",
            grouped(established),
            grouped(asked)
        ));
    }
    if lost > 0 {
        said.push(format!("{} ended early", connections(lost)));
    }
    let faults = report.faults_total();
    if faults > 0 {
        let plural = if faults == 1 { "" } else { "s" };
        said.push(format!("{} fault{plural}", grouped(faults)));
    }
    said.join("; ")
}

fn connections(count: u64) -> String {
    if count == 1 { "1 connection".into() } else { format!("{} connections", grouped(count)) }
}

/// What is timed, in the plural.
pub fn timed(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::Idle | Scenario::Handshake => "handshakes",
        Scenario::Echo => "echoes",
        Scenario::Fanout => "deliveries",
    }
}

/// The figures that matter most in this scenario, the most important first.
pub fn figures(report: &Report) -> Vec<Figure> {
    let mut figures = match report.scenario {
        Scenario::Idle => vec![connected(report), connect_rate("opened", report)],
        Scenario::Handshake => vec![connect_rate("handshakes", report)],
        Scenario::Echo => received("echoes", report),
        Scenario::Fanout => {
            let mut figures = received("deliveries", report);
            figures.extend(sent("published", report));
            figures
        }
    };
    figures.extend(report.messages.and_then(compressed));
    figures.extend(report.latency_us.iter().flat_map(tail));
    figures.extend(report.server.iter().flat_map(|server| used(report, server)));
    if matches!(report.scenario, Scenario::Echo | Scenario::Fanout) {
        figures.push(connected(report));
    }
    figures
}

fn received(label: &'static str, report: &Report) -> Vec<Figure> {
    let one = |messages: super::Messages| {
        figure(
            label,
            rate(messages.received_per_second),
            format!("{} in {}", grouped(messages.received), duration(report.measured_seconds)),
        )
    };
    report.messages.map(one).into_iter().collect()
}

fn sent(label: &'static str, report: &Report) -> Vec<Figure> {
    let one = |messages: super::Messages| {
        figure(label, rate(messages.sent_per_second), format!("{} sent", grouped(messages.sent)))
    };
    report.messages.map(one).into_iter().collect()
}

fn compressed(messages: super::Messages) -> Option<Figure> {
    let each = messages.compressed_bytes_per_message?;
    let detail = format!(
        "of a compressed message on the wire; {} of {} came so",
        grouped(messages.compressed_total?),
        grouped(messages.received_total)
    );
    Some(figure("mean size", trimmed(bytes(each)), detail))
}

fn connected(report: &Report) -> Figure {
    let Connections { asked, established, connect_seconds, .. } = report.connections;
    let detail = format!("of {}, in {}", grouped(asked), duration(connect_seconds));
    figure("connections", grouped(established), detail)
}

fn connect_rate(label: &'static str, report: &Report) -> Figure {
    let Connections { established, connect_seconds, per_second, .. } = report.connections;
    let detail = format!("{} in {}", grouped(established), duration(connect_seconds));
    figure(label, rate(per_second), detail)
}

fn tail(summary: &LatencySummary) -> Vec<Figure> {
    vec![
        figure("latency p50", latency(summary.p50), format!("mean {}", latency(summary.mean))),
        figure("latency p99", latency(summary.p99), format!("p90 {}", latency(summary.p90))),
        figure(
            "latency p99.9",
            latency(summary.p99_9),
            format!("p99.99 {}", latency(summary.p99_99)),
        ),
        figure("latency max", latency(summary.max), format!("of {}", grouped(summary.count))),
    ]
}

fn used(report: &Report, server: &ServerUsage) -> Vec<Figure> {
    let cores = if report.measured_seconds > 0.0 {
        format!("{} cores", amount(server.cpu_seconds / report.measured_seconds))
    } else {
        duration(server.cpu_seconds)
    };
    let each = match report.scenario {
        Scenario::Idle | Scenario::Echo => "server CPU per message",
        Scenario::Handshake => "server CPU per connection",
        Scenario::Fanout => "server CPU per delivery",
    };
    let cpu = match server.cpu_us_per_message {
        Some(us) => figure(each, latency(us), cores),
        None => figure("server CPU", cores, format!("{} in all", duration(server.cpu_seconds))),
    };
    let each = server.rss_bytes_per_connection;
    let each = each.map(|each| format!("{} per connection", bytes(each))).unwrap_or_default();
    vec![cpu, figure("server memory", bytes(server.rss_after_bytes as f64), each)]
}

/// How the run was asked for, in the order in which one would say it; without what does not apply.
pub fn settings(settings: &Settings) -> Vec<(&'static str, String)> {
    let is_any = |seconds: &f64| *seconds > 0.0;
    let number = |count: u64| grouped(count);
    let seconds = |seconds: f64| duration(seconds);
    let per_second = |per_second: f64| trimmed(rate(per_second));
    let pin = (!settings.pin.is_empty())
        .then(|| settings.pin.iter().map(usize::to_string).collect::<Vec<_>>().join(", "));
    let frames = settings.text.map(|text| if text { "text" } else { "binary" }.to_owned());
    let all = [
        ("URL", Some(settings.urls.join(" "))),
        ("connections", Some(grouped(settings.connections))),
        ("rings", Some(grouped(settings.rings))),
        ("pinned to CPU", pin),
        ("source", settings.source.clone()),
        ("publishers", settings.publishers.map(number)),
        ("topics", settings.topics.map(number)),
        ("subscribers per topic", settings.subscribers_per_topic.map(number)),
        ("protocol", settings.protocol.clone()),
        ("compression", settings.compression.clone()),
        ("payload", settings.bytes.map(|size| trimmed(bytes(size as f64)))),
        ("frames", frames),
        ("in flight", settings.in_flight.map(number)),
        ("rate asked for", settings.rate_per_second.map(per_second)),
        ("all together every", settings.together_every_seconds.map(seconds)),
        ("connect rate", settings.connect_rate_per_second.map(per_second)),
        ("close by", settings.close.clone()),
        ("warm-up", settings.warmup_seconds.filter(is_any).map(seconds)),
        ("duration", settings.duration_seconds.map(seconds)),
        ("hold", settings.hold_seconds.filter(is_any).map(seconds)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The machine in one line.
pub fn machine(report: &Report) -> String {
    let machine = &report.machine;
    let cpu = if machine.cpu.is_empty() { "unknown CPU" } else { &machine.cpu };
    let cores = if machine.cores == 1 { "core" } else { "cores" };
    let memory = trimmed(bytes(machine.memory_bytes as f64));
    format!("{cpu}, {} {cores}, {memory}, Linux {}", machine.cores, machine.kernel)
}
