//! Tests of the command: settings as an operator meets them, tools against scripted servers.

mod client;
mod fake;
mod golden;
mod settings;
mod tools;
