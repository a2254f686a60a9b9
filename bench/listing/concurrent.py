"""Fifty connections that list while two write, beside the same fifty by themselves."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

import psycopg

from listing import generate
from listing.case import FILTERS, LIST, Case, Window
from listing.figures import percentile
from listing.measurement import Measurement
from listing.session import Session
from shared import pgbench

READERS, WRITERS = 50, 2
SECONDS, ROUNDS = 15, 2
REACH = 3.0
# About so many entries has what a reader lists from beginning to end.
LISTED = 2_500
JOBS = 20_000

EXPECTED = """
    SELECT id::text FROM audit_log.event
    WHERE occurred_at >= %(start)s AND occurred_at < %(end)s
      AND (%(actor_ids)s::text IS NULL OR actor_id = %(actor_ids)s OR effective_actor_id = %(actor_ids)s)
      AND (%(target_types)s::text IS NULL OR target_type = %(target_types)s)
      AND (%(categories)s::text IS NULL OR category = %(categories)s)
      AND (%(organization)s::text IS NULL OR organization_id = %(organization)s)
      AND (%(target_ids)s::text IS NULL OR target_id = %(target_ids)s
           OR EXISTS (SELECT FROM audit_log.event_target t
                      WHERE t.occurred_at = event.occurred_at AND t.event_id = event.id AND t.target_id = %(target_ids)s))
    ORDER BY occurred_at DESC, id DESC
"""


@dataclass
class Reader:
    """What one connection lists, again and again, page by page, and what that must give."""

    case: Case
    expected: list[bytes]
    seconds: list[float] = field(default_factory=list)
    walks: int = 0
    wrong: int = 0
    errors: list[str] = field(default_factory=list)


def measure(run: Measurement) -> None:
    """The ratio of the 99th percentiles, errors, and listings that lost or doubled an entry."""
    run.server.run(run.dataset.database, "SELECT audit_log.ensure_partitions()")
    readers = prepare(run)
    idle, busy = [], []
    written, logged = 0, 0
    for round_ in range(1, ROUNDS + 1):
        print(f"   round {round_} of {ROUNDS}", flush=True)
        idle += listing(run, readers)
        before = entries_after(run)
        with ThreadPoolExecutor(1) as writing:
            # Writers begin before the readers, and go on until after them.
            transactions = writing.submit(pgbench.run, run.server, run.dataset.database, "update",
                                          clients=WRITERS, rows=JOBS, seconds=SECONDS + 2)
            time.sleep(1)
            busy += listing(run, readers)
            written += transactions.result().transactions
        logged += entries_after(run) - before
    generate.tidy(run.server, run.dataset.database)
    errors = [error for reader in readers for error in reader.errors]
    if errors:
        print(f"   the first error: {errors[0]}", flush=True)
    walks = sum(reader.walks for reader in readers)
    wrong = sum(reader.wrong for reader in readers)
    for subject, times in ((f"{READERS} listing", idle), (f"{READERS} listing, {WRITERS} writing", busy)):
        run.figures.add_times("concurrent", subject, times)
    for measure, unit, value, reach, note in (
            ("p99 ratio", "times", percentile(busy, 99) / percentile(idle, 99), REACH, ""),
            ("errors", "", len(errors), 0, ""),
            ("wrong listings", "", wrong, 0, f"{walks:,} listings from the first page to the last"),
            ("lost entries", "", abs(written - logged), 0, f"{written:,} updates written")):
        run.figures.add("concurrent", "writing beside idle", measure, unit, value, reach=reach, note=note)


def entries_after(run: Measurement) -> int:
    """Entries that writers have made."""
    query = "SELECT count(*) FROM audit_log.event WHERE occurred_at >= %s AND category = 'jobs_updated'"
    return run.server.value(run.dataset.database, query, run.dataset.ends)


def prepare(run: Measurement) -> list[Reader]:
    """A listing for each reader: no filter and each filter in turn, in windows of about LISTED entries."""
    rng, readers = run.random("concurrent"), []
    with run.server.connect(run.dataset.database) as connection:
        for number in range(READERS):
            name = (None, *FILTERS)[number % (len(FILTERS) + 1)]
            case = some_case(run, name, rng)
            words = {one: case.filters[one][0] if one in case.filters else None for one in FILTERS}
            found = connection.execute(EXPECTED, {**words, "start": case.window.start, "end": case.window.end}, prepare=False)
            readers.append(Reader(case, [row[0].encode() for row in found]))
    average = sum(len(reader.expected) for reader in readers) // READERS
    print(f"   {READERS} readers list {average:,} entries each on average", flush=True)
    return readers


def some_case(run: Measurement, name: str | None, rng: random.Random) -> Case:
    """A frequent enough value, in a window that is as long as it takes."""
    dataset = run.dataset
    entries, filters = dataset.entries, {}
    if name is not None:
        present = [one for one in dataset.values[name] if one[1] >= LISTED // 4] or dataset.values[name][-5:]
        value, entries = rng.choice(present)
        filters = {name: (value,)}
    whole = dataset.ends - dataset.starts
    length = min(whole * LISTED / entries, whole)
    start = dataset.starts + (whole - length) * rng.random()
    return Case(Window("some time", start, start + max(length, timedelta(minutes=1))), filters)


def listing(run: Measurement, readers: list[Reader]) -> list[float]:
    """Seconds of every call of all readers, each in a session of its own, over SECONDS after they have all begun."""
    together = threading.Barrier(READERS)

    def read(reader: Reader) -> list[float]:
        seconds: list[float] = []
        try:
            session = run.session(timeout_seconds=60)
            session.run(LIST, reader.case.parameters())
            together.wait(60)
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline:
                walk(session, reader, seconds)
            session.close()
        except (RuntimeError, psycopg.Error, threading.BrokenBarrierError) as error:
            reader.errors.append(str(error) or type(error).__name__)
            together.abort()
        return seconds

    with ThreadPoolExecutor(READERS) as sessions:
        return [one for seconds in sessions.map(read, readers) for one in seconds]


def walk(session: Session, reader: Reader, seconds: list[float]) -> None:
    """Lists once from the first page to the last; the ids must be those expected, in their order."""
    found: list[bytes | None] = []
    cursor = None
    while True:
        answer = session.run(LIST, reader.case.parameters(cursor))
        seconds.append(answer.seconds)
        if answer.timed_out:
            raise RuntimeError(f"a call took longer than a minute: {reader.case.label()}")
        found += answer.column("id")
        cursor = answer.last("next_cursor")
        if cursor is None:
            break
    reader.walks += 1
    reader.wrong += found != reader.expected
