"""Measures, prints the table, writes the results: python -m catching, started by run.sh."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import psycopg

from catching import loops
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
    say(f"Loops of {chosen.blocks:,} EXCEPTION blocks")
    try:
        loops.measure(server, figures, chosen.blocks, chosen.rounds)
    except (RuntimeError, psycopg.Error) as error:
        sys.exit(f"error: {error}")
    print(report.table(figures, "catching"), flush=True)
    print(report.summary(figures))
    about = {**circumstances(server), "options": {"blocks": chosen.blocks, "rounds": chosen.rounds}}
    report.write(chosen.out, "catching", figures, about)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options; ends the program with a message where they are wrong."""
    parser = argparse.ArgumentParser(prog="run.sh catch", description="Measures what EXCEPTION blocks in loops cost where their table is watched.")
    parser.add_argument("--blocks", type=int, default=50_000, help="blocks of a loop (default 50000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each measurement is taken (default 5)")
    parser.add_argument("--bindir", type=Path, help="bin directory of the server to use as it is, instead of building one")
    parser.add_argument("--out", type=Path, help="directory of the results (default target/bench/results)")
    parser.add_argument("--socket", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.blocks < 4 or options.rounds < 1:
        parser.error("--blocks must be at least 4 and --rounds at least 1")
    return options


if __name__ == "__main__":
    main()
