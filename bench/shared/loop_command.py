"""The command line of a benchmark that runs loops: options, table, results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from shared import report
from shared.circumstances import circumstances
from shared.figures import Figures
from shared.server import Server
from shared.terminal import say


@dataclass(frozen=True)
class LoopCommand:
    """A benchmark: its name, that of its command, what it measures, what a loop is made of and of how many by default."""

    name: str
    command: str
    about: str
    unit: str
    count: int
    measure: Callable[[Server, Figures, int, int], None]

    def run(self) -> None:
        """Ends with status 1 and the reason where it fails. To be slow is no failure."""
        chosen = self.parse()
        if chosen.check:
            return
        server = Server(chosen.bindir, chosen.socket)
        figures = Figures()
        say(f"Loops of {chosen.count:,} {self.unit}")
        try:
            self.measure(server, figures, chosen.count, chosen.rounds)
        except (RuntimeError, psycopg.Error) as error:
            sys.exit(f"error: {error}")
        print(report.table(figures, self.name), flush=True)
        print(report.summary(figures))
        about = {**circumstances(server), "options": {self.unit: chosen.count, "rounds": chosen.rounds}}
        report.write(chosen.out, self.name, figures, about)

    def parse(self, arguments: list[str] | None = None) -> argparse.Namespace:
        """The options; ends the program with a message where they are wrong."""
        parser = argparse.ArgumentParser(prog=f"run.sh {self.command}", description=self.about)
        parser.add_argument(f"--{self.unit}", dest="count", type=int, default=self.count, help=f"{self.unit} of a loop (default {self.count})")
        parser.add_argument("--rounds", type=int, default=5, help="how often each measurement is taken (default 5)")
        parser.add_argument("--bindir", type=Path, help="bin directory of the server to use as it is, instead of building one")
        parser.add_argument("--out", type=Path, help="directory of the results (default target/bench/results)")
        parser.add_argument("--socket", help=argparse.SUPPRESS)
        parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
        options = parser.parse_args(arguments)
        if options.count < 4 or options.rounds < 1:
            parser.error(f"--{self.unit} must be at least 4 and --rounds at least 1")
        return options
