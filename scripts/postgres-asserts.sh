#!/usr/bin/env bash
# postgres-asserts.sh MAJOR: builds a PostgreSQL server whose assertions are on, with headers, into
# target/postgres/MAJOR-asserts, from the source package of this Debian release, or of a newer one where this has none.
# JOBS says how many compilers run at once. Needs root only if a build tool is missing, and touches no installed server.
# PostgreSQL's own regression and isolation tests stay beside it, in target/postgres/MAJOR-asserts/suites.
source "$(dirname "$0")/lib.sh"

major=${1:-}
case $major in 15 | 16 | 17 | 18) ;; *) die "postgres-asserts.sh MAJOR, which is 15 to 18" ;; esac
home="$project/target/postgres/$major-asserts"
if [ -e "$home/ready" ] && [ -e "$home/suites/ready" ]; then exit 0; fi
command -v apt-get > /dev/null || die "the source is taken from Debian's packages, and there is no apt-get"

say "PostgreSQL $major with assertions into target/postgres/$major-asserts"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The machine's own package sources, asked for source packages, with lists and caches of our own.
mkdir -p "$work"/apt/{sources,state/lists/partial,cache/archives/partial}
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    copy="$work/apt/sources/$(basename "$list")"
    case $list in
        *.list) if [ -e "$list" ]; then sed -nE 's/^deb[[:space:]]/deb-src /p' "$list" > "$copy"; fi ;;
        *.sources) sed -E 's/^Types:.*/Types: deb-src/' "$list" > "$copy" ;;
    esac
done
cat > "$work/apt/conf" << END
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$work/apt/sources";
Dir::State "$work/apt/state";
Dir::Cache "$work/apt/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
END
cd "$work"
note "fetching the source"
find_versions() {
    apt-get -qq -c apt/conf update
    versions=$(apt-cache -c apt/conf showsrc --only-source "postgresql-$major" 2> /dev/null | sed -n 's/^Version: //p' | sort -ruV || true)
}
find_versions
if [ -z "$versions" ]; then
    note "this release has no source of postgresql-$major: asking those to come"
    # The main archive only: neither updates nor security have releases to come.
    for list in apt/sources/*.sources; do
        awk 'BEGIN { RS = ""; ORS = "\n\n" } /\nURIs: [^\n]*debian\/?(\n|$)/' "$list" | sed -E 's/^Suites:.*/Suites: trixie forky sid/' > "$list.new"
        mv "$list.new" "$list"
    done
    for list in apt/sources/*.list; do
        if [ -e "$list" ]; then
            sed -nE 's/^(deb-src (\[[^]]*\] )?[^ ]*debian\/?) [^ ]+ .*/\1/p' "$list" | sort -u |
                while read -r source; do for suite in trixie forky sid; do echo "$source $suite main"; done; done > "$list.new"
            mv "$list.new" "$list"
        fi
    done
    find_versions
fi
[ -n "$versions" ] || die "no source package postgresql-$major is known here"
# An index may name a version that the mirror does not have: then the one before it.
for version in $versions; do
    if apt-get -qq -c apt/conf source --download-only "postgresql-$major=$version" 2>> log; then break; fi
    note "$version could not be fetched"
    rm -f ./*.dsc
    version=
done
[ -n "$version" ] || { cat log >&2; die "no source of postgresql-$major could be fetched"; }

missing=()
need() { if ! eval "$2" > /dev/null 2>&1; then missing+=("$1"); fi; }
need gcc 'command -v gcc'
need libc6-dev 'test -e /usr/include/stdio.h'
need make 'command -v make'
need bzip2 'command -v bzip2'
need xz-utils 'command -v xz'
need dpkg-dev 'command -v dpkg-source'
need zlib1g-dev 'test -e /usr/include/zlib.h'
need libxml2-dev 'test -e /usr/include/libxml2/libxml/parser.h'
need pkg-config 'command -v pkg-config'
need perl 'command -v perl'
# Before 17 the source comes with what these make.
if [ "$major" -ge 17 ]; then
    need bison 'command -v bison'
    need flex 'command -v flex'
fi
if [ ${#missing[@]} -gt 0 ]; then
    note "installing with apt-get: ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
fi

note "building it, which takes some minutes"
# As its authors published it: Debian's patches move its directories.
dpkg-source --no-check --skip-patches -x ./*.dsc source > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }

# Options as those of the unpacked servers where a test depends on them: XML and the system's time zones.
cd source
build() { "$@" > "$work/log" 2>&1 || { tail -40 "$work/log" >&2; die "failed: $1"; }; }
# A make that called this script has nothing to say to PostgreSQL's. Libraries are found by their own
# place, or a libpq installed elsewhere would be taken; the path is relative, so that the tree can be copied.
build_make() {
    build env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u MAKEOVERRIDES make -j"${JOBS:-$(nproc)}" \
        'rpathdir=$$ORIGIN/../lib' "$@"
}
build ./configure --prefix="$home" --enable-cassert --enable-debug --without-readline --without-icu --without-llvm \
    --with-libxml --with-system-tzdata=/usr/share/zoneinfo CFLAGS="-O1 -g"
build_make
build_make -C contrib
rm -rf "$home"
build_make install
build_make -C contrib install
build_make -C src/test/regress
build_make -C src/test/isolation
mkdir "$home/suites"
cp -r src/test/regress src/test/isolation "$home/suites/"
# contrib/spi's, which the regression tests load from where regress.so is.
for library in refint autoinc; do
    if [ -e "contrib/spi/$library.so" ]; then cp "contrib/spi/$library.so" "$home/suites/regress/"; fi
done
find "$home/suites" -name '*.o' -delete
touch "$home/suites/ready" "$home/ready"
note "$("$home/bin/postgres" --version)"
