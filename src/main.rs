//! The `ringwire` command. Owns the process's allocator and its exit code, nothing else.

use std::process::ExitCode;

use clap::Parser;
use ringwire::cli::{self, Cli};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            let text = error.to_string();
            match text.strip_prefix("error: ") {
                Some(problem) => eprint!("ringwire: {problem}"),
                None => eprint!("{text}"),
            }
            return ExitCode::from(2);
        }
        // Help and version, which are no errors.
        Err(error) => error.exit(),
    };
    match cli::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringwire: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
