"""Figures: what was measured, of what, and whether it is within its reach."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Figure:
    """One figure. reach is the most it may be, None where it is only told; note says what qualifies it."""

    phase: str
    subject: str
    measure: str
    unit: str
    value: float
    reach: float | None = None
    calls: int | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether it is within its reach; None without one."""
        return None if self.reach is None else self.value <= self.reach


class Figures(list[Figure]):
    """All figures of a run, and what was left out, with the reason."""

    def __init__(self) -> None:
        super().__init__()
        self.left_out: dict[str, str] = {}

    def add(self, phase: str, subject: str, measure: str, unit: str, value: float, *,
            reach: float | None = None, calls: int | None = None, note: str = "") -> None:
        """Keeps a figure."""
        self.append(Figure(phase, subject, measure, unit, value, reach, calls, note))

    def add_times(self, phase: str, subject: str, seconds: list[float], *, median: float | None = None,
                  p99: float | None = None, note: str = "") -> None:
        """Keeps median, 99th percentile and the longest of times, in milliseconds, the first two with their reach."""
        if not seconds:
            self.left_out[f"{phase}: {subject}"] = "no call ended in time"
            return
        for measure, value, reach in (("median", percentile(seconds, 50), median), ("p99", percentile(seconds, 99), p99),
                                      ("max", max(seconds), None)):
            self.add(phase, subject, measure, "ms", value * 1000, reach=reach, calls=len(seconds), note=note)

    def leave_out(self, what: str, reason: str) -> None:
        """Says what is not measured, and why."""
        self.left_out[what] = reason
        print(f"   {what} is left out: {reason}", flush=True)


def percentile(values: list[float], percent: float) -> float:
    """The least value that so many percent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]
