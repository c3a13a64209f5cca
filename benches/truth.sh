#!/usr/bin/env bash
# Hold the load generator against tools that know nothing of it: truth.sh [BINARY]
#
# Without BINARY the release build is made and used. Needs Debian's tsung and Python 3.11 with venv;
# what is missing is installed, by apt as root and by pip below truth/.work. Prints a table of what
# was compared, and exits 1 if anything disagrees by more than the table allows. A minute and a half.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$here/truth/.work
mkdir -p "$work"
exec 9>"$work/lock"
flock -w 600 9 || { echo "truth: another one has not ended in 600 s" >&2; exit 1; }

binary=${1:-}
if [ -z "$binary" ]; then
  cargo build --quiet --locked --release --manifest-path "$here/../Cargo.toml"
  binary=${CARGO_TARGET_DIR:-$here/../target}/release/ringwire
fi

packages=()
command -v tsung >/dev/null || packages+=(tsung)
python3 -W ignore -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
if ((${#packages[@]})); then
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  export DEBIAN_FRONTEND=noninteractive
  "${as_root[@]}" apt-get -q update >&2
  "${as_root[@]}" apt-get -q install -y --no-install-recommends "${packages[@]}" >&2
fi

pinned=$(cat "$here/truth/requirements.txt" <(python3 --version) | sha256sum | cut -c1-16)
if [ ! -f "$work/ready-$pinned" ]; then
  rm -rf "$work/venv" "$work"/ready-*
  python3 -m venv "$work/venv"
  "$work/venv/bin/python" -m pip install -q --disable-pip-version-check \
    -r "$here/truth/requirements.txt"
  touch "$work/ready-$pinned"
fi
export PYTHONDONTWRITEBYTECODE=1
exec "$work/venv/bin/python" "$here/truth/compare.py" "$binary" "$work"
