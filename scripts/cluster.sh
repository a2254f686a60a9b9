#!/usr/bin/env bash
# A throwaway cluster that listens on no port, only on a socket in its own directory.
#   cluster.sh start BINDIR [SETTING=VALUE …]   prints its directory, which holds socket, data, log
#   cluster.sh stop DIRECTORY                   stops it and removes the directory
#   cluster.sh up DIRECTORY                     starts it again
#   cluster.sh down DIRECTORY MODE              shuts it down in a mode of pg_ctl's
#   cluster.sh copy DIRECTORY [OPTION …]        a base backup of it as a cluster of its own, which is down; prints
#                                               its directory. -R: a standby
#   cluster.sh upgrade DIRECTORY                what pg_upgrade makes of one that is down, started; prints its directory
source "$(dirname "$0")/lib.sh"

case $1 in
start)
    dir=$(cluster_directory "$2")
    trap '[ $? = 0 ] || "$project/scripts/cluster.sh" stop "$dir"' EXIT
    bindir=$(cat "$dir/bindir")
    shift 2
    cd /
    as_server_user "$bindir/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync \
        > "$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; exit 1; }
    cluster_settings "$dir" "$@" | as_server_user tee -a "$dir/data/postgresql.conf" > /dev/null
    "$project/scripts/cluster.sh" up "$dir"
    echo "$dir"
    ;;
up)
    dir=$2
    cd /
    as_server_user env -u RUST_BACKTRACE "$(cat "$dir/bindir")/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 300 start > /dev/null ||
        { cat "$dir/log" >&2; exit 1; }
    ;;
down)
    cd /
    as_server_user "$(cat "$2/bindir")/pg_ctl" -D "$2/data" -m "$3" -w -t 300 stop > /dev/null
    ;;
copy)
    from=$2
    shift 2
    dir=$(mktemp -d "$(dirname "$from")/audit_log.XXXXXX")
    trap '[ $? = 0 ] || rm -rf "$dir"' EXIT
    if [ "$(id -u)" = 0 ]; then chown postgres "$dir"; fi
    chmod 755 "$dir"
    if [ -e "$from/server" ]; then
        cp -rp "$from/server" "$dir/server"
        echo "$dir/server/bin" > "$dir/bindir"
    else
        cp "$from/bindir" "$dir/bindir"
    fi
    cd /
    as_server_user "$(cat "$dir/bindir")/pg_basebackup" -h "$from" -U postgres -D "$dir/data" -c fast --no-sync "$@" >&2
    echo "unix_socket_directories = '$dir'" | as_server_user tee -a "$dir/data/postgresql.conf" > /dev/null
    echo "$dir"
    ;;
upgrade)
    old=$2
    dir=$(mktemp -d "$(dirname "$old")/audit_log.XXXXXX")
    trap '[ $? = 0 ] || rm -rf "$dir"' EXIT
    if [ "$(id -u)" = 0 ]; then chown postgres "$dir"; fi
    chmod 755 "$dir"
    cp "$old/bindir" "$dir/bindir"
    bindir=$(cat "$dir/bindir")
    cd "$dir"
    {
        as_server_user "$bindir/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync
        as_server_user "$bindir/pg_upgrade" -b "$bindir" -B "$bindir" -d "$old/data" -D "$dir/data" -U postgres -s "$dir"
    } > "$dir/upgrade.log" 2>&1 || { cat "$dir/upgrade.log" >&2; exit 1; }
    cluster_settings "$dir" | as_server_user tee -a "$dir/data/postgresql.conf" > /dev/null
    "$project/scripts/cluster.sh" up "$dir"
    echo "$dir"
    ;;
stop)
    dir=$2
    bindir=$(cat "$dir/bindir" 2> /dev/null || true)
    cd /
    as_server_user "$bindir/pg_ctl" -D "$dir/data" -m immediate -w stop > /dev/null 2>&1 || true
    rm -rf "$dir"
    ;;
*)
    die "cluster.sh start BINDIR [SETTING=VALUE …] | stop DIRECTORY"
    ;;
esac
