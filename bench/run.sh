#!/usr/bin/env bash
# run.sh capture [OPTION …]: what capturing row changes costs, beside other solutions, in a throwaway cluster.
# run.sh instructions [--accept] [--each-index]: how many instructions it adds, by callgrind, against bench/instructions.json.
# run.sh list [OPTION …]: what listing costs at ten million entries, which are made once and kept in --data DIR, or
# target/bench/listing.
# run.sh sync [OPTION …]: what reading costs by sync, feed and export, on the same log.
# run.sh purge [OPTION …]: what dropping an expired partition takes, and who waits for it, in a throwaway cluster.
# run.sh ddl [OPTION …]: what DDL costs that is about no watched table, in a throwaway cluster.
# run.sh catch [OPTION …]: what EXCEPTION blocks in loops cost where their table is watched, in a throwaway cluster.
# Builds a release into a server copy of its own, target/bench/postgres; with --bindir DIR that server is
# used as it is. capture, purge and catch take --shared-buffers SIZE, 2GB by default, and --worker, which has the worker run. Results go to --out DIR, or target/bench/results. All options: run.sh capture --help, run.sh list --help,
# run.sh sync --help
source "$(dirname "$0")/../scripts/lib.sh"

bench="$project/target/bench"
venv="$bench/venv"

command=${1:-}
case $command in
    capture | instructions | list | sync | purge | catch | ddl) shift ;;
    *) die "run.sh capture [OPTION …] | instructions [--accept] [--each-index] | list [OPTION …] | sync [OPTION …] | purge [OPTION …] | catch [OPTION …] | ddl [OPTION …]" ;;
esac
bindir=
out="$bench/results"
kept="$bench/listing"
buffers=2GB
preload=()
options=()
while [ $# -gt 0 ]; do
    case $1 in
        --bindir) bindir=${2:?--bindir names a directory}; shift 2 ;;
        --out) out=${2:?--out names a directory}; shift 2 ;;
        --data) kept=${2:?--data names a directory}; shift 2 ;;
        --worker) preload=(shared_preload_libraries=audit_log); shift ;;
        --shared-buffers) buffers=${2:?--shared-buffers takes a size, like 2GB}; shift 2 ;;
        *) options+=("$1"); shift ;;
    esac
done

# A release build in a server of its own, unless --bindir names one.
server() {
    if [ -n "$bindir" ]; then return; fi
    "$project/scripts/postgres.sh" 15
    say "A server of its own into target/bench/postgres"
    rm -rf "$bench/postgres"
    mkdir -p "$bench"
    cp -r "$project/target/postgres/15" "$bench/postgres"
    "$project/scripts/install.sh" "$bench/postgres/bin/pg_config" release
    if [ "$command" = capture ]; then "$project/bench/table_log.sh" "$bench/postgres/bin/pg_config"; fi
    bindir="$bench/postgres/bin"
}

if [ "$command" = instructions ]; then
    command -v valgrind > /dev/null || as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq valgrind > /dev/null
    server
    say "Counting instructions: callgrind, single-user backends"
    dir=$("$project/scripts/cluster.sh" start "$bindir" synchronous_commit=off autovacuum=off shared_buffers=256MB \
        max_wal_size=8GB checkpoint_timeout=1h jit=off)
    trap '"$project/scripts/cluster.sh" stop "$dir"' EXIT
    bindir=$(cat "$dir/bindir")
    for database in unwatched watched alone; do
        "$bindir/createdb" -h "$dir" -U postgres "$database"
        "$bindir/psql" -h "$dir" -U postgres -q -v rows=20000 -f "$project/bench/sql/jobs.sql" "$database" > /dev/null
        if [ "$database" != unwatched ]; then
            "$bindir/psql" -h "$dir" -U postgres -q -f "$project/bench/sql/audit_log.sql" "$database" > /dev/null
        fi
        # As beside a worker, which a single-user backend has not: nobody who writes merges.
        if [ "$database" = watched ]; then
            "$bindir/psql" -h "$dir" -U postgres -q -f "$project/bench/sql/merged_by_others.sql" "$database" > /dev/null
        fi
        "$bindir/psql" -h "$dir" -U postgres -q -c 'CREATE INDEX ON jobs_seed (id)' -c 'VACUUM ANALYZE jobs, jobs_seed' "$database"
    done
    (cd / && as_server_user "$bindir/pg_ctl" -D "$dir/data" -m fast -w stop > /dev/null)
    python3 "$project/bench/instructions.py" --bindir "$bindir" --cluster "$dir" --out "$out" "${options[@]}"
    exit
fi

mkdir -p "$bench"
if ! cmp -s "$project/bench/requirements.txt" "$venv/requirements.txt"; then
    say "The driver and the solutions from PyPI, into target/bench/venv"
    rm -rf "$venv"
    python3 -m venv --without-pip "$venv"
    python3 -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check \
        --requirement "$project/bench/requirements.txt"
    cp "$project/bench/requirements.txt" "$venv/requirements.txt"
fi
declare -A package=([capture]=capture [list]=listing [sync]=syncing [purge]=purging [catch]=catching [ddl]=ddl)
driver() { PYTHONPATH="$project/bench" PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m "${package[$command]}" "$@"; }
# Wrong options, and --help, before anything is built.
driver --check "${options[@]}"
case " ${options[*]} " in *" --help "* | *" -h "*) exit 0 ;; esac

server

if [ "$command" = list ] || [ "$command" = sync ]; then
    major=$("$bindir/pg_config" --version | grep -oE '[0-9]+' | head -n 1)
    say "Starting the cluster that is kept"
    dir=$("$project/bench/kept_cluster.sh" start "$bindir" "$kept/$major" synchronous_commit=off autovacuum=off \
        shared_buffers=8GB max_connections=100 max_wal_size=20GB checkpoint_timeout=1h full_page_writes=off jit=off)
    trap '"$project/bench/kept_cluster.sh" stop "$dir"' EXIT
    note "$("$bindir/postgres" --version), data in $kept/$major"
    driver --bindir "$(cat "$dir/bindir")" --socket "$dir" --out "$out" "${options[@]}"
    exit
fi

say "Starting a throwaway cluster"
dir=$("$project/scripts/cluster.sh" start "$bindir" synchronous_commit=off autovacuum=off shared_buffers="$buffers" \
    max_wal_size=20GB checkpoint_timeout=1h jit=off "${preload[@]}")
trap '"$project/scripts/cluster.sh" stop "$dir"' EXIT
note "$("$bindir/postgres" --version)"
driver --bindir "$(cat "$dir/bindir")" --socket "$dir" --out "$out" "${options[@]}"
