#!/usr/bin/env bash
# Which lines of the engine its unit tests, the properties of `ws` and the simulator run.
#
#   tests/coverage.sh [--bar PERCENT]        fails when a module is below the bar (95)
#
# Counts src/ws, src/conn, src/pubsub and src/shard, without the code of tests. Lines that nothing ran
# are in the report that it names at the end. Installs cargo-llvm-cov where it is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bar=95
while (($#)); do
  case $1 in
    --bar) bar=$2 && shift ;;
    *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2 && exit 2 ;;
  esac
  shift
done

export CARGO_INCREMENTAL=0
target=${CARGO_TARGET_DIR:-target}
cargo llvm-cov --version >/dev/null 2>&1 || cargo install --locked cargo-llvm-cov
# Runs of the simulator: as many as reach what is rare.
export SIM_SEEDS=${SIM_SEEDS:-400} SIM_STEPS=${SIM_STEPS:-2000}
# What earlier runs have left behind is not what these tests run.
cargo llvm-cov clean --workspace --profraw-only
cargo llvm-cov --no-report --lib --test sim --test ws_properties
cargo llvm-cov report --lcov --output-path "$target/coverage.lcov"
cargo llvm-cov report --text --output-path "$target/coverage.txt"
python3 tests/coverage.py "$target/coverage.lcov" "$bar" || status=$?
echo "every line: $target/coverage.txt"
exit "${status:-0}"
