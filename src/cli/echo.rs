//! `ringwire echo`: the server that sends every message back, on any path.

use super::CliError;
use super::engine_args::EngineArgs;
use super::launch::launch;
use crate::handler::{Ctx, Handler, Message};
use crate::server::Config;

/// What conformance suites send at most.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// In how many frames they send it: 4 MiB in 64 octets each, and some.
const FRAGMENTS_MAX: u32 = 1 << 17;

/// Its arguments: those of the engine.
#[derive(Clone, Debug, clap::Args)]
pub struct EchoArgs {
    /// The engine's settings.
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Sends every message back with its opcode.
struct Echo;

impl Handler for Echo {
    type Session = ();

    fn on_message(&mut self, ctx: &mut Ctx<'_, ()>, message: Message<'_>) {
        if ctx.send(message).is_err() {
            ctx.close_slow();
        }
    }
}

/// Runs it until it is told to end.
pub fn run(args: &EchoArgs) -> Result<(), CliError> {
    let defaults = Config {
        message_bytes_max: MESSAGE_BYTES_MAX,
        fragments_max: FRAGMENTS_MAX,
        ..Config::default()
    };
    launch(&args.engine, defaults, |_config, _shard| Echo)
}
