"""Two ways to the same answer, timed in turn."""

from __future__ import annotations

import time
from statistics import median
from typing import Callable

from listing.session import Answer

LEAST_CALLS = 3


def medians(ways: dict[str, Callable[[], Answer]], calls: int, seconds: float) -> tuple[dict[str, float], int]:
    """The median seconds of each, after one run to warm up, and of how many calls; all must give as many rows."""
    rows = {name: way().rows for name, way in ways.items()}
    if len(set(rows.values())) > 1:
        raise RuntimeError(f"what is compared is not the same: rows {rows}")
    times: dict[str, list[float]] = {name: [] for name in ways}
    deadline = time.monotonic() + seconds
    for done in range(calls):
        if done >= LEAST_CALLS and time.monotonic() > deadline:
            break
        order = list(ways)
        for name in order if done % 2 else reversed(order):
            times[name].append(ways[name]().seconds)
    return {name: median(values) for name, values in times.items()}, len(next(iter(times.values())))
