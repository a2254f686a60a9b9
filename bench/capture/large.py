"""A statement over millions of rows, and a log that holds millions of entries, in one partition and in many."""

from __future__ import annotations

from typing import Callable

from capture import spread
from capture.bulk import execute_timed, timed
from capture.samples import Samples
from capture.server import Server
from capture.single_row import update_cost
from capture.solutions import SQL, Solution
from capture.subject import Subject
from shared.memory import PeakMemory
from shared.rounds import rotated

EVERY_JOB = "UPDATE {} SET status = CASE status WHEN 'open' THEN 'closed' ELSE 'open' END"


def measure(server: Server, unwatched: Solution, audit_log: Solution, samples: Samples, *,
            rounds: int, rows: int, updates: int, large_rows: int, stored: int) -> None:
    """Memory of the large statement, repeated until the log holds what it should; then what writing to that log costs."""
    plain = Subject(server, unwatched, "large_unwatched")
    full = Subject(server, audit_log, "log_full")
    empty = Subject(server, audit_log, "log_empty")
    # The jobs of all three are updated as often: a table that was never updated would be cheaper to update.
    for subject in (plain, empty, full):
        server.create_database(subject.database, "template")
        wear(server, subject.database)
        subject.install()
    for subject in (plain, full):
        print(f"   {large_rows} rows into {subject.database}", flush=True)
        server.run_file(subject.database, SQL / "jobs_large.sql", rows=large_rows)
    server.run(full.database, "SELECT audit_log.watch('jobs_large')")
    round_ = 0
    while round_ * large_rows < stored:
        round_ += 1
        for subject in rotated([plain, full], round_):
            print(f"   {large_rows} rows updated by one statement, {subject.name}", flush=True)
            megabytes, seconds = peak_memory(server, subject, large_rows)
            samples.add("large_memory", "MB", subject.name, round_, megabytes)
            samples.add("large_update", "µs/row", subject.name, round_, seconds / large_rows * 1e6)
            server.vacuum(subject.database, "jobs_large")
    how = {"rounds": rounds, "rows": rows, "updates": updates}
    measure_log(server, plain, empty, full, samples, "log", "log_full", **how)
    print(f"   its entries spread over {spread.WEEKS} partitions", flush=True)
    spread.spread(server, full.database)
    measure_log(server, plain, empty, full, samples, "spread", "log_spread", **how,
                begin_round=lambda: spread.empty_current(server, full.database))


def measure_log(server: Server, plain: Subject, empty: Subject, large: Subject, samples: Samples, prefix: str, large_name: str, *,
                rounds: int, rows: int, updates: int, begin_round: Callable[[], None] = lambda: None) -> None:
    """One update of a row, and one statement over all, with no log, with one that is empty as a round begins, with the large one."""
    server.admin.execute("CHECKPOINT")
    for round_ in range(1, rounds + 1):
        print(f"   round {round_} of {rounds}: no log, an empty one, {large_name}", flush=True)
        spread.empty_current(server, empty.database)
        begin_round()
        for name, subject in rotated([("unwatched", plain), ("log_empty", empty), (large_name, large)], round_):
            cost = update_cost(server, subject, updates=max(updates // 2, 1), rows=rows)
            samples.add(f"{prefix}_update_cpu", "µs", name, round_, cost.cpu)
            mark = subject.mark()
            seconds = timed(server, subject.database, EVERY_JOB.format("jobs"), rows)
            subject.check(mark, "update", rows)
            samples.add(f"{prefix}_bulk_update", "µs/row", name, round_, seconds / rows * 1e6)
            server.vacuum(subject.database)


def wear(server: Server, database: str) -> None:
    """Leaves room for a second version of each row, as in a table that has been in use."""
    server.run(database, EVERY_JOB.format("jobs"), "VACUUM jobs")


def peak_memory(server: Server, subject: Subject, rows: int) -> tuple[float, float]:
    """The most private memory of a session that updates all rows of jobs_large, in megabytes, and its seconds."""
    mark = subject.mark()
    with server.connect(subject.database) as connection:
        with PeakMemory(connection.info.backend_pid) as peak:
            seconds = execute_timed(connection, EVERY_JOB.format("jobs_large"), rows)
    subject.check(mark, "update", rows)
    return peak.megabytes, seconds
