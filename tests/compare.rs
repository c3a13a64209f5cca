//! Runs the unit tests of `benches/compare`, which has no harness of its own.

#[path = "../benches/compare/mod.rs"]
mod compare;

/// What the bench runs, so that what nobody needs is seen here.
const _: fn() -> std::process::ExitCode = compare::main;
