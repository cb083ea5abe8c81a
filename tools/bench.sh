#!/bin/bash
# What sqlshim costs: a login's decisions before it connects, beside libkrb5 for the same host; then a session's login, round trips, results and requests beside the
# same without sqlshim. Both sides in one run, each in a lab of its own.
# Usage: tools/bench.sh
set -eu
cd "$(dirname "$0")/.."
tools/install.sh build lab
cmake --preset release >/dev/null
cmake --build --preset release --target decision_bench session_bench -- --quiet
build/release/sqlshim lab --netns -- build/release/decision_bench
for encrypt in off on; do
  echo
  SQLSHIM_BENCH_ENCRYPT=$encrypt build/release/sqlshim lab --server-encrypt $encrypt -- build/release/session_bench
done
