"""The results: a table for the terminal, capture.json with everything, capture.csv with a figure a row."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path

from capture.figure import Figure
from capture.samples import Samples
from capture.summary import CLIENTS, LARGE_LOGS, OPERATIONS
from shared.terminal import number


class Table:
    """Figures by solution and measure, as text."""

    def __init__(self, figures: list[Figure]) -> None:
        self.figures = {(one.solution, one.measure): one for one in figures}
        self.solutions = list(dict.fromkeys(one.solution for one in figures))

    def cell(self, solution: str, measure: str) -> str:
        """A figure with its lowest and highest value, or nothing."""
        one = self.figures.get((solution, measure))
        return "" if one is None else f"{number(one.value)} ({number(one.lowest)}..{number(one.highest)})"

    def lines(self, title: str, columns: dict[str, tuple[str, ...]], solutions: list[str] | None = None) -> list[str]:
        """An aligned table; a column shows the first of its measures that a solution has."""
        rows = [["", *columns]]
        for solution in solutions or self.solutions:
            cells = [next(filter(None, (self.cell(solution, m) for m in measures)), "") for measures in columns.values()]
            if any(cells):
                rows.append([solution, *cells])
        if len(rows) == 1:
            return []
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        aligned = []
        for row in rows:
            cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
            aligned.append("  ".join(cells).rstrip())
        return ["", title, *aligned]

    def everything(self) -> str:
        """All tables."""
        text: list[str] = []
        for clients, words in zip(CLIENTS, ("one client", "two clients")):
            text += self.lines(f"Transactions a second with {words}: share of the unwatched table's, whose own are first",
                               {operation: (f"{operation}_tps_share_{clients}", f"{operation}_tps_{clients}")
                                for operation in OPERATIONS})
        text += self.lines("An update of one column of one row: added to the unwatched table's, whose own are first",
                           {"CPU, share": ("update_cpu_added_share",), "CPU, µs": ("update_cpu_added", "update_cpu"),
                            "log, bytes": ("update_log",), "WAL, bytes": ("update_wal_added", "update_wal")})
        text += self.lines("One statement over many rows, µs a row: added to the unwatched table's, whose own are first",
                           {operation: (f"bulk_{operation}_added", f"bulk_{operation}") for operation in OPERATIONS})
        for other, words in (("floor", "inserting the same entries"), ("plpgsql", "what plpgsql adds")):
            text += self.lines(f"What audit_log adds, as a multiple of {words}",
                               {operation: (f"bulk_{operation}_added_to_{other}",) for operation in OPERATIONS})
        text += self.lines("The large statement: added to the unwatched table's, whose own are first",
                           {"memory, MB": ("large_memory_added", "large_memory"),
                            "µs a row": ("large_update_added", "large_update")},
                           ["unwatched", "audit_log"])
        for log, large in (("log", "the large one"), ("spread", "the large one spread over the weeks before")):
            for update, words in (("bulk_update", "many rows, µs a row"), ("update_cpu", "one row, CPU in µs")):
                measure, name = f"{log}_{update}", LARGE_LOGS[log]
                text += self.lines(f"An update of {words}: added with an empty log, with {large}, and their ratio",
                                   {"empty": (f"{measure}_added_empty",), "large": (f"{measure}_added_{name}",),
                                    "ratio": (f"{measure}_added_{name}_to_empty",)})
        return "\n".join(text)


def write(out: Path, figures: list[Figure], samples: Samples, about: dict) -> None:
    """Writes capture.json and capture.csv."""
    everything = {**about, "figures": [asdict(one) for one in figures], "samples": [asdict(one) for one in samples]}
    (out / "capture.json").write_text(json.dumps(everything, indent=1, ensure_ascii=False) + "\n")
    with (out / "capture.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["solution", "measure", "unit", "value", "lowest", "highest", "rounds"])
        for one in figures:
            values = [f"{value:.6g}" for value in (one.value, one.lowest, one.highest)]
            writer.writerow([one.solution, one.measure, one.unit, *values, one.rounds])
