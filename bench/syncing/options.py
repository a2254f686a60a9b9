"""The command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from shared.choices import some_of

# In the order in which they are taken. `data` only makes what is read, or finds it kept.
PHASES = {
    "data": "the log, made or kept; always there",
    "read": "a part of the log read by sync and from feed, beside COPY of the same",
    "poll": "calls of sync and queries on feed that find nothing, or a hundred entries, beside SELECT 1",
    "export": "all of the log exported, beside COPY of entry",
}


def title(phase: str) -> str:
    """What a phase measures, as a heading."""
    return PHASES[phase][0].upper() + PHASES[phase][1:]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options; ends the program with a message where they are wrong."""
    parser = argparse.ArgumentParser(prog="run.sh sync", description=DESCRIPTION,
                                     epilog="Phases: " + "; ".join(f"{name}: {about}" for name, about in PHASES.items()) + ".")
    parser.add_argument("--entries", type=int, default=10_000_000, help="entries of the log (default 10000000)")
    parser.add_argument("--read", type=int, default=1_000_000, help="about so many are read, the newest (default 1000000)")
    parser.add_argument("--calls", type=int, default=500, help="polls of each kind a round (default 500)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each measurement is taken (default 5)")
    parser.add_argument("--only", type=some_of(PHASES, "phase"), metavar="PHASE,PHASE", default=list(PHASES),
                        help="of the phases below; data makes the log and no more")
    parser.add_argument("--bindir", type=Path, help="bin directory of the server to use as it is, instead of building one")
    parser.add_argument("--out", type=Path, help="directory of the results (default target/bench/results)")
    parser.add_argument("--data", type=Path, help="directory of the logs that are kept (default target/bench/listing)")
    parser.add_argument("--socket", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    for number in ("read", "calls", "rounds"):
        if getattr(options, number) < 1:
            parser.error(f"--{number} must be at least 1")
    if options.entries < 20_000:
        parser.error("--entries must be at least 20000: the log of make bench-list has no fewer")
    if options.read >= options.entries:
        parser.error("--read must be less than --entries")
    options.only = [phase for phase in PHASES if phase in options.only]
    return options


DESCRIPTION = "Measures what reading the log costs by sync, from feed and by export, beside COPY of the same entries."
