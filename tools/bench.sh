#!/bin/bash
# What sqlshim costs, in two tables.
# First a login's decisions before it connects, beside libkrb5 for the same host. Then a session's login,
# round trips, results and requests, beside the same without sqlshim. Both sides in one run, each in a lab of
# its own.
#
# Usage: tools/bench.sh [--help]
#
# It installs what is missing, builds build/release, and then takes about two minutes.
set -eu
help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
refuse() { echo "tools/bench.sh: unknown argument \"$1\"; it takes none but --help" >&2; help >&2; exit 2; }
case ${1:-} in
'') ;;
-h | --help) help; exit 0 ;;
*) refuse "$1" ;;
esac
cd "$(dirname "$0")/.."
tools/install.sh build lab
cmake --preset release >/dev/null
cmake --build --preset release --target decision_bench session_bench -- --quiet
build/release/sqlshim lab --netns -- build/release/decision_bench
for encrypt in off on; do
  echo
  SQLSHIM_BENCH_ENCRYPT=$encrypt build/release/sqlshim lab --server-encrypt $encrypt -- build/release/session_bench
done
