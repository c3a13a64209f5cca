#!/usr/bin/env bash
# Build the Debian package: packaging/deb.sh [TARGET]
#
# TARGET is one of rustc's, such as x86_64-unknown-linux-musl; the host's own is the default. Needs
# cargo-deb (cargo install --locked cargo-deb) and Debian's dpkg-dev. The last line is the package's path.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v cargo-deb >/dev/null || { echo "deb.sh: cargo-deb is missing: cargo install --locked cargo-deb" >&2; exit 1; }
target=()
release=${CARGO_TARGET_DIR:-target}/release
if [ $# -gt 0 ]; then
  target=(--target "$1")
  release=${CARGO_TARGET_DIR:-target}/$1/release
fi
cargo build --locked --release --bin ringwire "${target[@]}"

# What is made from the command's own definition.
work=packaging/.work
rm -rf "$work"
mkdir -p "$work/man"
"$release/ringwire" man --folder "$work/man"
"$release/ringwire" completions bash >"$work/ringwire.bash"
"$release/ringwire" completions zsh >"$work/_ringwire"
"$release/ringwire" completions fish >"$work/ringwire.fish"
cargo deb --locked --no-build "${target[@]}"
