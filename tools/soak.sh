#!/bin/bash
# Runs sqlshim under random load and random faults, and tells what is left behind.
# What it holds at the end is compared with what it held after warming up (a quarter of the time).
#
# Usage: tools/soak.sh --minutes N [--seed S] [--build FOLDER]
#        tools/soak.sh --help
#   --minutes  0.5 is enough to try it; 2 in tools/test.sh; hours find what is slow
#   --seed     of an earlier run, which has printed it
#   --build    a build that is there already, instead of the release preset's
#
# A line every ten seconds: logins, refusals by cause, resident memory, descriptors, threads.
# Exit status 1: a login failed though nothing was broken, memory grew by more than 2 MiB, descriptors or
# threads are left behind, sqlshim ended, or a line of the decision log was broken.
set -eu
help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
usage() { echo "tools/soak.sh: $*" >&2; help >&2; exit 2; }

build='' arguments=()
while [ $# -gt 0 ]; do
  case $1 in
  -h | --help) help; exit 0 ;;
  --minutes | --seed | --build) [ $# -ge 2 ] || usage "$1 takes a value" ;;
  *) usage "unknown argument \"$1\"" ;;
  esac
  if [ "$1" = --build ]; then build=$2; else arguments+=("$1" "$2"); fi
  shift 2
done
[[ " ${arguments[*]} " == *" --minutes "* ]] || usage "say for how many --minutes"
cd "$(dirname "$0")/.."
if [ -z "$build" ]; then
  build=build/release
  cmake --preset release >/dev/null
  cmake --build --preset release --target sqlshim sqlshim-lab soak -- -j "$(nproc)" --quiet
fi
exec "$build/soak" "${arguments[@]}"
