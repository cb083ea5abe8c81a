#!/bin/bash
# Installs what a bare Debian 12 lacks to build sqlshim, and to run its lab and its tests.
#
# Usage: tools/install.sh [build] [lab] [test]   default: all three
#        tools/install.sh --help
#   build  compiler, CMake and libraries
#   lab    KDC, dnsmasq, FreeTDS, Samba: what sqlshim-lab starts
#   test   GoogleTest, LLVM's tools, and the drivers of the interop test (two of them by npm)
#
# It prints the apt line first, and asks for sudo where it is not root. It starts and enables no system
# service. A minute or two with a good network; nothing at all where everything is there.
set -eu
help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }

build="clang-19 lld-19 ccache cmake ninja-build pkg-config g++-12 libboost1.81-dev libkrb5-dev freetds-dev libc-ares-dev libssl-dev libtomlplusplus-dev libcli11-dev libspdlog-dev libfmt-dev
       nlohmann-json3-dev"
lab="krb5-kdc krb5-admin-server krb5-user gss-ntlmssp dnsmasq-base freetds-bin faketime procps
     samba libnss-wrapper libuid-wrapper"
test="libclang-rt-19-dev llvm-19 binutils libgtest-dev libgmock-dev strace openssl heimdal-kcm git ca-certificates
      tdsodbc unixodbc python3-pyodbc libjtds-java systemd libsmbclient python3-impacket"
# For the interop test's drivers. Not asked of dpkg: many machines have them from elsewhere.
command -v javac >/dev/null || test+=" default-jdk-headless"
command -v node >/dev/null || test+=" nodejs"
command -v npm >/dev/null || test+=" npm"

wanted=""
for part in ${*:-build lab test}; do
  case $part in
  build) wanted+=" $build" ;;
  lab) wanted+=" $lab" ;;
  test) wanted+=" $test" ;;
  -h | --help) help; exit 0 ;;
  *) echo "tools/install.sh: there is no part \"$part\"; there are: build lab test" >&2; help >&2; exit 2 ;;
  esac
done

missing=""
for package in $wanted; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=" $package"
done
# What comes by npm, once everything else is there.
drivers() { case " ${*:-test} " in *" test "*) tests/interop/install.sh ;; esac; }
cd "$(dirname "$0")/.."
[ -n "$missing" ] || { drivers "$@"; exit 0; }

line="apt-get install -y --no-install-recommends$missing"
echo "missing packages: $line"
if [ "$(id -u)" -eq 0 ]; then
  run() { "$@"; }
elif command -v sudo >/dev/null; then
  echo "(this asks for your password by sudo)"
  run() { sudo "$@"; }
else
  echo "not root, and no sudo: run the line above as root, then start this again" >&2
  exit 2
fi

# The packages of the KDC, of Samba and of the KCM service would start and enable one of the system's own. A
# policy-rc.d that says no (101) keeps them from it; one that is there already stays.
policy=/usr/sbin/policy-rc.d
own_policy=""
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' | run tee $policy >/dev/null
  run chmod 755 $policy
  own_policy=yes
fi
restore() { [ -z "$own_policy" ] || run rm -f $policy; }
trap restore EXIT

run apt-get update -qq || { echo "apt-get update failed: check /etc/apt/sources.list and the network" >&2; exit 2; }
run env DEBIAN_FRONTEND=noninteractive $line -qq >/tmp/sqlshim-apt.$$ 2>&1 || { tail -20 /tmp/sqlshim-apt.$$ >&2; rm -f /tmp/sqlshim-apt.$$; exit 2; }
rm -f /tmp/sqlshim-apt.$$
# Nor at the next boot: what these packages have enabled is disabled again, if they came with this run.
# (Without systemd nothing would start them.)
for service in krb5-kdc krb5-admin-server heimdal-kcm samba/smbd samba/nmbd samba/samba-ad-dc; do
  case "$missing " in *" ${service%/*} "*) ! command -v systemctl >/dev/null || run systemctl disable --quiet "${service#*/}" ;; esac
done
drivers "$@"
