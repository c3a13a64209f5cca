#!/usr/bin/env bash
# Fuzzes the targets of fuzz/src, each for a while.
#
#   fuzz/run.sh [--seconds N] [--jobs N] [TARGET...]     half an hour for each target by default
#   fuzz/run.sh --build                                  builds, and no more
#   fuzz/run.sh --minimise [TARGET...]                   takes what was found into the committed corpora
#
# Needs cargo-fuzz, which it installs, and no nightly Rust: RUSTC_BOOTSTRAP=1 lets the one in use take
# the sanitizer's flags. What it finds on its way is kept in fuzz/.work/corpus; an input that breaks
# something is in fuzz/.work/artifacts. Make it small (fuzz/target/.../TARGET -minimize_crash=1), commit it
# below fuzz/regressions/TARGET under a name that says what it shows, and mend what it shows.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

seconds=1800 jobs=$(nproc) mode=run targets=()
# Files that a committed corpus may have beside those with a name of their own.
found_files_max=40
while (($#)); do
  case $1 in
    --seconds) seconds=$2 && shift ;;
    --jobs) jobs=$2 && shift ;;
    --build) mode=build ;;
    --minimise) mode=minimise ;;
    -*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2 && exit 2 ;;
    *) targets+=("$1") ;;
  esac
  shift
done
((${#targets[@]})) || mapfile -t targets < <(sed -n 's/^name = "\([a-z0-9_]*\)"$/\1/p' Cargo.toml)

export RUSTC_BOOTSTRAP=1 CARGO_INCREMENTAL=0
host=$(rustc -vV | sed -n 's/^host: //p')
built=${CARGO_TARGET_DIR:-$PWD/target}/$host/release
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
# By default cargo-fuzz compiles each crate in one piece, which takes one core twice as long.
cargo fuzz build --fuzz-dir "$PWD" --target "$host" --codegen-units 16
[ "$mode" != build ] || exit 0

# fuzz TARGET: until the time is over or something is found. Its last words are shown, and all of them
# if it ends badly.
fuzz() {
  local target=$1 log=.work/$1.log options=()
  mkdir -p ".work/corpus/$target" .work/artifacts
  [ ! -f "dictionaries/$target.dict" ] || options+=("-dict=dictionaries/$target.dict")
  local folders=(".work/corpus/$target" "corpus/$target")
  [ ! -d "regressions/$target" ] || folders+=("regressions/$target")
  if nice "$built/$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=4096 \
    -len_control=20 -print_final_stats=1 -artifact_prefix=".work/artifacts/$target-" \
    "${options[@]}" "${folders[@]}" >"$log" 2>&1; then
    printf '%-18s %s\n' "$target" "$(grep -a '^Done' "$log")"
  else
    printf '%s has found something:\n' "$target"
    tail -n 60 "$log"
    return 1
  fi
}

# minimise TARGET: the smallest inputs that reach what all of them reach, those with names first.
minimise() {
  local target=$1 merged=.work/merged/$1
  rm -rf "$merged" && mkdir -p "$merged"
  "$built/$target" -merge=1 -max_len=4096 "$merged" "corpus/$target" ".work/corpus/$target" 2>/dev/null
  rm -f "corpus/$target"/found-*
  local named
  named=$(cd "corpus/$target" 2>/dev/null && sha1sum -- * | cut -d' ' -f1 || true)
  find "$merged" -type f -size -8 -printf '%s %f\n' | sort -n | cut -d' ' -f2 |
    { grep -vxF "$named" || true; } | sed -n "1,${found_files_max}p" | while read -r file; do
    mv "$merged/$file" "corpus/$target/found-${file:0:12}"
  done
}

export -f fuzz
export built seconds
case $mode in
  run)
    start=$SECONDS
    printf '%s\0' "${targets[@]}" | xargs -0 -n 1 -P "$jobs" bash -euo pipefail -c 'fuzz "$1"' fuzz
    echo "${#targets[@]} targets, $seconds s each, $((SECONDS - start)) s in all: nothing found"
    ;;
  minimise) for target in "${targets[@]}"; do minimise "$target"; done ;;
esac
