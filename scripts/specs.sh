#!/usr/bin/env bash
# specs.sh NAME [SPEC …]: the permutation specs of specs/ on a throwaway cluster of the server target/postgres/NAME.
source "$(dirname "$0")/lib.sh"

name=$1
shift
home=$project/target/postgres/$name
say "Permutation specs on $("$home/bin/postgres" --version)"
specs=("$@")
[ $# != 0 ] || for spec in "$project"/specs/specs/*.spec; do specs+=("$(basename "$spec" .spec)"); done
[ -e "$project/specs/specs/${specs[0]}.spec" ] || die "there is no specs/specs/${specs[0]}.spec"

# Nothing but the specs runs there.
cluster=$("$project/scripts/cluster.sh" start "$home/bin" autovacuum=off)
trap '"$project/scripts/cluster.sh" stop "$cluster"' EXIT
# Notices are worded as the server's version has it.
export PGOPTIONS='-c client_min_messages=warning'
# Its libraries are the server's, whichever are installed.
export LD_LIBRARY_PATH=$home/lib
"$home/bin/createdb" -h "$cluster" -U postgres specs
"$home/bin/psql" -h "$cluster" -U postgres -d specs -v ON_ERROR_STOP=1 -q -o /dev/null -f "$project/specs/prepare.sql"
output=$project/target/specs-pg$name
rm -rf "$output"
mkdir -p "$output"
"$home/lib/pgxs/src/test/isolation/pg_isolation_regress" --bindir="$home/bin" --use-existing --host="$cluster" --user=postgres \
    --dbname=specs --inputdir="$project/specs" --outputdir="$output" "${specs[@]}" ||
    die "target/specs-pg$name/regression.diffs shows what differs"
