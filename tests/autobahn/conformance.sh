#!/usr/bin/env bash
# Conformance as a regression test: run the Autobahn cases against `ringwire echo` and compare each
# case's outcome with the pinned one. It builds nothing.
#
#   conformance.sh [--profile quick|full] [--bless] [BINARY]
#
#   BINARY      a ringwire binary (default: release build of this checkout)
#   --profile   quick (default): all but the large compressed messages, 373 cases, below a minute;
#               full: all 517, some minutes; each is pinned in expected-PROFILE.json
#   --bless     rewrite the pinned file from this run
#
# Exit status: 0 as pinned, 1 any case changed (also for the better: then bless it), 2 could not run.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(cd "$here/../.." && pwd)
profile=quick bless=() binary=${CARGO_TARGET_DIR:-$project/target}/release/ringwire
while (($#)); do
  case $1 in
    --profile) profile=${2:?--profile needs a value}; shift 2 ;;
    --bless) bless=(--bless); shift ;;
    -h | --help) sed -n '2,/^set -e/p' "$0" | sed '$d; s/^# \{0,1\}//'; exit 0 ;;
    -*) echo "unknown option $1" >&2; exit 2 ;;
    *) binary=$1; shift ;;
  esac
done
die() { echo "conformance: $*" >&2; exit 2; }
[ -x "$binary" ] || die "no ringwire binary at $binary: cargo build --release"

server_limit_s=2400 ready_limit_s=15
work=$here/.work out=$here/.work/out/ringwire
mkdir -p "$work"
log=$work/server.log
# Autobahn's largest messages have 16 MiB, and their echo has to fit as a whole; sections 12 and 13 want
# even the smallest message compressed, and send some that shrink a thousand times.
timeout --kill-after=10 "$server_limit_s" "$binary" echo --listen 127.0.0.1:0 --admin 127.0.0.1:0 \
  --message-bytes-max $((16 << 20)) --egress-bytes-max $((40 << 20)) \
  --compression --compression-threshold-bytes 1 --compression-ratio-max 2000 >"$work/server.out" 2>"$log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT

deadline=$((SECONDS + ready_limit_s))
until grep -q '^ringwire: ready' "$log"; do
  kill -0 "$server" 2>/dev/null || die "the server ended before it was ready: $(tail -n 5 "$log")"
  ((SECONDS < deadline)) || die "the server was not ready in $ready_limit_s s: $(tail -n 5 "$log")"
  sleep 0.05
done
url=$(sed -n 's/^ringwire: listening on \(ws:.*\)$/\1/p' "$log" | head -n 1)
[ -n "$url" ] || die "the server did not say where it listens"

# The runner's own verdict is stricter in some ways and laxer in others: only the comparison counts.
status=0
"$here/run.sh" --url "$url" --agent ringwire --profile "$profile" --shards 2 --out "$out" \
  --work "$work" --limit 2000 || status=$?
((status < 2)) || die "the fuzzing client could not run (status $status)"
kill -0 "$server" 2>/dev/null || die "the server did not survive: $(tail -n 5 "$log")"
python3 "$here/compare.py" "$here/expected-$profile.json" "$out/summary.json" ${bless[@]+"${bless[@]}"}
