"""The command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from capture.solutions import NAMES
from shared.choices import some_of

# Databases and words of the results that an extra solution may not be called.
TAKEN = {*NAMES, "floor", "template", "large_unwatched", "log_empty", "log_full", "log_spread"}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options; ends the program with a message where they are wrong."""
    parser = argparse.ArgumentParser(prog="run.sh capture", description=DESCRIPTION)
    parser.add_argument("--rounds", type=int, default=5, help="how often each measurement is taken (default 5)")
    parser.add_argument("--seconds", type=int, default=3, help="length of a pgbench run (default 3)")
    parser.add_argument("--rows", type=int, default=200_000,
                        help="rows of the table, and of one bulk statement (default 200000)")
    parser.add_argument("--updates", type=int, default=60_000,
                        help="single-row updates to take CPU, bytes and WAL of (default 60000)")
    parser.add_argument("--only", type=some_of(NAMES, "solution"), metavar="NAME,NAME",
                        help=f"of the solutions {', '.join(NAMES)}; unwatched is always there")
    parser.add_argument("--extra", nargs=4, action="append", default=[],
                        metavar=("NAME", "SETUP.sql", "TEARDOWN.sql", "LOG_RELATION"),
                        help="one more solution: what psql runs after jobs is loaded, and at the end; the table its log is")
    parser.add_argument("--skip-large", action="store_true",
                        help="leave out the statement of 5 million rows and the logs of 10 million")
    parser.add_argument("--only-large", action="store_true",
                        help="take that statement and those logs alone; with --shared-buffers of 12GB all of it stays in the pool, "
                             "and an empty and a full log differ by nothing but their size")
    parser.add_argument("--large-rows", type=int, default=5_000_000,
                        help="rows of the large statement (default 5000000)")
    parser.add_argument("--stored", type=int, default=10_000_000,
                        help="entries of the large log (default 10000000)")
    parser.add_argument("--bindir", type=Path,
                        help="bin directory of the server to use as it is, instead of building one")
    parser.add_argument("--out", type=Path, help="directory of the results (default target/bench/results)")
    parser.add_argument("--socket", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    for number in ("rounds", "seconds", "rows", "updates", "large_rows", "stored"):
        if getattr(options, number) < 1:
            parser.error(f"--{number.replace('_', '-')} must be at least 1")
    seen = set(TAKEN)
    for name, setup, teardown, _ in options.extra:
        if not name.isidentifier() or name != name.lower() or name in seen:
            parser.error(f"--extra {name}: give a name of small letters, digits and _ that is not taken")
        seen.add(name)
        for file in (setup, teardown):
            if not Path(file).is_file():
                parser.error(f"--extra {name}: there is no file {file}")
    return options


DESCRIPTION = "Measures what capturing row changes costs, beside an unwatched table and other solutions."
