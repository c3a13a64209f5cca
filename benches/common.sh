# Sourced by the scripts beside it, from the repository's root: what more than one of them needs.

# usage SCRIPT: its command line, as its header says it; ends the script.
usage() {
  grep -m 1 '^#   benches/' "$1" | sed 's/^# *//' >&2
  exit 2
}

# The release build of this checkout.
build() {
  cargo build --release --quiet
  echo "${CARGO_TARGET_DIR:-target}/release/ringwire"
}

# await_ready LOG: until the server that writes it says that it is ready, but no longer than 10 s.
await_ready() {
  for _ in $(seq 100); do
    if grep -qs 'ready$' "$1"; then return; fi
    sleep 0.1
  done
  echo "a server was not ready in 10 s:" >&2
  cat "$1" >&2
  return 1
}

# cpu_ns PID: the processor time of all its threads. Threads may end while it is read.
cpu_ns() {
  { cat "/proc/$1"/task/*/schedstat 2>/dev/null || true; } |
    awk '{ sum += $1 } END { printf "%.0f", sum }'
}
