//! Ringwire beside other servers, side by side on this machine.
//!
//! ```text
//! cargo bench --bench compare                                             all rows, all servers
//! cargo bench --bench compare -- --rows echo-64,fanout-100 --servers ringwire,floor,bun
//! cargo bench --bench compare -- --server 'uws=/opt/uws --port {port}'    and one more
//! cargo bench --bench compare -- --write                                  write docs/benchmarks.md
//! cargo bench --bench compare -- --render                      write it again, measuring nothing
//! ```
//!
//! Builds what is needed, then starts one server at a time on one core and the load generator on
//! another. A round measures all servers of a row in turn, in an order that moves on by one each
//! round; figures are medians over the rounds, and ratios are medians of the ratios of each round.
//! Run any other way (`cargo test`) it does one tiny round with Ringwire alone, so that it can't
//! rot. Its unit tests run in `tests/compare.rs`, for a bench has no harness.

#[path = "compare/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "unit tests are left out here, but not what they need; tests/compare.rs sees the rest"
)]
mod compare;

fn main() -> std::process::ExitCode {
    compare::main()
}
