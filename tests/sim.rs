//! The whole server under simulated faults, seed after seed.
//!
//! | variable | what it does |
//! |---|---|
//! | `SIM_SEED=N` | runs this seed alone and prints everything that happens in it |
//! | `SIM_SEEDS=N` | runs so many seeds, from `SIM_FROM` on (0) |
//! | `SIM_STEPS=N` | steps of each run |
//! | `SIM_JOBS=N` | threads that share the seeds |
//! | `SIM_FAILURES=N` | goes on until so many seeds have failed (1) |
//!
//! A failure names its seed, its step and how to see it again. The long sweep:
//! `SIM_SEEDS=10000 SIM_STEPS=5000 SIM_JOBS=2 cargo test --release --test sim`

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use ringwire::metrics::Metric;
use ringwire::sim::{Canary, Failure, Order, Report, run};

/// What `cargo test` runs: a few seconds.
const SEEDS: u64 = 150;
const STEPS: u64 = 1_000;
/// What happens so rarely that a sweep need not see it: once in hundreds of runs, or in thousands.
const RARE: [Metric; 4] =
    [Metric::PingsDropped, Metric::LastWordsLost, Metric::LaneDepth, Metric::FaultDeflateRatio];
/// What no run leads to: shells and drivers count it, no part of the server says it yet, or it is a
/// level that is zero in the end.
const UNREACHED: [Metric; 28] = [
    Metric::ClosedPositionLost,
    Metric::ClosedTokenExpired,
    Metric::ClosedUnauthorized,
    Metric::ClosedLimit,
    Metric::ClosedByOperator,
    Metric::ClosedInternal,
    Metric::ClosedUnsupportedData,
    Metric::RefusedUnauthorized,
    Metric::RefusedForbidden,
    Metric::RefusedTooManyFromAddress,
    Metric::RefusedByApplication,
    Metric::FaultMasked,
    Metric::ErrorUnauthorized,
    Metric::ErrorForbidden,
    Metric::ErrorRateLimited,
    Metric::ErrorUnavailable,
    Metric::ErrorInternal,
    Metric::LoopBusyMicroseconds,
    Metric::CompressionMicroseconds,
    Metric::InflateMicroseconds,
    Metric::ShardsRunning,
    Metric::DirectDescriptors,
    Metric::CqOverflow,
    Metric::SqFull,
    Metric::ConnectionsOpen,
    Metric::Subscriptions,
    Metric::EgressQueuedBytes,
    Metric::IngressPartialBytes,
];
/// Seeds within which a bug has to be found that was put in on purpose.
const CANARY_SEEDS: u64 = 60;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

fn order(seed: u64) -> Order {
    let steps = number("SIM_STEPS").unwrap_or(STEPS);
    Order { seed, steps, canary: None, prints: false }
}

fn explain(failure: &Failure) -> String {
    let (seed, steps) = (failure.seed, order(0).steps);
    format!("{failure}\nto see it: SIM_SEED={seed} SIM_STEPS={steps} cargo test --test sim sweep")
}

/// Runs all seeds of a range, on so many threads, until enough have failed.
fn sweep_over(seeds: std::ops::Range<u64>, jobs: u64) -> (Report, Vec<Failure>) {
    let failures_max = number("SIM_FAILURES").unwrap_or(1) as usize;
    let (next, is_over) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let result = Mutex::new((Report::default(), Vec::new()));
    let work = || {
        while !is_over.load(Relaxed) {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds.end {
                return;
            }
            let outcome = run(order(seed));
            let mut result = result.lock().expect("nobody panics with it");
            match outcome {
                Ok(report) => result.0 += report,
                Err(failure) => result.1.push(failure),
            }
            is_over.fetch_or(result.1.len() >= failures_max, Relaxed);
        }
    };
    std::thread::scope(|scope| {
        (1..jobs).for_each(|_| _ = scope.spawn(work));
        work();
    });
    result.into_inner().expect("nobody panics with it")
}

#[test]
fn a_sweep_over_seeds_finds_nothing() {
    if let Some(seed) = number("SIM_SEED") {
        let report = run(Order { prints: true, ..order(seed) });
        let report = report.unwrap_or_else(|failure| panic!("{}", explain(&failure)));
        return println!("{report:?}");
    }
    let (first, count) = (number("SIM_FROM").unwrap_or(0), number("SIM_SEEDS").unwrap_or(SEEDS));
    let jobs = number("SIM_JOBS").unwrap_or(1);
    let (sum, failures) = sweep_over(first..first + count, jobs);
    let explained: Vec<String> = failures.iter().map(explain).collect();
    assert!(failures.is_empty(), "{}", explained.join("\n"));
    let Report { hash, turns, clients, deliveries, probes, counts } = sum;
    println!("{count} seeds, {turns} turns, {clients} clients, {deliveries} deliveries");
    println!("{probes} probes, hash {hash:016x}");
    let reached = |metric: &&Metric| counts[metric.index()] > 0;
    let (there, missing): (Vec<&Metric>, Vec<&Metric>) = Metric::ALL.iter().partition(reached);
    let is_unreached = |metric: &Metric| UNREACHED.contains(metric);
    for metric in there {
        println!("{metric:?}: {}", counts[metric.index()]);
        assert!(!is_unreached(metric), "{metric:?} is among what no run leads to");
    }
    let missing = missing.iter().filter(|metric| !RARE.contains(metric) && !is_unreached(metric));
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty() || count < SEEDS, "never happened: {missing:?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let reports = |_| (0..8).map(|seed| run(order(seed)).ok()).collect::<Vec<_>>();
    let [first, second] = [0, 1].map(reports);
    assert_eq!(first, second);
    let mut hashes: Vec<u64> = first.iter().flatten().map(|report| report.hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), first.len(), "different seeds are different runs");
}

/// What the check says that is to find a bug.
fn sign_of(canary: Canary) -> &'static str {
    match canary {
        Canary::DropsAnOctet => "not JSON",
        Canary::CountsOneTooMany => "a frame of the server's is whole",
        Canary::ReceivesTwice | Canary::SwapsReceived => "closed with Some(100",
        Canary::ForgetsTheEnd | Canary::ForgetsTheClose => "descriptors are left",
        Canary::LosesWakes => "has not come",
        Canary::TellsAWrongOffset => "from Place",
        Canary::MissesTheLast => "without",
        Canary::MissesAcks => "answers are missing",
        Canary::TakesAcksForRefusals => "was refused, but",
        Canary::TakesAllForOne => "comes behind",
    }
}

/// A simulator that finds nothing has to show that it would: by the check that is meant, in a run
/// that is fine without the bug.
#[test]
fn bugs_that_are_put_in_on_purpose_are_found() {
    for canary in Canary::ALL {
        let finds = |seed: u64| {
            let failure = run(Order { canary: Some(canary), ..order(seed) }).err()?;
            let is_meant = failure.what.contains(sign_of(canary));
            (is_meant && run(order(seed)).is_ok()).then_some(failure)
        };
        let found = (0..CANARY_SEEDS).find_map(finds);
        let found = found.unwrap_or_else(|| panic!("{canary:?} was not found"));
        println!("{canary:?}: {found}");
    }
}

/// The table of what the simulated kernel assumes names tests that exist.
#[test]
fn every_assumption_of_the_kernel_is_held_by_a_contract_test() {
    let table = include_str!("../src/sim/mod.rs");
    let contract = [
        include_str!("ring_contract/accept.rs"),
        include_str!("ring_contract/main.rs"),
        include_str!("ring_contract/recv.rs"),
        include_str!("ring_contract/send.rs"),
        include_str!("ring_contract/teardown.rs"),
        include_str!("ring_contract/wake.rs"),
    ];
    let list = table.split("//! - K").skip(1).map(|item| item.split("\n\n").next().unwrap());
    let mut named = 0;
    for item in list {
        let names = item.split('`').skip(1).step_by(2).filter(|name| !name.contains("::"));
        let before = named;
        for test in names {
            let is_there = contract.iter().any(|text| text.contains(&format!("fn {test}()")));
            assert!(is_there, "{test} is named, but there is none");
            named += 1;
        }
        assert!(named > before || item.contains("std::time::Instant"), "K{item}");
    }
    assert!(named > 20, "{named}");
}
