#!/bin/bash
# Fuzzes what reads foreign bytes (tests/fuzz/README.md).
# It prints for each target: executions, speed, crashes, and which share of its sources' lines the corpus
# reaches.
#
# Usage: tools/fuzz.sh --minutes N [TARGET…]   N minutes in all, shared evenly; a target for each core at once
#        tools/fuzz.sh --seconds N [TARGET…]   N seconds for each target
#        tools/fuzz.sh --corpus [TARGET…]      makes the corpus anew, of the unit tests' tables, of what is
#                                              there and was found: what reaches more is kept
#        tools/fuzz.sh --help
#
# The targets are those of tests/fuzz/targets.txt. The first build takes some minutes.
# Exit status 1: an input crashed a target, broke a property or passed a bound, or the corpus reaches less
# than 85 % of a source's lines. Such an input is kept in tests/fuzz/crashes, and the command that runs it
# again is printed.
set -eu
self=$(realpath "$0")
help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$self"; }
cd "$(dirname "$0")/.."
fuzz=tests/fuzz
build=build/fuzz
least=85 # per cent of lines
most=59  # inputs of one corpus
jobs=$(nproc)
usage() { echo "tools/fuzz.sh: $*" >&2; help >&2; exit 2; }

mode=${1:-}
shift || usage "say for how long"
case $mode in
--minutes | --seconds)
  amount=${1:-}
  [[ $amount =~ ^[1-9][0-9]*$ ]] || usage "$mode takes a number, not \"$amount\""
  shift
  ;;
--corpus) ;;
-h | --help) help; exit 0 ;;
*) usage "unknown argument \"$mode\"" ;;
esac
known=$(grep -oE '^[a-z0-9_]+' $fuzz/targets.txt)
targets=${*:-$known}
for target in $targets; do
  grep -qxF -- "$target" <<<"$known" || { echo "tools/fuzz.sh: there is no target \"$target\"; there are: ${known//$'\n'/ }" >&2; exit 2; }
done
count=$(wc -w <<<"$targets")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --preset fuzz >/dev/null
build_of() { cmake --build --preset fuzz --target "$@" -- -j "$jobs" --quiet >"$work/build.log" || { tail -40 "$work/build.log"; exit 1; }; }
# shellcheck disable=SC2046
build_of $(printf '%s_fuzz ' $targets)

# One input of 8 KiB is as good as a larger one nearly everywhere; the largest ones are in replay_test.cpp and
# the unit tests.
common="-max_len=8192 -timeout=10 -rss_limit_mb=2048"
export LLVM_PROFILE_FILE=/dev/null

if [ "$mode" = --corpus ]; then
  build_of fuzz_seeds
  $build/fuzz_seeds "$work/seeds" >/dev/null
  for target in $targets; do
    mkdir -p "$work/new/$target" "$work/seeds/$target" $fuzz/corpus/"$target" "build/fuzz-found/$target"
    # Edges alone, not how often each is taken: a corpus to read and to keep, not one to start a cluster with.
    # shellcheck disable=SC2086
    $build/"${target}"_fuzz $common -use_counters=0 -set_cover_merge=1 "$work/new/$target" "$work/seeds/$target" $fuzz/corpus/"$target" "build/fuzz-found/$target" >"$work/$target.log" 2>&1 ||
      { tail -40 "$work/$target.log"; exit 1; }
    rm -f $fuzz/corpus/"$target"/*
    # Each that libFuzzer writes adds the most to those before it: the first ones are worth keeping.
    find "$work/new/$target" -type f -printf '%T@ %p\n' | sort -n | head -$most | cut -d' ' -f2 | xargs -r mv -t $fuzz/corpus/"$target"
    printf '%-16s %3d inputs\n' "$target" "$(find $fuzz/corpus/"$target" -type f | wc -l)"
  done
  exit 0
fi

seconds=$amount
[ "$mode" = --seconds ] || seconds=$((amount * 60 * (jobs < count ? jobs : count) / count))
[ "$seconds" -gt 0 ] || seconds=1

# run_one TARGET: fuzzes it; then its corpus alone, for the coverage.
run_one() {
  local target=$1 dictionary=""
  mkdir -p "build/fuzz-found/$target" $fuzz/crashes/"$target"
  [ ! -f "$fuzz/$target.dict" ] || dictionary="-dict=$fuzz/$target.dict"
  # shellcheck disable=SC2086
  $build/"${target}"_fuzz $common $dictionary -max_total_time="$seconds" -print_final_stats=1 -artifact_prefix=$fuzz/crashes/"$target"/ "build/fuzz-found/$target" $fuzz/corpus/"$target" \
    >"$work/$target.log" 2>&1 || echo failed >"$work/$target.failed"
  LLVM_PROFILE_FILE=$work/$target.profraw $build/"${target}"_fuzz -runs=0 $fuzz/corpus/"$target" >"$work/$target.replay" 2>&1 || true
  llvm-profdata-19 merge -sparse "$work/$target.profraw" -o "$work/$target.profdata"
  rmdir --ignore-fail-on-non-empty $fuzz/crashes/"$target"
}
export -f run_one
export fuzz build work seconds common
# shellcheck disable=SC2086
printf '%s\n' $targets | xargs -P "$jobs" -I{} bash -c 'run_one {}'

# lines_covered TARGET SOURCE: the share of its lines that the corpus reaches, in per cent.
lines_covered() {
  llvm-cov-19 report $build/"$1"_fuzz -instr-profile="$work/$1.profdata" "$PWD/$2" | awk '$1 == "TOTAL" { sub("%", "", $10); print $10 }'
}
stat_of() { sed -n "s/^stat::$2: *//p" "$work/$1.log"; }

problems=0
printf '%-14s %12s %8s  %-8s %s\n' target executions exec/s crashes 'lines of its sources that the corpus reaches'
for target in $targets; do
  crashes=0
  [ ! -e "$work/$target.failed" ] || crashes=1
  covered=""
  for source in $(sed -n "s/^$target //p" $fuzz/targets.txt); do
    share=$(lines_covered "$target" "$source")
    covered+="$source ${share:-0} %  "
    awk -v share="${share:-0}" -v least=$least 'BEGIN { exit !(share < least) }' || continue
    covered+="(less than $least %) "
    problems=1
  done
  printf '%-14s %12s %8s  %-8s %s\n' "$target" "$(stat_of "$target" number_of_executed_units)" "$(stat_of "$target" average_exec_per_sec)" $crashes "$covered"
done
for target in $targets; do
  [ -e "$work/$target.failed" ] || continue
  problems=1
  echo "--- $target"
  grep -E 'does not hold|its bound|ERROR:|runtime error:|ALARM|Test unit written to' "$work/$target.log" || tail -20 "$work/$target.log"
  sed -n "s,^.*Test unit written to \(.*\)$,run it again: $build/${target}_fuzz \1," "$work/$target.log"
done
exit $problems
