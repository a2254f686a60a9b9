#!/usr/bin/env bash
# skipped.sh NAME …: what the tests on the servers target/postgres/NAME skipped, and why.
source "$(dirname "$0")/lib.sh"

total=0
for name in "$@"; do
    list="$project/target/skipped-$name"
    [ -e "$list" ] || continue
    while IFS= read -r line; do
        note "not tested on $name: $line"
        total=$((total + 1))
    done < <(sort -u "$list")
done
case $total in
0) note "nothing was skipped" ;;
*) note "skipped: $total" ;;
esac
