#!/bin/bash
# What a login's decisions cost before it connects, beside libkrb5 for the same host in the same run. In a lab of its own, in namespaces of its own.
# Usage: tools/bench.sh
set -eu
cd "$(dirname "$0")/.."
tools/install.sh build lab
cmake --preset release >/dev/null
cmake --build --preset release --target decision_bench -- --quiet
exec build/release/sqlshim lab --netns -- build/release/decision_bench
