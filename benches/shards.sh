#!/usr/bin/env bash
# What it costs that messages cross shards: `ringwire serve` with one shard and with two, each with
# a core of its own, in turn; the load generator beside them on both cores.
#
#   benches/shards.sh [--rounds R] [--seconds S] [--binary PATH]
#
# Of a topic's messages, one half comes from the other shard than the topic's home, and one half of
# the deliveries goes to it: on the average a delivery makes one hop.
#
# For comparison, two servers of one shard side by side, each with a load of its own, half as often:
# what two busy cores cost where nothing crosses.
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
servers=()
finish() {
  if [ ${#servers[@]} -gt 0 ]; then
    kill -KILL "${servers[@]}" 2>/dev/null || true
    wait "${servers[@]}" 2>/dev/null || true
  fi
  servers=()
}
trap 'finish; rm -rf "$work"' EXIT

# start SHARDS CPUS: a fresh server, whose ports are $port and $port + 1 and whose pid is the last.
start() {
  # A server that was killed takes a while to let go of its port.
  port=$((port + 2))
  rm -f "$work/log"
  taskset -c "$2" "$binary" serve --listen 127.0.0.1:$port --admin 127.0.0.1:$((port + 1)) \
    --shards "$1" >"$work/log" 2>&1 &
  servers+=($!)
  await_ready "$work/log"
}

# load NAME OPTIONS...: a run against the server that was started last.
load() {
  local name=$1; shift
  "$binary" bench fanout ws://127.0.0.1:$port/ws "$@" --bytes 32 --warmup 1s \
    --duration "${seconds}s" --server-pid "${servers[-1]}" --quiet \
    --json "$work/$name-$round.json" >"$work/$name.said" || { cat "$work/$name.said" >&2; exit 1; }
}

# one ROW SHARDS OPTIONS...: the report of a run as $work/ROW-SHARDS-ROUND.json, and what the server
# has counted as .metrics beside it.
one() {
  local row=$1 shards=$2; shift 2
  start "$shards" 0,1
  load "$row-$shards" "$@"
  curl -sS "http://127.0.0.1:$((port + 1))/metrics" >"$work/$row-$shards-$round.metrics"
  finish
}

# apart ROW OPTIONS...: two servers of one shard, each with a core and a generator of its own.
apart() {
  local row=$1 other; shift
  start 1 0
  load "$row-apart0" "$@" &
  other=$!
  start 1 1
  load "$row-apart1" "$@"
  wait $other
  finish
}

steady=(--publishers 100 --topics 1 --subscribers 100 --together-every)
for round in $(seq "$rounds"); do
  for shards in 1 2; do
    one 100x100 "$shards" --publishers 100 --topics 1 --subscribers 100
    one 100x100-steady "$shards" "${steady[@]}" 20ms
    one 1x10000 "$shards" --publishers 1 --topics 1 --subscribers 10000
    one hop "$shards" --publishers 20 --topics 20 --subscribers 2 --together-every 10ms
  done
  apart 100x100-steady "${steady[@]}" 40ms
done
python3 - "$work" "$rounds" <<'PYTHON'
import json, statistics, sys

work, rounds = sys.argv[1], int(sys.argv[2])

def load(row, shards):
    names = [f"{work}/{row}-{shards}-{round}.json" for round in range(1, rounds + 1)]
    return [json.load(open(name)) for name in names]

def per_send(row, shards):
    """Deliveries for each send, of all rounds."""
    counts = {"ringwire_deliveries_total": 0.0, "ringwire_fast_sends_total": 0.0}
    for round in range(1, rounds + 1):
        for line in open(f"{work}/{row}-{shards}-{round}.metrics"):
            name = line.split("{")[0].split(" ")[0]
            if name in counts:
                counts[name] += float(line.rsplit(" ", 1)[1])
    return counts["ringwire_deliveries_total"] / counts["ringwire_fast_sends_total"]

print(f"{rounds} rounds; medians, and medians of the ratios of each round")
for row in ["100x100", "100x100-steady", "1x10000"]:
    one, two = ([r["server"]["cpu_us_per_message"] * 1e3 for r in load(row, n)] for n in (1, 2))
    ratio = statistics.median(b / a for a, b in zip(one, two))
    print(f"{row:15} CPU for each delivery: one shard {statistics.median(one):.1f} ns,"
          f" two shards {statistics.median(two):.1f} ns, {ratio:.3f} times as much;"
          f" deliveries for each send {per_send(row, 1):.1f} and {per_send(row, 2):.1f}")
    if row == "100x100-steady":
        apart = [r["server"]["cpu_us_per_message"] * 1e3
                 for n in ("apart0", "apart1") for r in load(row, n)]
        ratio = statistics.median(apart) / statistics.median(one)
        print(f"{row:15} two servers of one shard side by side: {statistics.median(apart):.1f} ns,"
              f" {ratio:.3f} times as much as one alone")
for part in ["p50", "p99"]:
    one, two = ([r["latency_us"][part] for r in load("hop", n)] for n in (1, 2))
    added = statistics.median(b - a for a, b in zip(one, two))
    print(f"{'hop':15} {part}: one shard {statistics.median(one):.0f} us,"
          f" two shards {statistics.median(two):.0f} us, {added:+.0f} us")
PYTHON
