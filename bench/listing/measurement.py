"""What every phase works with: the log, a session, the figures so far; and timing calls of list."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from listing.case import LIST, PAGE, Case
from listing.dataset import Dataset
from listing.figures import Figures
from listing.session import Session
from shared.server import Server

# A call that takes longer is ended, and counts with this time; a class that takes longer gets no more calls.
CALL_SECONDS = 10.0
CLASS_SECONDS = 90.0
WINDOWS = ("24 hours", "30 days", "18 months")


@dataclass
class Call:
    """A call of list: for how long, with how many entries."""

    case: Case
    seconds: float
    entries: int
    timed_out: bool

    @property
    def full(self) -> bool:
        """Whether the page was full."""
        return self.entries == PAGE


@dataclass
class Measurement:
    """A run. slowest: the slowest call of each class, among which the worst case is."""

    server: Server
    dataset: Dataset
    calls: int
    seed: int
    figures: Figures = field(default_factory=Figures)
    slowest: list[Call] = field(default_factory=list)

    def session(self, user: str = "postgres", timeout_seconds: float = CALL_SECONDS) -> Session:
        """A new session in the log's database."""
        return Session(self.server, self.dataset.database, user, timeout_seconds)

    def random(self, phase: str) -> random.Random:
        """Draws that are a phase's own: it asks for the same whichever others are taken."""
        return random.Random(f"{self.seed} {phase}")

    def time(self, session: Session, cases: list[Case], calls: int | None = None) -> list[Call]:
        """Calls list with each case once, so that it is warm, then times so many calls, the cases in turn."""
        warm = []
        deadline = time.monotonic() + CLASS_SECONDS / 2
        for case in cases:
            session.run(LIST, case.parameters())
            warm.append(case)
            if time.monotonic() > deadline:
                break
        done: list[Call] = []
        deadline = time.monotonic() + CLASS_SECONDS / 2
        for number in range(calls or self.calls):
            case = warm[number % len(warm)]
            answer = session.run(LIST, case.parameters())
            done.append(Call(case, answer.seconds, answer.rows, answer.timed_out))
            if time.monotonic() > deadline:
                break
        self.slowest.append(max(done, key=lambda one: one.seconds))
        return done


def told(calls: list[Call], wanted: int) -> str:
    """What qualifies the times of calls."""
    notes = []
    ended = sum(call.timed_out for call in calls)
    if ended:
        notes.append(f"{ended} ended after {CALL_SECONDS:.0f} s")
    if len(calls) < wanted:
        notes.append(f"only {len(calls)} calls in the time a class has")
    return ", ".join(notes)
