//! The vocabulary that every layer shares: identifiers, time, the timer wheel, lanes, randomness.
//!
//! Nothing here knows of sockets, WebSocket or topics.

pub mod error_code;
pub mod ids;
pub mod lane;
pub mod prng;
pub mod sync;
pub mod time;
pub mod wheel;

pub use error_code::ErrorCode;
pub use ids::{ConnId, ConnKey, Generation, ShardId, Slot};
pub use time::{Now, Stopwatch, Tick};
