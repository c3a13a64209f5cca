#!/usr/bin/env bash
# What compression costs a fan-out, and what it costs elsewhere: one publisher and its subscribers on
# one topic, messages like JSON, the server on one core and the generator on another. In turn:
# `ringwire serve` without compression, the same with it, and npm's ws, which compresses once for each
# connection.
#
#   benches/deflate.sh [--rounds R] [--seconds S] [--subscribers N] [--bytes B] [--binary PATH]
#
# Prints the medians and the ratios of each round, and exits 1 where compressed deliveries come at less
# than 0.8 of the rate of plain ones, or at less than 5 times that of ws. Every message is checked. The
# generator inflates what it is sent alike once (docs/bench.md); if it has no time left all the same, the
# server's core is idle in part, which is why its use is shown, and the processor time of a delivery.
set -euo pipefail
cd "$(dirname "$0")/.."
. benches/common.sh

rounds=5 seconds=5 subscribers=10000 bytes=1000 binary=
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --subscribers) subscribers=$2; shift 2 ;;
    --bytes) bytes=$2; shift 2 ;;
    --binary) binary=$2; shift 2 ;;
    *) usage benches/deflate.sh ;;
  esac
done
binary=${binary:-$(build)}
peer=$(benches/peers/setup.sh --js | sed -n 's/^ws=//p')
[ -n "$peer" ] || { echo "npm's ws is missing" >&2; exit 1; }
port=9300
work=$(mktemp -d)
server=
finish() {
  if [ -n "$server" ]; then
    kill -KILL "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  server=
}
trap 'finish; rm -rf "$work"' EXIT

# start COMMAND...: a fresh server on the first core.
start() {
  rm -f "$work/log"
  taskset -c 0 "$@" >"$work/log" 2>&1 &
  server=$!
  await_ready "$work/log"
}

# load NAME PATH OPTIONS...: a run against it from the second core; its report is $work/NAME-ROUND.json.
load() {
  local name=$1 path=$2; shift 2
  "$binary" bench fanout "ws://127.0.0.1:$port$path" --publishers 1 --topics 1 \
    --subscribers "$subscribers" --bytes "$bytes" --in-flight 2 --warmup 1s \
    --duration "${seconds}s" --timeout 60s --pin 1 --server-pid "$server" --quiet \
    --json "$work/$name-$round.json" "$@" >"$work/$name.said" || { cat "$work/$name.said" >&2; exit 1; }
  finish
}

ringwire=("$binary" serve --shards 1 --max-connections $((subscribers + 1000)))
for round in $(seq "$rounds"); do
  for name in plain compressed ws; do
    # A server that was killed takes a while to let go of its port.
    port=$((port + 2))
    here=(--listen 127.0.0.1:$port --admin 127.0.0.1:$((port + 1)))
    case $name in
      plain) start "${ringwire[@]}" "${here[@]}"; load plain /ws ;;
      compressed) start "${ringwire[@]}" "${here[@]}" --compression; load compressed /ws --deflate ;;
      ws)
        read -r -a command <<<"${peer//\{port\}/$port}"
        start "${command[@]}" --deflate
        load ws / --protocol plain --deflate
        ;;
    esac
  done
done
python3 - "$work" "$rounds" <<'PYTHON'
import json, statistics, sys

work, rounds = sys.argv[1], int(sys.argv[2])
median = statistics.median
reports = {name: [json.load(open(f"{work}/{name}-{round}.json")) for round in range(1, rounds + 1)]
           for name in ("plain", "compressed", "ws")}
rate = lambda report: report["messages"]["received_per_second"]

print(f"{rounds} rounds; medians, and medians of the ratios of each round")
for name, runs in reports.items():
    cpu = median(run["server"]["cpu_us_per_message"] for run in runs)
    used = median(run["server"]["cpu_seconds"] / run["measured_seconds"] for run in runs)
    size = runs[0]["messages"]["compressed_bytes_per_message"] or runs[0]["messages"]["bytes_per_message"]
    print(f"{name:10} {median(map(rate, runs)):12,.0f} deliveries/s, {cpu:7.3f} us of the server's core each,"
          f" {used:.2f} of which is used; {size:.0f} bytes of a message on the wire")
fails = 0
for other, least in (("plain", 0.8), ("ws", 5)):
    ratio = median(rate(a) / rate(b) for a, b in zip(reports["compressed"], reports[other]))
    fails += ratio < least
    print(f"compressed / {other}: {ratio:.3f}, which should be {least} or more")
sys.exit(fails > 0)
PYTHON
