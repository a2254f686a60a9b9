#!/usr/bin/env bash
# demo.sh BINDIR: a throwaway cluster, an applicant-tracking schema watched, real writes, then what the log tells.
source "$(dirname "$0")/lib.sh"

bindir=$1
cd "$project"
say "Starting a throwaway cluster (on no port, in a directory of its own)"
dir=$("$project/scripts/cluster.sh" start "$bindir")
trap '"$project/scripts/cluster.sh" stop "$dir"' EXIT
note "$("$bindir/postgres" --version)"
sql() { "$(cat "$dir/bindir")/psql" -X -q -P pager=off -h "$dir" -U postgres -d ats -v ON_ERROR_STOP=1 "$@"; }
"$(cat "$dir/bindir")/createdb" -h "$dir" -U postgres ats

say "CREATE EXTENSION audit_log, and an applicant-tracking schema"
sql -c 'CREATE EXTENSION audit_log' -f "demo/schema.sql"
say "Watching twelve tables"
sql -o /dev/null -f "demo/watch.sql"
say "Busy days: recruiters, candidates, support on a customer's behalf, nightly jobs"
sql -f "demo/activity.sql"
say "What the log tells"
sql -f "demo/show.sql" 2>&1
say "Done; the cluster is stopped and removed"
