#!/usr/bin/env bash
# What a scrape of /metrics takes while very many connections are open, and what it costs those who
# talk meanwhile: rounds in turn with and without a scrape every second.
#
#   benches/scrape.sh [--connections N] [--rounds R] [--seconds S] [--binary PATH]
#
# Exits 1 where a scrape takes 50 ms or more, or adds 1 % or more to the 99th percentile of the echoes
# (the median of the rounds' ratios). Needs root: it raises limits of the network stack, in a network
# namespace where it can have one. With an RLIMIT_NOFILE of 20,000 a table of descriptors holds 20,000
# connections, so there are more shards and rings than cores.
set -euo pipefail
cd "$(dirname "$0")/.."
. benches/common.sh

connections=100000 rounds=7 seconds=10 binary=
while [ $# -gt 0 ]; do
  case $1 in
    --connections) connections=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --binary) binary=$2; shift 2 ;;
    *) usage benches/scrape.sh ;;
  esac
done
binary=${binary:-$(build)}
if [ -z "${RINGWIRE_SCRAPE_INSIDE:-}" ] && unshare --net true 2>/dev/null; then
  RINGWIRE_SCRAPE_INSIDE=1 exec unshare --net benches/scrape.sh --connections "$connections" \
    --rounds "$rounds" --seconds "$seconds" --binary "$binary"
fi
ip link set lo up
sysctl -qw net.core.somaxconn=65535 net.ipv4.tcp_max_syn_backlog=65535 \
  net.ipv4.ip_local_port_range="10000 65535"
port=9401 admin=9402 talkers=1000 rate=5000
work=$(mktemp -d)
server='' crowd='' scraper=''
finish() {
  for pid in $scraper $crowd $server; do
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap finish EXIT

table=$(ulimit -n)
[ "$table" != unlimited ] && [ "$table" -le 1000000 ] || table=1000000
shards=$(((connections + talkers) / (table * 3 / 4) + 2))
# Without heartbeats: those of so many would move the echoes more than any scrape does.
"$binary" echo --listen 0.0.0.0:$port --admin 127.0.0.1:$admin --shards "$shards" \
  --max-connections $((connections + 2 * talkers)) --heartbeat-interval-ms 3600000 \
  >"$work/log" 2>&1 &
server=$!
await_ready "$work/log"
"$binary" bench idle "ws://127.0.0.2-127.0.0.9:$port/ws" --connections "$connections" \
  --rings $((connections / (table - 200) + 1)) --hold 24h --quiet >"$work/crowd" 2>&1 &
crowd=$!
open_now() {
  curl -sf "http://127.0.0.1:$admin/v1/status" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["connections"]["open"])' || echo 0
}
for _ in $(seq 120); do [ "$(open_now)" -ge "$connections" ] && break; sleep 1; done
opened=$(open_now)
[ "$opened" -ge "$connections" ] || { cat "$work/crowd" >&2; exit 1; }

# What Prometheus does, as often as anybody would.
scrape() {
  while true; do
    curl -sf -o "$work/metrics" -w '%{time_total} %{size_download}\n' \
      "http://127.0.0.1:$admin/metrics" >>"$work/scrapes"
    sleep 1
  done
}

# talk NAME: a round of echoes; its report is $work/NAME-ROUND.json.
talk() {
  "$binary" bench echo "ws://127.0.0.1:$port/ws" --connections $talkers --rate $rate \
    --warmup 1s --duration "${seconds}s" --quiet --json "$work/$1-$round.json" >"$work/said" ||
    { cat "$work/said" >&2; exit 1; }
}

for round in $(seq "$rounds"); do
  # Whoever is first has it no better than the other.
  if ((round % 2)); then talk quiet; fi
  scrape & scraper=$!
  talk scraped
  kill "$scraper"; wait "$scraper" 2>/dev/null || true
  scraper=
  if ! ((round % 2)); then talk quiet; fi
done
[ "$(open_now)" -ge "$connections" ] || { echo "connections were lost" >&2; exit 1; }
python3 - "$work" "$rounds" "$opened" <<'PYTHON'
import json, statistics, sys

work, rounds, opened = sys.argv[1], int(sys.argv[2]), sys.argv[3]
p99 = {name: [json.load(open(f"{work}/{name}-{n}.json"))["latency_us"]["p99"]
              for n in range(1, rounds + 1)] for name in ("quiet", "scraped")}
scrapes = [line.split() for line in open(f"{work}/scrapes")]
times = sorted(float(time) * 1e3 for time, _ in scrapes)
ratios = sorted(b / a for a, b in zip(p99["quiet"], p99["scraped"]))
ratio = statistics.median(ratios)
print(f"{opened} connections, {len(times)} scrapes of {int(scrapes[-1][1]) / 1024:.0f} KiB:"
      f" median {statistics.median(times):.1f} ms, longest {times[-1]:.1f} ms")
print(f"echo p99: {statistics.median(p99['quiet']) / 1e3:.2f} ms without,"
      f" {statistics.median(p99['scraped']) / 1e3:.2f} ms with a scrape every second;"
      f" ratio {ratio:.3f} (rounds from {ratios[0]:.3f} to {ratios[-1]:.3f})")
sys.exit(times[-1] >= 50 or ratio >= 1.01)
PYTHON
