"""From raw figures to what is reported."""

from __future__ import annotations

from typing import Callable

from capture.figure import Figure, figure
from capture.samples import Samples

OPERATIONS = ("insert", "update", "delete")
CLIENTS = (1, 2)
# What is measured with a large log, and the name that log has among the solutions.
LARGE_LOGS = {"log": "full", "spread": "spread"}
UPDATES = (("update_cpu", "µs"), ("bulk_update", "µs/row"))


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
    raw += [("large_memory", "MB"), ("large_update", "µs/row")]
    raw += [(f"{log}_{update}", unit) for log in LARGE_LOGS for update, unit in UPDATES]
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
    for log, name in LARGE_LOGS.items():
        for update, unit in UPDATES:
            measure = f"{log}_{update}"
            unwatched, empty, large = (of(measure, one) for one in ("unwatched", "log_empty", f"log_{name}"))
            figures.append(figure("audit_log", f"{measure}_added_empty", unit, added, empty, unwatched))
            figures.append(figure("audit_log", f"{measure}_added_{name}", unit, added, large, unwatched))
            figures.append(figure("audit_log", f"{measure}_added_{name}_to_empty", "of the empty log's", added_to_added,
                                  large, empty, unwatched))
    return figures
