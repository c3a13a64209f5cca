//! `ringwire bench`: its arguments, turned into a plan, and what is shown of the run.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::CliError;
use super::bench_plan;
use super::interrupt;
use crate::bench::report::text::Style;
use crate::bench::report::{Report, html, text};
use crate::bench::{Live, Pace, Stop, conduct};

/// Loads a server in the client role, checks every message, and reports.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// What to do
    #[command(subcommand)]
    pub scenario: ScenarioArgs,
}

/// The scenarios.
#[derive(Clone, Debug, Subcommand)]
pub enum ScenarioArgs {
    /// Open connections and hold them, answering pings
    Idle(IdleArgs),
    /// Open and close connections, over and over
    Handshake(HandshakeArgs),
    /// Send messages that come back
    Echo(EchoArgs),
    /// Publish to topics and receive from them
    Fanout(FanoutArgs),
}

/// What all scenarios share.
#[derive(Clone, Debug, Args)]
pub struct CommonArgs {
    /// The server: ws://HOST:PORT/PATH; HOST may be a range as in 127.0.0.1-127.0.0.40
    #[arg(required = true, value_name = "URL")]
    pub urls: Vec<String>,
    /// Rings, each with a thread and a table of descriptors of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1023))]
    pub rings: u16,
    /// Cores to pin the rings' threads to, in turn
    #[arg(long, value_name = "CPUS", value_delimiter = ',')]
    pub pin: Vec<usize>,
    /// Local addresses to connect from: IP or IP-IP
    #[arg(long, value_name = "IPS")]
    pub source: Option<String>,
    /// Connections opened per second, at most
    #[arg(long, value_name = "N", value_parser = positive)]
    pub connect_rate: Option<f64>,
    /// Compress messages (permessage-deflate), which the server has to agree to
    #[arg(long)]
    pub deflate: bool,
    /// How long an answer to a connect, an upgrade, a subscription or a close may take
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the report as a page with plots
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// The server's process on this host, to watch its CPU time and memory
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Show no progress
    #[arg(long)]
    pub quiet: bool,
}

/// How long load lasts.
#[derive(Clone, Copy, Debug, Args)]
pub struct WindowArgs {
    /// Length of the measured window
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// Load before it
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub warmup: Duration,
}

/// `bench idle`.
#[derive(Clone, Debug, Args)]
pub struct IdleArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented at its type")]
    pub common: CommonArgs,
    /// Connections to open
    #[arg(long, default_value_t = 1000, value_parser = count())]
    pub connections: u32,
    /// Topics that the connections subscribe to, one each, in turn
    #[arg(long, default_value_t = 0)]
    pub topics: u32,
    /// What the server speaks
    #[arg(long, value_enum, default_value_t = Protocol::Ringwire)]
    pub protocol: Protocol,
    /// How long to hold them
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub hold: Duration,
}

/// `bench handshake`.
#[derive(Clone, Debug, Args)]
pub struct HandshakeArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented at its type")]
    pub common: CommonArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented at its type")]
    pub window: WindowArgs,
    /// Connections that are being opened or closed at a time
    #[arg(long, default_value_t = 64, value_parser = count())]
    pub in_flight: u32,
    /// How to end a connection
    #[arg(long, value_enum, default_value_t = Close::Frame)]
    pub close: Close,
}

/// `bench echo`.
#[derive(Clone, Debug, Args)]
pub struct EchoArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented at its type")]
    pub common: CommonArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented at its type")]
    pub window: WindowArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented at its type")]
    pub pace: PaceArgs,
    /// Connections to open
    #[arg(long, default_value_t = 64, value_parser = count())]
    pub connections: u32,
    /// Octets of a message
    #[arg(long, default_value_t = 64)]
    pub bytes: usize,
    /// Send text instead of binary messages
    #[arg(long)]
    pub text: bool,
}

/// `bench fanout`.
#[derive(Clone, Debug, Args)]
pub struct FanoutArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented at its type")]
    pub common: CommonArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented at its type")]
    pub window: WindowArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented at its type")]
    pub pace: PaceArgs,
    /// Publishers in all, dealt out to the topics in turn
    #[arg(long, default_value_t = 1, value_parser = count())]
    pub publishers: u32,
    /// Topics
    #[arg(long, default_value_t = 1, value_parser = count())]
    pub topics: u32,
    /// Subscribers of each topic; the first of them are its publishers
    #[arg(long, default_value_t = 100, value_parser = count())]
    pub subscribers: u32,
    /// Octets of a message's data
    #[arg(long, default_value_t = 64)]
    pub bytes: usize,
    /// What the server speaks
    #[arg(long, value_enum, default_value_t = Protocol::Ringwire)]
    pub protocol: Protocol,
    /// Rest between the last connect and the first message
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub hold: Duration,
}

/// When messages are sent.
#[derive(Clone, Debug, Args)]
#[group(multiple = false)]
pub struct PaceArgs {
    /// Messages that each sender keeps on their way
    #[arg(long, value_name = "K", value_parser = count())]
    pub in_flight: Option<u32>,
    /// Messages per second over all senders, whatever comes back
    #[arg(long, value_name = "R", value_parser = positive)]
    pub rate: Option<f64>,
    /// All senders send one message each at the same moment, so often
    #[arg(long, value_name = "INTERVAL", value_parser = duration)]
    pub together_every: Option<Duration>,
}

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// JSON, as docs/protocol.md says
    Ringwire,
    /// Connect to PATH?topic=T; what anybody sends goes to everybody of the topic
    Plain,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Close {
    /// With the closing handshake
    Frame,
    /// With a TCP reset
    Reset,
}

impl PaceArgs {
    /// One message on its way at a time, unless told otherwise.
    pub(super) fn pace(&self) -> Result<Pace, CliError> {
        match (self.in_flight, self.rate, self.together_every) {
            (_, Some(per_second), _) => Ok(Pace::Open { per_second }),
            (_, _, Some(every)) if every.is_zero() => {
                Err(CliError::usage("--together-every has to be longer than nothing"))
            }
            (_, _, Some(every)) => Ok(Pace::Together { every }),
            (in_flight, None, None) => Ok(Pace::Closed { in_flight: in_flight.unwrap_or(1) }),
        }
    }
}

/// Carries it out. A run with any fault is a failure.
pub fn run(
    args: &BenchArgs,
    output: &mut (impl Write + IsTerminal),
    notes: &mut (impl Write + IsTerminal),
) -> Result<(), CliError> {
    let (common, plan) = bench_plan::of(&args.scenario)?;
    let mut line = ProgressLine { is_terminal: notes.is_terminal(), width: 0 };
    let stop = Stop::default();
    interrupt::on_interrupt(&stop).map_err(CliError::runtime)?;
    let report = conduct(plan, &stop, &mut |live| {
        if !common.quiet {
            line.show(live, notes);
        }
    });
    line.end(notes);
    let report = report.map_err(CliError::runtime)?;
    let style = if output.is_terminal() { Style::Terminal } else { Style::Plain };
    output.write_all(text::render(&report, style).as_bytes()).map_err(CliError::runtime)?;
    for (path, content) in
        [(&common.json, Report::to_json as fn(&Report) -> String), (&common.html, html::page)]
    {
        let Some(path) = path else { continue };
        std::fs::write(path, content(&report)).map_err(|error| {
            CliError::runtime(format!("{} can't be written: {error}", path.display()))
        })?;
    }
    if report.ok() { Ok(()) } else { Err(CliError::runtime("the run is not good: see its faults")) }
}

/// One line that is written again and again on a terminal, and line by line elsewhere.
struct ProgressLine {
    is_terminal: bool,
    /// Columns of what stands there.
    width: usize,
}

impl ProgressLine {
    /// Progress is a courtesy: a run does not end because nobody can see it.
    fn show(&mut self, live: &Live, notes: &mut impl Write) {
        let line = live.progress().line();
        let _ = if self.is_terminal {
            write!(notes, "\r{line:<width$}", width = self.width)
        } else {
            writeln!(notes, "{line}")
        };
        let _ = notes.flush();
        self.width = line.chars().count();
    }

    fn end(&self, notes: &mut impl Write) {
        if self.is_terminal && self.width > 0 {
            let _ = write!(notes, "\r{:width$}\r", "", width = self.width);
        }
    }
}

/// The clock of a run has 48 bits of nanoseconds.
const DURATION_MAX: Duration = Duration::from_secs(72 * 3600);
/// Rates beyond these are slips of the keyboard.
const RATES: std::ops::RangeInclusive<f64> = 1e-5..=1e9;

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= DURATION_MAX => Ok(duration),
        Ok(_) => Err("no more than 72h is wanted".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if RATES.contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err("a number from 0.00001 to a billion is wanted".into()),
    }
}

fn count() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=16_000_000)
}
