#!/bin/bash
# Installs what is missing, builds, and runs the tests. Ends with how long each stage took.
#
# Usage: tools/test.sh             every stage but quick
#        tools/test.sh STAGE…      those, in that order
#        tools/test.sh --help
#
# Stages, and about how long each takes on two cores (the first build takes longer):
#   quick    5 min  for one change: the unit programs with AddressSanitizer, layering, style, scripts
#   core     2 min  tds/, auth/, config/ by GCC 12
#   asan     8 min  everything, with AddressSanitizer and UBSan
#   tsan     3 min  where there are threads, with ThreadSanitizer
#   release  4 min  as a user gets it: the demo, real drivers, memory
#   fuzz     4 min  every fuzz target, 5 seconds each
#   mutants  2 min  six sabotages of the source, which the tests must notice
#   soak     3 min  two minutes of random load and faults
set -eu
help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
known="quick core asan tsan release fuzz mutants soak"
for name in "$@"; do
  case " $known " in
  *" $name "*) ;;
  *)
    case $name in -h | --help) help; exit 0 ;; esac
    echo "tools/test.sh: there is no stage \"$name\"; there are: $known" >&2
    help >&2
    exit 2
    ;;
  esac
done
stages=${*:-${known#quick }}
minutes=0
for name in $stages; do
  minutes=$((minutes + $(sed -nE "s/^#   $name +([0-9]+) min .*/\1/p" "$0")))
done
echo "stages: $stages; about $minutes minutes on two cores, more where nothing is compiled yet"
cd "$(dirname "$0")/.."
jobs=$(nproc)
times=""

tools/install.sh build lab test
# A test that cannot run for want of root or of a tool fails instead of being skipped where everything should
# be there.
[ -z "${CI:-}" ] || export SQLSHIM_CI=1

# A stage is one chain of &&: within it `set -e` is off.
stage() {
  local name=$1 started=$SECONDS
  shift
  echo "=== $name"
  "$@" || { echo "FAILED in stage $name"; exit 1; }
  times+=$(printf '  %-8s %3d min %02d s' "$name" $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60)))$'\n'
}
build() { cmake --preset "$1" >/dev/null && cmake --build --preset "$1" ${2:+--target "${@:2}"} -- -j "$jobs" --quiet; }
# A test that fails beside others and passes alone was short of time: it is named, and counts. What a
# sanitizer says, a program that did not run to its end, and more than five are no matter of time.
# failed_in LOG: "PROGRAM TEST" for each that failed, by ctest's log or a program's own output; "- NAME" for
# what is no matter of time.
failed_in() {
  awk '/^[0-9]+\/[0-9]+ Testing: / { name = $3; program = ""; hard = ended = count = 0 }
       /^Command: / { program = $2; gsub(/"/, "", program) }
       /^\[  FAILED  \] [^ ]+\./ { test = $4; sub(/,$/, "", test); if (!((program, test) in seen)) { seen[program, test]; tests[++count] = program " " test } }
       /^\[==========\] .* ran\./ { ended = 1 }
       /(ERROR|WARNING): [A-Za-z]+Sanitizer|: runtime error: / { hard = 1 }
       /^Test Failed\./ { if (hard || !ended || !count) print "- " name; else for (i = 1; i <= count; ++i) print tests[i] }' "$1"
}
# again LOG: makes those tests again, alone, that the log has as failed.
again() {
  local failed program
  failed=$(failed_in "$1")
  [ -n "$failed" ] && ! grep -q '^- ' <<<"$failed" && [ "$(wc -l <<<"$failed")" -le 5 ] || return 1
  printf '=== again, alone:\n%s\n' "$failed"
  for program in $(cut -d' ' -f1 <<<"$failed" | sort -u); do
    "$program" --gtest_brief=1 --gtest_filter="$(grep -F "$program " <<<"$failed" | cut -d' ' -f2 | paste -sd:)" || return 1
  done
}
tests() { ctest --test-dir "build/$1" --output-on-failure --no-tests=error -j "$jobs" || again "build/$1/Testing/Temporary/LastTest.log"; }
# program PROGRAM [ARGUMENT…]: the same of one test program.
program() {
  local log status=0
  log=$(mktemp)
  printf '1/1 Testing: %s\nCommand: "%s"\n' "$1" "$1" >"$log"
  "$@" --gtest_brief=1 2>&1 | tee -a "$log"
  status=${PIPESTATUS[0]}
  echo "Test Failed." >>"$log"
  [ "$status" -eq 0 ] || { again "$log" && status=0; } || status=1
  rm -f "$log"
  return "$status"
}

# The unit programs and the checks of the sources. `build` links the libraries that `layering` looks into.
quick() {
  build asan tds_test auth_test config_test shim_test support_test tools_test &&
    ctest --test-dir build/asan --output-on-failure --no-tests=error -j "$jobs" \
      -R '^((tds|auth|config|shim|support|tools)_test|layering|style|scripts)$'
}
core() { build core && tests core; }
asan() { build asan && tests asan; }
# Where there are threads: the proxy in the test's own process, and the ticket store.
tsan() {
  export TSAN_OPTIONS=suppressions=$PWD/tests/tsan.supp
  build tsan shim_test component_test auth_test &&
    program build/tsan/auth_test --gtest_filter='*TicketStore*' &&
    program build/tsan/shim_test &&
    program build/tsan/component_test --gtest_filter='-ServeProcess.*'
}
# As a user gets it: the README's first command, what it lets one install, and real drivers.
release() {
  tools/demo.sh && tests/hardening.sh build/release && installs && build release interop_test && program build/release/interop_test && memory
}
installs() {
  local prefix status=0
  prefix=$(mktemp -d)
  cmake --install build/release --prefix "$prefix" >/dev/null && "$prefix/bin/sqlshim" --version || status=1
  rm -rf "$prefix"
  return $status
}
# What AddressSanitizer hides by the memory that it takes and keeps, shown by this program and the tests that
# the asan stage has built.
memory() {
  [ ! -x build/asan/component_test ] || SQLSHIM_SERVE=$PWD/build/release/sqlshim build/asan/component_test --gtest_brief=1 --gtest_filter='Malformed.*:ServeProcess.WithoutMemory*'
}
fuzz() { tools/fuzz.sh --seconds 5; }
mutants() { tools/mutants.sh --sample 6; }
soak() { tools/soak.sh --minutes 2; }

for name in $stages; do
  stage "$name" "$name"
done
echo "minutes per stage:"
printf '%s' "$times"
