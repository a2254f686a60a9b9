"""A partition that is all expired is dropped, with nobody there and with others at work, beside a plain DROP TABLE of the same."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psycopg

from purging.load import Load
from shared.figures import Figures
from shared.pgbench import SCRIPTS
from shared.server import Server

DATABASE = "purging"
REACH_MS = 200
REACH_WAIT_MS = 50
WRITERS = 2
READERS = 1
# What lists as fast as it can takes a processor; waits for locks show as well where it does so a hundred times a second.
READS = 100
# How far back the first partition is; each one that is dropped is a week further on.
OLDEST = 200


@dataclass
class Times:
    """Milliseconds: of the step, which ends holding the locks; of the commit, which lets go of them and removes files; of DROP TABLE."""

    step: float
    commit: float
    plain: float


def measure(server: Server, figures: Figures, entries: int, rounds: int) -> None:
    """All rounds, each with a partition dropped alone and one under load."""
    server.drop_database(DATABASE)
    server.create_database(DATABASE)
    server.run_file(DATABASE, SCRIPTS / "purge_log.sql")
    for round_ in range(1, rounds + 1):
        print(f"   round {round_} of {rounds}", flush=True)
        fill(server, entries, OLDEST - 2 * round_)
        report(figures, "idle", "nobody else there", times(server, entries))
        fill(server, entries, OLDEST - 2 * round_ - 1)
        with Load(server, DATABASE, WRITERS, READERS, READS) as load:
            found = times(server, entries)
            load.check()
        report(figures, "busy", f"beside {WRITERS} writers and {READERS} reader", found)
        for script, who in (("purge_write", "a writer"), ("purge_list", "a reader")):
            figures.add("drop", f"busy_{script}_wait", f"longest wait of {who} for a lock", "ms", load.waits[script], reach=REACH_WAIT_MS)
    server.drop_database(DATABASE)


def fill(server: Server, entries: int, weeks: int) -> None:
    """Makes a partition that nothing expires of yet, and its twin."""
    server.run(DATABASE, "SELECT audit_log.set_retention(NULL)", "DROP TABLE IF EXISTS twin")
    server.run_file(DATABASE, SCRIPTS / "purge_fill.sql", entries=entries, weeks=weeks)


def times(server: Server, entries: int) -> Times:
    """Lets the partition expire, and drops it and its twin."""
    with server.connect(DATABASE) as session:
        session.execute("SELECT audit_log.set_retention('30 days')")
        # As the worker does every minute.
        session.execute("SELECT audit_log.run_task('counts', now())")
        began = time.perf_counter()
        session.execute("BEGIN")
        removed, error = session.execute(
            "SELECT (SELECT sum(r.entries) FROM unnest(t.removed) r WHERE r.dropped), t.error FROM audit_log.run_task('drop', now()) t").fetchone()
        stepped = time.perf_counter()
        session.execute("COMMIT")
        committed = time.perf_counter()
        if removed != entries:
            raise RuntimeError(f"{removed} entries were dropped, not {entries}: {error}")
        plain = dropped(session)
    return Times((stepped - began) * 1000, (committed - stepped) * 1000, plain)


def dropped(session: psycopg.Connection) -> float:
    """Milliseconds of DROP TABLE."""
    began = time.perf_counter()
    session.execute("DROP TABLE twin")
    return (time.perf_counter() - began) * 1000


def report(figures: Figures, name: str, how: str, found: Times) -> None:
    """Adds what a round gave."""
    whole = found.step + found.commit
    figures.add("drop", f"{name}_whole", f"purge, {how}", "ms", whole, reach=REACH_MS)
    figures.add("drop", f"{name}_step", f"purge, {how}: up to the commit", "ms", found.step)
    figures.add("drop", f"{name}_plain", f"DROP TABLE of the same, {how}", "ms", found.plain)
    figures.add("drop", f"{name}_times", f"purge, {how}: times DROP TABLE", "x", whole / found.plain)
