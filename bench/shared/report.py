"""Results: tables for the terminal, a JSON file with everything, a CSV file with a figure a row."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path

from shared.figures import Figure, Figures
from shared.terminal import number, say


def table(figures: Figures, phase: str) -> str:
    """A phase's figures, a row each, with their reach beside them."""
    rows = [["", "median", "rounds", "reach", "met"]]
    for one in figures:
        if one.phase == phase:
            spread = f"{number(min(one.rounds))}..{number(max(one.rounds))}"
            met = "" if one.met is None else "yes" if one.met else "NO"
            rows.append([one.about, valued(one), spread, reach(one), met])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]).rstrip()
                     for row in rows)


def valued(one: Figure) -> str:
    """A figure with its unit."""
    return f"{number(one.value)} {one.unit}".rstrip()


def reach(one: Figure) -> str:
    """What a figure should be, or nothing."""
    if one.reach is None:
        return ""
    return f"{'≥' if one.at_least else '≤'} {one.reach:g}"


def summary(figures: Figures) -> str:
    """How many figures are within their reach, and which are not."""
    judged = [one for one in figures if one.reach is not None]
    missed = [one for one in judged if not one.met]
    lines = ["", f"Within their reach: {len(judged) - len(missed)} of {len(judged)} figures"]
    lines += [f"   not {one.phase}: {one.about}: {valued(one)} ({reach(one)})" for one in missed]
    return "\n".join(lines)


def write(out: Path, name: str, figures: Figures, about: dict) -> None:
    """Writes NAME.json, its figures by name, and NAME.csv, and says so."""
    out.mkdir(parents=True, exist_ok=True)
    named = {one.name: {**asdict(one), "value": one.value, "lowest": min(one.rounds), "highest": max(one.rounds), "met": one.met}
             for one in figures}
    (out / f"{name}.json").write_text(json.dumps({**about, "figures": named}, indent=1, ensure_ascii=False) + "\n")
    with (out / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["phase", "name", "about", "unit", "value", "lowest", "highest", "rounds", "reach", "met"])
        for one in figures:
            values = [f"{value:.6g}" for value in (one.value, min(one.rounds), max(one.rounds))]
            met = "" if one.met is None else "yes" if one.met else "no"
            writer.writerow([one.phase, one.name, one.about, one.unit, *values, len(one.rounds), reach(one), met])
    say(f"Written: {name}.json, {name}.csv")
    print(f"   {out}")
