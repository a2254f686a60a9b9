#!/usr/bin/env bash
# test.sh NAME [TEST …]: the integration tests against a throwaway cluster of the server target/postgres/NAME; all
# of them, or those whose names have one of the texts.
source "$(dirname "$0")/lib.sh"

name=$1
shift
bindir=$project/target/postgres/$name/bin
say "Integration tests on $("$bindir/postgres" --version)"
export AUDIT_LOG_BINDIR=$bindir
# Many wait more than they work.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-4}
export AUDIT_LOG_SERVER_LOG="$project/target/server-pg$name.log"
# What could not be tested says so there.
export AUDIT_LOG_SKIPPED="$project/target/skipped-$name"
rm -f "$AUDIT_LOG_SERVER_LOG" "$AUDIT_LOG_SKIPPED"
cargo test --quiet --locked --manifest-path "$project/Cargo.toml" --package audit_log_tests -- "$@"
# What a test cannot see: leaks, failed assertions and crashes only show in the server's log.
for _ in $(seq 1500); do if [ -e "$AUDIT_LOG_SERVER_LOG" ]; then break; fi; sleep 0.2; done
[ -s "$AUDIT_LOG_SERVER_LOG" ] || die "the server's log was not kept"
if grep -nE 'leak|resource was not closed|TRAP:|PANIC:|was terminated by signal|panicked at' "$AUDIT_LOG_SERVER_LOG" | head -20 | grep .; then
    die "the server's log shows a fault (target/server-pg$name.log)"
fi
note "the server's log is clean"
"$project/scripts/skipped.sh" "$name"
