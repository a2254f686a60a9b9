#!/usr/bin/env bash
# Writes the install script to standard output: the files of src/install.rs in their order.
source "$(dirname "$0")/lib.sh"

echo '-- Installs the extension audit_log. \echo Use "CREATE EXTENSION audit_log" to load this file. \quit'
sed -n 's|^extension_sql_file!("\.\./\(sql/[^"]*\)".*|\1|p' "$project/src/install.rs" | while read -r file; do
    printf '\n-- ---- %s\n' "$file"
    cat "$project/$file"
done
