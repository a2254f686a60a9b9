"""No filter and each filter by itself, by how frequent its value is and by the window."""

from __future__ import annotations

import random

from listing.case import FILTERS, Case
from listing.dataset import Dataset
from listing.measurement import WINDOWS, Measurement, told

KINDS = ("common", "middle", "rare", "absent")
MEDIAN_MS, P99_MS = 2.0, 10.0


def measure(run: Measurement) -> None:
    """Median and 99th percentile of each class."""
    session, rng = run.session(), run.random("single")
    for subject, window, cases in classes(run.dataset, rng, run.calls):
        calls = run.time(session, cases)
        run.figures.add_times("single", f"{subject}, {window}", [call.seconds for call in calls], median=MEDIAN_MS, p99=P99_MS,
                              note=told(calls, run.calls))
    session.close()


def classes(dataset: Dataset, rng: random.Random, calls: int) -> list[tuple[str, str, list[Case]]]:
    """Subject, window and cases of each class: its values in turn, each in up to three windows of its kind."""
    found = [("no filter", label, [Case(dataset.some_window(label, rng)) for _ in range(min(calls, 30))]) for label in WINDOWS]
    for name in FILTERS:
        for kind in KINDS:
            values = values_of(dataset, name, kind)
            for label in WINDOWS:
                times = 3 if label == "24 hours" else 1
                cases = [Case(dataset.some_window(label, rng), {name: (value,)}) for value in values for _ in range(times)]
                found.append((f"{name} {kind}", label, cases))
    return found


def values_of(dataset: Dataset, name: str, kind: str) -> list[str]:
    """A filter's values of one kind of frequency."""
    return {"common": dataset.common, "middle": dataset.middling, "rare": dataset.rare, "absent": dataset.absent}[kind](name)
