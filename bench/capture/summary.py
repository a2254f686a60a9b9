"""From raw figures to what is reported: a formula over medians, with its lowest and highest value in a round."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Callable

from capture.samples import Samples

OPERATIONS = ("insert", "update", "delete")
CLIENTS = (1, 2)


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


def itself(value: float) -> float:
    """The median as it is."""
    return value


def share(value: float, unwatched: float) -> float:
    """As a share of the unwatched table's."""
    return value / unwatched


def added(value: float, unwatched: float) -> float:
    """What there is more than on the unwatched table."""
    return value - unwatched


def added_share(value: float, unwatched: float) -> float:
    """What there is more, as a share of the unwatched table's."""
    return (value - unwatched) / unwatched


def added_to(value: float, unwatched: float, other: float) -> float:
    """What there is more, as a multiple of something else's whole."""
    return (value - unwatched) / other


def added_to_added(value: float, other: float, unwatched: float) -> float:
    """What there is more, as a multiple of what there is more in another solution."""
    return (value - unwatched) / (other - unwatched)


def summarise(samples: Samples, names: list[str]) -> list[Figure]:
    """All figures, solution by solution. The unwatched table's are the raw ones."""
    figures: list[Figure | None] = []
    for name in names:
        figures += of_unwatched(samples) if name == "unwatched" else of_solution(samples, name)
    if "audit_log" in names:
        figures += of_audit_log(samples)
    return [one for one in figures if one is not None]


def of_unwatched(samples: Samples) -> list[Figure | None]:
    """What the others are compared with."""
    raw = [(f"{operation}_tps_{clients}", "transactions/s") for clients in CLIENTS for operation in OPERATIONS]
    raw += [("update_cpu", "µs"), ("update_wal", "bytes")]
    raw += [(f"bulk_{operation}", "µs/row") for operation in OPERATIONS]
    raw += [("large_memory", "MB"), ("large_update", "µs/row"), ("log_update_cpu", "µs"), ("log_bulk_update", "µs/row")]
    return [figure("unwatched", measure, unit, itself, samples.of(measure, "unwatched")) for measure, unit in raw]


def of_solution(samples: Samples, name: str) -> list[Figure | None]:
    """A solution beside the unwatched table."""
    def compared(measure: str, as_: str, unit: str, formula: Callable[..., float]) -> Figure | None:
        return figure(name, as_, unit, formula, samples.of(measure, name), samples.of(measure, "unwatched"))

    figures = [compared(f"{operation}_tps_{clients}", f"{operation}_tps_share_{clients}", "of unwatched", share)
               for clients in CLIENTS for operation in OPERATIONS]
    figures.append(compared("update_cpu", "update_cpu_added_share", "of unwatched", added_share))
    figures.append(compared("update_cpu", "update_cpu_added", "µs", added))
    figures.append(figure(name, "update_log", "bytes", itself, samples.of("update_log", name)))
    figures.append(compared("update_wal", "update_wal_added", "bytes", added))
    figures += [compared(f"bulk_{operation}", f"bulk_{operation}_added", "µs/row", added) for operation in OPERATIONS]
    return figures


def of_audit_log(samples: Samples) -> list[Figure | None]:
    """audit_log beside the floor, beside plpgsql, with many rows and with many entries."""
    def of(measure: str, name: str = "audit_log") -> dict[int, float]:
        return samples.of(measure, name)

    figures: list[Figure | None] = []
    for operation in OPERATIONS:
        bulk = f"bulk_{operation}"
        figures.append(figure("floor", bulk, "µs/row", itself, of(bulk, "floor")))
        figures.append(figure("audit_log", f"{bulk}_added_to_floor", "of the floor", added_to,
                              of(bulk), of(bulk, "unwatched"), of(bulk, "floor")))
        figures.append(figure("audit_log", f"{bulk}_added_to_plpgsql", "of plpgsql's", added_to_added,
                              of(bulk), of(bulk, "plpgsql"), of(bulk, "unwatched")))
    for measure, unit in (("large_memory", "MB"), ("large_update", "µs/row")):
        figures.append(figure("audit_log", f"{measure}_added", unit, added, of(measure), of(measure, "unwatched")))
    for measure, unit in (("log_update_cpu", "µs"), ("log_bulk_update", "µs/row")):
        unwatched, empty, full = (of(measure, name) for name in ("unwatched", "log_empty", "log_full"))
        figures.append(figure("audit_log", f"{measure}_added_empty", unit, added, empty, unwatched))
        figures.append(figure("audit_log", f"{measure}_added_full", unit, added, full, unwatched))
        figures.append(figure("audit_log", f"{measure}_added_full_to_empty", "of the empty log's", added_to_added,
                              full, empty, unwatched))
    return figures
