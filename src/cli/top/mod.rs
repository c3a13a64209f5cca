//! `ringwire top`: what the server does, live in the terminal, or once as text.
//!
//! It asks the admin interface for `/v1/overview` and shows that: it computes no figure itself.
//! Whatever the server says is made harmless before it reaches a terminal (see `overview`).

mod asker;
mod figures;
mod overview;
mod screen;
#[cfg(test)]
mod tests;
mod text;
mod tiles;
mod view;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use self::asker::Asker;
use super::CliError;

/// The admin interface that is looked at unless told otherwise.
const ADMIN_URL: &str = "http://127.0.0.1:9002";

/// Shows what the server does, live.
#[derive(Clone, Debug, clap::Args)]
pub struct TopArgs {
    /// The admin interface: http://host:port or unix:/path
    #[arg(long, value_name = "URL", env = "RINGWIRE_ADMIN_URL", hide_env_values = true,
        default_value = ADMIN_URL)]
    pub admin: String,
    /// Milliseconds between two looks
    #[arg(long, value_name = "MS", default_value_t = 1000,
        value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub interval_ms: u64,
    /// Print what there is as text, once, and end
    #[arg(long)]
    pub once: bool,
}

/// Does it.
pub fn run(args: &TopArgs, output: &mut dyn Write) -> Result<(), CliError> {
    let url = if args.admin.is_empty() { ADMIN_URL } else { &args.admin };
    let asker = Asker::new(url.parse().map_err(CliError::usage)?);
    // Before the terminal is touched: who can't be reached is told in a line.
    let first = asker.ask().map_err(CliError::runtime)?;
    if args.once {
        let text = text::page(&first, &asker.place());
        return output.write_all(text.as_bytes()).map_err(CliError::runtime);
    }
    if !std::io::stdout().is_terminal() {
        let problem = "standard output is no terminal; --once prints the same as text";
        return Err(CliError::usage(problem));
    }
    screen::run(asker, first, Duration::from_millis(args.interval_ms)).map_err(CliError::runtime)
}
