#!/usr/bin/env bash
# Tests wait for conditions: none sleeps, and none goes by the clock. Whoever has to wait does it by the helpers of
# pgrx-tests/src/waiting.rs, the one place where a clock is looked at.
# A timeout as a setting has its place where it is to strike; where nobody is to be kept waiting it is patient().
source "$(dirname "$0")/lib.sh"
cd "$project"

tests=(pgrx-tests/tests pgrx-tests/src/lib.rs model/src clients/readers clients/node/read.js src/pg_tests.rs)

# FILE TEXT, each with its reason.
allowed() {
    # A session is stopped wherever it is, and must hold nothing then: it is to strike.
    echo 'pgrx-tests/tests/listing_sessions.rs [("statement_timeout", "57014"), ("lock_timeout", "55P03")]'
    echo 'pgrx-tests/tests/listing_sessions.rs SET LOCAL lock_timeout = 100;'
    echo 'pgrx-tests/tests/listing_sessions.rs SET LOCAL statement_timeout = {};'
    # The same, and somebody holds a lock until it has struck: at a listing, a count, an update.
    echo "pgrx-tests/tests/listing_timeouts.rs SET statement_timeout = '3s'"
    echo 'pgrx-tests/tests/activity.rs SET statement_timeout = 200'
    echo 'pgrx-tests/tests/capture_batches.rs SET statement_timeout = 500;'
    # Settings of a database that the worker must not go by.
    echo 'pgrx-tests/tests/worker.rs "statement_timeout = 1",'
    echo 'pgrx-tests/tests/worker.rs "lock_timeout = 1",'
    # None at all, in what a test has the worker wait for.
    echo 'pgrx-tests/tests/worker_seen.rs SET lock_timeout = 0'
}

clock='thread::sleep|[^a-z_]sleep\(|pg_sleep|\.elapsed\(|Instant::now|SystemTime::now|setTimeout|asyncio\.sleep|time\.sleep'
timeouts='"(statement|lock)_timeout|(^|[^E])SET (LOCAL )?(statement|lock)_timeout'
found=$(grep -rnE "$clock|$timeouts" "${tests[@]}" || [ $? = 1 ])
wrong=$(while IFS= read -r line; do
    [ -n "$line" ] || continue
    while IFS= read -r one; do
        case $line in "${one%% *}:"*"${one#* }"*) continue 2 ;; esac
    done < <(allowed)
    echo "$line"
done <<< "$found")
if [ -n "$wrong" ]; then
    printf '%s\n' "$wrong" >&2
    die "tests go by the clock; wait by the helpers of pgrx-tests/src/waiting.rs, or allow it in scripts/lint-tests.sh and say why"
fi
# What is allowed must be there: the list is no longer than it needs to be.
while IFS= read -r one; do
    grep -qF -- "${one#* }" "${one%% *}" || die "scripts/lint-tests.sh allows what is not there: $one"
done < <(allowed)
