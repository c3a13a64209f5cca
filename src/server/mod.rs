//! The life of a server process: configuration, host checks, boot, the loop of a shard's thread,
//! shutdown.

mod boot;
mod builder;
pub mod compression;
pub mod config;
pub mod host;
pub mod plan;
mod shell;
mod tuning;

pub use builder::{Running, Server, ServerBuilder, ServerError};
pub use config::{Config, ConfigError};
