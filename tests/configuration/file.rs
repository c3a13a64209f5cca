//! Servers that read a configuration file.

use crate::common::{File, Process, SOON, Server, command};
use crate::effect;

/// `ringwire serve` with this file, and with small numbers and chosen ports for what it does not
/// say.
pub(crate) fn serve(text: &str) -> Server {
    start("serve", text)
}

/// The same with `ringwire echo`.
pub(crate) fn echo(text: &str) -> Server {
    start("echo", text)
}

fn start(subcommand: &str, text: &str) -> Server {
    let file = effect::file(text);
    Server::start(subcommand, &["--config", file.path()])
}

/// `ringwire serve` with this file and nothing else.
pub(crate) fn bare(text: &str) -> (Process, File) {
    let file = effect::file(text);
    let process =
        Process::spawn("ringwire serve", command("serve").args(["--config", file.path()]));
    (process, file)
}

/// The same, once it is ready.
pub(crate) fn bare_ready(text: &str) -> (Process, File) {
    let (process, file) = bare(text);
    process.error_line("ringwire: ready", SOON);
    (process, file)
}

/// What it said before it was ready, after this prefix.
pub(crate) fn said(process: &Process, prefix: &str) -> String {
    let said = process.has_said(prefix);
    said.into_iter().next().unwrap_or_else(|| panic!("no line `{prefix}...`"))
}
