#!/usr/bin/env bash
# run.sh SERVER [KIND …]: PostgreSQL's own regression and isolation tests on the server target/postgres/SERVER, which
# scripts/postgres-asserts.sh built, and what is to be learnt from them about the audit log. The kinds:
#   control   each new table has a row trigger that does nothing
#   watch     each new table is watched by the audit log: its output is compared with the control's, and the log is checked
#   shadow    each is watched, and a second trigger writes down the same independently: the log is compared with that
# All three by default, control first. SUITES="regress isolation" says which suites. What a run left is in
# target/suites/SERVER/KIND. README.md says what is compared, and why. EXTRA_SQL names a file of SQL that is run where
# tables are watched, before there are any: to see what is left when a fault that it works around is mended. KEEP=1 leaves
# the clusters running, to look at; scripts/cluster.sh stop ends one.
source "$(dirname "$0")/../scripts/lib.sh"

server=${1:?run.sh SERVER [KIND …]}
shift
kinds=("$@")
[ $# -gt 0 ] || kinds=(control watch shadow)
read -ra suites <<< "${SUITES:-regress isolation}"
home="$project/target/postgres/$server"
[ -e "$home/suites/ready" ] || die "target/postgres/$server has no suites: scripts/postgres-asserts.sh makes them"
kept="$project/target/suites/$server"
dir=
trap '[ -z "$dir" ] || [ -n "${KEEP:-}" ] || "$project/scripts/cluster.sh" stop "$dir"' EXIT
failed=()
begun=$SECONDS

database() { if [ "$1" = regress ]; then echo regression; else echo isolation_regression; fi; }
psql() { "$(cat "$dir/bindir")/psql" -X -q -h "$dir" -U postgres -v ON_ERROR_STOP=1 "$@"; }

# A database as pg_regress would make it, with the triggers of a kind.
make_database() {
    local kind=$1 name=$2 setting
    psql -d postgres -c "CREATE DATABASE $name TEMPLATE template0"
    for setting in lc_messages lc_monetary lc_numeric lc_time; do
        psql -d postgres -c "ALTER DATABASE $name SET $setting TO 'C'"
    done
    psql -d postgres -c "ALTER DATABASE $name SET bytea_output TO 'hex'" -c "ALTER DATABASE $name SET timezone_abbreviations TO 'Default'"
    # One by one: this session is to have made the log before new tables are given to it.
    psql -o /dev/null -d "$name" -c "CREATE SCHEMA suites" -f "$project/suites/sql/$kind.sql"
    if [ "$kind" != control ] && [ -n "${EXTRA_SQL:-}" ]; then psql -o /dev/null -d "$name" -f "$EXTRA_SQL"; fi
    psql -o /dev/null -d "$name" -f "$project/suites/sql/new_tables.sql"
}

run_suite() {
    local kind=$1 suite=$2 out="$kept/$1/$2" program=pg_regress schedule=parallel_schedule
    if [ "$suite" = isolation ]; then program=pg_isolation_regress schedule=isolation_schedule; fi
    say "$suite, $kind"
    make_database "$kind" "$(database "$suite")"
    cd "$dir/suites/$suite"
    # Tests that differ from PostgreSQL's expected output are to be expected: a trigger shows in \d and EXPLAIN.
    as_server_user env -u PGDATABASE -u PGTZ -u PGOPTIONS LD_LIBRARY_PATH="$(dirname "$(cat "$dir/bindir")")/lib" \
        "./$program" --use-existing --host="$dir" --user=postgres --dbname="$(database "$suite")" --bindir="$(cat "$dir/bindir")" \
        --inputdir=. --outputdir=. --dlpath=. --max-concurrent-tests=20 --schedule="$schedule" > "$dir/$suite.run" 2>&1 || true
    cd "$project"
    mkdir -p "$out"
    cp -r "$dir/suites/$suite/results" "$out/"
    cp "$dir/$suite.run" "$out/run"
    grep -qE '^ *[0-9]+ of [0-9]+ tests|All [0-9]+ tests|^1\.\.[0-9]+' "$out/run" || { tail -20 "$out/run" >&2; die "$suite did not run to its end"; }
    note "$(find "$out/results" -name '*.out' | wc -l) tests ran"
}

run_kind() {
    local kind=$1 suite
    mkdir -p "$kept/$kind"
    for suite in "${suites[@]}"; do rm -rf "${kept:?}/$kind/$suite"; done
    dir=$("$project/scripts/cluster.sh" start "$home/bin" max_prepared_transactions=2 max_connections=100 \
        log_line_prefix='%m [%p] %q%d %a ' shared_buffers=256MB)
    cp -r "$home/suites" "$dir/suites"
    if [ "$(id -u)" = 0 ]; then chown -R postgres "$dir/suites"; fi
    for suite in "${suites[@]}"; do run_suite "$kind" "$suite"; done
    if [ "$kind" != control ]; then
        for suite in "${suites[@]}"; do
            say "The log of $suite, $kind"
            python3 "$project/suites/log.py" "$kind" "$suite" "$(cat "$dir/bindir")/psql" "$dir" "$(database "$suite")" "$kept/$kind/$suite" ||
                failed+=("the log of $suite, $kind")
        done
    fi
    cp "$dir/log" "$kept/$kind/server.log"
    if grep -nE 'TRAP:|PANIC:|was terminated by signal|panicked at|reference leak|was not closed' "$kept/$kind/server.log" | head -20 | grep .; then
        failed+=("the server's log, $kind: target/suites/$server/$kind/server.log")
    fi
    if [ -n "${KEEP:-}" ]; then note "kept: $dir"; else "$project/scripts/cluster.sh" stop "$dir"; fi
    dir=
}

for kind in "${kinds[@]}"; do run_kind "$kind"; done
if [ -e "$kept/control" ] && [ -e "$kept/watch" ]; then
    for suite in "${suites[@]}"; do
        say "What differs with the watch: $suite"
        python3 "$project/suites/compare.py" "$project/suites/explained/${server%%-*}/$suite" "$kept/control/$suite" "$kept/watch/$suite" ||
            failed+=("differences of $suite")
    done
fi
if [ ${#failed[@]} -gt 0 ]; then
    for what in "${failed[@]}"; do note "failed: $what"; done
    die "not everything is explained, after $((SECONDS - begun)) seconds"
fi
say "Everything is explained, after $((SECONDS - begun)) seconds"
