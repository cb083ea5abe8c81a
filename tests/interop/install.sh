#!/bin/bash
# Brings the drivers that are no Debian packages into build/interop, once.
# They are tedious and Microsoft's JDBC driver, by npm, as package-lock.json pins them. tools/install.sh test
# calls it.
# Usage: tests/interop/install.sh [--help]
set -eu
help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
case ${1:-} in
'') ;;
-h | --help) help; exit 0 ;;
*) echo "install.sh: unknown argument \"$1\"; it takes none but --help" >&2; help >&2; exit 2 ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
there=$here/../../build/interop
mkdir -p "$there"
cmp -s "$here/package-lock.json" "$there/package-lock.json" && [ -f "$there/mssql-jdbc 12.6.1.jar" ] && exit 0
rm -rf "$there/package-lock.json" "$there/node_modules"
cp "$here/package.json" "$there"
cp "$here/package-lock.json" "$there/package-lock.json.new" && mv "$there/package-lock.json.new" "$there/package-lock.json"
npm ci --prefix "$there" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
mv "$there/node_modules/liquibase/dist/liquibase/internal/lib/mssql-jdbc.jar" "$there/mssql-jdbc 12.6.1.jar"
mv "$there/node_modules/liquibase/dist/drivers/mssql-jdbc-7.4.1.jre8.jar" "$there/mssql-jdbc 7.4.1.jar"
rm -rf "$there/node_modules/liquibase" # 200 MB of which two jars are wanted
