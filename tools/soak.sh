#!/bin/bash
# Runs sqlshim under random load and random faults for a long time, and compares what it holds at the end with what it held after warming up (a quarter of the time).
# Usage: tools/soak.sh --minutes N [--seed S] [--build FOLDER]
#   --minutes  0.5 is enough to try it; 2 in tools/test.sh; hours find what is slow
#   --seed     of an earlier run, which has printed it
#   --build    a build that is there already, instead of the release preset's
# A line every ten seconds: logins, refusals by cause, resident memory, descriptors, threads. Exit status 1: a login failed though nothing was broken, memory
# grew by more than 2 MiB, descriptors or threads are left behind, sqlshim ended, or a line of the decision log was broken.
set -eu
cd "$(dirname "$0")/.."
usage() { sed -n 's/^# \{0,1\}//; 2,8p' "$0" >&2; exit 2; }

build='' arguments=()
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || usage
  case $1 in
  --minutes | --seed) arguments+=("$1" "$2") ;;
  --build) build=$2 ;;
  *) usage ;;
  esac
  shift 2
done
[[ " ${arguments[*]} " == *" --minutes "* ]] || usage
if [ -z "$build" ]; then
  build=build/release
  cmake --preset release >/dev/null
  cmake --build --preset release --target sqlshim sqlshim-lab soak -- -j "$(nproc)" --quiet
fi
exec "$build/soak" "${arguments[@]}"
