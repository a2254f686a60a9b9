"""The command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from shared.choices import some_of

# In the order in which they are taken. `data` only makes what is listed, or finds it kept.
PHASES = {
    "data": "the log, made or kept; always there",
    "single": "no filter and each by itself",
    "pairs": "each two filters and all together",
    "hundred": "a hundred values in one filter",
    "deep": "page 1,000 beside page 1",
    "bound": "a login bound to one organization beside the owner",
    "direct": "SQL on the view entry beside SQL on the tables",
    "page": "a page for people with its total, and counts by day",
    "names": "a part of a name where there are nearly as many targets as entries",
    "concurrent": "50 connections that list while two write",
    "growth": "buffers an entry returned as the log grows",
    "plain": "the plain query on one table, beside list",
}


def title(phase: str) -> str:
    """What a phase measures, as a heading."""
    return PHASES[phase][0].upper() + PHASES[phase][1:]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options; ends the program with a message where they are wrong."""
    parser = argparse.ArgumentParser(prog="run.sh list", description=DESCRIPTION,
                                     epilog="Phases: " + "; ".join(f"{name}: {about}" for name, about in PHASES.items()) + ".")
    parser.add_argument("--entries", type=int, default=10_000_000, help="entries of the log (default 10000000)")
    parser.add_argument("--calls", type=int, default=300, help="calls of a class (default 300)")
    parser.add_argument("--only", type=some_of(PHASES, "phase"), metavar="PHASE,PHASE", default=list(PHASES),
                        help="of the phases below; data makes the logs and no more")
    parser.add_argument("--skip-growth", action="store_true",
                        help="leave out the logs of a tenth and three tenths of the entries, and what is measured by them")
    parser.add_argument("--seed", type=int, default=1,
                        help="of the values drawn for the filters (default 1); the log itself is always the same")
    parser.add_argument("--bindir", type=Path, help="bin directory of the server to use as it is, instead of building one")
    parser.add_argument("--out", type=Path, help="directory of the results (default target/bench/results)")
    parser.add_argument("--data", type=Path, help="directory of the logs that are kept (default target/bench/listing)")
    parser.add_argument("--socket", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.entries < 20_000:
        parser.error("--entries must be at least 20000: fewer have no common values")
    if options.calls < 1:
        parser.error("--calls must be at least 1")
    if options.skip_growth:
        options.only = [phase for phase in options.only if phase != "growth"]
    options.only = [phase for phase in PHASES if phase in options.only]
    return options


DESCRIPTION = "Measures what listing costs, in absolute times against the reach set for them and beside a plain table."
