"""Figures: the median of what the rounds gave, with the lowest and the highest, and whether it is within its reach."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median


@dataclass
class Figure:
    """One figure. reach is the most it may be, or the least where at_least says so; None where it is only told."""

    phase: str
    name: str
    about: str
    unit: str
    rounds: list[float]
    reach: float | None = None
    at_least: bool = False

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)

    @property
    def met(self) -> bool | None:
        """Whether it is within its reach; None without one."""
        if self.reach is None:
            return None
        return self.value >= self.reach if self.at_least else self.value <= self.reach


class Figures(list[Figure]):
    """All figures of a run, each built up round by round."""

    def add(self, phase: str, name: str, about: str, unit: str, value: float, *,
            reach: float | None = None, at_least: bool = False) -> None:
        """Keeps what a round gave."""
        for one in self:
            if (one.phase, one.name) == (phase, name):
                one.rounds.append(value)
                return
        self.append(Figure(phase, name, about, unit, [value], reach, at_least))
