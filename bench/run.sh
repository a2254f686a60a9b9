#!/usr/bin/env bash
# run.sh capture [OPTION …]: what capturing row changes costs, beside other solutions, in a throwaway cluster.
# Builds a release into a server copy of its own, target/bench/postgres; with --bindir DIR that server is
# used as it is. Results go to --out DIR, or target/bench/results. All options: run.sh capture --help
source "$(dirname "$0")/../scripts/lib.sh"

bench="$project/target/bench"
venv="$bench/venv"

[ "${1:-}" = capture ] || die "run.sh capture [OPTION …]; run.sh capture --help lists the options"
shift
bindir=
out="$bench/results"
options=()
while [ $# -gt 0 ]; do
    case $1 in
        --bindir) bindir=${2:?--bindir names a directory}; shift 2 ;;
        --out) out=${2:?--out names a directory}; shift 2 ;;
        *) options+=("$1"); shift ;;
    esac
done

mkdir -p "$bench"
if ! cmp -s "$project/bench/requirements.txt" "$venv/requirements.txt"; then
    say "The driver and the solutions from PyPI, into target/bench/venv"
    rm -rf "$venv"
    python3 -m venv --without-pip "$venv"
    python3 -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check \
        --requirement "$project/bench/requirements.txt"
    cp "$project/bench/requirements.txt" "$venv/requirements.txt"
fi
driver() { PYTHONPATH="$project/bench" PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m capture "$@"; }
# Wrong options, and --help, before anything is built.
driver --check "${options[@]}"
case " ${options[*]} " in *" --help "* | *" -h "*) exit 0 ;; esac

if [ -z "$bindir" ]; then
    "$project/scripts/postgres.sh" 15
    say "A server of its own into target/bench/postgres"
    rm -rf "$bench/postgres"
    cp -r "$project/target/postgres/15" "$bench/postgres"
    "$project/scripts/install.sh" "$bench/postgres/bin/pg_config" release
    "$project/bench/table_log.sh" "$bench/postgres/bin/pg_config"
    bindir="$bench/postgres/bin"
fi

say "Starting a throwaway cluster"
dir=$("$project/scripts/cluster.sh" start "$bindir" synchronous_commit=off autovacuum=off shared_buffers=2GB \
    max_wal_size=20GB checkpoint_timeout=1h jit=off)
trap '"$project/scripts/cluster.sh" stop "$dir"' EXIT
note "$("$bindir/postgres" --version)"
driver --bindir "$(cat "$dir/bindir")" --socket "$dir" --out "$out" "${options[@]}"
