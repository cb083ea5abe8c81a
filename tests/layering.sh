#!/bin/bash
# Who may know whom: tools -> shim -> config -> { tds, auth }. Held two ways: by the includes in the sources, and by the symbols that each library, linked alone,
# leaves undefined. Usage: layering.sh SOURCE_FOLDER LIBRARY_FOLDER
set -u
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
echo "layering: includes and symbols keep to tools -> shim -> config -> { tds, auth }"
