"""A figure that is reported: a formula over the medians of rounds, with its lowest and highest value in a round."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Callable


@dataclass
class Figure:
    """A figure of a solution: from the medians of the rounds, and the lowest and highest of the rounds by themselves."""

    solution: str
    measure: str
    unit: str
    value: float
    lowest: float
    highest: float
    rounds: int


def figure(solution: str, measure: str, unit: str, formula: Callable[..., float],
           *series: dict[int, float]) -> Figure | None:
    """A formula over the medians of some series of rounds; None where there is nothing to compute it from."""
    rounds = set.intersection(*(set(one) for one in series))
    if not rounds:
        return None
    try:
        value = formula(*(median(one[r] for r in rounds) for one in series))
        each = [formula(*(one[r] for one in series)) for r in rounds]
    except ZeroDivisionError:
        return None
    return Figure(solution, measure, unit, value, min(each), max(each), len(rounds))
