//! `ringwire doctor`: what a number of connections needs of this host, and the line that sets it.

use std::io::Write;

use serde::Serialize;

use super::effective::Effective;
use super::engine_args::EngineArgs;
use super::{CliError, show_warnings};
use crate::server::Config;
use crate::server::host::{Finding, HostMemory, Verdict, Wanted, examine, gather, grouped};
use crate::server::plan;

const COLUMNS: usize = 100;
/// Where a finding's text begins.
const INDENT: usize = 9;
/// How wide the names of its parts are.
const NAME: usize = 7;
const SYSCTL_NOTE: &str = "\
sysctl -w lasts until the next boot. What shall stay belongs into /etc/sysctl.d. The values for a
million connections are in /usr/share/ringwire/60-ringwire.conf (in the sources: sysctl/).";

/// Its arguments.
#[derive(Clone, Debug, clap::Args)]
pub struct DoctorArgs {
    /// How many connections there shall be, instead of server.max_connections
    #[arg(long, value_name = "N")]
    pub connections: Option<u32>,
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
    /// The engine's settings.
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// What is printed.
#[derive(Serialize)]
struct Report<'a> {
    connections: u32,
    shards: u16,
    /// Whether so many connections fit.
    fits: bool,
    checks: &'a [Finding],
}

/// Looks and tells; an error when something is short.
pub fn run(args: &DoctorArgs, output: &mut dyn Write) -> Result<(), CliError> {
    let wanted = wanted(args)?;
    let facts = gather(&wanted.needs);
    let findings = examine(&facts, &wanted);
    let (connections, shards) = (wanted.config.connections_max, wanted.config.shards);
    let short = count(&findings, Verdict::Short);
    let text = if args.json {
        let fits = short == 0;
        let report = Report { connections, shards, fits, checks: &findings };
        serde_json::to_string_pretty(&report).map_err(CliError::runtime)? + "\n"
    } else {
        page(connections, shards, &findings)
    };
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(CliError::runtime)?;
    if short == 0 {
        return Ok(());
    }
    let connections = grouped(connections.into());
    Err(CliError::runtime(format!("this host is short of what {connections} connections need")))
}

/// The configuration as `serve` would have it. That its memory does not fit is a finding here.
fn wanted(args: &DoctorArgs) -> Result<Wanted, CliError> {
    let memory_bytes = HostMemory::read().map(|memory| memory.limit_bytes());
    let mut defaults = Config::default();
    let mut engine = args.engine.clone();
    if let Some(connections) = args.connections {
        defaults.connections_max = connections;
        // It says what is asked for, whatever flags, environment and file say.
        let key = super::keys::KEYS.iter().find(|key| key.flag == "max-connections");
        let key = key.expect("the catalog has it");
        engine.flags.retain(|(given, _)| given.flag != key.flag);
        engine.flags.push((key, vec![connections.to_string()]));
    }
    let (settings, effective) =
        Effective::load(&engine, &defaults, memory_bytes, std::env::vars_os())?;
    show_warnings(&settings);
    let needs = plan::needs(&effective.config);
    Ok(Wanted { config: effective.config, needs })
}

fn count(findings: &[Finding], verdict: Verdict) -> usize {
    findings.iter().filter(|finding| finding.verdict == verdict).count()
}

/// The findings for people: how it looks in one line, then each, what is short first.
fn page(connections: u32, shards: u16, findings: &[Finding]) -> String {
    let plural = if shards == 1 { "shard" } else { "shards" };
    let counted = |verdict| match (verdict, count(findings, verdict)) {
        (Verdict::Short, 0) => Some("nothing is short".to_owned()),
        (_, 0) => None,
        (Verdict::Short, n) => Some(format!("{n} short")),
        (Verdict::Advice, n) => Some(format!("{n} could be better")),
        (Verdict::Unknown, n) => Some(format!("{n} unknown")),
        (Verdict::Good, n) => Some(format!("{n} good")),
    };
    let counts = Verdict::ALL.into_iter().filter_map(counted).collect::<Vec<_>>().join(", ");
    let mut page = format!("{} connections on {shards} {plural}: ", grouped(connections.into()));
    page.push_str(&format!("{counts}\n"));
    for verdict in Verdict::ALL {
        for finding in findings.iter().filter(|finding| finding.verdict == verdict) {
            page.push_str(&match verdict {
                Verdict::Short | Verdict::Advice | Verdict::Unknown => paragraph(finding),
                Verdict::Good => short_paragraph(finding),
            });
        }
    }
    let is_sysctl = |finding: &Finding| finding.fix.iter().any(|l| l.starts_with("sysctl -w "));
    if findings.iter().any(is_sysctl) {
        page.push_str(&format!("\n{SYSCTL_NOTE}\n"));
    }
    page
}

fn paragraph(finding: &Finding) -> String {
    let Finding { check, verdict, is, needs, why, fix } = finding;
    let mut text = format!("\n{:<INDENT$}{check}\n", verdict.word());
    let start = |name: &str| format!("{:INDENT$}{name:<NAME$}", "");
    for (name, value) in [("is", is.as_str()), ("needs", needs), ("why", why)] {
        text.push_str(&wrapped(&start(name), value));
    }
    for (index, line) in fix.iter().enumerate() {
        let name = if index == 0 { "do" } else { "" };
        // What is to be typed is never broken.
        text.push_str(&format!("{}{line}\n", start(name)));
    }
    text
}

/// What is as it should be takes less room.
fn short_paragraph(finding: &Finding) -> String {
    let Finding { check, verdict, is, needs, why, fix: _ } = finding;
    let start = format!("{:<INDENT$}", verdict.word());
    let first = wrapped(&start, &format!("{check}: {is} (needs {needs})"));
    format!("\n{first}{}", wrapped(&" ".repeat(INDENT), why))
}

/// A text in lines that fit a terminal, behind `start` and as far to the right.
fn wrapped(start: &str, text: &str) -> String {
    let mut lines = Vec::new();
    let mut line = start.to_owned();
    for word in text.split_whitespace() {
        let space = if line.len() > start.len() { " " } else { "" };
        if line.len() + space.len() + word.len() > COLUMNS && !space.is_empty() {
            lines.push(std::mem::replace(&mut line, " ".repeat(start.len()) + word));
        } else {
            line.push_str(space);
            line.push_str(word);
        }
    }
    lines.push(line);
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(check: &'static str, verdict: Verdict, fix: &[&str]) -> Finding {
        let fix = fix.iter().map(|line| (*line).to_owned()).collect();
        let (is, needs) = ("1".to_owned(), "2".to_owned());
        Finding { check, verdict, is, needs, why: "because", fix }
    }

    #[test]
    fn what_is_short_comes_first() {
        let findings = [
            finding("a", Verdict::Good, &[]),
            finding("b", Verdict::Advice, &["do b"]),
            finding("c", Verdict::Short, &["sysctl -w c=1", "or d"]),
            finding("e", Verdict::Unknown, &[]),
        ];
        let expected = format!(
            "\
1,000,000 connections on 2 shards: 1 short, 1 could be better, 1 unknown, 1 good

SHORT    c
         is     1
         needs  2
         why    because
         do     sysctl -w c=1
                or d

advice   b
         is     1
         needs  2
         why    because
         do     do b

unknown  e
         is     1
         needs  2
         why    because

ok       a: 1 (needs 2)
         because

{SYSCTL_NOTE}
"
        );
        assert_eq!(page(1_000_000, 2, &findings), expected);
        let told = page(1, 1, &findings[..1]);
        assert!(told.starts_with("1 connections on 1 shard: nothing is short, 1 good\n"), "{told}");
        assert!(!told.contains(SYSCTL_NOTE));
    }

    #[test]
    fn long_texts_are_broken_between_words_and_aligned() {
        let text = wrapped("why  ", &"seven77 ".repeat(13));
        let words = |n| vec!["seven77"; n].join(" ");
        assert_eq!(text, format!("why  {}\n     {}\n", words(12), words(1)));
        assert!(text.lines().all(|line| line.len() <= COLUMNS));
        let long = "x".repeat(2 * COLUMNS);
        assert_eq!(wrapped("is ", &format!("a {long}")), format!("is a\n   {long}\n"));
    }

    #[test]
    fn the_number_asked_for_counts_more_than_the_settings() {
        let max_connections = super::super::keys::KEYS.iter().find(|k| k.name == "max_connections");
        let engine = EngineArgs {
            config: None,
            flags: vec![(max_connections.unwrap(), vec!["7".to_owned()])],
        };
        let args = DoctorArgs { connections: Some(5), json: false, engine };
        assert_eq!(wanted(&args).unwrap().config.connections_max, 5);
        let args = DoctorArgs { connections: None, ..args };
        assert_eq!(wanted(&args).unwrap().config.connections_max, 7);
    }
}
