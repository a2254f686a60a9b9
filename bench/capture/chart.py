"""capture.svg: single-row throughput beside the unwatched table, and what a bulk statement takes more a row."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402

from capture.figure import Figure  # noqa: E402
from capture.summary import OPERATIONS  # noqa: E402

COLORS = {"insert": "#0072b2", "update": "#e69f00", "delete": "#009e73"}


def draw(file: Path, figures: list[Figure]) -> None:
    """Draws two panels of horizontal bars, a group a solution; whiskers go from the lowest to the highest round."""
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "capture", "font.size": 10,
                                "font.family": "sans-serif", "axes.spines.top": False, "axes.spines.right": False})
    found = {(one.solution, one.measure): one for one in figures}
    solutions = [s for s in dict.fromkeys(one.solution for one in figures) if s not in ("unwatched", "floor")]
    with_floor = solutions + (["floor"] if ("floor", "bulk_insert") in found else [])
    canvas, (left, right) = pyplot.subplots(1, 2, figsize=(12, 1.6 + 0.62 * len(with_floor)), layout="constrained")
    panel(left, solutions, lambda s, o: found.get((s, f"{o}_tps_share_1")))
    left.axvline(1, color="#555555", linewidth=1, linestyle="--")
    left.set_xlabel("single rows: transactions/s, share of unwatched (1 client)")
    panel(right, with_floor, lambda s, o: found.get((s, f"bulk_{o}" if s == "floor" else f"bulk_{o}_added")))
    right.set_xlabel("one statement over many rows: added µs a row")
    labels = ["floor: the same\nentries, inserted" if s == "floor" else s for s in with_floor]
    right.set_yticks(range(len(with_floor)), labels)
    handles, names = left.get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside upper center", ncols=3, frameon=False)
    canvas.savefig(file, metadata={"Date": None}, facecolor="white")
    pyplot.close(canvas)


def panel(axes: pyplot.Axes, solutions: list[str], figure_of) -> None:
    """Draws a group of three bars for each solution, the first on top."""
    height = 0.26
    for position, operation in enumerate(OPERATIONS):
        pairs = [(i, figure_of(solution, operation)) for i, solution in enumerate(solutions)]
        pairs = [(i, one) for i, one in pairs if one is not None]
        values = [one.value for _, one in pairs]
        # From medians the value may lie outside what single rounds gave.
        whiskers = [[max(one.value - one.lowest, 0) for _, one in pairs], [max(one.highest - one.value, 0) for _, one in pairs]]
        axes.barh([i + (position - 1) * height for i, _ in pairs], values, height, label=operation, color=COLORS[operation],
                  xerr=whiskers, error_kw={"elinewidth": 0.8, "ecolor": "#555555"})
    axes.set_yticks(range(len(solutions)), solutions)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
