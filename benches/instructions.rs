//! How many instructions the hot path takes, counted by callgrind, held against a baseline.
//!
//! ```text
//! cargo bench --bench instructions                     counts and compares; exit 1 when it grew
//! cargo bench --bench instructions -- --bless          writes `benches/instructions.json`
//! cargo bench --bench instructions -- --profile CASE   where the instructions of one case go
//! ```
//!
//! Needs valgrind and installs nothing. Each case is this binary run once more under
//! `valgrind --tool=callgrind`, which counts what [`callgrind::counted_by_callgrind`] calls and
//! nothing else: no warm-up, no set-up. The counts do not depend on what the machine does beside
//! it; they do depend on compiler, C library and valgrind, so the baseline says which it was made
//! with. Run any other way (`cargo test`) it plays every case once, without valgrind, so that none
//! can rot.
//!
//! Not `gungraun` (once `iai-callgrind`): it needs a runner binary of exactly its own version to be
//! installed beside it, and this is all that was wanted of it.

#[path = "instructions/baseline.rs"]
mod baseline;
#[path = "instructions/callgrind.rs"]
mod callgrind;
#[path = "instructions/cases.rs"]
mod cases;
#[path = "instructions/profile.rs"]
mod profile;
#[path = "rig/mod.rs"]
mod rig;

use std::process::ExitCode;

use baseline::Baseline;
use callgrind::Failure;
use cases::{CASES, Case};

/// As in `main.rs`: what allocates is counted with the server's allocator.
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: cargo bench --bench instructions -- [--bless | --profile CASE]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let is_bench = args.iter().any(|arg| arg == "--bench");
    let args: Vec<&str> = args.iter().map(String::as_str).filter(|arg| *arg != "--bench").collect();
    let outcome = match args[..] {
        [callgrind::PLAY, name] => case(name).map(callgrind::play).map(|()| ExitCode::SUCCESS),
        _ if !is_bench => {
            CASES.iter().for_each(|case| _ = (case.play)(1));
            baseline::check_comparison();
            Ok(ExitCode::SUCCESS)
        }
        [] => compare(),
        ["--bless"] => bless(),
        ["--profile", name] => case(name).and_then(print_profile),
        _ => Err(Failure(USAGE.into())),
    };
    outcome.unwrap_or_else(|Failure(why)| {
        eprintln!("{why}");
        ExitCode::from(2)
    })
}

fn case(name: &str) -> Result<&'static Case, Failure> {
    let known = || CASES.iter().map(|case| case.name).collect::<Vec<_>>().join(", ");
    let found = CASES.iter().find(|case| case.name == name);
    found.ok_or_else(|| Failure(format!("no case `{name}`; there are {}", known())))
}

fn measure() -> Result<Baseline, Failure> {
    let tools = baseline::tools()?;
    let runs = CASES.iter().map(callgrind::run).collect::<Result<Vec<_>, _>>()?;
    let cpu = runs[0].cpu.clone();
    let counts = CASES.iter().zip(&runs);
    let counts = counts.map(|(case, run)| (case.id(), run.per_unit()));
    Ok(Baseline { cpu, tools, counts: counts.collect() })
}

fn compare() -> Result<ExitCode, Failure> {
    let now = measure()?;
    let comparison = baseline::compare(&Baseline::read()?, &now);
    print!("{}{}", comparison.table, comparison.verdict);
    Ok(if comparison.is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn bless() -> Result<ExitCode, Failure> {
    let now = measure()?;
    if let Ok(before) = Baseline::read() {
        print!("{}", baseline::compare(&before, &now).table);
    }
    now.write()?;
    println!("written to {}", baseline::FILE);
    Ok(ExitCode::SUCCESS)
}

fn print_profile(case: &Case) -> Result<ExitCode, Failure> {
    let run = callgrind::run(case)?;
    print!("{}", profile::tables(&run, case.unit)?);
    Ok(ExitCode::SUCCESS)
}
