//! Stock clients as users run them: their scripts stand in `tests/clients`; `setup.sh` installs
//! what they need on first use.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

use super::process::Process;

/// The first run downloads.
const SETUP_LIMIT: Duration = Duration::from_secs(400);

/// Which stock client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Client {
    /// npm's `ws`.
    Node,
    /// The package `websockets`.
    Python,
    /// Bun's own WebSocket.
    Bun,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut command = Command::new(folder().join("setup.sh"));
        Process::spawn("setup.sh", &mut command).succeed(SETUP_LIMIT);
    });
}

/// npm installs the one that fits this machine.
fn bun() -> PathBuf {
    let packages = folder().join(".work/node/node_modules/@oven");
    let entries = std::fs::read_dir(&packages).expect("setup.sh has installed Bun");
    let mut paths = entries.map(|entry| entry.expect("a readable folder").path().join("bin/bun"));
    let found = paths.find(|path| runs(path));
    found.unwrap_or_else(|| panic!("nothing in {} runs here", packages.display()))
}

fn runs(path: &Path) -> bool {
    Command::new(path).arg("--version").output().is_ok_and(|output| output.status.success())
}

impl Client {
    /// Starts one of the scripts.
    pub(crate) fn run(self, script: &str, arguments: &[&str]) -> Process {
        set_up();
        let (interpreter, suffix) = match self {
            Client::Node => (PathBuf::from("node"), "mjs"),
            Client::Python => (folder().join(".work/venv/bin/python"), "py"),
            Client::Bun => (bun(), "mjs"),
        };
        let file = folder().join(format!("{script}.{suffix}"));
        let mut command = Command::new(interpreter);
        command.arg(file).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
        Process::spawn(&format!("{script}.{suffix}"), &mut command)
    }
}
