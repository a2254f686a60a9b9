"""Each two filters together, and all five, with values of every frequency."""

from __future__ import annotations

import random
from itertools import combinations

from listing.case import FILTERS, Case
from listing.dataset import FEW, Dataset
from listing.measurement import WINDOWS, Call, Measurement, told

TOGETHER = [*combinations(FILTERS, 2), FILTERS]
MEDIAN_MS, P99_MS, HARD_MS = 2.0, 10.0, 100.0


def name_of(filters: tuple[str, ...]) -> str:
    """A combination, for people."""
    return "all five" if filters == FILTERS else " + ".join(filters)


def measure(run: Measurement) -> None:
    """Times by combination: apart those whose page fills or which name a value of few entries, and the others."""
    session, rng = run.session(), run.random("pairs")
    for filters in TOGETHER:
        calls = run.time(session, [draw(run.dataset, filters, rng) for _ in range(run.calls)])
        easy = [call for call in calls if is_easy(run.dataset, call)]
        hard = [call for call in calls if not is_easy(run.dataset, call)]
        if easy:
            run.figures.add_times("pairs", name_of(filters), [call.seconds for call in easy], median=MEDIAN_MS, p99=P99_MS,
                                  note=told(calls, run.calls))
        if hard:
            run.figures.add_times("pairs", f"{name_of(filters)}, hard", [call.seconds for call in hard], p99=HARD_MS)
    session.close()


def is_easy(dataset: Dataset, call: Call) -> bool:
    """Whether the page filled, or the rarest filter has few entries in the window."""
    return call.full or dataset.fewest(call.case) <= FEW


def draw(dataset: Dataset, filters: tuple[str, ...], rng: random.Random) -> Case:
    """A case of one to three values a filter: half of the cases find an entry for certain, half are drawn filter by filter."""
    label = rng.choice(WINDOWS)
    entry = rng.choice(dataset.some)
    window = dataset.day(entry.occurred_at) if label == "24 hours" else dataset.some_window(label, rng)
    by_entry = rng.random() < 0.5
    chosen: dict[str, tuple[str, ...]] = {}
    for name in filters:
        count = 1 if name == "organization" or rng.random() < 0.6 else rng.randint(2, 3)
        values = [dataset.any(name, rng) for _ in range(count)]
        if by_entry:
            values[0] = entry.values[name]
        chosen[name] = tuple(dict.fromkeys(values))
    return Case(window, chosen)
