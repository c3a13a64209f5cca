#!/usr/bin/env bash
# Build and install all peers below .work, and print one line for each: NAME=COMMAND, in which {port}
# stands for the port. Everything else that is said goes to stderr. What can't be had is skipped and
# said so. Safe to run again: what is there already is kept.
#
#   setup.sh [--js]      only those in JavaScript
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$here/.work
mkdir -p "$work"
exec 9>"$work/lock"
flock -w 1800 9 || { echo "setup: another setup has not ended in 1800 s" >&2; exit 1; }

skip() { echo "setup: skipped: $*" >&2; }

rust=(floor-uring floor-epoll tokio-tungstenite fastwebsockets tokio-websockets sockudo-ws tokio-uring)
if [ "${1:-}" = --js ]; then
  :
elif cargo build --quiet --locked --release --bins --manifest-path "$here/Cargo.toml" \
  --target-dir "$work/target" >&2; then
  for name in "${rust[@]}"; do
    program=$work/target/release/$name
    [ -x "$program" ] || program=$work/target/release/peer-$name
    echo "$name=$program --port {port}"
  done
else
  skip "${rust[*]}: cargo could not build them"
fi

# install NAME: what package-lock.json pins, once
install() {
  local stamp
  stamp=$work/js-$(cat "$here/js/package-lock.json" | sha256sum | cut -c1-16)
  [ -f "$stamp" ] && return 0
  rm -rf "$work/js" "$work"/js-*
  mkdir -p "$work/js"
  cp "$here/js/package.json" "$here/js/package-lock.json" "$here/js/.npmrc" "$work/js/"
  (cd "$work/js" && npm ci --silent --ignore-scripts) >&2 && touch "$stamp"
}

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  skip "bun and ws: they need Node 20 with npm"
elif ! install; then
  skip "bun and ws: npm could not install them"
else
  # Modules are looked for beside the file that asks for them.
  cp "$here/js/"*.js "$work/js/"
  bun=$(find "$work/js/node_modules/@oven" -path '*/bin/bun' -print -quit 2>/dev/null || true)
  if [ -n "$bun" ] && "$bun" --version >/dev/null 2>&1; then
    echo "bun=$bun $work/js/bun.js --port {port}"
  else
    skip "bun: its package has no binary that runs here"
  fi
  echo "ws=$(command -v node) $work/js/ws.js --port {port}"
fi
