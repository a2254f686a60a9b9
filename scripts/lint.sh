#!/usr/bin/env bash
# Formatting and clippy, warnings being errors.
source "$(dirname "$0")/lib.sh"

say "Formatting and lints"
cargo fmt --version > /dev/null 2>&1 && cargo clippy --version > /dev/null 2>&1 ||
    die "rustfmt or clippy is missing: rustup component add rustfmt clippy"
"$project/scripts/postgres.sh" 15
cd "$project"
scripts/lint-tests.sh
cargo fmt --all --check
specs/generate.py --check || die "run specs/generate.py"
export PGRX_PG_CONFIG_PATH="$project/target/postgres/15/bin/pg_config"
export LIBCLANG_PATH="$tools/python/clang/native"
BINDGEN_EXTRA_CLANG_ARGS="-I$(gcc -print-file-name=include)"
export BINDGEN_EXTRA_CLANG_ARGS
cargo clippy --quiet --locked --package audit_log --lib --no-default-features --features pg15 --target-dir target/build/pg15 -- -D warnings
cargo clippy --quiet --locked --package audit_log_model --package audit_log_tests --all-targets -- -D warnings
note "clean"
