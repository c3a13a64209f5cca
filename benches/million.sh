#!/usr/bin/env bash
# One server process, one load generator, one host: a million WebSocket connections, each subscribed
# to a topic, with heartbeats. Prints what they cost, what they cost while nothing happens, and how
# long one publish takes to reach the last of them.
#
#   benches/million.sh [--connections N] [--hold S] [--heartbeat S] [--only PART] [--binary PATH]
#
# The parts are one-topic (all of them subscribed to the same), which is held for so long, and
# many-topics (10,000 topics). A heartbeat is due after 25 s of silence unless told otherwise: two
# cores can't answer those of two million connections in time, so give such a run a longer one.
#
# Needs root (it raises limits of the network stack) and about 9 GiB per million, both ends
# included. With an RLIMIT_NOFILE of 20,000 a table of descriptors holds 20,000 connections, so
# there are more shards and rings than cores.
set -euo pipefail
cd "$(dirname "$0")/.."
. benches/common.sh

connections=1000000 hold=300 heartbeat=25 only= binary=
while [ $# -gt 0 ]; do
  case $1 in
    --connections) connections=$2; shift 2 ;;
    --hold) hold=$2; shift 2 ;;
    --heartbeat) heartbeat=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    --binary) binary=$2; shift 2 ;;
    *) usage benches/million.sh ;;
  esac
done
case $only in
  '' | one-topic | many-topics) ;;
  *) echo "--only is one-topic or many-topics" >&2; exit 2 ;;
esac
if [ "$hold" -lt 70 ]; then
  echo "--hold has to be 70 or more: a steady minute is measured" >&2
  exit 2
fi
binary=${binary:-$(build)}
if [ -z "${RINGWIRE_MILLION_INSIDE:-}" ]; then
  # As in sysctl/60-ringwire.conf, and the backlog of the loopback interface.
  sysctl -qw fs.file-max=5000000 net.ipv4.tcp_mem="1000000 2000000 3000000" \
    net.core.netdev_max_backlog=65536
  # The boot decides how large the kernel's table of connections is. A network namespace of one's
  # own can have one that fits; why it matters: "A million connections" in docs/measurements.md.
  entries=1
  while [ "$entries" -lt $((connections * 2)) ]; do entries=$((entries * 2)); done
  if before=$(sysctl -n net.ipv4.tcp_child_ehash_entries 2>/dev/null) && unshare --net true; then
    sysctl -qw net.ipv4.tcp_child_ehash_entries=$entries
    RINGWIRE_MILLION_INSIDE=1 unshare --net benches/million.sh --connections "$connections" \
      --hold "$hold" --heartbeat "$heartbeat" --only "$only" --binary "$binary" &
    inside=$!
    trap 'kill "$inside" 2>/dev/null || true' EXIT
    sleep 1
    sysctl -qw net.ipv4.tcp_child_ehash_entries="$before"
    wait "$inside"
    exit
  fi
else
  ip link set lo up
fi
port=9001 admin=9002
# Seconds for one message to reach everybody: as long as the run publishes, so there is one.
interval=$((10 + connections / 25000))
work=$(mktemp -d)
server='' generator=''
finish() {
  for pid in $generator $server; do kill -KILL "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

tune() {
  sysctl -qw net.core.somaxconn=65535 net.ipv4.tcp_max_syn_backlog=65535 \
    net.ipv4.ip_local_port_range="10000 65535"
}

ceiling() { echo $((($1 + $2 - 1) / $2)); }
table=$(ulimit -n)
[ "$table" != unlimited ] && [ "$table" -le 1000000 ] || table=1000000
# The server keeps a quarter above the mean, because the kernel spreads connections by hash.
shards=$(ceiling "$connections" $((table * 3 / 4)))
rings=$(ceiling "$connections" $((table - 200)))
last=$(ceiling "$connections" 25000)
if [ "$last" -gt 250 ]; then last=250; fi

rss() { awk '/^VmRSS/ { print $2 * 1024 }' "/proc/$1/status"; }
slab() { awk '/^SUnreclaim/ { print $2 * 1024 }' /proc/meminfo; }
pings_sent() {
  curl -sf "http://127.0.0.1:$admin/metrics" |
    awk '/^ringwire_pings_sent_total/ { sum += $2 } END { printf "%.0f", sum }'
}
said() {
  python3 - "$1" <<'PYTHON'
import json, sys

report = json.load(open(sys.argv[1]))
c, latency = report["connections"], report["latency_us"]
print(f"  established {c['established']}, failed {c['failed']}, lost {c['lost']};"
      f" {c['per_second']:,.0f} per second, {c['connect_seconds']:.1f} s")
print(f"  publish to last delivery: {latency['max'] / 1e3:.0f} ms;"
      f" median delivery {latency['p50'] / 1e3:.0f} ms; {latency['count']:,} deliveries")
faults = [f"{fault['cause']} {fault['count']} ({fault['example']})" for fault in report["faults"]]
print("  faults: " + (", ".join(faults) or "none"))
PYTHON
}

# run NAME TOPICS SUBSCRIBERS HOLD: one server, one generator, all of it from the beginning.
run() {
  local name=$1 topics=$2 subscribers=$3 rest=$4 json=$work/$1.json before_slab url
  if [ -n "$only" ] && [ "$only" != "$name" ]; then return; fi
  # A server that was killed takes a while to let go of its ports.
  port=$((port + 2)) admin=$((admin + 2))
  url="ws://127.0.0.1-127.0.0.$last:$port/ws"
  sleep 2
  before_slab=$(slab)
  "$binary" serve --listen 0.0.0.0:$port --admin 127.0.0.1:$admin \
    --shards "$shards" --max-connections "$connections" \
    --heartbeat-interval-ms $((heartbeat * 1000)) >"$work/$name.log" 2>&1 &
  server=$!
  await_ready "$work/$name.log"
  local rss_before; rss_before=$(rss $server)
  "$binary" bench fanout "$url" --publishers "$topics" \
    --topics "$topics" --subscribers "$subscribers" --bytes 64 --rings "$rings" \
    --hold "${rest}s" --warmup 0s --duration ${interval}s --together-every ${interval}s \
    --server-pid $server --json "$json" >"$work/$name.txt" 2>"$work/$name.progress" &
  generator=$!
  until open_now && [ "$opened" -ge "$connections" ]; do
    kill -0 $generator 2>/dev/null || break
    sleep 1
  done
  echo "$name: $opened connections are open, $topics topic(s), $subscribers subscribers each"
  if [ "$rest" -ge 70 ]; then
    sleep $((rest - 65))
    local from to
    local pings pings_after
    pings=$(pings_sent)
    from=$(cpu_ns $server); sleep 60; to=$(cpu_ns $server)
    pings_after=$(pings_sent)
    awk -v ns=$((to - from)) -v pings=$((pings_after - pings)) 'BEGIN {
      printf "  CPU of the server over a steady minute, heartbeats on: %.3f cores;", ns / 60e9
      printf " %.0f pings per second, %.1f us each\n", pings / 60, pings ? ns / 1e3 / pings : 0 }'
    open_now
    echo "  still open after ${rest} s: $opened"
    awk -v n="$connections" -v a="$rss_before" -v b="$(rss $server)" 'BEGIN {
      printf "  server: %.0f MiB resident, %.1f bytes per connection\n", b / 1048576, (b - a) / n }'
    awk -v n="$connections" -v a="$before_slab" -v b="$(slab)" 'BEGIN {
      printf "  kernel: %.0f bytes of slab per connection (two sockets)\n", (b - a) / n }'
  fi
  wait $generator || echo "  the run was not good:" && generator=''
  said "$json"
  kill -KILL $server; wait $server 2>/dev/null || true
  server=''
}

open_now() {
  opened=$(curl -sf "http://127.0.0.1:$admin/v1/status" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["connections"]["open"])') || opened=0
}

tune
echo "$connections connections, $shards shards, $rings rings, $(nproc) cores, Linux $(uname -r)"
echo "a heartbeat after $heartbeat s of silence"
echo "$(sysctl -n net.ipv4.tcp_ehash_entries) entries in the kernel's table of connections"
run one-topic 1 "$connections" "$hold"
topics=10000
if [ "$connections" -lt 1000000 ]; then topics=$((connections / 100)); fi
run many-topics $topics $((connections / topics)) 5
