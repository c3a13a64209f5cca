//! The `ringwire` command: its arguments, its settings, and its small client tools.
//!
//! Owns what is said on the command line and where settings come from. It holds no logic of the
//! server: that is started with settings that were checked here.

use clap::{Parser, Subcommand};

pub mod bench;
mod bench_plan;
mod catalog;
pub mod client;
pub mod config;
pub mod doctor;
#[cfg(test)]
mod document;
pub mod echo;
pub mod effective;
pub mod engine_args;
mod file;
mod interrupt;
pub mod keys;
pub mod launch;
pub mod log;
mod nearest;
pub mod origin;
pub mod paperwork;
pub mod publish;
mod reload;
mod said;
pub mod serve;
pub mod settings;
mod stream;
pub mod subscribe;
#[cfg(test)]
mod tests;
pub mod top;
pub mod url;
mod value;

pub use origin::SettingsError;
pub use settings::Settings;

use crate::ws::CloseCode;
use client::ClientError;
use url::Url;

/// The server that the client tools talk to unless told otherwise.
pub const DEFAULT_URL: &str = "ws://127.0.0.1:9001/ws";

/// A WebSocket pub/sub server for Linux on io_uring.
#[derive(Debug, Parser)]
#[command(name = "ringwire", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the command can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the pub/sub server
    Serve(serve::ServeArgs),
    /// Run a server that sends every message back, on any path
    Echo(echo::EchoArgs),
    /// Publish one message and print its offset
    Publish(publish::PublishArgs),
    /// Print what is published to topics, one line of JSON for each message
    Subscribe(subscribe::SubscribeArgs),
    /// Show what a server does, live in the terminal
    Top(top::TopArgs),
    /// Check, show or add up a configuration
    Config(config::ConfigArgs),
    /// Say what a number of connections needs of this host, and what to change
    Doctor(doctor::DoctorArgs),
    /// Load a server, check every message, and report
    Bench(bench::BenchArgs),
    /// Print what a shell reads to complete this command
    Completions(paperwork::CompletionsArgs),
    /// Print the manual page
    Man(paperwork::ManArgs),
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// What was asked for can't be: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It could be, but did not work: exit code 1.
    #[error("{0}")]
    Runtime(String),
}

impl CliError {
    /// Something that was asked for wrongly.
    pub fn usage(error: impl std::fmt::Display) -> CliError {
        CliError::Usage(error.to_string())
    }

    /// Something that did not work.
    pub fn runtime(error: impl std::fmt::Display) -> CliError {
        CliError::Runtime(error.to_string())
    }

    /// The server closed the connection before we did.
    fn closed(code: Option<CloseCode>, reason: &str) -> CliError {
        let code = code.unwrap_or(CloseCode::NO_STATUS).0;
        let reason = if reason.is_empty() { "no reason given" } else { reason };
        CliError::Runtime(format!("the server closed the connection: {code} {reason:?}"))
    }

    /// What the process ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            CliError::Usage(_) => 2,
            CliError::Runtime(_) => 1,
        }
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> CliError {
        CliError::runtime(error)
    }
}

impl From<SettingsError> for CliError {
    fn from(error: SettingsError) -> CliError {
        CliError::usage(error)
    }
}

/// Does what the command line says.
pub fn run(cli: Cli) -> Result<(), CliError> {
    let (mut input, mut output, mut notes) =
        (std::io::stdin(), std::io::stdout(), std::io::stderr());
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Echo(args) => echo::run(&args),
        Command::Publish(args) => publish::run(&args, &mut input, &mut output),
        Command::Subscribe(args) => subscribe::run(&args, &mut output, &mut notes),
        Command::Top(args) => top::run(&args, &mut output),
        Command::Config(args) => config::run(&args, &mut output),
        Command::Doctor(args) => doctor::run(&args, &mut output),
        Command::Completions(args) => paperwork::completions(&args, &mut output),
        Command::Man(args) => paperwork::man(&args, &mut output),
        Command::Bench(args) => bench::run(&args, &mut output, &mut notes),
    }
}

/// The server to talk to. An empty text stands for an empty variable, which says nothing.
fn server_url(text: &str) -> Result<Url, CliError> {
    let text = if text.is_empty() { DEFAULT_URL } else { text };
    text.parse().map_err(CliError::usage)
}

fn show_warnings(settings: &Settings) {
    for warning in &settings.warnings {
        eprintln!("ringwire: {warning}");
    }
}
