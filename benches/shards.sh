#!/usr/bin/env bash
# What it costs that messages cross shards: `ringwire serve` with one shard and with two, each with
# a core of its own, in turn; the load generator beside them on both cores.
#
#   benches/shards.sh [--rounds R] [--seconds S] [--binary PATH]
#
# Of a topic's messages, one half comes from the other shard than the topic's home, and one half of
# the deliveries goes to it: on the average a delivery makes one hop.
set -euo pipefail
cd "$(dirname "$0")/.."
. benches/common.sh

rounds=5 seconds=3 binary=
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --binary) binary=$2; shift 2 ;;
    *) usage benches/shards.sh ;;
  esac
done
binary=${binary:-$(build)}
port=9200
work=$(mktemp -d)
server=''
finish() {
  if [ -n "$server" ]; then kill -KILL "$server" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap finish EXIT

# one ROW SHARDS OPTIONS...: a fresh server, a run, its report as $work/ROW-SHARDS-ROUND.json.
one() {
  local row=$1 shards=$2; shift 2
  # A server that was killed takes a while to let go of its port.
  port=$((port + 1))
  rm -f "$work/log"
  "$binary" serve --listen 127.0.0.1:$port --admin none --shards "$shards" >"$work/log" 2>&1 &
  server=$!
  await_ready "$work/log"
  "$binary" bench fanout ws://127.0.0.1:$port/ws "$@" --warmup 1s --duration "${seconds}s" \
    --server-pid $server --quiet --json "$work/$row-$shards-$round.json" >"$work/said" ||
    { cat "$work/said" >&2; exit 1; }
  kill -KILL $server; wait $server 2>/dev/null || true
  server=''
}

for round in $(seq "$rounds"); do
  for shards in 1 2; do
    one 100x100 "$shards" --publishers 100 --topics 1 --subscribers 100 --bytes 32
    one 100x100-steady "$shards" --publishers 100 --topics 1 --subscribers 100 --bytes 32 \
      --together-every 20ms
    one 1x10000 "$shards" --publishers 1 --topics 1 --subscribers 10000 --bytes 32
    one hop "$shards" --publishers 20 --topics 20 --subscribers 2 --bytes 32 --together-every 10ms
  done
done
python3 - "$work" "$rounds" <<'PYTHON'
import json, statistics, sys

work, rounds = sys.argv[1], int(sys.argv[2])

def load(row, shards):
    names = [f"{work}/{row}-{shards}-{round}.json" for round in range(1, rounds + 1)]
    return [json.load(open(name)) for name in names]

print(f"{rounds} rounds; medians, and medians of the ratios of each round")
for row in ["100x100", "100x100-steady", "1x10000"]:
    one, two = ([r["server"]["cpu_us_per_message"] * 1e3 for r in load(row, n)] for n in (1, 2))
    ratio = statistics.median(b / a for a, b in zip(one, two))
    print(f"{row:15} CPU for each delivery: one shard {statistics.median(one):.1f} ns,"
          f" two shards {statistics.median(two):.1f} ns, {ratio:.3f} times as much")
for part in ["p50", "p99"]:
    one, two = ([r["latency_us"][part] for r in load("hop", n)] for n in (1, 2))
    added = statistics.median(b - a for a, b in zip(one, two))
    print(f"{'hop':15} {part}: one shard {statistics.median(one):.0f} us,"
          f" two shards {statistics.median(two):.0f} us, {added:+.0f} us")
PYTHON
