#!/usr/bin/env bash
# A cluster whose data is kept from run to run. It listens on no port, only on a socket in a directory of its own.
#   kept_cluster.sh start BINDIR DATA [SETTING=VALUE …]   makes DATA where there is none; prints the socket's directory
#   kept_cluster.sh stop DIRECTORY                        stops it; DATA stays
source "$(dirname "$0")/../scripts/lib.sh"

case ${1:-} in
start)
    dir=$(cluster_directory "$2")
    trap '[ $? = 0 ] || rm -rf "$dir"' EXIT
    bindir=$(cat "$dir/bindir")
    mkdir -p "$3"
    data=$(cd "$3" && pwd)
    shift 3
    if [ "$(id -u)" = 0 ]; then
        chown postgres "$data"
        as_server_user test -x "$data" || die "the user postgres cannot reach $data: give --data a directory it can"
    fi
    echo "$data" > "$dir/kept"
    cd /
    if [ ! -e "$data/PG_VERSION" ]; then
        as_server_user "$bindir/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync > "$dir/initdb.log" 2>&1 ||
            { cat "$dir/initdb.log" >&2; exit 1; }
    elif as_server_user "$bindir/pg_ctl" -D "$data" status > /dev/null; then
        die "another run uses $data"
    fi
    cluster_settings "$dir" "$@" | as_server_user tee "$data/postgresql.auto.conf" > /dev/null
    as_server_user env -u RUST_BACKTRACE "$bindir/pg_ctl" -D "$data" -l "$dir/log" -w -t 600 start > /dev/null ||
        { cat "$dir/log" >&2; exit 1; }
    echo "$dir"
    ;;
stop)
    dir=$2
    bindir=$(cat "$dir/bindir")
    data=$(cat "$dir/kept")
    cd /
    as_server_user "$bindir/pg_ctl" -D "$data" -m fast -w -t 600 stop > /dev/null
    rm -rf "$dir"
    ;;
*)
    die "kept_cluster.sh start BINDIR DATA [SETTING=VALUE …] | stop DIRECTORY"
    ;;
esac
