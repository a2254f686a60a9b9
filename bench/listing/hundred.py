"""A hundred values in one filter."""

from __future__ import annotations

import random

from listing.case import FILTERS, Case
from listing.dataset import Dataset
from listing.measurement import WINDOWS, Measurement, told

VALUES = 100
REACH_MS = 20.0


def measure(run: Measurement) -> None:
    """Times by filter and by how frequent its values are; the reach holds for the 99th percentile."""
    session, rng = run.session(), run.random("hundred")
    for name in FILTERS[:4]:
        for kind in ("of every frequency", "the most common", "the rarest"):
            windows = [run.dataset.some_window(WINDOWS[i % len(WINDOWS)], rng) for i in range(min(run.calls, 30))]
            cases = [Case(window, {name: values(run.dataset, name, kind, rng)}) for window in windows]
            calls = run.time(session, cases)
            seconds = [call.seconds for call in calls]
            run.figures.add_times("hundred", f"{name}, {kind}", seconds, p99=REACH_MS, note=told(calls, run.calls))
    session.close()


def values(dataset: Dataset, name: str, kind: str, rng: random.Random) -> tuple[str, ...]:
    """A hundred different values."""
    present = [value for value, entries in dataset.values[name] if entries]
    if kind == "the most common":
        return tuple(present[-VALUES:])
    if kind == "the rarest":
        return tuple(present[:VALUES])
    chosen: dict[str, None] = {}
    for _ in range(VALUES * 3):
        if len(chosen) < VALUES:
            chosen[dataset.any(name, rng)] = None
    # Some orders of magnitude have few values: any others make up the hundred.
    spare = rng.sample(present, min(len(present), 2 * VALUES))
    return tuple([*chosen, *(value for value in spare if value not in chosen)][:VALUES])
