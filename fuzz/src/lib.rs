//! What is fuzzed, as plain functions: octets in, a panic if something is wrong.
//!
//! libFuzzer's binaries call them, and so does `tests/fuzz_replay.rs`, which includes this file, so
//! that the corpora and everything that was ever found are part of `cargo test`. Each one compares
//! with something that shares no code with what it tests: a naive model, another implementation, or
//! the same input cut in another way.

mod choices;
mod compressed;
mod config;
mod egress;
mod header;
mod inflate;
mod json;
mod machine;
mod naive;
mod outbox;
mod protocol;
mod registry;
mod scan;
mod stream;
mod upgrade;
mod utf8;
mod wheel;

/// A target: its name, which is also that of its corpus, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("header", header::check),
    ("utf8", utf8::check),
    ("protocol_server", protocol::check_server),
    ("protocol_client", protocol::check_client),
    ("protocol_deflate", compressed::check),
    ("inflate", inflate::check),
    ("upgrade_request", upgrade::check_request),
    ("upgrade_response", upgrade::check_response),
    ("json", json::check),
    ("config", config::check),
    ("egress", egress::check),
    ("outbox", outbox::check),
    ("registry", registry::check),
    ("wheel", wheel::check),
];

/// Runs the target of this name.
pub fn run(name: &str, octets: &[u8]) {
    let target = TARGETS.iter().find(|(other, _)| *other == name);
    let (_, check) = target.unwrap_or_else(|| panic!("there is no target {name}"));
    check(octets);
}
