//! `ringwire serve`: the pub/sub server.

use std::hash::{BuildHasher, RandomState};

use super::CliError;
use super::engine_args::EngineArgs;
use super::launch::launch;
use crate::server::Config;
use crate::session::{JsonHandler, SessionConfig};

/// Where clients upgrade.
const PATH: &str = "/ws";

/// Its arguments: those of the engine.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// The engine's settings.
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Runs it until it is told to end.
pub fn run(args: &ServeArgs) -> Result<(), CliError> {
    // Tells the sessions of this start from those of others; the seed is the system's.
    let instance = RandomState::new().hash_one(std::process::id());
    launch(&args.engine, Config::default(), move |_config, _shard| {
        JsonHandler::new(SessionConfig { path: PATH }, instance)
    })
}
