#!/bin/bash
# Can the tests fail? Sabotages the source, one statement at a time, and expects the tests to notice.
# Each mutant of tools/mutants.txt names the one test program that must fail with it. One that nobody catches
# is a hole in the tests.
#
# Usage: tools/mutants.sh [NAME…]                  all, or those
#        tools/mutants.sh --sample N [--seed S]    N of them, chosen by a seed, which is printed
#        tools/mutants.sh --help
#
# Some 20 seconds each on two cores. Exit status 0: all caught.
#
# Nothing is copied or built twice. The asan preset's build stays as it is. Of each mutant only what includes
# the sabotaged file is compiled, over a virtual file that stands in its place, and linked before the
# libraries that hold the honest one. So several run side by side.
set -eu
self=$(realpath "$0")
help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$self"; }
usage() { echo "tools/mutants.sh: $*" >&2; help >&2; exit 2; }
case ${1:-} in -h | --help) help; exit 0 ;; esac
cd "$(dirname "$0")/.."
export root=$PWD build=$PWD/build/asan work=$PWD/build/mutants
export least_limit=20 # seconds for a program that needs none by itself; a mutant that hangs is caught
export GTEST_BRIEF=1
list=tools/mutants.txt

sample="" seed=$(date +%N | sed 's/^0*//') wanted=()
while [ $# -gt 0 ]; do
  case $1 in
  --sample | --seed)
    [[ ${2:-} =~ ^[0-9]+$ ]] || usage "$1 takes a number"
    if [ "$1" = --sample ]; then sample=$2; else seed=$2; fi
    shift 2
    ;;
  -*) usage "unknown option \"$1\"" ;;
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
    grep -P "^\Q$name\E\t" <<<"$mutants" || usage "there is no mutant \"$name\"; there are those of $list"
  done)
elif [ -n "$sample" ]; then
  echo "seed $seed"
  mutants=$(awk -v seed="$seed" 'BEGIN { srand(seed) } { print rand() "\t" $0 }' <<<"$mutants" | sort -g | head -n "$sample" | cut -f2-)
fi
total=$(wc -l <<<"$mutants")

# What a program's tests start besides themselves.
programs_of() { case $1 in component_test | tools_test) echo "$1 sqlshim sqlshim-lab sqlshim-control" ;; *) echo "$1" ;; esac; }
# command_of OUTPUT PROGRAM: how the build makes OUTPUT, which PROGRAM is made of.
command_of() { grep -F -m 1 -e " -o $1 " "$work/$2.commands" | sed 's|^[^ ]*/tools/compile.sh ||'; }
# FOLDER PROGRAM FILTER SECONDS.
passes() { (cd "$1" && GTEST_FAIL_FAST=1 timeout -k 5 "$4" "./$2" --gtest_filter="$3"); }

# objects_of FILE: the object files, as the build names them, that FILE goes into.
objects_of() { awk -v file="$1" '$1 == file { print $2 }' "$work/objects"; }

# sabotaged FILE BEFORE AFTER: the file with BEFORE, which stands in whole lines of it, made AFTER. Where
# lines are broken does not count, so that a formatter moves no mutant. Status 1: it does not stand there
# exactly once.
sabotaged() {
  BEFORE=$2 AFTER=$3 perl -0777 -pe '
    my $pattern = "";
    for my $word ($ENV{BEFORE} =~ /\w+|[^\w\s]/g) {
      $pattern .= ($pattern =~ /\w$/ && $word =~ /^\w/ ? "\\s+" : "\\s*") if $pattern ne "";
      $pattern .= quotemeta $word;
    }
    exit 1 if s/^[ \t]*$pattern[ \t]*$/$ENV{AFTER}/gm != 1' "$1"
}

# sabotage FOLDER FILE PROGRAM BEFORE AFTER: compiles into FOLDER, with one line changed, what of FILE goes
# into PROGRAM and into what that starts.
sabotage() {
  local folder=$1 file=$2 object command program
  mkdir -p "$folder"
  sabotaged "$file" "$4" "$5" >"$folder/source"
  printf '{"version":0,"roots":[{"type":"file","name":"%s","external-contents":"%s"}]}\n' "$root/$file" "$folder/source" >"$folder/overlay.json"
  for object in $(objects_of "$file"); do
    command=""
    for program in $(programs_of "$3"); do
      [ -n "$command" ] || command=$(command_of "$object" "$program")
    done
    [ -n "$command" ] || continue # part of another program
    command=$(sed -E "s| -MD -MT [^ ]+ -MF [^ ]+||; s| -o [^ ]+ -c | -g0 -w -ivfsoverlay $folder/overlay.json -o $folder/${object//\//+} -c |" <<<"$command")
    (cd "$build" && eval "$command") || return 1
    echo "$object" >>"$folder/compiled"
  done
  [ -s "$folder/compiled" ] || { echo "no object of $3 is made from $file"; return 1; }
}

# link FOLDER PROGRAM…: the programs, made anew of what was sabotaged. One that holds nothing of it is the
# honest one.
link() {
  local folder=$1 object honest link library program
  shift
  for program; do
    honest=$(command_of "$program" "$program") link=$honest
    while read -r object; do
      library=${object%%.dir/*} library=lib/lib${library##*/}.a
      case $link in
      *" $object "*) link=${link//" $object "/" $folder/${object//\//+} "} ;;
      *" $library"*) link=${link/" -o "/" $folder/${object//\//+} -o "} ;;
      esac
    done <"$folder/compiled"
    if [ "$link" = "$honest" ]; then
      stand_in "$folder" "$program" || return 1
      continue
    fi
    link=${link/" -o $program "/" -Wl,--strip-debug -o $folder/$program "} # a second of writing
    rm -f "$folder/$program" # it may be the honest one by another name, which the linker would write into
    (cd "$build" && eval "$link") || return 1
  done
}
# The honest program, by another name of the same file and not by a symbolic link: programs look for each
# other beside themselves.
stand_in() { ln -f "$build/$2" "$1/$2"; }

# survives FOLDER PROGRAM FILTER SECONDS: first with what the program starts left honest, which most tests do
# not need.
survives() {
  local folder=$1 program=$2 other others=()
  for other in $(programs_of "$program"); do
    [ "$other" = "$program" ] || others+=("$other")
    stand_in "$folder" "$other"
  done
  link "$folder" "$program" || { touch "$folder/unlinked"; return 1; }
  passes "$folder" "$program" "$3" "$4" || return 1
  [ ${#others[@]} -gt 0 ] || return 0
  link "$folder" "${others[@]}" || { touch "$folder/unlinked"; return 1; }
  passes "$folder" "$program" "$3" "$4"
}

# judge NUMBER: one line of the report; an empty file NUMBER.caught where the mutant was caught.
judge() {
  local name file program filter before after started=$SECONDS verdict="" folder=$work/$1 red millis
  IFS=$'\t' read -r name file program filter before after < <(sed -n "$1p" "$work/list")
  millis=$(awk -F'\t' -v program="$program" -v filter="$filter" '$1 == program && $2 == filter { print $3 }' "$work/honest")
  if ! sabotaged "$file" "$before" "$after" >/dev/null; then
    verdict="NOT ONCE in $file: $before"
  elif [ -z "$millis" ]; then
    verdict="$program $filter FAILS WITHOUT IT, or names no test"
  elif ! sabotage "$folder" "$file" "$program" "$before" "$after" >"$work/$1.log" 2>&1; then
    verdict="DOES NOT COMPILE: $work/$1.log"
  elif survives "$folder" "$program" "$filter" $((least_limit + millis / 100)) >"$work/$1.log" 2>&1; then
    verdict="NOT CAUGHT by $program $filter"
  elif [ -e "$folder/unlinked" ]; then
    verdict="DOES NOT LINK: $work/$1.log"
  else
    touch "$work/$1.caught"
    red=$(sed -n 's/^\[  FAILED  \] \([^ ,]*\).*/\1/p' "$work/$1.log" | head -1)
    verdict="caught by ${red:-$program, which did not end normally}"
  fi
  rm -rf "$folder"
  printf '%2d/%d %3d s  %-34s %s\n' "$1" "$total" $((SECONDS - started)) "$name" "$verdict"
}

# run_honestly PROGRAM SHARD: its part of all that the program's mutants name, without any sabotage.
run_honestly() {
  local filters log=$work/honest.$1.$2.log
  filters=$(awk -F'\t' -v program="$1" '$3 == program { print $4 }' "$work/list" | sort -u | paste -sd:)
  (cd "$build" && GTEST_BRIEF=0 GTEST_TOTAL_SHARDS=$(nproc) GTEST_SHARD_INDEX=$2 timeout -k 5 900 "./$1" --gtest_filter="$filters") >"$log" 2>&1 ||
    grep -A20 '^\[  FAILED\|ERROR: ' "$log" | tail -40
}

# honest PROGRAM: notes "program, filter, milliseconds" of each filter whose tests all passed.
honest() {
  local program=$1 filter patterns pattern name result millis sum good
  sed -nE 's/^\[ +(OK|FAILED) +\] ([^ ,]+).* \(([0-9]+) ms\)$/\1 \2 \3/p' "$work"/honest."$program".*.log >"$work/$program.times"
  while IFS= read -r filter; do
    sum=0 good=""
    IFS=: read -ra patterns <<<"$filter"
    while read -r result name millis; do
      for pattern in "${patterns[@]}"; do
        # shellcheck disable=SC2053
        [[ $name == $pattern ]] || continue
        [ "$result" = OK ] || { good=no; break 2; }
        good=yes sum=$((sum + millis))
        break
      done
    done <"$work/$program.times"
    [ "$good" != yes ] || printf '%s\t%s\t%d\n' "$program" "$filter" "$sum" >>"$work/honest"
  done < <(awk -F'\t' -v program="$program" '$3 == program { print $4 }' "$work/list" | sort -u)
}

cmake --preset asan >/dev/null
programs=$(for program in $(cut -f3 <<<"$mutants" | sort -u); do programs_of "$program"; done | xargs -n 1 | sort -u)
# shellcheck disable=SC2086
cmake --build --preset asan --target $programs -- --quiet >/dev/null
rm -rf "$work"
mkdir -p "$work"
for program in $programs; do ninja -C "$build" -t commands "$program" >"$work/$program.commands"; done
cat >"$work/list" <<<"$mutants"
: >"$work/honest"
ninja -C "$build" -t deps | awk -v root="$root/" '
  NR == FNR { sabotaged[$0]; next }
  /: #deps / { object = $1; sub(":$", "", object); next }
  { file = $1; if (index(file, root) == 1) file = substr(file, length(root) + 1); sub("^\\.\\./\\.\\./", "", file) }
  file in sabotaged { print file, object }' <(cut -f2 <<<"$mutants" | sort -u) - >"$work/objects"
export total
export -f programs_of sabotaged command_of passes objects_of sabotage link stand_in survives judge run_honestly honest

for program in $(cut -f3 <<<"$mutants" | sort -u); do
  seq -f "$program %.0f" 0 $(($(nproc) - 1))
done | xargs -P "$(nproc)" -d '\n' -n 1 bash -c 'run_honestly $1' _
cut -f3 <<<"$mutants" | sort -u | xargs -n 1 bash -c 'honest "$1"' _
# One more than there are cores: some wait for a deadline.
seq "$total" | xargs -P $(($(nproc) + 1)) -n 1 bash -c 'judge "$1"' _
caught=$(find "$work" -name '*.caught' | wc -l)
printf '%d of %d caught (%d in the list), %d min %02d s\n' "$caught" "$total" "$all" $((SECONDS / 60)) $((SECONDS % 60))
[ "$caught" -eq "$total" ]
