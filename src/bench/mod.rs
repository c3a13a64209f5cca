//! The load generator: many connections in the client role on the same ring driver, what they
//! measured, and the report of it.
//!
//! Each ring has a thread and shares nothing but a board that it shows its counts on (`stage`).
//! Everything that is received is checked: [`stamp`] says who sent a message, which and when.

mod clients;
mod clock;
mod conduct;
mod dialect;
mod echo;
mod fanout;
pub mod histogram;
mod io;
mod order;
mod pace;
pub mod plan;
mod published;
pub mod report;
mod ring;
mod stage;
pub mod stamp;
mod stay;
mod stop;
mod summary;
mod tally;
mod unsent;
mod watch;

pub use conduct::{BenchError, Live, conduct};
pub use dialect::Dialect;
pub use plan::{Fanout, Pace, Plan, Work};
pub use stop::Stop;
