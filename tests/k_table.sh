#!/bin/bash
# Holds what names tests: k_table.txt has every row from K1 to K21, README's "What it promises" has a test for
# each promise, and every test that they name exists.
# Usage: k_table.sh SOURCE_FOLDER BUILD_FOLDER
set -u
help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
case ${1:-} in -h | --help) help; exit 0 ;; esac
[ $# -eq 2 ] || { echo "k_table: two folders wanted, not \"$*\"" >&2; help >&2; exit 2; }
table=$1/tests/k_table.txt
# PROGRAM.Suite.Case, as --gtest_list_tests tells suites and, indented, their cases.
known=$(for program in "$2"/*_test; do
  GTEST_TOTAL_SHARDS=1 GTEST_SHARD_INDEX=0 "$program" --gtest_list_tests | awk -v program="${program##*/}" '/^[^ ]/ { suite = $1; next } { print program "." suite $1 }'
done)
failures=0
complain() { echo "k_table.txt: $*"; failures=$((failures + 1)); }

for row in $(seq -f 'K%.0f' 1 21); do
  grep -qE "^$row " "$table" || complain "$row is missing"
done
while read -r row test rest; do
  case $row in '' | '#'*) continue ;; esac
  [[ $row =~ ^K([1-9]|1[0-9]|2[01])$ && -n $test && -z $rest ]] || { complain "not a row: $row $test $rest"; continue; }
  [ "$test" = later ] || grep -qxF -- "$test" <<<"$known" || complain "$row names a test that does not exist: $test"
done <"$table"
promises=0
while IFS='|' read -r _ promise held _; do
  case $promise in '' | ' promise ' | ---*) continue ;; esac
  promises=$((promises + 1))
  named=$(grep -oE '`[a-z_]+_test[.][^`]+`' <<<"$held" | tr -d '`')
  [ -n "$named" ] || { echo "README.md: no test holds:$promise"; failures=$((failures + 1)); }
  for test in $named; do
    grep -qxF -- "$test" <<<"$known" || { echo "README.md: no such test: $test"; failures=$((failures + 1)); }
  done
done < <(sed -n '/^## What it promises/,/^## What it costs/p' "$1/README.md" | grep '^|')
[ "$promises" -ge 11 ] || { echo "README.md: only $promises promises found"; failures=$((failures + 1)); }
[ "$failures" -eq 0 ] || exit 1
echo "k_table.txt: $(grep -cE '^K.* later$' "$table") rows later, the others held by tests that exist"
echo "README.md: $promises promises, each held by tests that exist"
