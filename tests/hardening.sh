#!/bin/bash
# Holds what a release is built with, by reading the programs: each mistake in memory that the compiler and
# the kernel can catch ends them.
# Usage: hardening.sh BUILD_FOLDER
set -u
help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
case ${1:-} in -h | --help) help; exit 0 ;; esac
[ $# -eq 1 ] && [ -f "$1/compile_commands.json" ] || { echo "hardening: one build folder wanted, not \"$*\"" >&2; help >&2; exit 2; }
failures=0
# holds PROGRAM WHAT TEXT PATTERN: TEXT has a line that matches PATTERN.
holds() { grep -qE -- "$4" <<<"$3" || { echo "hardening: $1 has no $2"; failures=$((failures + 1)); }; }
lacks() { ! grep -qE -- "$4" <<<"$3" || { echo "hardening: $1 has $2"; failures=$((failures + 1)); }; }

for name in sqlshim sqlshim-control; do
  program=$1/$name
  [ -x "$program" ] || { echo "hardening: $program is not built"; failures=$((failures + 1)); continue; }
  told=$(readelf -hldnW "$program")
  symbols=$(readelf --dyn-syms -W "$program")
  holds $name "addresses that differ each time (PIE)" "$told" 'Flags: .*\bPIE\b'
  holds $name "read-only relocations (RELRO)" "$told" '^ *GNU_RELRO '
  holds $name "binding at start, without which RELRO is partial (BIND_NOW)" "$told" '\(FLAGS\) .*BIND_NOW'
  lacks $name "an executable stack" "$told" '^ *GNU_STACK .* RWE '
  lacks $name "a segment to write and to execute" "$told" '^ *LOAD .* RWE '
  holds $name "stack protector" "$symbols" ' __stack_chk_fail@'
  if [ "$(uname -m)" = x86_64 ]; then
    holds $name "mark of a shadow stack (CET)" "$told" 'x86 feature: .*SHSTK'
    holds $name "landing pads for indirect calls (CET)" "$(objdump -d --no-show-raw-insn "$program" | head -2000)" 'endbr64'
  fi
done
symbols=$(readelf --dyn-syms -W "$1/sqlshim" 2>/dev/null)
holds sqlshim "call that knows how large its buffer is (FORTIFY)" "$symbols" ' __[a-z]+_chk@'
holds sqlshim "assertion of the standard library" "$symbols" 'glibcxx_assert_fail'
# What leaves no mark in a program: how each of its files was compiled.
for file in shim/session.cpp tds/login7.cpp auth/initiator.cpp config/load.cpp tools/main.cpp; do
  command=$(grep -E "\"command\".* -c [^ ]*/$file\"" "$1/compile_commands.json")
  holds "$file" "protection against clashing stacks" "$command" ' -fstack-clash-protection '
  holds "$file" "FORTIFY 3" "$command" ' -D_FORTIFY_SOURCE=3 '
done
[ "$failures" -eq 0 ] || exit 1
echo "hardening: sqlshim and sqlshim-control are PIE with full RELRO, CET, FORTIFY 3, assertions and guarded stacks"
