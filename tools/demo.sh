#!/bin/bash
# Shows sqlshim at work, with real parts on loopback.
# They are an MIT KDC, dnsmasq, a TDS peer that accepts Kerberos, and FreeTDS's tsql, which has neither ticket
# nor keytab. tsql logs in, the SPN is broken twice and mended, and each time you see what was decided.
#
# Usage: tools/demo.sh [--help]
#
# It installs what is missing (asks for sudo), builds build/release, so that `cmake --install build/release`
# works afterwards, and takes down everything that it started. The build takes some minutes the first time,
# the rest ten seconds. The last line is "demo: ok"; exit status 0 then.
set -eu
help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
case ${1:-} in
'' | --inside) ;;
-h | --help) help; exit 0 ;;
*) echo "tools/demo.sh: unknown argument \"$1\"; it takes none but --help" >&2; help >&2; exit 2 ;;
esac
cd "$(dirname "$0")/.."

if [ "${1:-}" != --inside ]; then
  tools/install.sh build lab
  [ -f build/release/build.ninja ] || cmake --preset release >/dev/null
  echo "building build/release (the first time takes some minutes) …"
  cmake --build --preset release --target sqlshim sqlshim-control sqlshim-lab -- --quiet
  exec build/release/sqlshim lab -- tools/demo.sh --inside
fi

step=0
say() { step=$((step + 1)); printf '\n%d. %s\n' "$step" "$*"; }
fail() { echo "demo: FAILED: $*" >&2; exit 1; }

question='select auth_scheme, net_transport from sys.dm_exec_connections where session_id=@@spid
go
select suser_sname()
go
'
# ask: one login through sqlshim; what tsql prints, without its banner.
ask() { printf '%s' "$question" | KRB5CCNAME=/nonexistent KRB5_CLIENT_KTNAME=/nonexistent tsql -H 127.0.0.1 -p "$SQLSHIM_PORT" -U x -P y 2>&1 | tr -d '\r' | grep -vE '^(locale|using default)' || true; }
# expect WHAT TEXT…: each TEXT must stand in the answer.
expect() {
  local text
  printf '%s\n' "$answer" | fold -s -w 110 | sed 's/^/     /'
  for text in "$@"; do
    case $answer in *"$text"*) ;; *) fail "no \"$text\" in what tsql printed" ;; esac
  done
}
timeline() {
  local conn
  conn=$(sed -nE 's/.*"conn":"([0-9a-f]+)".*"event":"accepted".*/\1/p' "$SQLSHIM_LAB/decisions.jsonl" | tail -1)
  sqlshim log "$SQLSHIM_LAB/decisions.jsonl" --conn "$conn" | grep -E "${1:-.}" | sed 's/^/     /'
}
admin() { kadmin.local -p sqlshim/admin -q "$1" >/dev/null 2>&1 || fail "kadmin.local $1"; }
# forget: SIGHUP, and wait until sqlshim says that it has forgotten.
forget() {
  local before after
  before=$(grep -c '"event":"reloaded"' "$SQLSHIM_LAB/decisions.jsonl" || true)
  kill -HUP "$SQLSHIM_PID"
  for _ in $(seq 200); do
    after=$(grep -c '"event":"reloaded"' "$SQLSHIM_LAB/decisions.jsonl" || true)
    [ "$after" -gt "$before" ] && return
    sleep 0.02
  done
  fail "sqlshim did not obey SIGHUP"
}

say "tsql logs in through sqlshim (127.0.0.1:$SQLSHIM_PORT) with a made-up user; the server sees Kerberos and the configured identity."
answer=$(ask)
expect KERBEROS TCP 'CORP\svc-reports'

say "Every decision of that login, with milliseconds since it was accepted:"
timeline

say "The SPN $SQLSHIM_SPN is deleted from the KDC: the client's own error now names cause, SPN and remedy."
admin "delprinc -force $SQLSHIM_SPN"
forget
answer=$(ask)
expect spn-missing "${SQLSHIM_SPN%@*}" 'setspn -S' 'sqlshim connection'

say "The SPN is there again, but with another key than the server's, as when it is on the wrong account: sqlshim tells this apart."
admin "addprinc -randkey $SQLSHIM_SPN"
answer=$(ask)
expect spn-wrong-account "${SQLSHIM_SPN%@*}"
timeline 'ticket.chosen|attempt.ended|refused'

say "The server gets the account's present key: the same client logs in again, and sqlshim was never restarted."
rm -f "$SQLSHIM_LAB/peer.keytab"
admin "ktadd -norandkey -k $SQLSHIM_LAB/peer.keytab $SQLSHIM_SPN"
answer=$(ask)
expect KERBEROS 'CORP\svc-reports'

printf '\ndemo: ok\n'
