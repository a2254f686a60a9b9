"""A million entries read by sync and from feed, beside COPY of the same entries."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import Callable

from listing.session import Answer
from shared.rounds import rotated
from syncing.part import Part, newest
from syncing.run import Run
from syncing.session import Reading

REACH = 0.7
PAGE = 1000

POLL = f"SELECT * FROM audit_log.feed WHERE position > $1 ORDER BY position LIMIT {PAGE}"
COPIED = "SELECT * FROM audit_log.entry WHERE occurred_at >= '{since}'"
CURSOR = "DECLARE reading NO SCROLL CURSOR FOR SELECT * FROM audit_log.feed WHERE position > '{position}' ORDER BY position"


@dataclass
class Done:
    """What a way of reading gave: entries, the seconds of all its calls and of each; ids where it tells them."""

    entries: int = 0
    seconds: float = 0.0
    calls: list[float] = field(default_factory=list)
    ids: list[bytes | None] = field(default_factory=list)

    def take(self, answer: Answer) -> Answer:
        """Adds a call. What it takes to look at the ids is not part of the time."""
        self.seconds += answer.seconds
        self.calls.append(answer.seconds)
        self.entries += answer.rows
        if answer.rows:
            self.ids += answer.column("id")
        return answer


def measure(run: Run) -> None:
    """Entries a second, and what share of COPY's these are in the same round; each entry must come exactly once."""
    part = newest(run)
    ways = {"sync_1000": partial(by_sync, limit=1_000), "sync_10000": partial(by_sync, limit=10_000),
            "feed_polls": by_polls, "feed_cursor": by_cursor}
    abouts = {"sync_1000": "sync, 1,000 a call", "sync_10000": "sync, 10,000 a call",
              "feed_polls": f"feed, polls of {PAGE:,}", "feed_cursor": f"feed, one query, {PAGE:,} a fetch"}
    read_by(run, by_copy, part)
    for round_ in run.each_round():
        done = {name: read_by(run, way, part) for name, way in rotated([("copy", by_copy), *ways.items()], round_)}
        if done["copy"].entries != len(part.ids_since):
            raise RuntimeError(f"COPY gave {done['copy'].entries} entries, not {len(part.ids_since)}")
        copied = per_second(done["copy"])
        run.figures.add("read", "copy_rate", "COPY of entry", "entries/s", copied)
        for name in ways:
            check(abouts[name], done[name], part.ids_since if name.startswith("sync") else part.ids_behind)
            rate = per_second(done[name])
            run.figures.add("read", f"{name}_rate", abouts[name], "entries/s", rate)
            run.figures.add("read", f"{name}_share", f"{abouts[name]}: share of COPY", "", rate / copied,
                            reach=REACH if name.startswith("sync") else None, at_least=True)
            if name != "feed_cursor":
                first, *others = done[name].calls
                for which, about, seconds in (("first", "first call", first), ("slowest", "slowest other call", max(others))):
                    run.figures.add("read", f"{name}_{which}", f"{abouts[name]}: {about}", "ms", seconds * 1000)


def read_by(run: Run, way: Callable[[Reading, Part], Done], part: Part) -> Done:
    """Reads in a session of its own."""
    session = run.session()
    done = way(session, part)
    session.close()
    return done


def per_second(done: Done) -> float:
    """Entries a second."""
    return done.entries / done.seconds


def check(about: str, done: Done, expected: set[bytes]) -> None:
    """Fails unless each entry came, once."""
    found = set(done.ids)
    if len(done.ids) != len(expected) or found != expected:
        raise RuntimeError(f"{about}: {len(expected - found)} entries did not come, {len(done.ids) - len(found)} came again, "
                           f"{len(found - expected)} are others")


def by_copy(session: Reading, part: Part) -> Done:
    """By COPY, all lines received."""
    start = time.perf_counter()
    copy = session.copy(COPIED.format(since=part.since))
    copy.read_all()
    return Done(copy.lines, time.perf_counter() - start)


def by_sync(session: Reading, part: Part, limit: int) -> Done:
    """By calls of sync, from an instant on until one gives nothing."""
    done = Done()
    cursor = session.value(f"SELECT audit_log.sync_start('{part.since}')")
    while (answer := done.take(session.run(f"SELECT * FROM audit_log.sync($1, {limit})", [cursor]))).rows:
        cursor = answer.last("cursor")
    return done


def by_polls(session: Reading, part: Part) -> Done:
    """By what a tool asks that tracks the position, until there is nothing."""
    done = Done()
    position = part.position
    while (answer := done.take(session.run(POLL, [position]))).rows:
        position = answer.last("position")
    return done


def by_cursor(session: Reading, part: Part) -> Done:
    """By one query, fetched through a cursor of the server's."""
    done = Done()
    for statement in ("BEGIN", CURSOR.format(position=part.position)):
        done.take(session.execute(statement))
    while done.take(session.execute(f"FETCH {PAGE} FROM reading")).rows:
        pass
    done.take(session.execute("COMMIT"))
    return done
