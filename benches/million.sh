#!/usr/bin/env bash
# One server process, one load generator, one host: a million WebSocket connections, each subscribed
# to a topic, with heartbeats. Prints what they cost, what they cost while nothing happens, and how
# long one publish takes to reach the last of them.
#
#   benches/million.sh [--connections N] [--hold SECONDS] [--binary PATH]
#
# Needs root (it applies sysctl/60-ringwire.conf, and more: see "tune") and about 10 GiB per million, both
# ends included. With an RLIMIT_NOFILE of 20,000 a table of descriptors holds 20,000 connections, so
# there are more shards and rings than cores.
set -euo pipefail
cd "$(dirname "$0")/.."

connections=1000000 hold=300 binary=
while [ $# -gt 0 ]; do
  case $1 in
    --connections) connections=$2; shift 2 ;;
    --hold) hold=$2; shift 2 ;;
    --binary) binary=$2; shift 2 ;;
    *) echo "usage: $0 [--connections N] [--hold SECONDS] [--binary PATH]" >&2; exit 2 ;;
  esac
done
if [ "$hold" -lt 70 ]; then
  echo "--hold has to be 70 or more: a steady minute is measured" >&2
  exit 2
fi
if [ -z "$binary" ]; then
  cargo build --release --quiet
  binary=${CARGO_TARGET_DIR:-target}/release/ringwire
fi
if [ -z "${RINGWIRE_MILLION_INSIDE:-}" ]; then
  sysctl -qp sysctl/60-ringwire.conf
  sysctl -qw net.core.netdev_max_backlog=65536
  # The boot decides how large the kernel's table of connections is. A network namespace of one's
  # own can have one that fits; why it matters: "A million connections" in docs/measurements.md.
  entries=1
  while [ "$entries" -lt $((connections * 2)) ]; do entries=$((entries * 2)); done
  if sysctl -qw net.ipv4.tcp_child_ehash_entries=$entries 2>/dev/null; then
    export RINGWIRE_MILLION_INSIDE=1
    exec unshare --net "$0" --connections "$connections" --hold "$hold" --binary "$binary"
  fi
else
  ip link set lo up
fi
port=9001 admin=9002
# A message has reached everybody long before the next one.
interval=$((10 + connections / 25000)) window=$((2 * (10 + connections / 25000)))
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
url="ws://127.0.0.1-127.0.0.$last:$port/ws"

rss() { awk '/^VmRSS/ { print $2 * 1024 }' "/proc/$1/status"; }
slab() { awk '/^SUnreclaim/ { print $2 * 1024 }' /proc/meminfo; }
cpu_ns() {
  { cat "/proc/$1"/task/*/schedstat 2>/dev/null || true; } |
    awk '{ sum += $1 } END { printf "%.0f", sum }'
}
pings_sent() {
  curl -sf "http://127.0.0.1:$admin/metrics" |
    awk '/^ringwire_pings_sent_total/ { sum += $2 } END { printf "%.0f", sum }'
}
field() { python3 -c "import json,sys; r = json.load(open(sys.argv[1])); print($2)" "$1"; }

# run NAME TOPICS SUBSCRIBERS HOLD: one server, one generator, all of it from the beginning.
run() {
  local name=$1 topics=$2 subscribers=$3 rest=$4 json=$work/$1.json before_slab
  sleep 2
  before_slab=$(slab)
  "$binary" serve --listen 0.0.0.0:$port --admin 127.0.0.1:$admin \
    --shards "$shards" --max-connections "$connections" >"$work/server.log" 2>&1 &
  server=$!
  for _ in $(seq 100); do grep -q ' ready$' "$work/server.log" && break; sleep 0.1; done
  local rss_before; rss_before=$(rss $server)
  "$binary" bench fanout "$url" --publishers "$topics" \
    --topics "$topics" --subscribers "$subscribers" --bytes 64 --rings "$rings" \
    --hold "${rest}s" --warmup 0s --duration ${window}s --together-every ${interval}s --server-pid $server \
    --json "$json" >"$work/$name.txt" 2>"$work/$name.progress" &
  generator=$!
  until open_now && [ "$opened" -ge "$connections" ]; do
    kill -0 $generator 2>/dev/null || break
    sleep 1
  done
  echo "$name: $opened connections are open, $topics topic(s), $subscribers subscribers each"
  if [ "$rest" -ge 70 ]; then
    sleep $((rest - 65))
    local from to
    local pings=$(pings_sent)
    from=$(cpu_ns $server); sleep 60; to=$(cpu_ns $server)
    awk -v ns=$((to - from)) -v pings=$(($(pings_sent) - pings)) 'BEGIN {
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
  field "$json" "'  established {established}, failed {failed}, lost {lost}; {per_second:,.0f} per second, {connect_seconds:.1f} s'.format(**r['connections'])"
  field "$json" "'  publish to last delivery: {:.0f} ms; median delivery {:.0f} ms; {:,} deliveries'.format(r['latency_us']['max'] / 1e3, r['latency_us']['p50'] / 1e3, r['latency_us']['count'])"
  field "$json" "'  faults: ' + (', '.join('{cause} {count} ({example})'.format(**f) for f in r['faults']) or 'none')"
  kill -KILL $server; wait $server 2>/dev/null || true
  server=''
}

open_now() {
  opened=$(curl -sf "http://127.0.0.1:$admin/v1/status" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["connections"]["open"])') || opened=0
}

tune
echo "$connections connections, $shards shards, $rings rings, $(nproc) cores, Linux $(uname -r)"
echo "$(sysctl -n net.ipv4.tcp_ehash_entries) entries in the kernel's table of connections"
run one-topic 1 "$connections" "$hold"
topics=10000
if [ "$connections" -lt 1000000 ]; then topics=$((connections / 100)); fi
run many-topics $topics $((connections / topics)) 5
