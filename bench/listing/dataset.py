"""The log that is listed: its days, which values its entries have and how often, and some of its entries."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from listing.case import FILTERS, Case, Window
from shared.server import Server

# A value of so many entries or fewer in the window makes a listing easy: they could be looked through.
FEW = 10_000

COUNT_TARGET = """
    SELECT (SELECT count(*) FROM (SELECT FROM audit_log.event
                                  WHERE target_id = %(id)s AND occurred_at >= %(start)s AND occurred_at < %(end)s LIMIT %(most)s) e)
         + (SELECT count(*) FROM (SELECT FROM audit_log.event_target
                                  WHERE target_id = %(id)s AND occurred_at >= %(start)s AND occurred_at < %(end)s LIMIT %(most)s) t)
"""

SOME_ENTRIES = """
    SELECT occurred_at, coalesce(effective_actor_id, actor_id), target_id, target_type, category, organization_id
    FROM audit_log.event TABLESAMPLE SYSTEM (%(percent)s) REPEATABLE (1) WHERE occurred_at < %(ends)s AND actor_id IS NOT NULL
"""


@dataclass
class Entry:
    """What filters can find an entry by."""

    occurred_at: datetime
    values: dict[str, str]


@dataclass
class Dataset:
    """A database with so many entries from starts to ends. values: by filter, value and entries, the fewest first."""

    server: Server
    database: str
    entries: int
    starts: datetime
    ends: datetime
    values: dict[str, list[tuple[str, int]]]
    daily: dict[tuple[str, str, datetime], int]
    some: list[Entry]
    _totals: dict[tuple[str, str], int] = field(default_factory=dict)
    _in_window: dict[tuple[str, str, Window], int] = field(default_factory=dict)

    @property
    def month(self) -> Window:
        """All of it."""
        return Window("30 days", self.starts, self.ends)

    @property
    def longest(self) -> Window:
        """As long a window as may be asked for."""
        return Window("18 months", self.ends - timedelta(days=18 * 30), self.ends)

    def day(self, instant: datetime) -> Window:
        """The 24 hours, by UTC, in which an instant lies."""
        start = instant.astimezone(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
        return Window("24 hours", start, start + timedelta(days=1))

    def some_day(self, rng: random.Random) -> Window:
        """Any 24 hours of it."""
        return self.day(self.starts + timedelta(days=rng.randrange((self.ends - self.starts).days)))

    def some_window(self, label: str, rng: random.Random) -> Window:
        """The window of this label, or any of them."""
        return {"24 hours": self.some_day(rng), "30 days": self.month, "18 months": self.longest}[label]

    def common(self, filter_: str) -> list[str]:
        """The values that most entries have."""
        most = self.values[filter_][-1][1]
        return [value for value, entries in self.values[filter_][-5:] if entries * 4 >= most]

    def middling(self, filter_: str, count: int = 10) -> list[str]:
        """Values halfway, by orders of magnitude, between a hundred entries and the most."""
        present = [(value, entries) for value, entries in self.values[filter_] if entries]
        wanted = math.sqrt(max(min(100, present[-1][1]), present[0][1]) * present[-1][1])
        return [value for value, _ in sorted(present, key=lambda one: abs(math.log(one[1] / wanted)))[:count]]

    def rare(self, filter_: str, count: int = 10) -> list[str]:
        """The values that the fewest entries have, of those that have less than a thousandth."""
        present = [(value, entries) for value, entries in self.values[filter_] if entries]
        return [value for value, entries in present[:count] if entries * 1000 <= self.entries] or [present[0][0]]

    def absent(self, filter_: str) -> list[str]:
        """Values that no entry has."""
        if filter_ in ("actor_ids", "target_ids"):
            return [f"nowhere-{i}" for i in range(10)]
        return [value for value, entries in self.values[filter_] if not entries]

    def any(self, filter_: str, rng: random.Random) -> str:
        """A value of any frequency, each order of magnitude as likely as the others; now and then one without entries."""
        if rng.random() < 0.05:
            return rng.choice(self.absent(filter_))
        values = self.values[filter_]
        wanted = math.exp(rng.random() * math.log(values[-1][1]))
        at = bisect_left(values, wanted, key=lambda one: one[1])
        around = values[max(at - 3, 0):at + 4]
        return rng.choice([one for one in around if one[1]] or around)[0]

    def entries_in(self, filter_: str, value: str, window: Window) -> int:
        """How many entries of a window have a value; more than FEW may be counted as one more than that."""
        if window.label != "24 hours":
            return self.entries_of_value(filter_, value)
        if filter_ != "target_ids":
            return self.daily.get((filter_, value, window.start), 0)
        key = (filter_, value, window)
        if key not in self._in_window:
            words = {"id": value, "start": window.start, "end": window.end, "most": FEW + 1}
            with self.server.connect(self.database) as connection:
                self._in_window[key] = connection.execute(COUNT_TARGET, words).fetchone()[0]
        return self._in_window[key]

    def entries_of_value(self, filter_: str, value: str) -> int:
        """How many entries have a value."""
        if not self._totals:
            self._totals.update({(name, one): entries for name in FILTERS for one, entries in self.values[name]})
        return self._totals.get((filter_, value), 0)

    def fewest(self, case: Case) -> int:
        """About the most entries that a case's rarest filter leaves; types and categories are one filter."""
        counts = {name: sum(self.entries_in(name, value, case.window) for value in values)
                  for name, values in case.filters.items()}
        if "target_types" in counts and "categories" in counts:
            counts["categories"] += counts.pop("target_types")
        return min(counts.values(), default=self.entries)


def read(server: Server, database: str) -> Dataset:
    """What a database made by the generator holds."""
    (entries, starts, ends), = server.rows(database, "SELECT entries, starts, ends FROM bench.dataset")
    query = "SELECT dimension, value, entries FROM bench.frequency WHERE day IS NULL ORDER BY entries, value"
    totals = server.rows(database, query)
    days = server.rows(database, "SELECT dimension, value, day, entries FROM bench.frequency WHERE day IS NOT NULL")
    with server.connect(database) as connection:
        percent = min(100, 5000 * 100 / entries)
        found = connection.execute(SOME_ENTRIES, {"percent": percent, "ends": ends}).fetchall()
    some = [Entry(row[0], dict(zip(FILTERS, row[1:]))) for row in found]
    midnight = {day: datetime(day.year, day.month, day.day, tzinfo=timezone.utc) for day in {row[2] for row in days}}
    return Dataset(server, database, entries, starts.astimezone(timezone.utc), ends.astimezone(timezone.utc),
                   {name: [(value, count) for dimension, value, count in totals if dimension == name] for name in FILTERS},
                   {(dimension, value, midnight[day]): count for dimension, value, day, count in days}, some)
