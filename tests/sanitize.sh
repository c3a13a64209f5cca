#!/usr/bin/env bash
# The tests under tools that see what tests alone do not.
#
#   tests/sanitize.sh loom                every order of steps of the lock-free parts (tests/loom)
#   tests/sanitize.sh miri [FILTER...]    the pure layers, interpreted: undefined behaviour, weak memory
#   tests/sanitize.sh address [ARG...]    the whole test suite under AddressSanitizer; ARGs go to cargo test
#
# loom and address take the Rust in use. miri is a part of the nightly, which is installed if need be.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mode=${1:-} && shift || true
target=${CARGO_TARGET_DIR:-target}
# A failing case is told; no file of it is left behind.
export PROPTEST_DISABLE_FAILURE_PERSISTENCE=1

loom() {
  CARGO_TARGET_DIR=$target/loom cargo test --locked --release --manifest-path tests/loom/Cargo.toml "$@"
}

# What talks to the kernel can't be interpreted: `ring` beyond its vocabulary, `control`, `server`,
# `bench`, and whatever starts a server.
miri() {
  local filters=("$@")
  ((${#filters[@]})) ||
    filters=(base:: ws:: conn:: pubsub:: metrics::counters ring::staging ring::user_data shard::)
  cargo +nightly miri --version >/dev/null 2>&1 ||
    rustup toolchain install nightly --profile minimal --component miri,rust-src
  PROPTEST_CASES=${PROPTEST_CASES:-4} MIRIFLAGS="-Zmiri-disable-isolation ${MIRIFLAGS:-}" \
    CARGO_TARGET_DIR=$target/miri cargo +nightly miri test --locked --lib -- "${filters[@]}"
}

# The allocator of the command would hide its memory, so the system's takes its place. Left out is
# what measures: the sanitizer's own memory and time are in every figure.
address() {
  local host
  host=$(rustc -vV | sed -n 's/^host: //p')
  RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address --cfg system_allocator ${RUSTFLAGS:-}" \
    CARGO_TARGET_DIR=$target/address cargo test --locked --target "$host" --no-fail-fast "$@"
}

case $mode in
  loom | miri | address) "$mode" "$@" ;;
  *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2 && exit 2 ;;
esac
