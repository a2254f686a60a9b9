#!/usr/bin/env bash
# A cluster whose data is kept from run to run. It listens on no port, only on a socket in a directory of its own.
#   kept_cluster.sh start BINDIR DATA [SETTING=VALUE …]   makes DATA where there is none; prints the socket's directory
#   kept_cluster.sh stop DIRECTORY                        stops it; DATA stays
source "$(dirname "$0")/../scripts/lib.sh"

case ${1:-} in
start)
    bindir=$(cd "$2" && pwd)
    mkdir -p "$3"
    data=$(cd "$3" && pwd)
    shift 3
    if [ "$(id -u)" = 0 ]; then base=/tmp; else base=${TMPDIR:-/tmp}; fi
    dir=$(mktemp -d "$base/audit_log.XXXXXX")
    trap '[ $? = 0 ] || rm -rf "$dir"' EXIT
    if [ "$(id -u)" = 0 ]; then
        chown postgres "$dir" "$data"
        as_server_user test -x "$data" || die "the user postgres cannot reach $data: give --data a directory it can"
        if ! as_server_user test -x "$bindir/postgres" 2> /dev/null; then
            cp -r "$(dirname "$bindir")" "$dir/server"
            chown -R postgres "$dir/server"
            bindir="$dir/server/bin"
        fi
    fi
    chmod 755 "$dir"
    echo "$bindir" > "$dir/bindir"
    echo "$data" > "$dir/kept"
    cd /
    if [ ! -e "$data/PG_VERSION" ]; then
        as_server_user "$bindir/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync > "$dir/initdb.log" 2>&1 ||
            { cat "$dir/initdb.log" >&2; exit 1; }
    elif as_server_user "$bindir/pg_ctl" -D "$data" status > /dev/null; then
        die "another run uses $data"
    fi
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$dir'"
        echo "fsync = off"
        for setting in "$@"; do echo "${setting%%=*} = '${setting#*=}'"; done
    } | as_server_user tee "$data/postgresql.auto.conf" > /dev/null
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
