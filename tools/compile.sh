#!/bin/bash
# How CMake calls the compiler where ccache is installed.
# What was compiled once, in whichever checkout and build folder, is not compiled again.
#
# Usage: tools/compile.sh COMPILER ARGUMENT…
#
# It is called in the build folder. That folder's own paths become relative, so that two checkouts say the
# same.
set -eu
help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
case ${1:-} in
-h | --help) help; exit 0 ;;
*) command -v "${1:-}" >/dev/null || { echo "tools/compile.sh: there is no compiler \"${1:-}\"" >&2; help >&2; exit 2; } ;;
esac
arguments=("${@//"$PWD"\//}")
root=${BASH_SOURCE[0]%/tools/*}
# A precompiled header holds paths of its checkout, so it is never taken from another. What it says is
# compared instead, by the sum that stands beside it, and without the paths (of __FILE__).
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1 CCACHE_PCH_EXTSUM=1
export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
# A compiler in memory of large pages takes a quarter less time, where the kernel gives them to those that
# ask.
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1
case " $* " in
*" -emit-pch "*) ;;
*) exec ccache "${arguments[@]}" ;;
esac

"$@"
sum_of=() output=
while [ $# -gt 0 ]; do
  case "$1 ${2-}" in
  "-o "*) output=$2; shift ;;
  "-Xclang -emit-pch") shift ;;
  "-MT "* | "-MF "*) shift ;;
  "-MD "* | "-c "*) ;;
  *) sum_of+=("$1") ;;
  esac
  shift
done
"${sum_of[@]}" -E -P | sed "s|$root/||g" | sha256sum >"$output.sum"
