"""A part of a name or an id in a log with nearly as many targets as entries: page() with it, and people()."""

from __future__ import annotations

import time

from listing import generate
from listing.measurement import Measurement
from listing.page import timed
from listing.session import Session

TARGETS, CHANGED = 1_000_000, 200_000
LETTERS_MS = 100.0

PAGE = "SELECT * FROM audit_log.page(page => 1, page_size => 50, search => $1::text)"
PEOPLE = "SELECT * FROM audit_log.people($1::text)"
# What is looked for, and the figure that its calls are to reach: shorter terms have none.
TERMS = {"a rare name": ("e 199919", LETTERS_MS), "three letters that every name has": ("ida", LETTERS_MS),
         "an id": ("c987654", LETTERS_MS), "nobody's name": ("xyzzyx", LETTERS_MS), "two letters": ("77", None)}


def measure(run: Measurement) -> None:
    """Times of both; the reach holds for the 99th percentile."""
    database = ensure(run)
    session = Session(run.server, database, "postgres", 60.0)
    for subject, (term, reach) in TERMS.items():
        for name, statement in (("page", PAGE), ("people", PEOPLE)):
            answer = timed(run, session, f"{name}, {subject}", statement, [term], reach, phase="names")
            print(f"   {name}, {subject}, “{term}”: {answer.rows} rows", flush=True)
    session.close()


def ensure(run: Measurement) -> str:
    """The database of such a log: the kept one, or a new one."""
    server, database = run.server, f"names_{TARGETS}"
    key = generate.made_by(server)
    if server.admin.execute("SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)", (database,)).fetchone()[0]:
        if server.value(database, "SELECT coalesce(obj_description(to_regclass('candidate')), '')") == key:
            return database
        server.drop_database(database)
    begun = time.monotonic()
    server.create_database(database)
    server.run(database, "CREATE EXTENSION audit_log", "SELECT audit_log.ensure_partitions()",
               "CREATE TABLE candidate (id text PRIMARY KEY, name text, stage text)",
               "SELECT audit_log.watch('candidate', target_type => 'candidate', target_name => 'name')",
               f"INSERT INTO candidate SELECT 'c' || i, 'Cand Idate ' || i, 'new' FROM generate_series(1, {TARGETS}) i",
               f"UPDATE candidate SET stage = 'screen' WHERE id IN (SELECT 'c' || i * 5 FROM generate_series(1, {CHANGED}) i)")
    generate.tidy(server, database)
    server.run(database, "VACUUM ANALYZE", f"COMMENT ON TABLE candidate IS '{key}'")
    print(f"   {TARGETS + CHANGED:,} entries of {TARGETS:,} targets made in {time.monotonic() - begun:.0f} seconds", flush=True)
    return database
