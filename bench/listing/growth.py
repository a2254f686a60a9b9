"""How many buffers an entry takes as the log grows: what stays the same does not slow down."""

from __future__ import annotations

import math

import psycopg

from listing import dataset as datasets
from listing import generate
from listing.case import FILTERS, PAGE, Case, Window
from listing.dataset import Dataset
from listing.measurement import Measurement

REACH = 1.3
PROJECTED = 100_000_000
DAYS = (3, 11, 19, 27)


def sizes(entries: int) -> list[int]:
    """A tenth, three tenths, all."""
    return [entries // 10, entries * 3 // 10, entries]


def measure(run: Measurement) -> None:
    """Buffers an entry returned, of the same listings in each log; the reach holds where every page is full."""
    logs = [datasets.read(run.server, generate.ensure(run.server, entries)) for entries in sizes(run.dataset.entries)[:-1]]
    logs.append(run.dataset)
    for subject, asked in classes(logs[0]).items():
        found = [buffers(log, asked) for log in logs]
        if not all(entries for _, entries, _ in found):
            continue
        each = [blocks / entries for blocks, entries, _ in found]
        full = all(one[2] for one in found)
        for log, value in zip(logs, each):
            run.figures.add("growth", subject, f"{log.entries:,}", "buffers an entry", value)
        expected = projected([log.entries for log in logs], each)
        run.figures.add("growth", subject, f"projected {PROJECTED:,}", "buffers an entry", expected)
        run.figures.add("growth", subject, "ratio", "times", each[-1] / each[0], reach=REACH if full else None,
                        note="" if full else "not every page is full")


def classes(smallest: Dataset) -> dict[str, list[tuple[str, dict[str, tuple[str, ...]]]]]:
    """Listings by class, as a window's label and filters; values are those of the smallest log."""
    found: dict[str, list] = {f"no filter, {label}": [(label, {})] for label in ("24 hours", "30 days")}
    for name in FILTERS:
        for kind, values in (("common", smallest.common(name)), ("middle", smallest.middling(name))):
            for label in ("24 hours", "30 days"):
                found[f"{name} {kind}, {label}"] = [(label, {name: (value,)}) for value in values]
    largest, actor = smallest.common("organization")[-1], smallest.common("actor_ids")[-1]
    found["organization + categories common, 30 days"] = [
        ("30 days", {"organization": (largest,), "categories": (category,)}) for category in smallest.common("categories")]
    found["actor_ids + categories common, 30 days"] = [
        ("30 days", {"actor_ids": (actor,), "categories": (category,)}) for category in smallest.common("categories")]
    return found


def buffers(log: Dataset, asked: list[tuple[str, dict[str, tuple[str, ...]]]]) -> tuple[int, int, bool]:
    """Shared buffers hit or read by calls, entries returned, and whether every page was full."""
    blocks, entries, full = 0, 0, True
    with log.server.connect(log.database) as connection:
        for label, filters in asked:
            for window in windows(log, label):
                case = Case(window, filters)
                # The first call also looks up catalogs.
                explain(connection, case)
                plan = explain(connection, case)
                blocks += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
                entries += plan["Actual Rows"]
                full = full and plan["Actual Rows"] == PAGE
    return blocks, entries, full


def explain(connection: psycopg.Connection, case: Case) -> dict:
    """The plan of a call, run."""
    return connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {case.call()}").fetchone()[0][0]["Plan"]


def windows(log: Dataset, label: str) -> list[Window]:
    """All of the log, or a few of its days, the same in each."""
    return [log.month] if label == "30 days" else [log.day(log.starts + (log.ends - log.starts) * day / 30) for day in DAYS]


def projected(entries: list[int], values: list[float]) -> float:
    """What a value will be at PROJECTED entries, where it grows with their logarithm: by least squares; no less than now."""
    logs = [math.log(one) for one in entries]
    middle, level = sum(logs) / len(logs), sum(values) / len(values)
    slope = sum((x - middle) * (y - level) for x, y in zip(logs, values)) / sum((x - middle) ** 2 for x in logs)
    return max(level + slope * (math.log(PROJECTED) - middle), values[-1])
