# Shared by the scripts: says what is done, finds the project, becomes root where needed.

set -euo pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools="$project/target/tools"

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
note() { printf '   %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Runs a command as root: as it is for root, by sudo for everybody else.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root or sudo: $*"
    fi
}

# PostgreSQL does not run as root: a root shell runs it as the user postgres.
server_user() {
    if [ "$(id -u)" = 0 ]; then echo postgres; else id -un; fi
}

as_server_user() {
    if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

# Makes a directory for a cluster's socket and log, and prints it; the programs to run it by are named in
# its file bindir. A root shell's own TMPDIR may be closed to the user postgres, and so may a checkout:
# the server then runs from a copy.
cluster_directory() {
    local bindir base dir
    bindir=$(cd "$1" && pwd)
    if [ "$(id -u)" = 0 ]; then base=/tmp; else base=${TMPDIR:-/tmp}; fi
    dir=$(mktemp -d "$base/audit_log.XXXXXX")
    if [ "$(id -u)" = 0 ]; then
        chown postgres "$dir"
        if ! as_server_user test -x "$bindir/postgres" 2> /dev/null; then
            cp -r "$(dirname "$bindir")" "$dir/server"
            chown -R postgres "$dir/server"
            bindir="$dir/server/bin"
        fi
    fi
    chmod 755 "$dir"
    echo "$bindir" > "$dir/bindir"
    echo "$dir"
}

# The settings of a throwaway server on a socket in a directory, and those given as SETTING=VALUE.
cluster_settings() {
    local dir=$1 setting
    shift
    echo "listen_addresses = ''"
    echo "unix_socket_directories = '$dir'"
    echo "fsync = off"
    for setting in "$@"; do echo "${setting%%=*} = '${setting#*=}'"; done
}
