#!/usr/bin/env bash
# Install the stock clients (npm's ws and Bun, what drives Chromium, Python's websockets) below .work,
# once: a stamp of what is pinned decides. Safe to run from several tests at a time. Chromium itself is
# the system's.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$here/.work
mkdir -p "$work"
exec 9>"$work/lock"
flock -w 300 9 || { echo "setup: another setup has not ended in 300 s" >&2; exit 1; }

pinned=$(cat "$here/package-lock.json" "$here/requirements.txt" "${BASH_SOURCE[0]}" \
  <(node --version; python3 --version) | sha256sum | cut -c1-16)
stamp=$work/ready-$pinned
[ -f "$stamp" ] && exit 0

rm -rf "$work/node" "$work/venv" "$work"/ready-*
mkdir -p "$work/node"
cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$work/node/"
(cd "$work/node" && npm ci --silent --ignore-scripts)
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q --disable-pip-version-check -r "$here/requirements.txt"
touch "$stamp"
