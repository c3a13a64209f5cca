//! `ringwire config`: what the server would make of its flags, environment and file, without
//! starting it.

use std::io::Write;

use super::catalog::text;
use super::effective::Effective;
use super::engine_args::EngineArgs;
use super::keys::{Form, KEYS, Key, Reload};
use super::nearest::sections;
use super::origin::Origin;
use super::settings::Settings;
use super::value::namespace_path;
use super::{CliError, show_warnings};
use crate::server::Config;
use crate::server::host::HostMemory;
use crate::server::plan::{Plan, Size};

/// Its arguments.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What can be done with a configuration.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum What {
    /// Say whether `serve` would take it; the exit code is 2 when not
    Check(Engine),
    /// Print all keys as a file, with where each value came from
    Show(Engine),
    /// Print the memory that the limits allow; the exit code is 1 when this host has less
    Plan(Engine),
}

/// The settings, as `serve` takes them.
#[derive(Clone, Debug, clap::Args)]
pub struct Engine {
    /// The engine's settings.
    #[command(flatten)]
    pub args: EngineArgs,
}

/// Does it.
pub fn run(args: &ConfigArgs, output: &mut dyn Write) -> Result<(), CliError> {
    let memory = HostMemory::read();
    let load = |engine: &Engine| {
        let memory_bytes = memory.map(|memory| memory.limit_bytes());
        let loaded =
            Effective::load(&engine.args, &Config::default(), memory_bytes, std::env::vars_os())?;
        show_warnings(&loaded.0);
        Ok::<_, CliError>(loaded)
    };
    match &args.what {
        What::Check(engine) => {
            let (_, effective) = load(engine)?;
            if let Some(memory) = memory
                && let Err(too_large) = Plan::of(&effective.config).check(&memory)
                && !effective.allow_overcommit
            {
                eprintln!("ringwire: warning: `serve` would not start on this host: {too_large}");
            }
            print(output, "the configuration is sound\n")
        }
        What::Show(engine) => {
            let (settings, effective) = load(engine)?;
            print(output, &page(&settings, &effective))
        }
        What::Plan(engine) => {
            let (_, effective) = load(engine)?;
            let plan = Plan::of(&effective.config);
            print(output, &table(&plan))?;
            let Some(memory) = memory else { return Ok(()) };
            plan.check(&memory).map_err(CliError::runtime)?;
            let limit = Size(memory.limit_bytes());
            print(output, &format!("this host has {limit} ({})\n", memory.limited_by()))
        }
    }
}

fn print(output: &mut dyn Write, text: &str) -> Result<(), CliError> {
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(CliError::runtime)
}

/// All keys as a file that says the same.
pub fn page(settings: &Settings, effective: &Effective) -> String {
    let mut page = String::new();
    for section in sections().into_iter().filter(|section| *section != "namespaces") {
        page.push_str(&format!("[{section}]\n"));
        for key in KEYS.iter().filter(|key| key.section == section) {
            let line = format!("{} = {}", key.name, (key.shown)(effective));
            let origin = settings.origins.get(&key.path());
            page.push_str(&format!("{line:<44} # {}\n", remark(key, origin)));
        }
        page.push('\n');
    }
    for (name, policy) in &effective.config.policies.namespaces {
        let name_shown = text(name);
        let line = format!("slow_consumer = \"{policy}\"");
        let origin = settings.origins.get(&namespace_path(name));
        let key = KEYS.iter().find(|key| matches!(key.form, Form::NamespacePolicies(_)));
        let remark = remark(key.expect("the catalog has it"), origin);
        page.push_str(&format!("[namespaces.{name_shown}]\n{line:<44} # {remark}\n\n"));
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn remark(key: &Key, origin: Option<&Origin>) -> String {
    let origin = origin.map_or_else(|| "default".to_owned(), ToString::to_string);
    match key.reload {
        Reload::Live => origin,
        Reload::Restart => format!("{origin}; a change needs a restart"),
    }
}

/// The plan, largest part first.
fn table(plan: &Plan) -> String {
    let mut table = String::new();
    for part in &plan.parts {
        let size = Size(part.bytes).to_string();
        table.push_str(&format!("{:<36} {size:>10}  {}\n", part.what, part.keys));
    }
    let sum = Size(plan.total_bytes()).to_string();
    table.push_str(&format!("{:<36} {sum:>10}  {} bytes\n", "in all", plan.total_bytes()));
    table
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::file;
    use super::*;

    #[test]
    fn what_is_shown_says_the_same_as_a_file() {
        let text = "[server]\nlisten = [\"127.0.0.1:1\", \"unix:/run/a \\\"b\\\".sock\"]\n\
                    shards = 3\nadmin = \"none\"\nlog = \"warn,ringwire=trace\"\n\
                    [limits]\nrecv_buffers = 64\n[namespaces.\"a.b 'c' \\\"d\\\" \\\\\"]\n\
                    slow_consumer = \"conflate\"\n";
        let settings = file::parse(Path::new("r.toml"), text).unwrap();
        let effective = Effective::of(&settings, Config::default(), Some(1 << 34)).unwrap();
        let shown = page(&settings, &effective);
        let again = file::parse(Path::new("again.toml"), &shown).unwrap();
        let effective_again = Effective::of(&again, Config::default(), None).unwrap();
        for key in KEYS {
            assert_eq!(key.difference(&effective, &effective_again), None);
        }
        assert!(shown.contains("shards = 3 "), "{shown}");
        let line = shown.lines().find(|line| line.starts_with("shards")).unwrap();
        assert!(line.ends_with("# r.toml:3; a change needs a restart"), "{line}");
        let line = shown.lines().find(|line| line.starts_with("interval_ms")).unwrap();
        assert!(line.ends_with("# default"), "{line}");
    }

    #[test]
    fn a_plan_is_shown_with_its_sum() {
        let plan = Plan::of(&Config::default());
        let table = table(&plan);
        assert_eq!(table.lines().count(), plan.parts.len() + 1);
        assert!(table.ends_with(&format!("{} bytes\n", plan.total_bytes())), "{table}");
    }
}
