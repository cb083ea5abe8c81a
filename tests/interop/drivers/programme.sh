#!/bin/bash
# The programme of tsql and isql: one process for each step, a script on its standard input. See programme.hpp
# for what it is told and what it prints.
# SQL_MODE: "tsql VERSION ENCRYPTION" or "isql VERSION ENCRYPTION [MARS]".
set -u
read -r program version encryption mars <<<"$SQL_MODE"
folder=$(mktemp -d "${TMPDIR:-/tmp}/interop-XXXXXX")
trap 'rm -rf "$folder"' EXIT
export FREETDSCONF=$folder/freetds.conf
ulimit -t 30 # of processor time: what runs in circles is ended

# prepare STEP: the command that logs in for it, as `command`, and what that reads, as $folder/typed: a
# password perhaps, then the batches of standard input, a line each.
prepare() {
  local app=$SQL_APP+$1 before=''
  case $program in
  tsql)
    local as=(-U "$SQL_USER" -P -)
    printf '[server]\n  host = %s\n  port = %s\n  tds version = %s\n  encryption = %s\n  spn = %s\n' "$SQL_HOST" "$SQL_PORT" "$version" "$encryption" "$SQL_SPN" >"$FREETDSCONF"
    before=$SQL_PASSWORD$'\n'
    [ "$SQL_AUTH" != ntlm ] || as=(-U "CORP\\$SQL_USER" -P -)
    [ "$SQL_AUTH" != kerberos ] || { as=(-U '' -P ''); before=''; }
    command=(tsql -S server -D reports -a "$app" "${as[@]}" -o q)
    ;;
  isql)
    local as="UID=$SQL_USER;PWD=$SQL_PASSWORD" # isql takes a password from its command line alone
    [ "$SQL_AUTH" != ntlm ] || as="UID=CORP\\$SQL_USER;PWD=$SQL_PASSWORD"
    [ "$SQL_AUTH" != kerberos ] || as="Trusted_Connection=yes;ServerSPN=$SQL_SPN"
    command=(isql -b -v -d'|' -k "DRIVER=FreeTDS;SERVER=$SQL_HOST;PORT=$SQL_PORT;DATABASE=reports;TDS_Version=$version;Encryption=$encryption;APP=$app;$as${mars:+;MARS_Connection=yes}")
    ;;
  esac
  {
    printf '%s' "$before"
    if [ "$program" = tsql ]; then sed 's/$/\ngo/'; else cat; fi
  } >"$folder/typed"
}
# words: what the program said, without what says nothing of the server.
words() {
  if [ "$program" = tsql ]; then
    sed -E 's/^([0-9]+> )+//; /^locale (is|charset)/d; /^using default charset/d; /^Default database/d; /^Password: *$/d; /^$/d'
  else
    cat
  fi
}
# ask STEP: the same to a connection of its own, and what it says.
ask() {
  prepare "$1"
  "${command[@]}" <"$folder/typed" 2>&1 | words
}
# step NAME: the same, printed as lines of that step. The program's own process id is masked.
step() {
  prepare "$1"
  "${command[@]}" <"$folder/typed" >"$folder/said" 2>&1 &
  local own=$!
  wait "$own"
  words <"$folder/said" | sed -E "s/\b$own\b/own process id/; s/^/step $1: /"
}
only() { [ -z "${SQL_ONLY:-}" ] || [ "$SQL_ONLY" = "$1" ]; }
not_here() { echo "step $1: - $2"; }

only connect && step connect <<'SQL'
select app_name(), host_name(), @@language, db_name(), host_process_id from sys.dm_exec_sessions where session_id=@@spid
select net_packet_size from sys.dm_exec_connections where session_id=@@spid
SQL
[ -z "${SQL_ONLY:-}" ] || exit 0
step results <<<"select 1 as a, 'one' as b select 'two' as c"
step types <<'SQL'
exec lab_types
exec lab_types 1
SQL
not_here parameters "$program sends no parameters"
not_here prepared "$program prepares nothing that the script could execute"
for end in commit rollback; do
  name=${end/commit/transaction}
  step $name <<SQL
create table #t (i int, s varchar(20))
begin tran
insert into #t values (1, 'one')
select count(*) from #t
$end
select count(*) from #t
select @@trancount
SQL
done
step error <<'SQL'
exec lab_error 50123, 16, 'what the server says'
select 'alive'
SQL
step warning <<<"print 'a word of warning'"
ask large-result <<<'exec lab_rows 2600, 8000' >"$folder/large"
echo "step large-result: $(sha256sum <"$folder/large"), $(wc -l <"$folder/large") lines"
rm "$folder/large"
not_here large-parameter "$program sends no parameters"
not_here bulk-copy "$program copies nothing in bulk"
not_here cancel "$program cancels nothing"
not_here pool-reset "$program keeps no pool"
# None is answered before all are connected.
prepare fifty <<<"exec lab_meet 50 select 'one of fifty'"
for number in $(seq 50); do
  "${command[@]}" <"$folder/typed" >"$folder/fifty.$number" 2>&1 &
done
wait
cat "$folder"/fifty.* | words | sort | sed 's/^/step fifty: /'
ask disconnect <<<'exec lab_rows 200000, 8000' | head -c 20000 | sha256sum | sed 's/^/step disconnect: /'
exit 0
