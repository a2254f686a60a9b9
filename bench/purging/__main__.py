"""Measures, prints the table, writes the results: python -m purging, started by run.sh."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import psycopg

from purging import drop
from shared import report
from shared.circumstances import circumstances
from shared.figures import Figures
from shared.server import Server
from shared.terminal import say


def main() -> None:
    """Ends with status 1 and the reason where it fails. To be slow is no failure."""
    chosen = parse()
    if chosen.check:
        return
    server = Server(chosen.bindir, chosen.socket)
    figures = Figures()
    say(f"Partitions of {chosen.entries:,} entries dropped")
    try:
        drop.measure(server, figures, chosen.entries, chosen.rounds)
    except (RuntimeError, psycopg.Error) as error:
        sys.exit(f"error: {error}")
    print(report.table(figures, "drop"), flush=True)
    print(report.summary(figures))
    about = {**circumstances(server), "options": {"entries": chosen.entries, "rounds": chosen.rounds}}
    report.write(chosen.out, "purging", figures, about)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options; ends the program with a message where they are wrong."""
    parser = argparse.ArgumentParser(prog="run.sh purge", description="Measures what dropping an expired partition takes, and who waits for it.")
    parser.add_argument("--entries", type=int, default=1_000_000, help="entries of a partition (default 1000000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each measurement is taken (default 5)")
    parser.add_argument("--bindir", type=Path, help="bin directory of the server to use as it is, instead of building one")
    parser.add_argument("--out", type=Path, help="directory of the results (default target/bench/results)")
    parser.add_argument("--socket", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.entries < 1 or options.rounds < 1:
        parser.error("--entries and --rounds must be at least 1")
    return options


if __name__ == "__main__":
    main()
