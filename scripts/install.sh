#!/usr/bin/env bash
# install.sh PG_CONFIG [dev|release]: builds the extension for a server and installs it there.
source "$(dirname "$0")/lib.sh"

pg_config=$1
profile=${2:-release}
case $pg_config in
    */*) pg_config="$(cd "$(dirname "$pg_config")" && pwd)/$(basename "$pg_config")" ;;
    *) pg_config=$(command -v "$pg_config") || die "there is no $1" ;;
esac
[ -x "$pg_config" ] || die "there is no $1"
major=$("$pg_config" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/')
command -v cargo > /dev/null || die "Rust is not in the PATH of $(id -un); build as the user who has it, it asks for sudo itself"
case $major in 15 | 16 | 17 | 18) ;; *) die "PostgreSQL $major is not supported; 15 to 18 are" ;; esac
[ -e "$("$pg_config" --includedir-server)/postgres.h" ] ||
    die "$pg_config has no server headers: on Debian, apt-get install postgresql-server-dev-$major"

say "Building audit_log for PostgreSQL $major ($profile)"
export PGRX_PG_CONFIG_PATH=$pg_config
if [ -e "$tools/ready" ]; then
    export LIBCLANG_PATH="$tools/python/clang/native"
    BINDGEN_EXTRA_CLANG_ARGS="-I$(gcc -print-file-name=include)"
    export BINDGEN_EXTRA_CLANG_ARGS
fi
# A directory of its own: building for one server does not undo what was built for another.
build="$project/target/build/pg$major"
case $("$pg_config" --configure) in *enable-cassert*) build="$build-asserts" ;; esac
cargo build --quiet --manifest-path "$project/Cargo.toml" --package audit_log --lib --profile "$profile" \
    --no-default-features --features "pg$major" --target-dir "$build" --locked
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' "$project/Cargo.toml")

say "Installing audit_log $version into PostgreSQL $major"
library="$build/$([ "$profile" = dev ] && echo debug || echo "$profile")/libaudit_log.so"
libdir=$("$pg_config" --pkglibdir)
extdir="$("$pg_config" --sharedir)/extension"
run() { if [ -w "$libdir" ] && [ -w "$extdir" ]; then "$@"; else as_root "$@"; fi; }
staged=$(mktemp -d)
trap 'rm -rf "$staged"' EXIT
sed "s/@CARGO_VERSION@/$version/" "$project/audit_log.control" > "$staged/audit_log.control"
"$project/scripts/install-script.sh" > "$staged/audit_log--$version.sql"
run install -d "$libdir" "$extdir"
# A new file, not new bytes in the old one: running servers have that one mapped.
run install -m 755 "$library" "$libdir/audit_log.so.new"
run mv -f "$libdir/audit_log.so.new" "$libdir/audit_log.so"
run install -m 644 "$staged/audit_log.control" "$staged/audit_log--$version.sql" "$extdir/"
for update in "$project"/sql/audit_log--*--*.sql; do
    if [ -e "$update" ]; then run install -m 644 "$update" "$extdir/"; fi
done
note "$libdir/audit_log.so"
note "$extdir/audit_log--$version.sql"
