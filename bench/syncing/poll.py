"""Polls that find nothing, or a hundred entries, beside SELECT 1 in the same connection."""

from __future__ import annotations

from dataclasses import dataclass

from listing.figures import percentile
from shared.rounds import rotated
from syncing.read import POLL
from syncing.run import Run
from syncing.session import Reading

BEHIND = 100
REACH_MS = 1.0

SYNC = "SELECT * FROM audit_log.sync($1)"
RECORD = "SELECT count(audit_log.record('job_updated', n::text)) FROM generate_series(1, {entries}) n"


@dataclass
class Poll:
    """What is asked again and again, and how many rows it must give."""

    name: str
    about: str
    statement: str
    parameters: list[str | None]
    rows: int
    reach: float | None = None


def measure(run: Run) -> None:
    """Median and 99th percentile of each, and the median as a multiple of SELECT 1's; they take turns call by call."""
    session = run.session()
    polls = record(session)
    for _ in run.each_round():
        times = timed(session, polls, run.calls)
        nothing = percentile(times["select_1"], 50)
        for poll in polls:
            median = percentile(times[poll.name], 50)
            figures = (("median", "median", "ms", median * 1000, poll.reach),
                       ("p99", "99th percentile", "ms", percentile(times[poll.name], 99) * 1000, poll.reach),
                       ("times", "times SELECT 1", "x", median / nothing, None))
            for name, about, unit, value, reach in figures[:2] if poll.name == "select_1" else figures:
                run.figures.add("poll", f"poll_{poll.name}_{name}", f"{poll.about}: {about}", unit, value, reach=reach)
    session.close()


def record(session: Reading) -> list[Poll]:
    """Records an entry, and BEHIND more: polls from the first one on find these, polls from the last one on nothing."""
    session.execute("SELECT audit_log.ensure_partitions()")
    cursor = session.value("SELECT audit_log.sync_start()")
    session.execute(RECORD.format(entries=1))
    session.execute(RECORD.format(entries=BEHIND))
    first, rest = session.run(f"{SYNC} LIMIT 1", [cursor]), session.run(SYNC, [cursor])
    if rest.rows != 1 + BEHIND:
        raise RuntimeError(f"{rest.rows} entries came since a cursor, not {1 + BEHIND}: somebody else writes to the log")
    return [Poll("select_1", "SELECT 1", "SELECT 1", [], 1),
            Poll("sync", "sync, nothing new", SYNC, [rest.last("cursor")], 0, REACH_MS),
            Poll("sync_100", f"sync, {BEHIND} new", SYNC, [first.last("cursor")], BEHIND),
            Poll("feed", "feed, nothing behind", POLL, [rest.last("position")], 0, REACH_MS),
            Poll("feed_100", f"feed, {BEHIND} behind", POLL, [first.last("position")], BEHIND, REACH_MS)]


def timed(session: Reading, polls: list[Poll], calls: int) -> dict[str, list[float]]:
    """Seconds of so many calls of each, each run once before."""
    times: dict[str, list[float]] = {poll.name: [] for poll in polls}
    for call in range(calls + 1):
        for poll in rotated(polls, call + 1):
            answer = session.run(poll.statement, poll.parameters)
            if answer.rows != poll.rows:
                raise RuntimeError(f"{poll.about}: {answer.rows} rows, not {poll.rows}")
            if call:
                times[poll.name].append(answer.seconds)
    return times
