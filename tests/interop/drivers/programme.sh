#!/bin/bash
# The programme of tsql and isql: one process for each step, a script on its standard input. See programme.hpp for what it is told and what it prints.
# SQL_MODE: "tsql VERSION ENCRYPTION" or "isql VERSION ENCRYPTION".
set -u
read -r program version encryption <<<"$SQL_MODE"
folder=$(mktemp -d "${TMPDIR:-/tmp}/interop-XXXXXX")
trap 'rm -rf "$folder"' EXIT
ulimit -t 30 # of processor time: what runs in circles is ended

# ask STEP: the statements of standard input, a batch a line, to a connection of its own. What it says, without what says nothing of the server.
ask() {
  local app=$SQL_APP+$1 file=$folder/login.$BASHPID
  case $program in
  tsql)
    printf '[server]\n  host = %s\n  port = %s\n  tds version = %s\n  encryption = %s\n  spn = %s\n' "$SQL_HOST" "$SQL_PORT" "$version" "$encryption" "$SQL_SPN" >"$file"
    local login=(-U "$SQL_USER" -P -) password=$SQL_PASSWORD$'\n'
    [ "$SQL_AUTH" != ntlm ] || login=(-U "CORP\\$SQL_USER" -P -)
    [ "$SQL_AUTH" != kerberos ] || { login=(-U '' -P ''); password=''; }
    { printf '%s' "$password"; while IFS= read -r batch; do printf '%s\ngo\n' "$batch"; done; } |
      (echo $BASHPID >"$file.pid" && FREETDSCONF=$file exec tsql -S server -D reports -a "$app" "${login[@]}" -o q 2>&1) |
      sed -E 's/^([0-9]+> )+//; /^locale (is|charset)/d; /^using default charset/d; /^Default database/d; /^Password: *$/d; /^$/d'
    ;;
  isql)
    local login="UID=$SQL_USER;PWD=$SQL_PASSWORD" # isql takes a password from its command line alone
    [ "$SQL_AUTH" != ntlm ] || login="UID=CORP\\$SQL_USER;PWD=$SQL_PASSWORD"
    [ "$SQL_AUTH" != kerberos ] || login="Trusted_Connection=yes;ServerSPN=$SQL_SPN"
    (echo $BASHPID >"$file.pid" && exec isql -b -v -d'|' -k "DRIVER=FreeTDS;SERVER=$SQL_HOST;PORT=$SQL_PORT;DATABASE=reports;TDS_Version=$version;Encryption=$encryption;APP=$app;$login" 2>&1)
    ;;
  esac
}
# step NAME: the same, printed as lines of that step. The program's own process id is masked.
step() {
  rm -f "$folder"/login.*.pid
  ask "$1" >"$folder/said"
  sed -E "s/\b$(cat "$folder"/login.*.pid)\b/own process id/; s/^/step $1: /" "$folder/said"
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
# A wait, so that all are connected at once.
for number in $(seq 50); do
  ask fifty <<<"waitfor delay '00:00:02' select 'one of fifty'" >"$folder/fifty.$number" &
done
wait
sort "$folder"/fifty.* | sed 's/^/step fifty: /'
ask disconnect <<<'exec lab_rows 200000, 8000' | head -c 20000 | sha256sum | sed 's/^/step disconnect: /'
exit 0
