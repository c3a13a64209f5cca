//! Ringwire: a WebSocket server for Linux that holds a million connections on one host and fans
//! messages out across its cores.
//!
//! An application implements [`Handler`]; one instance lives on each shard (a thread with its own
//! io_uring) and is called for every connection of that shard, so it needs neither locks nor
//! `Send`.
//!
//! ```no_run
//! use ringwire::{Ctx, Handler, Message, Server};
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     type Session = (); // what the application keeps for each connection
//!
//!     fn on_message(&mut self, ctx: &mut Ctx<'_, ()>, message: Message<'_>) {
//!         if ctx.send(message).is_err() {
//!             ctx.close_slow(); // it does not read what it asks for
//!         }
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! Server::builder().listen("127.0.0.1:9001".parse()?).handler(|_shard| Echo).run()?;
//! # Ok(())
//! # }
//! ```
//!
//! Everything is bounded, and everything full has an answer: [`Ctx::send`] and [`Ctx::publish`] say
//! at once whether something was taken, taken but slow down, or refused.

#[doc(hidden)]
pub mod base;
#[doc(hidden)]
pub mod bench;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod conn;
#[doc(hidden)]
pub mod control;
pub mod handler;
#[doc(hidden)]
pub mod limits;
#[doc(hidden)]
pub mod metrics;
#[doc(hidden)]
pub mod pubsub;
#[doc(hidden)]
pub mod ring;
#[doc(hidden)]
pub mod server;
#[doc(hidden)]
pub mod session;
#[doc(hidden)]
pub mod shard;
#[cfg(any(test, feature = "sim"))]
#[doc(hidden)]
pub mod sim;
#[doc(hidden)]
pub mod ws;

pub use base::{ConnId, Now, ShardId};
pub use conn::CloseReason;
pub use control::listen::AdminAddr;
pub use handler::{Accept, Ctx, Handler, Publication, SendError, SendOutcome, ShardView};
pub use handler::{SubscribeError, Upgrade};
pub use pubsub::envelope::{Epoch, JobPanicked, Position, Refusal as PublishRefusal, Token};
pub use pubsub::policy::SlowConsumer;
pub use ring::{ListenAddr, PeerAddr};
pub use server::{Config, ConfigError, Running, Server, ServerBuilder, ServerError};
pub use ws::close::CloseCode;
pub use ws::message::Message;
pub use ws::opcode::Kind;
pub use ws::refusal::Refusal;
