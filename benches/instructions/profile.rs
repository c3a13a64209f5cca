//! Where the instructions of a case go, as two tables by function.
//!
//! Nearly all of the hot path is inlined, and much of it is the standard library's code, so what
//! the linker takes for a function says little. Here each instruction is counted for the functions
//! of ours that it was inlined into, as the debug information has them: innermost for what a
//! function does itself, all of them for what it does with all that it calls. What is neither ours
//! nor inlined into ours (`memcpy`, the allocator) stands by its linked name.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::callgrind::{Failure, Run, stdout_of};

/// What is not worth a row.
const SHARE_MIN: f64 = 0.003;
/// Rows of a table.
const ROWS_MAX: usize = 60;
/// Addresses that are looked up at once: they are arguments of one command.
const LOOKED_UP_AT_ONCE: usize = 4096;

/// Counts by name.
type Sums = HashMap<String, u64>;

/// A line of callgrind's output, where it counts something.
struct Cost<'a> {
    linked_function: &'a str,
    /// `None` outside of this binary.
    address: Option<&'a str>,
    count: u64,
    /// What a call took, and not the instruction itself.
    is_call: bool,
}

/// Both tables, per unit.
pub(crate) fn tables(run: &Run, unit: &str) -> Result<String, Failure> {
    let costs = costs(&run.text);
    let chains = chains(&costs)?;
    let (mut own, mut with_calls) = (Sums::new(), Sums::new());
    for cost in &costs {
        let linked = [cost.linked_function.to_owned()];
        let chain = cost.address.and_then(|address| chains.get(address));
        let chain =
            chain.map_or(&linked[..], |chain| if chain.is_empty() { &linked } else { chain });
        if !cost.is_call {
            *own.entry(chain[0].clone()).or_default() += cost.count;
        }
        for function in chain.iter().collect::<BTreeSet<_>>() {
            *with_calls.entry(function.clone()).or_default() += cost.count;
        }
    }
    let mut out = format!("{:.1} instructions per {unit}\n", run.per_unit());
    write_table(&mut out, run, "itself", own);
    // What does everything is what plays the case.
    with_calls.retain(|name, count| *count < run.instructions && !name.starts_with("benches/"));
    write_table(&mut out, run, "with all that it calls", with_calls);
    Ok(out)
}

fn write_table(out: &mut String, run: &Run, title: &str, sums: Sums) {
    let mut rows: Vec<(String, u64)> = sums.into_iter().collect();
    rows.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    _ = writeln!(out, "\n{title}");
    for (name, count) in rows.into_iter().take(ROWS_MAX) {
        let per_unit = count as f64 / run.units as f64;
        let share = count as f64 / run.instructions as f64;
        if share >= SHARE_MIN {
            _ = writeln!(out, "{per_unit:>9.1} {:>5.1} %  {name}", share * 100.0);
        }
    }
}

fn costs(text: &str) -> Vec<Cost<'_>> {
    let binary = std::env::current_exe().unwrap_or_default();
    let (mut is_binary, mut linked_function, mut is_call) = (false, "", false);
    let mut costs = Vec::new();
    for line in text.lines() {
        match line.split_once('=') {
            Some(("ob", object)) => is_binary = Path::new(object) == binary,
            Some(("fn", name)) => linked_function = name,
            Some(("calls", _)) => is_call = true,
            Some(_) => {}
            None => {
                let Some((address, count)) = line.split_once(' ') else { continue };
                let Ok(count) = count.parse() else { continue };
                if address.starts_with("0x") {
                    let address = is_binary.then_some(address);
                    let is_call = std::mem::take(&mut is_call);
                    costs.push(Cost { linked_function, address, count, is_call });
                }
            }
        }
    }
    costs
}

/// By address: the functions of ours that it was inlined into, innermost first.
fn chains(costs: &[Cost<'_>]) -> Result<HashMap<String, Vec<String>>, Failure> {
    let addresses: BTreeSet<&str> = costs.iter().filter_map(|cost| cost.address).collect();
    let addresses: Vec<&str> = addresses.into_iter().collect();
    let (mut chains, mut sources) = (HashMap::new(), Sources::default());
    for some in addresses.chunks(LOOKED_UP_AT_ONCE) {
        let mut command = Command::new("addr2line");
        command.args(["--addresses", "--inlines", "--functions", "--exe"]);
        command.arg(std::env::current_exe().unwrap_or_default()).args(some);
        let printed = stdout_of(command)?;
        let (mut asked, mut chain) = (some.iter(), None);
        let mut lines = printed.lines();
        while let Some(line) = lines.next() {
            if line.starts_with("0x") {
                let address = *asked.next().expect("one answer for each address");
                chain = Some(chains.entry(address.to_owned()).or_insert_with(Vec::new));
            } else if let Some(place) = lines.next()
                && let Some(function) = sources.function_at(place)
                && let Some(chain) = &mut chain
            {
                chain.push(function);
            }
        }
    }
    Ok(chains)
}

/// Source files of ours, read once.
#[derive(Default)]
struct Sources {
    lines: HashMap<String, Vec<String>>,
}

impl Sources {
    /// `file: function`, if `place` (as `file:line`) is in a file of ours.
    fn function_at(&mut self, place: &str) -> Option<String> {
        let inside = place.strip_prefix(env!("CARGO_MANIFEST_DIR"))?.strip_prefix('/')?;
        let (file, line) = inside.split_once(':')?;
        // Where the line is not known, the next function of the chain has to do.
        let line: usize = line.split(' ').next()?.parse().ok()?;
        let lines = self.lines.entry(file.to_owned()).or_insert_with(|| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        });
        let mut before = lines.iter().take(line).rev();
        let is_derived = lines.get(line.wrapping_sub(1))?.trim_start().starts_with("#[derive");
        let function = before.find_map(|line| function_of(line)).filter(|_| !is_derived);
        Some(format!("{file}: {}", function.unwrap_or("(derived)")))
    }
}

/// The name of the function that a line begins.
fn function_of(line: &str) -> Option<&str> {
    let (before, after) = line.trim_start().split_once("fn ")?;
    let is_head = before.chars().all(|c| c.is_alphanumeric() || " ()_:".contains(c));
    let name = after.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (is_head && !name.is_empty()).then_some(name)
}
