"""Makes the log that is listed: entries as capture writes them, over the 30 days before today, in weekly partitions."""

from __future__ import annotations

import hashlib
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

from shared.server import Server

SQL = Path(__file__).parent / "sql"
JOBS = Path(__file__).parent.parent / "sql" / "jobs.sql"
FILES = ("entities.sql", "entries.sql", "further_targets.sql", "frequencies.sql")
MADE_BY = [Path(__file__), JOBS, *(SQL / name for name in FILES)]

DAYS = 30
CHUNK = 100_000
PER_TRANSACTION = 50
SESSIONS = 2

# Positions of the feed name transactions: numbers that were given out, in the order of the entries.
TAKE_TRANSACTIONS = """
    DO $$ BEGIN FOR i IN 1..{count} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$
"""

PARTITIONED = "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'audit_log'::regnamespace AND relkind = 'p'"
LEAVES = """
    SELECT t.relid::regclass::text FROM pg_class c CROSS JOIN LATERAL pg_partition_tree(c.oid) t
    WHERE c.relnamespace = 'audit_log'::regnamespace AND c.relkind = 'p' AND t.isleaf
"""

INSTALL_SCRIPT = """
    SELECT md5(pg_read_file(c.setting || '/extension/audit_log--' || e.default_version || '.sql'))
    FROM pg_config c, pg_available_extensions e WHERE c.name = 'SHAREDIR' AND e.name = 'audit_log'
"""


def ensure(server: Server, entries: int) -> str:
    """The database with so many entries: the kept one, or a new one where schema or generator have changed."""
    database = f"listing_{entries}"
    key = made_by(server)
    if server.admin.execute("SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)", (database,)).fetchone()[0]:
        query = "SELECT coalesce(obj_description(to_regclass('bench.dataset')), '')"
        if server.value(database, query) == key:
            print(f"   {entries:,} entries are kept in {database}", flush=True)
            return database
        server.drop_database(database)
    needed, free = entries * 1500 + 20e9, shutil.disk_usage(server.data_directory()).free
    if free < needed:
        print(f"   {entries:,} entries may need {needed / 1e9:.0f} GB of disk; there are {free / 1e9:.0f}", flush=True)
    begun = time.monotonic()
    make(server, database, entries)
    seconds = round(time.monotonic() - begun)
    server.run(database, f"UPDATE bench.dataset SET seconds = {seconds}", f"COMMENT ON TABLE bench.dataset IS '{key}'")
    print(f"   {entries:,} entries made in {seconds} seconds", flush=True)
    return database


def made_by(server: Server) -> str:
    """What a database was made by: the extension's install script and the generator."""
    found = server.admin.execute(INSTALL_SCRIPT).fetchone()
    if found is None:
        raise RuntimeError("the server has no extension audit_log")
    files = hashlib.sha256(b"".join(file.read_bytes() for file in MADE_BY)).hexdigest()[:16]
    return f"{found[0][:16]} {files}"


def make(server: Server, database: str, entries: int) -> None:
    """Makes the database; it counts as made only once it has its key."""
    print(f"   making {entries:,} entries in {database}", flush=True)
    server.create_database(database)
    server.run_file(database, JOBS, rows=20_000)
    starts, ends, slot = span(server, entries)
    server.run(database, "CREATE EXTENSION audit_log")
    weeks = partitions(server, database, starts, ends)
    server.run(database, "SELECT audit_log.watch('jobs')")
    server.run_file(database, SQL / "entities.sql")
    transactions = entries // PER_TRANSACTION + 1
    feed = first_position(server, database, transactions)
    with ThreadPoolExecutor(SESSIONS) as sessions:
        # The longest first: then all sessions end at about the same time.
        spans = [numbers(lower, upper, starts, slot, entries) for lower, upper in weeks]
        todo = sorted((one for one in spans if one[0] <= one[1]), key=lambda one: one[0] - one[1])
        done = [sessions.submit(write, server, database, one, starts, slot, feed) for one in todo]
        for one in done:
            one.result()
    tidy(server, database)
    server.run_file(database, SQL / "frequencies.sql", ends=ends.isoformat())
    server.run(database, "CREATE TABLE bench.dataset (entries bigint, starts timestamptz, ends timestamptz, seconds integer)",
               f"INSERT INTO bench.dataset VALUES ({entries}, '{starts.isoformat()}', '{ends.isoformat()}')")
    within = "SELECT count(*) FROM audit_log.event WHERE occurred_at >= %s AND occurred_at < %s"
    found = server.value(database, within, starts, ends)
    if found != entries:
        raise RuntimeError(f"the log has {found} entries, not {entries}")
    server.run(database, "VACUUM ANALYZE", "CHECKPOINT")


def tidy(server: Server, database: str) -> None:
    """Does what autovacuum and a scheduler would have done by now: vacuums, analyzes, counts what is new."""
    server.run(database, "SELECT audit_log.count_entries()")
    with ThreadPoolExecutor(SESSIONS) as sessions:
        list(sessions.map(lambda leaf: server.run(database, f"VACUUM ANALYZE {leaf[0]}"), server.rows(database, LEAVES)))
    server.run(database, *(f"ANALYZE {parent}" for parent, in server.rows(database, PARTITIONED)))


def span(server: Server, entries: int) -> tuple[datetime, datetime, int]:
    """From when to when entries are, up to the beginning of today in UTC, and how many microseconds each takes."""
    ends = server.admin.execute("SELECT date_trunc('day', now(), 'UTC')").fetchone()[0]
    slot = int(timedelta(days=DAYS) / timedelta(microseconds=1)) // entries
    return ends - timedelta(days=DAYS), ends, slot


def partitions(server: Server, database: str, starts: datetime, ends: datetime) -> list[tuple[datetime, datetime]]:
    """Makes the partitions of these days' weeks, and those a configuration change would; returns the weeks."""
    first = server.value(database, "SELECT date_trunc('week', %s::timestamptz, 'UTC')", starts)
    weeks = []
    while first < ends:
        weeks.append((first, first + timedelta(weeks=1)))
        first += timedelta(weeks=1)
    parents = server.rows(database, PARTITIONED)
    for lower, upper in weeks:
        for parent, in parents:
            server.value(database, "SELECT audit_log.create_partition(%s::regclass, %s, %s)", parent, lower, upper)
    server.run(database, "SELECT audit_log.ensure_partitions()")
    return weeks


def first_position(server: Server, database: str, transactions: int) -> int:
    """Takes so many transaction numbers; the feed position that the first of them stands for."""
    first = server.value(database, "SELECT pg_current_xact_id()::text::bigint")
    server.run(database, TAKE_TRANSACTIONS.format(count=transactions))
    epoch = server.value(database, "SELECT max(epoch) FROM audit_log.feed_epoch")
    return (epoch << 48) | first


def numbers(lower: datetime, upper: datetime, starts: datetime, slot: int, entries: int) -> tuple[int, int]:
    """The first and last entry of a week, to a hundred: those that share an instant stay together."""
    hundred = timedelta(microseconds=slot) * 100
    return max((lower - starts) // hundred * 100, 0), min((upper - starts) // hundred * 100, entries) - 1


def write(server: Server, database: str, span_: tuple[int, int], starts: datetime, slot: int, feed: int) -> None:
    """Writes a week's entries in the order of time."""
    first, last = span_
    microsecond = timedelta(microseconds=1)
    starts_us = (starts - datetime.fromtimestamp(0, starts.tzinfo)) // microsecond
    with server.connect(database) as connection:
        entries, targets = ((SQL / name).read_text() for name in ("entries.sql", "further_targets.sql"))
        # Small tables are hashed, and entries keep their order.
        connection.execute("SET enable_nestloop = off; SET enable_mergejoin = off; SET work_mem = '256MB'")
        for begin in range(first, last + 1, CHUNK):
            end = min(begin + CHUNK, last + 1)
            words = {"first": begin, "last": end - 1, "slot": slot, "starts_us": starts_us, "feed": feed,
                     "per_transaction": PER_TRANSACTION}
            bounds = {"lower": starts + begin * slot * microsecond, "upper": starts + end * slot * microsecond}
            with connection.transaction():
                connection.execute(entries, words, prepare=False)
                connection.execute(targets, bounds, prepare=False)
