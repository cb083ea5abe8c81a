#!/bin/bash
# Who may know whom: the floors tools -> shim -> config -> { tds, auth }, and the rooms on them. Held two
# ways: by the includes in the sources, and by the symbols that each library, linked alone, leaves undefined.
# Usage: layering.sh SOURCE_FOLDER LIBRARY_FOLDER
set -u
help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
case ${1:-} in -h | --help) help; exit 0 ;; esac
[ $# -eq 2 ] || { echo "layering: two folders wanted, not \"$*\"" >&2; help >&2; exit 2; }
source=$1 libraries=$2
failures=0
complain() { echo "layering: $*"; failures=$((failures + 1)); }

# --- includes ---
# own FOLDER ALLOWED...: "FOLDER/x.hpp" includes in quotes only from these folders.
own() {
  local folder=$1 allowed=$2 bad
  bad=$(grep -rnE --include='*.?pp' '^#include "' "$source/$folder" | grep -vE "#include \"($allowed)/")
  [ -z "$bad" ] || complain "$folder may include only $allowed:"$'\n'"$bad"
}
# system FOLDER FORBIDDEN: no <...> include that matches.
system() {
  local folder=$1 forbidden=$2 bad
  bad=$(grep -rnE --include='*.?pp' "^#include <($forbidden)" "$source/$folder")
  [ -z "$bad" ] || complain "$folder may not include:"$'\n'"$bad"
}
own tds tds
own auth auth
own config 'config|tds|auth'
own shim 'shim|config|tds|auth'
own tools 'tools|shim|config|tds|auth'
io='sys/socket|netinet|netdb|poll|sys/epoll|sys/select|ares|openssl|boost/asio|spdlog'
system tds "$io|krb5|gssapi|profile|fmt|nlohmann|toml|fstream|iostream|thread|fcntl|unistd"
system auth "$io|fmt|nlohmann|toml|thread|boost"
system config "$io|krb5|gssapi|nlohmann|thread|boost"

# room ROOM ALLOWED...: a folder of a floor with rooms. Of its own floor it includes itself and these alone.
order=""
room() {
  local room=$1 bad
  shift
  [ -d "$source/$room" ] || { complain "there is no room $room"; return; }
  local floor=${room%%/*} allowed
  allowed=$(printf '%s\n' "$room" "$@" | sed 's/[.]/[.]/g' | paste -sd'|')
  bad=$(grep -nE --include='*.?pp' -r "^#include \"$floor/" "$source/$room" | grep -vE "#include \"($allowed)[/.]")
  [ "$room" != tools/lab/peer ] || bad=$(grep -v "^$source/tools/lab/peer/sql/" <<<"$bad")
  [ "$room" != tools/lab ] || bad=$(grep -v "^$source/tools/lab/peer/" <<<"$bad")
  [ -z "$bad" ] || complain "$room may include of $floor/ only $*:"$'\n'"$bad"
  order+=$(printf '  %-20s -> %s' "$room" "${*:-nothing}" | sed "s# $floor/# #g")$'\n'
  rooms+=" $room "
}
# From the bottom up: each room may know only rooms that stand before it, so there is no circle.
rooms=""
room shim/log
room shim/diagnosis shim/log
room shim/smb
room shim/transport shim/smb
room shim/names shim/transport
room shim/credentials shim/names shim/transport shim/diagnosis shim/log
room shim/admission shim/transport shim/diagnosis shim/log
room shim/login shim/admission shim/credentials shim/names shim/transport shim/diagnosis shim/log
room tools/lab/peer/sql
room tools/lab/peer tools/lab/peer/sql tools/lab/block tools/lab/files tools/lab/process
room tools/lab
# A folder without a row here would be held by nothing.
for folder in "$source"/shim/*/ "$source"/tools/lab/ "$source"/tools/lab/*/ "$source"/tools/lab/*/*/; do
  compgen -G "$folder*.?pp" >/dev/null || continue
  folder=${folder#"$source"/}
  case "$rooms" in *" ${folder%/} "*) ;; *) complain "${folder%/} is no room: give it a row" ;; esac
done
# What is under test is never linked into what tests it: the lab takes of shim/ the coroutines alone, its
# engine no waiting at all.
bad=$(grep -rnE --include='*.?pp' '^#include "(shim|config|auth)/' "$source/tools/lab" |
  grep -vE '#include "shim/transport/(asio|task)[.]hpp"')
[ -z "$bad" ] || complain "tools/lab may include of what it tests only shim/transport/asio and task:"$'\n'"$bad"
system tools/lab/peer/sql "$io|thread"
own tools/lab/peer/sql 'tools/lab/peer/sql|tds'
# SMB is a protocol: bytes and machines, and OpenSSL's ciphers.
own shim/smb 'shim/smb|tds'
system shim/smb "${io/|openssl/}|krb5|gssapi|nlohmann|thread|boost|fstream|unistd"

# --- symbols ---
# undefined LIBRARY: what the whole archive, linked by itself, does not hold.
undefined() {
  local object
  object=$(mktemp)
  ld -r --whole-archive "$libraries/lib$1.a" -o "$object" && nm -u "$object" | awk '{ print $2 }' | c++filt
  rm -f "$object"
}
foreign() {
  local library=$1 forbidden=$2 bad
  [ -f "$libraries/lib$library.a" ] || { complain "lib$library.a is not built"; return; }
  bad=$(undefined "$library" | grep -E "$forbidden")
  [ -z "$bad" ] || complain "lib$library.a needs what it may not know:"$'\n'"$bad"
}
waiting='^(socket|connect|bind|listen|accept4?|send|sendto|sendmsg|recv|recvfrom|recvmsg|poll|ppoll|select|epoll_.*|getaddrinfo|gethostbyname.*|sleep|usleep|nanosleep|setenv|putenv)$'
foreign tds "(^|[^a-z_])(auth|config|shim|boost)::|^(krb5|gss|profile)_|$waiting|^(open|fopen)(64)?$"
foreign auth "(^|[^a-z_])(tds|config|shim|boost)::|$waiting"
foreign config "(^|[^a-z_])(shim|boost)::|$waiting"
foreign shim '(^|[^a-z_])lab::'

[ "$failures" -eq 0 ] || { echo "layering: $failures rules broken"; exit 1; }
echo "layering: includes and symbols keep to tools -> shim -> config -> { tds, auth }, and to the order of rooms:"
printf '%s' "$order"
