#!/bin/bash
# Holds the scripts: each one's --help teaches, and a word that it does not know is refused by name, before
# anything is done.
# Usage: scripts.sh SOURCE_FOLDER
set -u
help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
case ${1:-} in -h | --help) help; exit 0 ;; esac
[ $# -eq 1 ] && [ -f "$1/tools/test.sh" ] || { echo "scripts: one folder of sources wanted, not \"$*\"" >&2; help >&2; exit 2; }
cd "$1" || exit 2
failures=0
complain() { echo "scripts: $*"; failures=$((failures + 1)); }

count=0
for script in tools/*.sh tests/*.sh tests/interop/install.sh; do
  count=$((count + 1))
  [ -x "$script" ] || complain "$script is not executable"
  said=$(timeout 10 "$script" --help 2>&1 </dev/null)
  status=$?
  [ $status -eq 0 ] || complain "$script --help ends with $status"
  grep -q "^Usage: .*${script##*/}" <<<"$said" || complain "$script --help does not say how it is used"
  [ "$(wc -l <<<"$said")" -ge 2 ] || complain "$script --help does not say what it is for"
  # ls: a word that a shell knows.
  for word in ls --no-such-option; do
    said=$(timeout 10 "$script" $word 2>&1 </dev/null)
    status=$?
    # The compiler's wrapper takes any program for a compiler.
    [ "$script $word" != "tools/compile.sh ls" ] || continue
    [ $status -eq 2 ] || complain "$script $word ends with $status, not with 2"
    grep -qF "\"$word\"" <<<"$said" || complain "$script $word does not name what it refuses: $said"
    grep -q '^Usage: ' <<<"$said" || complain "$script $word does not say what there is: $said"
  done
done
[ $failures -eq 0 ] || exit 1
echo "scripts: $count scripts teach by --help, and refuse what they do not know"
