"""psycopg 3: files by COPY, CSV as the csv module reads it and an object a line; each is compared with the view."""

from __future__ import annotations

import csv
import json

from readers.log import Log, expect

NAME = "psycopg 3, COPY of export and format"
NDJSON = """COPY (SELECT audit_log.format(e, 'gem') FROM audit_log.entry e ORDER BY e.occurred_at, e.id)
TO STDOUT (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')"""


def read(log: Log) -> str:
    """Both files; what the export wrote of itself."""
    csv_rows = exported(log, safe_cells=True)
    exported(log, safe_cells=False)
    with log.connect() as connection:
        exports = connection.execute("SELECT database_user FROM audit_log.entry WHERE category = 'data_export'").fetchall()
    expect(exports == [{"database_user": "reader"}] * 2, f"the exports' own entries are {exports}")
    return f"{csv_rows} rows of CSV, {lines(log)} lines of JSON"


def exported(log: Log, *, safe_cells: bool) -> int:
    """audit_log.export to a file, read again, against the view: each text, each instant, each JSON value."""
    file = log.scratch / f"export-{safe_cells}.csv"
    written = log.entries()
    copy_to(log, f"COPY (SELECT * FROM audit_log.export(safe_cells => {safe_cells})) TO STDOUT (FORMAT csv, HEADER)", file)
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    expect(len(rows) == len(written), f"{len(rows)} rows of CSV, {len(written)} entries")
    quote = "'" if safe_cells else ""
    must = sorted((row["category"], row["occurred_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ"), dump(row["targets"]), dump(row["before"]),
                   dump(row["after"]), dump(row["metadata"]), quote + row["user_agent"] if row["user_agent"] else "",
                   str(row["remote_addr"] or ""), row["actor_name"] or "") for row in written)
    got = sorted((row["action"], row["timestamp"], load(row["targets"]), load(row["before"]), load(row["after"]), load(row["metadata"]),
                  row["user_agent"], row["remote_addr"], json.loads(row["actor"]).get("name", "")) for row in rows)
    differing = [pair for pair in zip(got, must) if pair[0] != pair[1]]
    expect(not differing, f"a row of CSV differs: {differing[:1]}")
    return len(rows)


def lines(log: Log) -> int:
    """A line an entry, each JSON, as the function gives it and as the view has it."""
    file = log.scratch / "entries.ndjson"
    copy_to(log, NDJSON, file)
    got = [json.loads(line, parse_float=str) for line in file.read_text(encoding="utf-8").splitlines()]
    written = list(reversed(log.entries()))
    expect(len(got) == len(written), f"{len(got)} lines, {len(written)} entries")
    for line, entry in zip(got, written):
        expect(line["action"] == entry["category"] and line["team_id"] == entry["organization_id"]
               and dump(line["after"]) == dump(entry["after"]) and dump(line["metadata"]) == dump(entry["metadata"])
               and line["targets"][0]["id"] == entry["target_id"], f"a line differs: {line}, {entry}")
    return len(got)


def copy_to(log: Log, command: str, file: object) -> None:
    """COPY to a file, by a reader who may only read."""
    with log.connect("reader") as connection, connection.cursor().copy(command) as copy, open(file, "wb") as opened:
        for block in copy:
            opened.write(block)


def load(text: str) -> str:
    """JSON of a cell in one spelling; numbers keep their digits."""
    return dump(json.loads(text, parse_float=str)) if text else ""


def dump(value: object) -> str:
    """A value in the same spelling."""
    return "" if value is None else json.dumps(value, sort_keys=True, default=str)
