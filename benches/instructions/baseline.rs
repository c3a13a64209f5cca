//! The committed counts, what they were made with, and the comparison with what is counted now.
//!
//! Made with other tools, the same code has other counts: then the tolerance is wider. On another
//! architecture, or where valgrind shows a CPU with other vector instructions, libraries choose
//! code that the baseline knows nothing of: then nothing is compared, and the verdict says so.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::callgrind::{self, Failure, stdout_of};

/// Where the baseline is, from the root of the project.
pub(crate) const FILE: &str = "benches/instructions.json";

/// By how much a count may grow.
const TOLERANCE: f64 = 0.03;
/// The same where compiler, C library or valgrind are others.
const TOLERANCE_OTHER_TOOLS: f64 = 0.10;

/// Counts, and what has an influence on them beside the code.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Baseline {
    /// Architecture and vector instructions of the CPU that valgrind shows to a program.
    pub(crate) cpu: String,
    /// Compiler, C library and valgrind.
    pub(crate) tools: String,
    /// Instructions per unit of each case.
    pub(crate) counts: Vec<(String, f64)>,
}

/// What has become of a comparison.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) table: String,
    pub(crate) verdict: String,
    pub(crate) is_good: bool,
}

/// Compiler, C library and valgrind of this machine.
pub(crate) fn tools() -> Result<String, Failure> {
    let printed = |program: &str, arg: &str| {
        let mut command = Command::new(program);
        command.arg(arg);
        Ok(stdout_of(command)?.trim().to_owned())
    };
    let valgrind = callgrind::version()?;
    let rustc = std::env::var("RUSTC").unwrap_or("rustc".into());
    let (rustc, libc) = (printed(&rustc, "--version")?, printed("getconf", "GNU_LIBC_VERSION")?);
    Ok(format!("{rustc}, {libc}, valgrind {valgrind}"))
}

impl Baseline {
    /// The committed one.
    pub(crate) fn read() -> Result<Baseline, Failure> {
        let text = std::fs::read_to_string(path());
        let text = text.map_err(|error| Failure(format!("{FILE}: {error}; --bless makes it")))?;
        Baseline::parse(&text).ok_or_else(|| Failure(format!("{FILE}: not a baseline")))
    }

    fn parse(text: &str) -> Option<Baseline> {
        let json: Value = serde_json::from_str(text).ok()?;
        let text = |name: &str| Some(json.get(name)?.as_str()?.to_owned());
        let counts = json.get("instructions")?.as_object()?.iter();
        let counts = counts.map(|(name, count)| Some((name.clone(), count.as_f64()?)));
        let counts = counts.collect::<Option<_>>()?;
        Some(Baseline { cpu: text("cpu")?, tools: text("tools")?, counts })
    }

    /// Makes it the committed one.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let written = std::fs::write(path(), self.to_json());
        written.map_err(|error| Failure(format!("{FILE}: {error}")))
    }

    fn to_json(&self) -> String {
        let round = |count: f64| (count * 100.0).round() / 100.0;
        let counts = self.counts.iter().map(|(name, count)| (name.clone(), json!(round(*count))));
        let counts: Map<String, Value> = counts.collect();
        let json = json!({ "cpu": self.cpu, "tools": self.tools, "instructions": counts });
        serde_json::to_string_pretty(&json).expect("plain values") + "\n"
    }

    fn count(&self, name: &str) -> Option<f64> {
        self.counts.iter().find(|(other, _)| other == name).map(|(_, count)| *count)
    }
}

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE)
}

/// Holds `now` against `before`.
pub(crate) fn compare(before: &Baseline, now: &Baseline) -> Comparison {
    let tolerance = if before.tools == now.tools { TOLERANCE } else { TOLERANCE_OTHER_TOOLS };
    let heads = ["instructions per", "baseline", "now", "change"];
    let mut table =
        format!("{:<28} {:>12} {:>12} {:>10}\n", heads[0], heads[1], heads[2], heads[3]);
    let (mut grown, mut shrunk, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for (name, count) in &now.counts {
        let (base, change) = match before.count(name) {
            Some(base) => {
                let change = count / base - 1.0;
                let list = if change > 0.0 { &mut grown } else { &mut shrunk };
                list.extend((change.abs() > tolerance).then_some(name.as_str()));
                (format!("{base:.1}"), format!("{:+.2} %", change * 100.0))
            }
            None => {
                unknown.push(name.as_str());
                ("none".to_owned(), String::new())
            }
        };
        _ = writeln!(table, "{name:<28} {base:>12} {count:>12.1} {change:>10}");
    }
    let gone = before.counts.iter().map(|(name, _)| name.as_str());
    unknown.extend(gone.filter(|name| now.count(name).is_none()));
    if before.cpu != now.cpu {
        let verdict = format!("not compared: made for {}, this is {}\n", before.cpu, now.cpu);
        return Comparison { table, verdict, is_good: true };
    }
    let mut verdict = String::new();
    let mut say = |cases: &[&str], what: &str| {
        if !cases.is_empty() {
            _ = writeln!(verdict, "{what}: {}", cases.join(", "));
        }
    };
    say(&grown, "more than before; make it less, or say why and --bless");
    say(&shrunk, "less than before; --bless keeps it so");
    say(&unknown, "not in both; --bless");
    if before.tools != now.tools {
        _ = writeln!(verdict, "other tools: {}\nbaseline:    {}", now.tools, before.tools);
    }
    _ = writeln!(verdict, "tolerance: {:.0} %", tolerance * 100.0);
    Comparison { table, verdict, is_good: grown.is_empty() && unknown.is_empty() }
}

/// Shows that a comparison can fail, and when.
pub(crate) fn check_comparison() {
    let made = |cpu: &str, tools: &str, count: f64| Baseline {
        cpu: cpu.into(),
        tools: tools.into(),
        counts: vec![("a".into(), count)],
    };
    let before = made("x", "t", 100.0);
    let is_good = |now: Baseline| compare(&before, &now).is_good;
    assert!(is_good(made("x", "t", 102.9)) && is_good(made("x", "t", 50.0)));
    assert!(!is_good(made("x", "t", 103.1)));
    assert!(is_good(made("x", "other", 109.9)) && !is_good(made("x", "other", 110.1)));
    assert!(is_good(made("other", "t", 900.0)), "not comparable");
    assert!(!is_good(Baseline { counts: vec![("b".into(), 1.0)], ..before.clone() }));
    assert_eq!(Baseline::parse(&before.to_json()), Some(before));
}
