"""What every phase works with: the log, sessions, the figures so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Iterator

from shared.figures import Figures
from shared.server import Server
from syncing.session import Reading


@dataclass
class Log:
    """A database made by listing/generate.py, with so many entries from starts to ends."""

    database: str
    entries: int
    starts: datetime
    ends: datetime


@dataclass
class Run:
    """A run. read: about how many entries are read where not all are."""

    server: Server
    log: Log
    read: int
    calls: int
    rounds: int
    figures: Figures = field(default_factory=Figures)

    def session(self) -> Reading:
        """A new session in the log's database."""
        return Reading(self.server, self.log.database)

    def each_round(self) -> Iterator[int]:
        """The rounds from 1 on, each said as it begins."""
        for round_ in range(1, self.rounds + 1):
            print(f"   round {round_} of {self.rounds}", flush=True)
            yield round_


def log_of(server: Server, database: str) -> Log:
    """What the generator says of a database."""
    (entries, starts, ends), = server.rows(database, "SELECT entries, starts, ends FROM bench.dataset")
    return Log(database, entries, starts.astimezone(timezone.utc), ends.astimezone(timezone.utc))
