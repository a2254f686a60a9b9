"""Raw figures of every round."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Sample:
    """One figure: what was measured, in which unit, of which solution, in which round (from 1)."""

    measure: str
    unit: str
    solution: str
    round: int
    value: float


class Samples(list[Sample]):
    """All figures of a run."""

    def add(self, measure: str, unit: str, solution: str, round_: int, value: float) -> None:
        """Keeps a figure."""
        self.append(Sample(measure, unit, solution, round_, value))

    def of(self, measure: str, solution: str) -> dict[int, float]:
        """A solution's figures by round."""
        return {s.round: s.value for s in self if s.measure == measure and s.solution == solution}
