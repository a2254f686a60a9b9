"""Statements over many rows, and the floor: inserting the same entries into a table like the log's."""

from __future__ import annotations

import time

import psycopg
from psycopg import sql

from capture.samples import Samples
from capture.server import Server
from capture.subject import Subject
from shared.rounds import rotated

# Ids from here on are those that a round inserts, updates and deletes again.
BASE = 2_000_000_000

STATEMENTS = {
    "insert": f"INSERT INTO jobs SELECT {BASE} + id, organization_id, title, department, location, status, employment_type, "
              "salary_min, salary_max, description, created_at, updated_at FROM jobs_seed",
    "update": f"UPDATE jobs SET status = CASE status WHEN 'open' THEN 'closed' ELSE 'open' END WHERE id > {BASE}",
    "delete": f"DELETE FROM jobs WHERE id > {BASE}",
}


def measure(server: Server, subjects: list[Subject], samples: Samples, *, rounds: int, rows: int) -> None:
    """Microseconds a row of one INSERT … SELECT, UPDATE and DELETE; right after audit_log's, of the floor."""
    for round_ in range(1, rounds + 1):
        print(f"   round {round_} of {rounds}", flush=True)
        server.admin.execute("CHECKPOINT")
        for subject in subjects:
            server.freshly_checkpointed(subject.database)
        for operation, statement in STATEMENTS.items():
            for subject in rotated(subjects, round_):
                mark = subject.mark()
                seconds = timed(server, subject.database, statement, rows)
                subject.check(mark, operation, rows)
                samples.add(f"bulk_{operation}", "µs/row", subject.name, round_, seconds / rows * 1e6)
                if subject.name == "audit_log":
                    seconds = floor_seconds(server, subject.database, mark, rows)
                    samples.add(f"bulk_{operation}", "µs/row", "floor", round_, seconds / rows * 1e6)
        for subject in subjects:
            server.vacuum(subject.database)


def timed(server: Server, database: str, statement: str, rows: int) -> float:
    """Seconds a statement takes, commit included, in a session of its own; fails unless it is about so many rows."""
    with server.connect(database) as connection:
        return execute_timed(connection, statement, rows)


def execute_timed(connection: psycopg.Connection, statement: str | sql.Composed, rows: int) -> float:
    """Seconds a statement takes in a session; fails unless it is about so many rows."""
    start = time.perf_counter()
    done = connection.execute(statement).rowcount
    seconds = time.perf_counter() - start
    if done != rows:
        raise RuntimeError(f"a bulk statement in {connection.info.dbname} was about {done} rows, not {rows}")
    return seconds


def floor_seconds(server: Server, database: str, mark: object, rows: int) -> float:
    """Seconds to insert the entries made since a mark, all of one transaction, into a table like their partition.

    That table has the partition's indexes and grows with every call. The entries are first put aside,
    so that finding them is not part of the time.
    """
    with server.connect(database) as connection:
        query = "SELECT DISTINCT feed, tableoid::regclass::text FROM audit_log.event WHERE occurred_at > %s"
        found = connection.execute(query, (mark,)).fetchall()
        if len(found) != 1:
            raise RuntimeError(f"audit_log: a statement's entries are of {len(found)} transactions or partitions, not of one")
        feed, partition = found[0]
        # One table a partition: a run may go on into the next week.
        floor = sql.Identifier("floor_" + partition.removeprefix("audit_log."))
        if connection.execute("SELECT to_regclass(%s)", (floor.as_string(connection),)).fetchone()[0] is None:
            connection.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(floor, sql.SQL(partition)))
        entries = sql.SQL("CREATE TABLE floor_entries AS SELECT * FROM {} WHERE feed = {} AND occurred_at > {}")
        connection.execute(entries.format(sql.SQL(partition), sql.Literal(feed), sql.Literal(mark)))
        connection.execute("SELECT count(*) FROM floor_entries WHERE before IS NULL")
        seconds = execute_timed(connection, sql.SQL("INSERT INTO {} SELECT * FROM floor_entries").format(floor), rows)
        connection.execute("DROP TABLE floor_entries")
    return seconds
