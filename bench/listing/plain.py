"""The query a developer would write on one table with an index on the time and one on the actor, beside list."""

from __future__ import annotations

import time
from statistics import median

from listing import pairs, single
from listing.case import LIST, Case
from listing.generate import SQL
from listing.measurement import WINDOWS, Measurement
from listing.session import Session

# A call of the plain query that takes longer is ended, and counts with this time.
CALL_SECONDS = 5.0
CLASS_SECONDS = 20.0
PLAIN, LISTED = "plain", "list"


def measure(run: Measurement) -> None:
    """Medians of both over the same cases, each run once before; where both end, they must give the same entries."""
    ensure(run)
    session = run.session(timeout_seconds=CALL_SECONDS)
    for subject, cases in classes(run).items():
        listed, plain, ended = [], [], 0
        deadline = time.monotonic() + CLASS_SECONDS
        for case in cases:
            times = beside(session, case)
            listed.append(times[0])
            plain.append(times[1])
            ended += times[1] >= CALL_SECONDS
            if time.monotonic() > deadline:
                break
        note = f"{ended} of the plain ended after {CALL_SECONDS:.0f} s" if ended else ""
        run.figures.add("plain", subject, LISTED, "ms", median(listed) * 1000, calls=len(listed))
        run.figures.add("plain", subject, PLAIN, "ms", median(plain) * 1000, calls=len(plain))
        run.figures.add("plain", subject, "slowest " + LISTED, "ms", max(listed) * 1000)
        run.figures.add("plain", subject, "slowest " + PLAIN, "ms", max(plain) * 1000)
        run.figures.add("plain", subject, "gain", "times", median(plain) / median(listed), note=note)
    session.close()


def ensure(run: Measurement) -> None:
    """Makes the one table, once for each log."""
    if run.server.value(run.dataset.database, "SELECT to_regclass('bench.plain') IS NULL"):
        print(f"   {run.dataset.entries:,} entries into one table", flush=True)
        run.server.run_file(run.dataset.database, SQL / "plain.sql", ends=run.dataset.ends.isoformat())


def classes(run: Measurement) -> dict[str, list[Case]]:
    """The classes of single filters, but for 18 months, which hold what 30 days do, and of pairs; a tenth of the calls."""
    single_filters = single.classes(run.dataset, run.random("single"), run.calls)
    found = {f"{subject}, {label}": cases for subject, label, cases in single_filters if label != WINDOWS[-1]}
    rng = run.random("pairs")
    for filters in pairs.TOGETHER:
        found[pairs.name_of(filters)] = [pairs.draw(run.dataset, filters, rng) for _ in range(run.calls)]
    wanted = max(run.calls // 10, 10)
    return {subject: [cases[i % len(cases)] for i in range(wanted)] for subject, cases in found.items()}


def beside(session: Session, case: Case) -> tuple[float, float]:
    """Seconds of list and of the plain query, which must agree."""
    session.run(LIST, case.parameters())
    listed = session.run(LIST, case.parameters())
    statement, parameters = case.plain()
    plain = session.run(statement, parameters)
    if not plain.timed_out:
        plain = session.run(statement, parameters)
    if not (listed.timed_out or plain.timed_out) and listed.column("id") != plain.column("id"):
        raise RuntimeError(f"list and the plain query differ on {case.label()}: {listed.rows} and {plain.rows} entries")
    return listed.seconds, plain.seconds
