//! `ringwire serve`: the pub/sub server.

use super::engine_args::EngineArgs;
use super::settings::Settings;
use super::{CliError, show_warnings};

/// Its arguments: those of the engine.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// The engine's settings.
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Runs it until it is told to end.
pub fn run(args: &ServeArgs) -> Result<(), CliError> {
    let settings = Settings::load(&args.engine, std::env::vars_os())?;
    show_warnings(&settings);
    Err(CliError::runtime("this build has no engine to run"))
}
