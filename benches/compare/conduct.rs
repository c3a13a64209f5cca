//! The measuring itself: one server and the load generator at a time, in rounds.
//!
//! C1. Within a round every server of a row runs once, right after the one before; the order moves
//!     on by one each round, so that nobody always comes first.
//! C2. A run that fails is written down as failed, and the others go on.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringwire::bench::report::{Machine, Report, units};

use super::Failure;
use super::args::Plan;
use super::build;
use super::child::{Running, free_port};
use super::host::{self, Jiffies, SmallPages};
use super::results::{Described, Measured, Results, Sample};
use super::rows::{Figure, Load, Row, Run};
use super::servers::{Launch, OURS, Server};
use super::stats;

/// What a run may take beyond what it measures: connecting, above all.
const EXTRA: Duration = Duration::from_secs(60);
/// Rounds of a row that is measured only to learn its rate.
const CALIBRATING_ROUNDS: u32 = 1;

/// Measures the plan.
pub(crate) fn all(plan: &Plan, servers: &[Server]) -> Result<Results, Failure> {
    host::raise_descriptors();
    let mut results = Results { machine: Machine::here(), ..Results::default() };
    for row in &plan.rows {
        let scheduled = match row.load {
            Load::Scheduled { half_of, .. } => Some(half(plan, servers, &results, half_of)?),
            Load::Echo { .. }
            | Load::Fanout { .. }
            | Load::Handshake { .. }
            | Load::Idle { .. } => None,
        };
        results.rows.extend(measure(plan, servers, row, scheduled, plan.rounds)?);
    }
    let takes_part = |server: &&Server| {
        let mut samples = results.rows.iter().flat_map(|row| &row.samples);
        samples.any(|sample| sample.server == server.name)
    };
    let described = |server: &Server| Described {
        name: server.name.clone(),
        label: server.label.clone(),
        version: version(&server.name),
    };
    results.servers = servers.iter().filter(takes_part).map(described).collect();
    Ok(results)
}

/// One row, of all servers that can do it; `None` when there is none.
fn measure(
    plan: &Plan,
    servers: &[Server],
    row: &Row,
    scheduled: Option<f64>,
    rounds: u32,
) -> Result<Option<Measured>, Failure> {
    let able = |server| Server::launch(server, &row.load).map(|launch| (server, launch));
    let able: Vec<(&Server, &Launch)> = servers.iter().filter_map(able).collect();
    if able.is_empty() {
        eprintln!("{}: none of these servers can do it", row.id);
        return Ok(None);
    }
    let mut measured = Measured {
        row: row.id.to_owned(),
        started_unix_ms: unix_ms(),
        command: plan.command.clone(),
        revision: revision(),
        seconds: plan.seconds,
        warmup: plan.warmup,
        rounds,
        load_average: host::load_average(),
        scheduled_per_second: scheduled,
        samples: Vec::new(),
    };
    for round in 0..rounds {
        for (server, launch) in in_turn(&able, round) {
            let before = Jiffies::now();
            let mut sample = match run(plan, row, launch, scheduled) {
                Ok(report) => Sample::of(&server.name, round, &report),
                Err(failure) => Sample::failed(&server.name, round, failure),
            };
            sample.stolen = Jiffies::now().stolen_since(before);
            progress(row, round, rounds, &sample);
            measured.samples.push(sample);
        }
    }
    Ok(Some(measured))
}

/// The order of a round (C1).
fn in_turn<T: Copy>(all: &[T], round: u32) -> impl Iterator<Item = T> + '_ {
    let first = round as usize % all.len().max(1);
    all.iter().cycle().skip(first).take(all.len()).copied()
}

fn run(
    plan: &Plan,
    row: &Row,
    launch: &Launch,
    per_second: Option<f64>,
) -> Result<Report, Failure> {
    let Some(base) = row.base() else { return once(plan, row, launch, per_second) };
    let _small = SmallPages::new();
    let base = once(plan, &base, launch, per_second)?;
    let mut report = once(plan, row, launch, per_second)?;
    if let (Some(server), Some(before)) = (&mut report.server, &base.server) {
        let (now, then) = (report.connections.established, base.connections.established);
        let bytes = server.rss_after_bytes.saturating_sub(before.rss_after_bytes);
        server.rss_bytes_per_connection =
            (now > then).then(|| bytes as f64 / now.saturating_sub(then) as f64);
    }
    report.faults.extend(base.faults);
    Ok(report)
}

/// One server, loaded once.
fn once(
    plan: &Plan,
    row: &Row,
    launch: &Launch,
    per_second: Option<f64>,
) -> Result<Report, Failure> {
    let folder = Scratch::new()?;
    let (port, said) = (free_port()?, folder.0.join("server"));
    let output = File::create(&said).map_err(|error| format!("the server's output: {error}"))?;
    let words: Vec<String> =
        launch.words.iter().map(|word| word.replace("{port}", &port.to_string())).collect();
    let mut server = Running::start(&words, plan.server_cpu, &output)?;
    server.await_port(port).map_err(|why| with_last_line(why, &said))?;
    let run = Run {
        port,
        path: launch.path,
        protocol: launch.protocol,
        seconds: plan.seconds,
        warmup: plan.warmup,
        per_second,
    };
    load(plan, row, &run, server.pid(), &folder)
}

/// Runs the load generator, and gives its report.
fn load(
    plan: &Plan,
    row: &Row,
    run: &Run<'_>,
    server_pid: u32,
    folder: &Scratch,
) -> Result<Report, Failure> {
    let (report, said) = (folder.0.join("report"), folder.0.join("generator"));
    let mut words = vec![build::ringwire(), "bench".into()];
    words.extend(row.arguments(run));
    words.extend(["--pin".into(), plan.generator_cpu.to_string()]);
    words.extend(["--server-pid".into(), server_pid.to_string()]);
    words.extend(["--json".into(), report.to_string_lossy().into_owned()]);
    // What an earlier run has left is not the report of this one.
    let _ = fs::remove_file(&report);
    let output = File::create(&said).map_err(|error| format!("the generator's output: {error}"))?;
    let mut generator = Running::start(&words, plan.generator_cpu, &output)?;
    let limit = Duration::from_secs_f64(run.seconds + run.warmup) + EXTRA;
    let status = generator
        .await_end(limit)
        .map_err(|why| with_last_line(format!("the generator {why}"), &said))?;
    let text = fs::read_to_string(&report).ok();
    let parsed = text.and_then(|text| serde_json::from_str(&text).ok());
    parsed.ok_or_else(|| with_last_line(format!("no report: {status}"), &said))
}

/// Half of the rate that Ringwire reaches in a row: as measured just now, or measured for this.
fn half(plan: &Plan, servers: &[Server], results: &Results, row: &str) -> Result<f64, Failure> {
    let known = results.rows.iter().find(|measured| measured.row == row);
    let rate = |measured: &Measured| {
        let ranking = stats::ranking(measured, Figure::Echoes);
        ranking.ours().and_then(|ours| ours.per_second)
    };
    if let Some(rate) = known.and_then(rate) {
        return Ok(rate / 2.0);
    }
    let usual = super::rows::row(row).ok_or_else(|| format!("there is no row `{row}`"))?;
    let row = if plan.is_tiny { usual.tiny() } else { *usual };
    let ours: Vec<Server> = servers.iter().filter(|server| server.name == OURS).cloned().collect();
    if ours.is_empty() {
        return Err(format!("a rate that is half of `{}` needs the server {OURS}", row.id));
    }
    let measured = measure(plan, &ours, &row, None, CALIBRATING_ROUNDS)?;
    let rate = measured.as_ref().and_then(rate);
    rate.map(|rate| rate / 2.0).ok_or_else(|| format!("`{}` could not be measured", row.id))
}

fn progress(row: &Row, round: u32, rounds: u32, sample: &Sample) {
    let Sample { server, per_second, .. } = sample;
    let said = match (sample.faults.first(), row.figure()) {
        (Some(fault), _) => format!("FAILED: {fault}"),
        (None, Figure::Memory) => {
            let bytes = sample.memory_bytes_per_connection.unwrap_or(f64::NAN);
            format!("{} each", units::bytes(bytes))
        }
        (None, Figure::Echoes | Figure::Deliveries | Figure::Handshakes | Figure::Latency) => {
            let latency = |us: Option<f64>| us.map_or("-".to_owned(), units::latency);
            let (p99, cpu) = (latency(sample.p99_us), latency(sample.cpu_us));
            format!("{}, p99 {p99}, {cpu} of the server's time each", units::rate(*per_second))
        }
    };
    eprintln!("{} {}/{rounds} {server}: {said}", row.id, round + 1);
}

/// A folder for one run, gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch, Failure> {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = path.join(format!("compare-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is in the way of nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn with_last_line(why: String, said: &Path) -> Failure {
    let text = fs::read_to_string(said).unwrap_or_default();
    match text.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) => format!("{why} ({})", units::printable(line)),
        None => why,
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The commit, with a plus sign when there are changes that are not in it.
fn revision() -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git")
            .args(["-C", env!("CARGO_MANIFEST_DIR")])
            .args(args)
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit}+") })
}

/// The version of what a server is made of, from the lock files of the peers.
fn version(server: &str) -> Option<String> {
    const CARGO: &str = include_str!("../peers/Cargo.lock");
    const NPM: &str = include_str!("../peers/js/package-lock.json");
    let package = match server {
        name if super::servers::is_ours(name) => return Some(env!("CARGO_PKG_VERSION").into()),
        "floor-uring" => "io-uring",
        "floor-epoll" => "rustix",
        "bun" | "ws" => {
            let lock: serde_json::Value = serde_json::from_str(NPM).ok()?;
            let version = &lock["packages"][format!("node_modules/{server}")]["version"];
            return version.as_str().map(str::to_owned);
        }
        name => name,
    };
    // The last one, for the newest stands last where there are several.
    let (_, rest) = CARGO.rsplit_once(&format!("name = \"{package}\"\nversion = \""))?;
    rest.split('"').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_begins_with_another_server() {
        let orders: Vec<String> =
            (0..4).map(|round| in_turn(&['a', 'b', 'c'], round).collect()).collect();
        assert_eq!(orders, ["abc", "bca", "cab", "abc"]);
        assert_eq!(in_turn::<char>(&[], 3).count(), 0);
    }

    #[test]
    fn versions_are_those_of_the_lock_files() {
        for server in ["floor-uring", "floor-epoll", "tokio-tungstenite", "bun", "ws", "ringwire"] {
            let version = version(server).unwrap_or_else(|| panic!("{server}: none"));
            assert!(version.split('.').count() >= 3, "{server}: {version}");
        }
        assert_eq!(version("of-ones-own"), None);
    }
}
