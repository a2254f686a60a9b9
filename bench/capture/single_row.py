"""Transactions a second of single-row inserts, updates and deletes, and what a single-row update costs the server."""

from __future__ import annotations

from dataclasses import dataclass

from capture.process import backend_cpu
from capture.samples import Samples
from capture.server import Server
from capture.subject import Subject
from shared import pgbench
from shared.rounds import rotated

CLIENTS = (1, 2)


# The next delete takes the row that the next insert brings.
AIM = "SELECT setval('doomed', last_value, is_called) FROM new_job"


def measure_rates(server: Server, subjects: list[Subject], samples: Samples, *,
                  rounds: int, seconds: int, rows: int) -> None:
    """Transactions a second with one client and with two. Each round's deletes take what its inserts brought."""
    for round_ in range(1, rounds + 1):
        print(f"   round {round_} of {rounds}", flush=True)
        for clients in CLIENTS:
            inserted = {}
            for subject in rotated(subjects, round_):
                server.run(subject.database, AIM)
                run = checked(server, subject, "insert", clients=clients, seconds=seconds)
                inserted[subject.name] = run.transactions
                samples.add(f"insert_tps_{clients}", "transactions/s", subject.name, round_, run.per_second)
            for subject in rotated(subjects, round_):
                run = checked(server, subject, "delete", clients=clients, transactions=inserted[subject.name] // clients)
                samples.add(f"delete_tps_{clients}", "transactions/s", subject.name, round_, run.per_second)
                server.run(subject.database, "DELETE FROM jobs WHERE id > 1000000000", "VACUUM jobs")
            for subject in rotated(subjects, round_):
                run = checked(server, subject, "update", clients=clients, seconds=seconds, rows=rows)
                samples.add(f"update_tps_{clients}", "transactions/s", subject.name, round_, run.per_second)
                server.vacuum(subject.database)


def checked(server: Server, subject: Subject, operation: str, **how: int) -> pgbench.Run:
    """A pgbench run that has logged what it did."""
    mark = subject.mark()
    run = pgbench.run(server, subject.database, operation, **how)
    subject.check(mark, operation, run.transactions)
    return run


@dataclass
class Cost:
    """What one update of one row took: server CPU in microseconds, log and WAL in bytes.

    There is no WAL figure where a checkpoint came between.
    """

    cpu: float
    log_bytes: float
    wal_bytes: float | None


def update_cost(server: Server, subject: Subject, *, updates: int, rows: int) -> Cost:
    """Takes the cost of updates by one client, less that of a session that does nothing."""
    checked(server, subject, "update", rows=rows, transactions=max(updates // 10, 1))
    checkpoint, wal, log, mark = server.last_checkpoint(), server.wal_position(), subject.log_bytes(), subject.mark()
    busy = backend_cpu(
        server, lambda: pgbench.run(server, subject.database, "update", rows=rows, transactions=updates))
    wal = server.wal_position() - wal
    log = subject.log_bytes() - log
    undisturbed = server.last_checkpoint() == checkpoint
    subject.check(mark, "update", updates)
    idle = backend_cpu(server, lambda: pgbench.run(server, subject.database, "idle", transactions=1))
    server.vacuum(subject.database)
    return Cost((busy - idle) / updates * 1e6, log / updates, wal / updates if undisturbed else None)


def measure_costs(server: Server, subjects: list[Subject], samples: Samples, *,
                  rounds: int, updates: int, rows: int) -> None:
    """CPU, log and WAL of an update. One checkpoint before all rounds: none, and no full pages in WAL, within them."""
    server.admin.execute("CHECKPOINT")
    for subject in subjects:
        server.freshly_checkpointed(subject.database)
    for round_ in range(1, rounds + 1):
        print(f"   round {round_} of {rounds}", flush=True)
        for subject in rotated(subjects, round_):
            cost = update_cost(server, subject, updates=updates, rows=rows)
            samples.add("update_cpu", "µs", subject.name, round_, cost.cpu)
            if subject.solution.log is not None:
                samples.add("update_log", "bytes", subject.name, round_, cost.log_bytes)
            if cost.wal_bytes is None:
                print(f"   a checkpoint fell into {subject.name}: its WAL of this round is left out", flush=True)
            else:
                samples.add("update_wal", "bytes", subject.name, round_, cost.wal_bytes)
