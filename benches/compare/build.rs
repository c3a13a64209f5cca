//! Everything that a comparison needs, built: Ringwire and its relay in release, and the peers.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Failure;
use super::args::Plan;
use super::servers::{self, Server};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The binary that cargo has built for this bench; it generates the load as well.
const RINGWIRE: &str = env!("CARGO_BIN_EXE_ringwire");

/// The load generator, and Ringwire as a server.
pub(crate) fn ringwire() -> String {
    std::env::var("RINGWIRE_BIN").unwrap_or_else(|_| RINGWIRE.to_owned())
}

/// All servers that the plan wants, ready to be started.
pub(crate) fn servers(plan: &Plan) -> Result<Vec<Server>, Failure> {
    let relay = relay(plan)?;
    let mut all = servers::ours(&ringwire(), &relay.to_string_lossy(), plan);
    if !plan.is_tiny {
        all.extend(servers::others(&peers(plan)?, plan));
    }
    let missing = plan
        .servers
        .iter()
        .find(|name| *name != "floor" && !all.iter().any(|server| server.name == **name));
    match missing {
        Some(name) => Err(format!("there is no server `{name}`; --list names the usual ones")),
        None => Ok(all),
    }
}

/// The relay lies beside the binary, where cargo puts examples of the same profile.
fn relay(plan: &Plan) -> Result<PathBuf, Failure> {
    let profile = Path::new(RINGWIRE).parent().ok_or("the binary has no folder")?;
    let relay = profile.join("examples/relay");
    if plan.is_tiny && relay.exists() {
        return Ok(relay);
    }
    let target = profile.parent().ok_or("the profile has no folder")?;
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--example", "relay", "--manifest-path"]);
    command.arg(Path::new(ROOT).join("Cargo.toml")).arg("--target-dir").arg(target);
    if !plan.is_tiny {
        command.arg("--release");
    }
    let status = command.status().map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(relay) } else { Err("the example `relay` can't be built".into()) }
}

/// Lines of NAME=COMMAND.
fn peers(plan: &Plan) -> Result<String, Failure> {
    let ours = |name: &String| servers::is_ours(name) || plan.custom.iter().any(|c| c.0 == *name);
    if !plan.servers.is_empty() && plan.servers.iter().all(ours) {
        return Ok(String::new());
    }
    let setup = Path::new(ROOT).join("benches/peers/setup.sh");
    let output = Command::new(&setup)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{}: {error}", setup.display()))?;
    if !output.status.success() {
        return Err("the peers can't be set up".into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
