//! The `ringwire` command. Owns the process's allocator and its exit code, nothing else.

use std::process::ExitCode;

use clap::Parser;
use ringwire::cli::{self, Cli};

/// Sanitizers and leak checkers see only what the system's allocator gives.
#[cfg(not(system_allocator))]
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The allocator asks for huge pages, and the kernel fills them up for the sake of a few octets: a
/// million connections on 67 shards took 698 octets each with them, and 200 without. No rate of
/// echoes was seen to change. A kernel that refuses costs memory and nothing else.
fn renounce_huge_pages() {
    let _ = nix::sys::prctl::set_thp_disable(true);
}

fn main() -> ExitCode {
    renounce_huge_pages();
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
