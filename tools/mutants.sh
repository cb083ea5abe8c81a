#!/bin/bash
# Sabotages a copy of the source, one line at a time (tools/mutants.txt), builds the one test program that the mutant names, and expects it to fail.
# A mutant that nobody catches is a hole in the tests. Exit status 0: all caught.
# Usage: tools/mutants.sh [--sample N [--seed S]] [NAME…]      --sample: N of them, chosen by a seed, which is printed
set -eu
cd "$(dirname "$0")/.."
root=$PWD
work=$root/build/mutants
list=tools/mutants.txt
run_limit=40 # seconds for one program; a mutant that hangs is caught

sample="" seed=$(date +%N | sed 's/^0*//') wanted=()
while [ $# -gt 0 ]; do
  case $1 in
  --sample) sample=$2; shift 2 ;;
  --seed) seed=$2; shift 2 ;;
  -*) sed -n '2,4s/^# //p' tools/mutants.sh >&2; exit 2 ;;
  *) wanted+=("$1"); shift ;;
  esac
done

# One mutant a line: name, file, program, filter, line before, line after; separated by tabs.
mutants=$(awk -v OFS='\t' '
  /^#/ || NF == 0 { next }
  /^- / { before = substr($0, 3); next }
  /^\+ / { print name, file, program, filter, before, substr($0, 3); next }
  { split($0, part, ": "); name = part[1]; file = part[2]; split(part[3], word, " "); program = word[1]; filter = word[2] == "" ? "*" : word[2] }
' "$list")
all=$(wc -l <<<"$mutants")
if [ ${#wanted[@]} -gt 0 ]; then
  mutants=$(for name in "${wanted[@]}"; do
    grep -P "^\Q$name\E\t" <<<"$mutants" || { echo "no mutant is called $name; see $list" >&2; exit 2; }
  done)
elif [ -n "$sample" ]; then
  echo "seed $seed"
  mutants=$(awk -v seed="$seed" 'BEGIN { srand(seed) } { print rand() "\t" $0 }' <<<"$mutants" | sort -g | head -n "$sample" | cut -f2-)
fi
mutants=$(sort -t$'\t' -k3,3 -k2,2 <<<"$mutants") # neighbours share what has to be built

# The copy. Files that have not changed keep their time, so that a second run builds little.
mkdir -p "$work/src"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
  [ ! -f "$file" ] || cmp -s "$file" "$work/src/$file" || install -D -m "$(stat -c %a "$file")" "$file" "$work/src/$file"
done
[ ! -d "$root/../shared" ] || ln -sfn "$root/../shared" "$work/shared"

programs=$(cut -f3 <<<"$mutants" | sort -u)
# What a program's tests start besides themselves.
targets_of() { case $1 in component_test | tools_test) echo "$1 sqlshim sqlshim-lab" ;; *) echo "$1" ;; esac; }
build() { cmake --build "$work/out" --target $(targets_of "$1") -- --quiet; }
passes() { (cd "$work/out" && GTEST_BRIEF=1 timeout -k 5 $run_limit "./$1" --gtest_filter="$2"); }

cmake -G Ninja -S "$work/src" -B "$work/out" -DCMAKE_CXX_COMPILER=clang++-19 -DCMAKE_EXE_LINKER_FLAGS=-fuse-ld=lld-19 \
  -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS=-w -DCMAKE_CXX_FLAGS_DEBUG=-O0 >/dev/null
echo "building $(echo $programs) without a sabotage …"
for program in $programs; do build "$program"; done

restore() { [ -z "${sabotaged:-}" ] || cp "$root/$sabotaged" "$work/src/$sabotaged"; sabotaged=""; }
trap restore EXIT

caught=0 number=0 total=$(wc -l <<<"$mutants")
checked="" # program and filter that were seen to pass without a sabotage
while IFS=$'\t' read -r name file program filter before after; do
  number=$((number + 1)) started=$SECONDS verdict=""
  restore
  if [ "$(sed 's/^[[:space:]]*//' "$file" | grep -cFx -e "$before")" -ne 1 ]; then
    verdict="NOT ONCE in $file: $before"
  else
    case $checked in *"|$program $filter|"*) ;; *)
      build "$program"
      passes "$program" "$filter" >"$work/log" 2>&1 || verdict="$program $filter FAILS WITHOUT IT: $work/log"
      ! grep -q '^\[=*\] 0 tests' "$work/log" || verdict="$filter NAMES NO TEST of $program"
      checked+="|$program $filter|" ;;
    esac
  fi
  if [ -z "$verdict" ]; then
    sabotaged=$file
    BEFORE=$before AFTER=$after awk '{ line = $0; sub(/^[ \t]+/, "", line); print line == ENVIRON["BEFORE"] ? ENVIRON["AFTER"] : $0 }' "$file" >"$work/src/$file"
    if ! build "$program" >"$work/log" 2>&1; then
      verdict="DOES NOT COMPILE: $work/log"
    elif passes "$program" "$filter" >"$work/log" 2>&1; then
      verdict="NOT CAUGHT by $program $filter"
    else
      caught=$((caught + 1))
      red=$(sed -n 's/^\[  FAILED  \] \([^ ,]*\).*/\1/p' "$work/log" | head -1)
      verdict="caught by ${red:-$program, which did not end normally}"
    fi
  fi
  printf '%2d/%d %3d s  %-34s %s\n' $number "$total" $((SECONDS - started)) "$name" "$verdict"
done <<<"$mutants"
printf '%d of %d caught (%d in the list), %d min %02d s\n' $caught "$total" "$all" $((SECONDS / 60)) $((SECONDS % 60))
[ $caught -eq "$total" ]
