"""listing.svg: the median of list beside that of the plain query on one table, class by class, on a log scale.

Of a single filter it shows the window of 30 days."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402

from listing.figures import Figure, Figures  # noqa: E402
from listing.plain import CALL_SECONDS, LISTED, PLAIN  # noqa: E402
from listing.single import MEDIAN_MS  # noqa: E402

COLORS = {LISTED: "#0072b2", PLAIN: "#e69f00"}
LABELS = {LISTED: "audit_log.list", PLAIN: "plain query: one table, indexes on time and actor"}


def draw(file: Path, figures: Figures) -> None:
    """Draws two bars a class, the first class on top; nothing where the plain query was not measured."""
    found = {(one.subject, one.measure): one for one in figures if one.phase == "plain"}
    subjects = [subject for subject in dict.fromkeys(subject for subject, _ in found) if not subject.endswith(", 24 hours")]
    if not subjects:
        return
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "listing", "font.size": 10,
                                "font.family": "sans-serif", "axes.spines.top": False, "axes.spines.right": False})
    canvas, axes = pyplot.subplots(figsize=(9, 1.6 + 0.34 * len(subjects)), layout="constrained")
    panel(axes, subjects, found)
    axes.axvline(MEDIAN_MS, color="#555555", linewidth=1, linestyle="--")
    axes.axvline(CALL_SECONDS * 1000, color="#dddddd", linewidth=1)
    axes.set_xlabel(f"median of a page of 100, ms; whisker to the slowest; dashed: {MEDIAN_MS:g} ms; calls end after {CALL_SECONDS:g} s")
    handles, names = axes.get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside upper center", ncols=2, frameon=False)
    canvas.savefig(file, metadata={"Date": None}, facecolor="white")
    pyplot.close(canvas)


def panel(axes: pyplot.Axes, subjects: list[str], found: dict[tuple[str, str], Figure]) -> None:
    """Draws the bars; whiskers go to the slowest call."""
    height = 0.38
    for position, measure in enumerate((LISTED, PLAIN)):
        values = [found[subject, measure].value for subject in subjects]
        slowest = [found[subject, f"slowest {measure}"].value for subject in subjects]
        whiskers = [[0] * len(values), [max(most - value, 0) for value, most in zip(values, slowest)]]
        axes.barh([i + (position - 0.5) * height for i in range(len(subjects))], values, height, label=LABELS[measure],
                  color=COLORS[measure], xerr=whiskers, error_kw={"elinewidth": 0.8, "ecolor": "#555555"})
    axes.set_yticks(range(len(subjects)), subjects)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.margins(y=0.01)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
