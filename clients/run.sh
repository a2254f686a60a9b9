#!/usr/bin/env bash
# run.sh BINDIR [READER …]: programs that users read the log with, against a throwaway cluster of a server that has the
# extension. What each read is compared with what was written; the first difference ends the run.
#   psycopg_list, psycopg_sync, psycopg_export, psycopg_bound
#                    psycopg 3: pages of list with writes between; a copy by sync through crashes of reader and server;
#                    export and format by COPY; a login bound to one organization
#   node             node-postgres: pages of list and list_json, and sync_json
#   sqlalchemy_views what BI tools build on: the views, reflected and asked as a chart asks
#   superset_charts  Apache Superset: the view entry as a dataset, asked by its charts
#   dlt_feed         dlt into DuckDB                                    each tracks position of the view feed, run with
#   dbt_feed         dbt-postgres, the package in clients/dbt           a transaction open and again after its commit
#   singer_feed      Meltano's tap-postgres
# Installs them into target/clients, in the versions of clients/requirements and clients/node/package-lock.json; after
# that nothing is fetched. What cannot be installed is left out, which is said. Needs python3 with pip.
source "$(dirname "$0")/../scripts/lib.sh"

all=(psycopg_list psycopg_sync psycopg_export psycopg_bound node sqlalchemy_views superset_charts dlt_feed dbt_feed singer_feed)
bindir=$(cd "${1:?run.sh BINDIR [READER …]}" && pwd)
shift
readers=("$@")
[ $# -gt 0 ] || readers=("${all[@]}")
installed="$project/target/clients"
skipped=()
begun=$SECONDS

# The programs of requirements/NAME.txt, in a venv of their own.
venv() {
    local requirements="$project/clients/requirements/$1.txt" venv="$installed/$1"
    if cmp -s "$requirements" "$venv/requirements.txt"; then return; fi
    say "From PyPI, into target/clients/$1"
    rm -rf "$venv"
    python3 -m venv --without-pip "$venv" &&
        python3 -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check --requirement "$requirements" &&
        cp "$requirements" "$venv/requirements.txt"
}

node_modules() {
    local lock="$project/clients/node/package-lock.json"
    command -v node > /dev/null && command -v npm > /dev/null || { note "there is no node and npm"; return 1; }
    if cmp -s "$lock" "$installed/node/installed.json"; then return; fi
    say "From npm, into target/clients/node"
    rm -rf "$installed/node"
    mkdir -p "$installed/node"
    cp "$project/clients/node/package.json" "$lock" "$installed/node"
    npm ci --prefix "$installed/node" --no-fund --no-audit --silent && cp "$lock" "$installed/node/installed.json"
}

mkdir -p "$installed"
venv readers || die "psycopg could not be installed, with which all others are checked"
run=()
for reader in "${readers[@]}"; do
    case " ${all[*]} " in *" $reader "*) ;; *) die "there is no reader $reader: ${all[*]}" ;; esac
    case $reader in
        node) node_modules || { skipped+=("$reader"); continue; } ;;
        superset_charts) venv superset || { skipped+=("$reader"); continue; } ;;
        dbt_feed) venv dbt || { skipped+=("$reader"); continue; } ;;
        singer_feed) venv singer || { skipped+=("$reader"); continue; } ;;
    esac
    run+=("$reader")
done

say "Starting a throwaway cluster"
dir=$("$project/scripts/cluster.sh" start "$bindir")
trap '"$project/scripts/cluster.sh" stop "$dir"' EXIT
note "$("$bindir/postgres" --version)"
bindir=$(cat "$dir/bindir")
"$bindir/createdb" -h "$dir" -U postgres log
"$bindir/psql" -X -q -o /dev/null -h "$dir" -U postgres -d log -v ON_ERROR_STOP=1 -f "$project/clients/sql/log.sql"

for reader in "${run[@]}"; do
    if [ "$reader" = node ]; then
        say "node-postgres, audit_log.list, list_json, sync_json"
        "$bindir/createdb" -h "$dir" -U postgres -T log node
        NODE_PATH="$installed/node/node_modules" node "$project/clients/node/read.js" "$dir" node
    else
        PYTHONPATH="$project/clients" PYTHONDONTWRITEBYTECODE=1 "$installed/readers/bin/python" -m readers "$dir" "$reader"
    fi
done

# What no reader sees.
if grep -nE 'leak|TRAP:|PANIC:|was terminated by signal|panicked at' "$dir/log" | head -20 | grep .; then
    die "the server's log shows a fault"
fi
say "${#run[@]} readers read what was written, in $((SECONDS - begun)) seconds"
for reader in "${skipped[@]}"; do note "skipped, as it could not be installed: $reader"; done
if [ ${#skipped[@]} = 0 ]; then note "nothing was skipped"; else note "skipped: ${#skipped[@]}"; fi
