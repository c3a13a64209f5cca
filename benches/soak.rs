//! A server for half an hour under everything at once: churn, fan-out, slow readers, and witnesses
//! that check every message. Nothing may grow, nothing may be lost, and in the end every account
//! is zero.
//!
//! ```text
//! cargo bench --bench soak                                  30 minutes
//! cargo bench --bench soak -- --minutes 120 --html soak.html
//! ```
//!
//! Prints for each series its level, what it has grown by after the first five minutes (a third, if
//! that is less), and how much of that may be noise; writes a page with plots. Exit code 1 when
//! something grew, was lost or was not given back. `RINGWIRE_BIN` names another server binary. The
//! kernel's slabs are counted for the whole host, and only for root: what can't be read is not
//! judged. Run any other way (`cargo test`) it does a few seconds, too few to judge growth, so that
//! it can't rot.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "soak/load.rs"]
mod load;
#[path = "soak/page.rs"]
mod page;
#[path = "../tests/bench/run.rs"]
#[allow(dead_code, reason = "the load generator's own tests look closer at a report")]
mod run;
#[path = "soak/sample.rs"]
mod sample;
#[path = "soak/slow.rs"]
mod slow;
#[path = "soak/trend.rs"]
mod trend;
#[path = "../tests/faults/witnesses.rs"]
#[allow(dead_code, reason = "the tests of faults need more witnesses")]
mod witnesses;

use common::{SOON, Server, poll};
use load::Load;
use sample::{Quantity, Sampler};
use trend::Trend;

/// Times for caches, tables and pools to fill.
const SETTLING_MAX: Duration = Duration::from_secs(300);
/// Below this nothing can be said of growth.
const JUDGED_MIN: Duration = Duration::from_secs(60);
const SAMPLES: u32 = 360;
const FLAGS: [&str; 10] = [
    "--shards",
    "2",
    "--max-connections",
    "4096",
    "--egress-total-bytes-max",
    "67108864",
    "--heartbeat-interval-ms",
    "10000",
    // Slow readers answer none: they are to be found too slow, not dead.
    "--heartbeat-timeout-ms",
    "3600000",
];

struct Plan {
    duration: Duration,
    html: PathBuf,
}

fn main() -> ExitCode {
    let plan = plan(&std::env::args().skip(1).collect::<Vec<_>>());
    let server = Server::serve(&FLAGS);
    println!("{:?} of churn, fan-out and slow readers, {}", plan.duration, server.url());
    let mut sampler = Sampler::start(&server);
    let load = Load::start(&server, plan.duration);
    let interval = (plan.duration / SAMPLES).clamp(Duration::from_secs(1), Duration::from_secs(5));
    while sampler.elapsed() < plan.duration {
        // Not to wait for something: samples are taken so often.
        std::thread::sleep(interval);
        sampler.sample(&server);
        load.assert_alive();
    }
    load.finish(&server);
    let is_settled = are_accounts_zero(&server, &sampler);
    let has_grown = judge(&sampler);
    std::fs::write(&plan.html, page::page(&sampler)).expect("the page can be written");
    println!("plots: {}", plan.html.display());
    server.stop();
    if is_settled && !has_grown { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn plan(args: &[String]) -> Plan {
    let value = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        Some(args.get(at + 1).unwrap_or_else(|| panic!("{name} needs a value")))
    };
    let is_bench = args.iter().any(|arg| arg == "--bench");
    let minutes = value("--minutes").map(|text| text.parse::<f64>().expect("--minutes NUMBER"));
    let usual = if is_bench { 30.0 } else { 0.05 };
    let html = value("--html").map(PathBuf::from);
    let usual_html = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak.html");
    Plan {
        duration: Duration::from_secs_f64(minutes.unwrap_or(usual) * 60.0),
        html: html.unwrap_or(usual_html),
    }
}

/// When everybody has gone, nothing of them is left.
fn are_accounts_zero(server: &Server, sampler: &Sampler) -> bool {
    let mut left = Vec::new();
    let all_zero = poll(SOON, || {
        left = Quantity::ACCOUNTS
            .iter()
            .filter_map(|quantity| {
                let (now, before) = (quantity.read(server), sampler.before(*quantity));
                (now != before).then(|| format!("{}: {now:?}, not {before:?}", quantity.name()))
            })
            .collect();
        left.is_empty().then_some(())
    });
    match all_zero {
        Some(()) => println!("accounts at the end: as at the beginning"),
        None => println!("NOT GIVEN BACK: {}", left.join("; ")),
    }
    all_zero.is_some()
}

/// Says of each quantity whether it has grown; true if any has.
fn judge(sampler: &Sampler) -> bool {
    let (from, until) = sampler.judged();
    if until - from < JUDGED_MIN.as_secs_f64() {
        println!("too short to judge growth");
        return false;
    }
    println!("from {from:.0} s to {until:.0} s:");
    println!("{:<28} {:>14} {:>14} {:>14}  verdict", "", "level", "growth", "noise");
    let mut has_grown = false;
    for quantity in Quantity::ALL {
        let points = sampler.points(*quantity);
        let judged: Vec<_> = points.into_iter().filter(|(at, _)| *at >= from).collect();
        let Some(trend) = Trend::of(&judged) else {
            println!("{:<28} NOT JUDGED: it can't be read here", quantity.name());
            continue;
        };
        let verdict = match (quantity.is_judged(), trend.has_grown()) {
            (false, _) => "",
            (true, false) => "steady",
            (true, true) => "GROWS",
        };
        has_grown |= quantity.is_judged() && trend.has_grown();
        let [level, growth, noise] = [trend.level, trend.growth, trend.noise]
            .map(|value| quantity.unit().say(value.abs()))
            .map(|text| text.to_string());
        let sign = if trend.growth < 0.0 { "-" } else { "+" };
        println!(
            "{:<28} {level:>14} {:>14} {:>14}  {verdict}",
            quantity.name(),
            format!("{sign}{growth}"),
            format!("±{noise}"),
        );
    }
    has_grown
}
