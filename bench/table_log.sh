#!/usr/bin/env bash
# table_log.sh PG_CONFIG: puts Debian's table_log into a server of PostgreSQL 15, without root and without
# installing the package. Where it cannot be had it says so, and the comparison goes without it.
source "$(dirname "$0")/../scripts/lib.sh"

pg_config=$1
package=postgresql-15-tablelog
say "table_log, from Debian's $package"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
missing() { note "left out of the comparison: $*"; exit 0; }
command -v apt-get > /dev/null && command -v dpkg-deb > /dev/null || missing "this is no Debian"
(cd "$work" && apt-get download -qq "$package") > "$work/log" 2>&1 ||
    missing "$package cannot be downloaded (apt-get update may help)"
dpkg-deb -x "$work/$package"_*.deb "$work/files"
libdir=$("$pg_config" --pkglibdir)
extdir="$("$pg_config" --sharedir)/extension"
install -m 755 "$work/files/usr/lib/postgresql/15/lib/table_log.so" "$libdir/"
install -m 644 "$work"/files/usr/share/postgresql/15/extension/table_log* "$extdir/"
note "$(basename "$work/$package"_*.deb .deb)"
