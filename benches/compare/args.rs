//! The command line. Owns the defaults; without `--bench`, which cargo passes, all is tiny.

use clap::Parser;

use super::Failure;
use super::rows::{ROWS, Row};

/// Ringwire beside other servers
#[derive(Debug, Parser)]
#[command(name = "compare", bin_name = "cargo bench --bench compare --")]
struct Args {
    /// Rows to measure, by name; all if none is named
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Servers to measure, by name; `floor` stands for both floors, and all if none is named
    #[arg(long, value_delimiter = ',')]
    servers: Vec<String>,
    /// One more server, in which {port} is replaced; it does what benches/peers/README.md says
    #[arg(long, value_name = "NAME=COMMAND")]
    server: Vec<String>,
    /// Rounds, in each of which every server is measured once
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds that each run is measured
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// Seconds of load before that
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    warmup: f64,
    /// The cores of the server and of the load generator
    #[arg(long, value_name = "SERVER,GENERATOR", default_value = "0,1", value_delimiter = ',')]
    cpus: Vec<usize>,
    /// Write docs/benchmarks.md, its plots and results; rows that were not measured stay
    #[arg(long)]
    write: bool,
    /// Write the document again from the results that are there, and measure nothing
    #[arg(long)]
    render: bool,
    /// Name all rows and servers
    #[arg(long)]
    list: bool,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Name what there is.
    List,
    /// Write the document from the results.
    Render,
    /// Measure.
    Measure(Plan),
}

/// What to measure.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rows: Vec<Row>,
    /// Names; none is all.
    pub(crate) servers: Vec<String>,
    /// Names and commands.
    pub(crate) custom: Vec<(String, String)>,
    pub(crate) rounds: u32,
    pub(crate) seconds: f64,
    pub(crate) warmup: f64,
    pub(crate) server_cpu: usize,
    pub(crate) generator_cpu: usize,
    pub(crate) writes: bool,
    /// Only what `cargo test` has built already.
    pub(crate) is_tiny: bool,
    /// The command, to be shown in the document.
    pub(crate) command: String,
}

impl Plan {
    /// Whether a server takes part.
    pub(crate) fn wants(&self, name: &str) -> bool {
        let stands_for =
            |wanted: &String| wanted == name || wanted == "floor" && name.starts_with("floor-");
        self.servers.is_empty() || self.servers.iter().any(stands_for)
    }
}

/// What the words of a command line ask for; the first is the program.
pub(crate) fn action(words: &[String]) -> Result<Action, Failure> {
    if !words.iter().any(|word| word == "--bench") {
        return Ok(Action::Measure(tiny()));
    }
    let args = Args::try_parse_from(words).unwrap_or_else(|error| error.exit());
    if args.list {
        return Ok(Action::List);
    }
    if args.render {
        return Ok(Action::Render);
    }
    Ok(Action::Measure(plan(args, &words[1..])?))
}

fn plan(args: Args, words: &[String]) -> Result<Plan, Failure> {
    let &[server_cpu, generator_cpu] = args.cpus.as_slice() else {
        return Err("--cpus wants two cores, as in --cpus 0,1".into());
    };
    let mut rows = ROWS.to_vec();
    if let Some(name) = args.rows.iter().find(|name| !ROWS.iter().any(|row| row.id == *name)) {
        return Err(format!("there is no row `{name}`; --list names them"));
    }
    rows.retain(|row| args.rows.is_empty() || args.rows.iter().any(|name| name == row.id));
    let custom = args.server.iter().map(|text| named(text)).collect::<Result<_, _>>()?;
    Ok(Plan {
        rows,
        servers: args.servers,
        custom,
        rounds: args.rounds,
        seconds: args.seconds,
        warmup: args.warmup,
        server_cpu,
        generator_cpu,
        writes: args.write,
        is_tiny: false,
        command: command(words),
    })
}

fn named(text: &str) -> Result<(String, String), Failure> {
    match text.split_once('=') {
        Some((name, command)) if !name.is_empty() && command.contains("{port}") => {
            Ok((name.to_owned(), command.to_owned()))
        }
        Some(_) | None => Err(format!("--server {text}: NAME=COMMAND with {{port}} is wanted")),
    }
}

/// What `cargo test` does.
fn tiny() -> Plan {
    let rows = ROWS.iter().filter(|row| row.is_quick).map(|row| row.tiny()).collect();
    Plan {
        rows,
        servers: Vec::new(),
        custom: Vec::new(),
        rounds: 1,
        seconds: 0.2,
        warmup: 0.1,
        server_cpu: 0,
        generator_cpu: 0,
        writes: false,
        is_tiny: true,
        command: "cargo test --bench compare".into(),
    }
}

/// The command as the reader may type it. Where somebody's own server lies is nobody's business.
fn command(words: &[String]) -> String {
    let words: Vec<String> =
        words
            .iter()
            .filter(|word| *word != "--bench")
            .map(|word| {
                if word.contains(' ') {
                    format!("'{}'", without_folders(word))
                } else {
                    word.clone()
                }
            })
            .collect();
    let command = "cargo bench --bench compare";
    if words.is_empty() { command.into() } else { format!("{command} -- {}", words.join(" ")) }
}

/// `uws=/opt/uws/bin/server` as `uws=server`, word by word.
fn without_folders(command: &str) -> String {
    let short = |word: &str| match (word.split_once('='), word.rsplit_once('/')) {
        (Some((name, _)), Some((_, file))) => format!("{name}={file}"),
        (None, Some((_, file))) => file.to_owned(),
        (_, None) => word.to_owned(),
    };
    command.split(' ').map(short).collect::<Vec<_>>().join(" ")
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        Ok(_) | Err(_) => Err("0.1 to 3600 seconds are wanted".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(words: &str) -> Plan {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        match action(&words).expect("a plan") {
            Action::Measure(plan) => plan,
            other @ (Action::List | Action::Render) => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_bench_all_is_tiny_whatever_cargo_test_was_told() {
        let plan = measured("compare --nocapture");
        assert!(plan.is_tiny && !plan.writes && plan.rounds == 1 && !plan.rows.is_empty());
    }

    #[test]
    fn rows_and_servers_are_chosen_by_name() {
        let plan = measured("compare --bench --rows echo-64,idle --servers ringwire,floor");
        let rows: Vec<_> = plan.rows.iter().map(|row| row.id).collect();
        assert_eq!(rows, ["echo-64", "idle"]);
        assert!(plan.wants("ringwire") && plan.wants("floor-uring") && plan.wants("floor-epoll"));
        assert!(!plan.wants("bun") && !plan.wants("ringwire-serve"));
        assert_eq!(
            plan.command,
            "cargo bench --bench compare -- --rows echo-64,idle --servers ringwire,floor"
        );
        let all = measured("compare --bench");
        assert!(all.rows.len() == ROWS.len() && all.wants("bun"));
        let words = ["compare", "--bench", "--rows", "nonsense"].map(str::to_owned);
        assert!(action(&words).is_err());
    }

    #[test]
    fn a_server_of_ones_own_has_a_name_and_a_port() {
        let words = ["compare", "--bench", "--server", "uws=/opt/uws {port}"].map(str::to_owned);
        let Ok(Action::Measure(plan)) = action(&words) else { panic!("no plan") };
        assert_eq!(plan.custom, [("uws".to_owned(), "/opt/uws {port}".to_owned())]);
        assert!(plan.command.ends_with("--server 'uws=uws {port}'"), "{}", plan.command);
        assert_eq!(without_folders("a=/x/node /x/y.js {port}"), "a=node y.js {port}");
        for wrong in ["uws", "uws=/opt/uws", "=x {port}"] {
            assert!(named(wrong).is_err(), "{wrong}");
        }
    }
}
