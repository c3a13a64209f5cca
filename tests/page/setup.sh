#!/usr/bin/env bash
# Install what drives the browser (npm's playwright-core) below .work, once: a stamp of what is pinned
# decides. The browser itself is Debian's chromium. Safe to run from several tests at a time.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$here/.work
command -v chromium >/dev/null || { echo "setup: chromium is missing: apt-get install chromium" >&2; exit 1; }
mkdir -p "$work"
exec 9>"$work/lock"
flock -w 300 9 || { echo "setup: another setup has not ended in 300 s" >&2; exit 1; }

pinned=$(cat "$here/package-lock.json" "${BASH_SOURCE[0]}" <(node --version) | sha256sum | cut -c1-16)
stamp=$work/ready-$pinned
[ -f "$stamp" ] && exit 0

rm -rf "$work/node_modules" "$work"/ready-*
cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$work/"
(cd "$work" && npm ci --silent --ignore-scripts)
touch "$stamp"
