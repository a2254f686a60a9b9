"""Counts the instructions that capture adds to a write, by callgrind on a single-user backend.

    python3 instructions.py --bindir DIR --cluster DIR --out DIR [--accept] [--each-index]

The cluster has the databases `unwatched`, `watched` and `alone`, where who writes merges, and is stopped; each count runs on a copy of it. A
write's instructions are those of many writes less those of few, by their difference: what a session does once
is not in them. The figures are compared with instructions.json beside this file; ends with 1 where a write
costs more than 2 percent above it. --accept writes that file anew; --each-index tells what each index costs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

BASELINE = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.02
FEW, MANY = 200, 700
BULK_FEW, BULK_MANY = 2_000, 8_000
COLUMNS = ("organization_id, title, department, location, status, employment_type, salary_min, salary_max, "
           "description, created_at, updated_at")

# A write, and how to say it for the first n rows: single rows by prepared statements, bulk in one.
SINGLE = {
    "update": "UPDATE jobs SET status = CASE status WHEN 'open' THEN 'closed' ELSE 'open' END WHERE id = $1",
    "insert": f"INSERT INTO jobs SELECT id + 1000000, {COLUMNS} FROM jobs_seed WHERE id = $1",
    "delete": "DELETE FROM jobs WHERE id = $1",
}
BULK = {
    "bulk update": "UPDATE jobs SET status = 'frozen' WHERE id <= {n}",
    "bulk insert": f"INSERT INTO jobs SELECT id + 1000000, {COLUMNS} FROM jobs_seed WHERE id <= {{n}}",
    "bulk delete": "DELETE FROM jobs WHERE id <= {n}",
}

# What of the added instructions is shown apart: (label, functions whose callees are included).
PARTS = [
    ("trigger: compare, render, form the entry", ["audit_log_capture"]),
    ("writing entries, with all below", ["audit_log::store::pending::write"]),
    ("  heap", ["heap_insert", "heap_multi_insert"]),
    ("  B-trees", ["btinsert"]),
    ("  GIN", ["ginHeapTupleFastCollect", "ginHeapTupleFastInsert"]),
    ("  opening relations", ["try_table_open", "index_open"]),
    ("locks, until the commit lets them go", ["LockRelationOid", "LockReleaseAll"]),
    ("WAL, of heap and indexes", ["XLogInsert"]),
]


# Each index of the log's partitions, by its first column; what a write costs without it says what it costs.
INDEXES = ["occurred_at", "feed", "organization_id"]
DROP = ("DO $$ DECLARE i regclass; BEGIN FOR i IN SELECT x.indexrelid FROM pg_inherits p JOIN pg_index x ON x.indrelid"
        " = p.inhrelid JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0] WHERE p.inhparent ="
        " 'audit_log.event'::regclass AND a.attname = '{column}' LOOP EXECUTE 'DROP INDEX ' || i; END LOOP; END $$;\n")


# A single-user backend does not take the database's own settings.
CONTEXT = ("SET audit_log.context = '{\"actor\": {\"type\": \"user\", \"id\": \"1042\", \"name\": \"Ann Example\","
           " \"email\": \"ann@example.com\"}, \"organization\": \"acme\"}';\n")


def statements(write: str, n: int) -> str:
    """The session's input."""
    if write in BULK:
        return BULK[write].format(n=n) + ";\n"
    lines = [f"PREPARE w (bigint) AS {SINGLE[write]};"]
    # Rows all over the table, the same in every run.
    lines += [f"EXECUTE w({1 + i * 7919 % 20_000});" for i in range(n)]
    return "\n".join(lines) + "\n"


class Backend:
    """A single-user backend under callgrind, on a fresh copy of the cluster each time."""

    def __init__(self, bindir: Path, cluster: Path) -> None:
        self.bindir, self.cluster = bindir, cluster
        self.run_as = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []

    def count(self, database: str, text: str) -> dict[str, int]:
        """Instructions by function with its callees; all of them under the empty name."""
        copy, profile = self.cluster / "copy", self.cluster / "profile"
        subprocess.run([*self.run_as, "rm", "-rf", copy, profile], check=True)
        subprocess.run([*self.run_as, "cp", "-r", self.cluster / "data", copy], check=True)
        answer = subprocess.run(
            [*self.run_as, "valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}",
             self.bindir / "postgres", "--single", "-D", copy, database],
            input=text, capture_output=True, text=True, check=False, cwd="/")
        if answer.returncode or "ERROR" in answer.stderr or not profile.exists():
            raise SystemExit(f"error: the backend failed:\n{answer.stderr[-2000:]}")
        listing = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", profile],
                                 capture_output=True, text=True, check=True).stdout
        return functions(listing)


def functions(listing: str) -> dict[str, int]:
    """callgrind_annotate's listing as instructions by function."""
    found: dict[str, int] = {}
    for line in listing.splitlines():
        match = re.match(r"\s*([\d,]+) \([^)]*\)\s+(\S.*)", line)
        if match:
            name = re.sub(r" \[.*", "", match[2])
            name = "" if name == "PROGRAM TOTALS" else re.sub(r"^\S*?:(?!:)", "", name).split("'")[0]
            found[name] = max(found.get(name, 0), int(match[1].replace(",", "")))
    return found


def a_write(backend: Backend, database: str, write: str, before: str = "") -> dict[str, float]:
    """Instructions of one write, by function, in a session that begins with another statement."""
    few, many = (BULK_FEW, BULK_MANY) if write in BULK else (FEW, MANY)
    less, more = (backend.count(database, CONTEXT + before + statements(write, n)) for n in (few, many))
    return {name: (count - less.get(name, 0)) / (many - few) for name, count in more.items()}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bindir", type=Path, required=True)
    parser.add_argument("--cluster", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--accept", action="store_true", help="make these figures the baseline")
    parser.add_argument("--each-index", action="store_true", help="tell what each index costs an update")
    options = parser.parse_args()
    backend = Backend(options.bindir, options.cluster)
    known = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    figures, worse = {}, []
    for write in [*SINGLE, *BULK]:
        before, after = (a_write(backend, database, write) for database in ("unwatched", "watched"))
        added = after[""] - before[""]
        figures[write] = {"unwatched": round(before[""]), "added": round(added)}
        print(f"\n{write}: {before[''] :,.0f} instructions unwatched, {added:,.0f} added"
              + (f" ({added / known[write]['added'] - 1:+.1%} against the baseline)" if write in known else ""))
        for label, names in PARTS:
            part = sum(after.get(name, 0) - before.get(name, 0) for name in names)
            print(f"   {part:>9,.0f}  {part / added:>4.0%}  {label}")
        alone = a_write(backend, "alone", write)[""] - before[""]
        print(f"   {alone - added:>9,.0f}  {alone / added - 1:>4.0%}  more without a worker, as who writes merges")
        if options.each_index and write.endswith("update"):
            for column in INDEXES:
                without = a_write(backend, "watched", write, DROP.format(column=column))
                print(f"   {after[''] - without['']:>9,.0f}  {(after[''] - without['']) / added:>4.0%}  index on {column}")
        if write in known and added > known[write]["added"] * (1 + TOLERANCE):
            worse.append(write)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "instructions.json").write_text(json.dumps(figures, indent=2) + "\n")
    if options.accept or not known:
        shutil.copy(options.out / "instructions.json", BASELINE)
        print("\nthe baseline is now these figures")
    elif worse:
        print(f"\nerror: more than {TOLERANCE:.0%} above the baseline: {', '.join(worse)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
