"""Makes the log or finds it kept, measures, prints the tables, writes the results: python -m listing, started by run.sh."""

from __future__ import annotations

import argparse
import sys
import time

import psycopg

from listing import bound, concurrent, deep, direct, growth, hundred, names, page, pairs, plain, single
from listing import chart, dataset, generate, options, report, worst
from listing.measurement import Measurement
from shared.circumstances import circumstances
from shared.server import Server
from shared.terminal import say

MEASURES = {"single": single, "pairs": pairs, "hundred": hundred, "deep": deep, "bound": bound, "direct": direct, "page": page,
            "names": names, "concurrent": concurrent, "growth": growth, "plain": plain}


def main() -> None:
    """Runs the phases chosen; ends with status 1 and the reason where one fails."""
    chosen = options.parse()
    if chosen.check:
        return
    server = Server(chosen.bindir, chosen.socket)
    try:
        listed(server, chosen)
    except (RuntimeError, psycopg.Error) as error:
        sys.exit(f"error: {error}")


def listed(server: Server, chosen: argparse.Namespace) -> None:
    """Makes the log and measures."""
    say(f"A log of {chosen.entries:,} entries")
    database = generate.ensure(server, chosen.entries)
    if not chosen.skip_growth:
        for entries in growth.sizes(chosen.entries)[:-1]:
            generate.ensure(server, entries)
    if chosen.only == ["data"]:
        return
    run = Measurement(server, dataset.read(server, database), chosen.calls, chosen.seed)
    for phase in chosen.only:
        if phase in MEASURES:
            begun = time.monotonic()
            say(options.title(phase))
            MEASURES[phase].measure(run)
            print(report.Table(run.figures).phase(phase), flush=True)
            print(f"   {time.monotonic() - begun:.0f} seconds", flush=True)
    plan = worst.plan(run)
    chosen.out.mkdir(parents=True, exist_ok=True)
    report.write(chosen.out, run.figures, plan, describe(server, chosen, run))
    chart.draw(chosen.out / "listing.svg", run.figures)
    print(report.Table(run.figures).summary())
    if plan:
        say(report.WORST)
        print(plan)
    say("Written: listing.json, listing.txt, listing.svg")
    print(f"   {chosen.out}")


def describe(server: Server, chosen: argparse.Namespace, run: Measurement) -> dict:
    """What was measured, on what, when."""
    return {
        **circumstances(server),
        "options": {name: getattr(chosen, name) for name in ("entries", "calls", "only", "skip_growth", "seed")},
        "log": {"starts": run.dataset.starts.isoformat(), "ends": run.dataset.ends.isoformat(),
                "made_in_seconds": server.value(run.dataset.database, "SELECT seconds FROM bench.dataset")},
    }


if __name__ == "__main__":
    main()
