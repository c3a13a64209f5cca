#!/usr/bin/env bash
# What an idle connection's heartbeat costs the server's core, beside a floor that does nothing but
# send the ping and take the pong: in turn, one core for the server and one for the clients.
#
#   benches/heartbeats.sh [--connections N] [--every MS] [--rounds R] [--seconds S] [--binary PATH]
#
# One table of descriptors holds them all, so N has to be a little below RLIMIT_NOFILE.
set -euo pipefail
cd "$(dirname "$0")/.."
. benches/common.sh

connections=15000 every=5000 rounds=5 seconds=15 binary=
while [ $# -gt 0 ]; do
  case $1 in
    --connections) connections=$2; shift 2 ;;
    --every) every=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --binary) binary=$2; shift 2 ;;
    *) usage benches/heartbeats.sh ;;
  esac
done
binary=${binary:-$(build)}
floor=$(benches/peers/setup.sh | sed -n 's/^floor-uring=\([^ ]*\) .*/\1/p')
port=9100
work=$(mktemp -d)
server='' clients=''
finish() {
  for pid in $clients $server; do kill -KILL "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

established() {
  ss -Htn state established "sport = :$port" | wc -l
}

# one NAME COMMAND...: nanoseconds of the server for each heartbeat, appended to $work/NAME.
one() {
  local name=$1 from to; shift
  rm -f "$work/log"
  taskset -c 0 "$@" >"$work/log" 2>&1 &
  server=$!
  await_ready "$work/log"
  # Several addresses: the ports of the round before are still taken. The clients hold longer than
  # is measured, and are ended before they are done.
  taskset -c 1 "$binary" bench idle "ws://127.0.0.1-127.0.0.9:$port/ws" --rings 2 \
    --connections "$connections" --hold $((seconds + every / 500 + 60))s --quiet \
    >"$work/clients" 2>&1 &
  clients=$!
  for _ in $(seq 60); do [ "$(established)" -ge "$connections" ] && break; sleep 0.5; done
  sleep $((every / 500 + 1))
  from=$(cpu_ns $server); sleep "$seconds"; to=$(cpu_ns $server)
  [ "$(established)" -ge "$connections" ] || {
    echo "$name: connections are missing" >&2; cat "$work/clients" >&2; exit 1
  }
  awk -v ns=$((to - from)) -v beats=$((connections * seconds * 1000 / every)) \
    'BEGIN { printf "%.0f\n", ns / beats }' >>"$work/$name"
  kill "$clients" && wait "$clients" || true
  kill -KILL "$server"; wait "$server" 2>/dev/null || true
  server='' clients=''
}

# A server that was killed takes a while to let go of its port, so each has another one.
for _ in $(seq "$rounds"); do
  port=$((port + 1))
  one floor "$floor" --port $port --heartbeat-ms "$every"
  port=$((port + 1))
  one ringwire "$binary" serve --listen 0.0.0.0:$port --shards 1 --admin none \
    --max-connections "$connections" --heartbeat-interval-ms "$every"
done
paste "$work/floor" "$work/ringwire" | awk -v n="$connections" -v every="$every" '
  { floor[NR] = $1; ringwire[NR] = $2; ratio[NR] = $2 / $1 }
  function median(a, n, i, j, t) {
    for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++)
      if (a[j] < a[i]) { t = a[i]; a[i] = a[j]; a[j] = t }
    return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
  }
  END {
    printf "%d connections, a heartbeat each %.1f s, %d rounds\n", n, every / 1000, NR
    printf "  floor     %.2f us of CPU for each\n", median(floor, NR) / 1000
    printf "  ringwire  %.2f us of CPU for each, %.2f times as much\n",
      median(ringwire, NR) / 1000, median(ratio, NR)
  }'
