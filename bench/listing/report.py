"""The results: tables for the terminal and listing.txt, listing.json with everything."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from listing.figures import Figure, Figures
from listing.options import title
from shared.terminal import number

WORST = "The worst cases found, and the plan of the first"


class Table:
    """Figures as text: a row a subject, its figures with their reach beside them."""

    def __init__(self, figures: Figures) -> None:
        self.figures = figures

    def phase(self, phase: str) -> str:
        """A phase's table."""
        ours = [one for one in self.figures if one.phase == phase]
        subjects = list(dict.fromkeys(one.subject for one in ours))
        # Subjects with the same measures share a table.
        tables: dict[tuple[str, ...], list[list[Figure]]] = {}
        for subject in subjects:
            row = [one for one in ours if one.subject == subject]
            tables.setdefault(tuple(one.measure for one in row), []).append(row)
        return "\n\n".join(aligned(measures, rows) for measures, rows in tables.items())

    def everything(self) -> str:
        """All tables, each under what it measures."""
        phases = dict.fromkeys(one.phase for one in self.figures)
        return "\n\n".join(f"{title(phase)}\n\n{self.phase(phase)}" for phase in phases)

    def summary(self) -> str:
        """How many figures are within their reach, which are not, and what was left out."""
        judged = [one for one in self.figures if one.reach is not None]
        missed = [one for one in judged if not one.met]
        lines = ["", f"Within their reach: {len(judged) - len(missed)} of {len(judged)} figures"]
        lines += [f"   not {one.phase}: {one.subject}, {one.measure}: {valued(one)}" for one in missed]
        lines += [f"Left out: {what}, {reason}" for what, reason in self.figures.left_out.items()]
        return "\n".join(lines)


def aligned(measures: tuple[str, ...], rows: list[list[Figure]]) -> str:
    """A table of subjects that have the same measures."""
    cells = [["", *measures, "calls", "met", ""]]
    for row in rows:
        judged = [one.met for one in row if one.met is not None]
        calls = max((one.calls for one in row if one.calls is not None), default=None)
        notes = ", ".join(dict.fromkeys(one.note for one in row if one.note))
        cells.append([row[0].subject, *(valued(one) for one in row), "" if calls is None else str(calls),
                      "" if not judged else "yes" if all(judged) else "NO", notes])
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = ([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1])), row[-1]]
             for row in cells)
    return "\n".join("  ".join(line).rstrip() for line in lines)


def valued(one: Figure) -> str:
    """A figure with its unit and reach."""
    value = f"{one.value:,.0f}" if one.unit in ("", "read") else number(one.value)
    unit = {"ms": " ms", "times": " x"}.get(one.unit, "")
    reach = "" if one.reach is None else f" (≤ {one.reach:g})"
    return f"{value}{unit}{reach}"


def write(out: Path, figures: Figures, plan: str, about: dict) -> None:
    """Writes listing.json and listing.txt."""
    listed = [{**asdict(one), "met": one.met} for one in figures]
    everything = {**about, "left_out": figures.left_out, "figures": listed, "worst_case": plan}
    (out / "listing.json").write_text(json.dumps(everything, indent=1, ensure_ascii=False) + "\n")
    settings = ", ".join(f"{name} {value}" for name, value in about["settings"].items())
    table = Table(figures)
    head = f"{about['options']['entries']:,} entries, {about['date']}\n{settings}"
    parts = [head, table.everything(), table.summary().strip(), f"{WORST}\n\n{plan}" if plan else ""]
    (out / "listing.txt").write_text("\n\n".join(filter(None, parts)) + "\n")
