"""Makes the log or finds it kept, measures, prints the tables, writes the results: python -m syncing, started by run.sh."""

from __future__ import annotations

import argparse
import sys
import time

import psycopg

from listing import generate
from shared import report
from shared.circumstances import circumstances
from shared.server import Server
from shared.terminal import say
from syncing import export, options, poll, read
from syncing.run import Run, log_of

MEASURES = {"read": read, "poll": poll, "export": export}


def main() -> None:
    """Runs the phases chosen; ends with status 1 and the reason where one fails. To be slow is no failure."""
    chosen = options.parse()
    if chosen.check:
        return
    server = Server(chosen.bindir, chosen.socket)
    try:
        synced(server, chosen)
    except (RuntimeError, psycopg.Error) as error:
        sys.exit(f"error: {error}")


def synced(server: Server, chosen: argparse.Namespace) -> None:
    """Makes the log and measures."""
    say(f"A log of {chosen.entries:,} entries")
    database = generate.ensure(server, chosen.entries)
    if chosen.only == ["data"]:
        return
    run = Run(server, log_of(server, database), chosen.read, chosen.calls, chosen.rounds)
    for phase in chosen.only:
        if phase in MEASURES:
            begun = time.monotonic()
            say(options.title(phase))
            MEASURES[phase].measure(run)
            print(report.table(run.figures, phase), flush=True)
            print(f"   {time.monotonic() - begun:.0f} seconds", flush=True)
    counted = ("entries", "read", "calls", "rounds", "only")
    about = {**circumstances(server), "options": {name: getattr(chosen, name) for name in counted}}
    print(report.summary(run.figures))
    report.write(chosen.out, "syncing", run.figures, about)


if __name__ == "__main__":
    main()
