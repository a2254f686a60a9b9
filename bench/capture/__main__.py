"""Measures, prints the table and writes the results: python -m capture, started by run.sh."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import psycopg

from capture import bulk, chart, large, options, report, single_row
from capture.samples import Samples
from capture.server import Server
from capture.solutions import BUILT_IN, SQL, Solution, extra
from capture.subject import Subject
from capture.summary import summarise
from shared.circumstances import circumstances
from shared.terminal import say


def main() -> None:
    """Runs all phases; ends with status 1 and the reason where one fails."""
    chosen = options.parse()
    if chosen.check:
        return
    server = Server(chosen.bindir, chosen.socket)
    solutions, left_out = choose(server, chosen)
    about = describe(server, chosen, solutions, left_out)
    samples = Samples()
    chosen.out.mkdir(parents=True, exist_ok=True)
    try:
        measure(server, chosen, solutions, samples)
    except (RuntimeError, psycopg.Error) as error:
        sys.exit(f"error: {error}")
    names = [solution.name for solution in solutions]
    figures = summarise(samples, names)
    report.write(chosen.out, figures, samples, about)
    chart.draw(chosen.out / "capture.svg", figures)
    print(report.Table(figures).everything())
    for name, reason in left_out.items():
        print(f"\nLeft out: {name}, {reason}")
    say("Written: capture.json, capture.csv, capture.svg")
    print(f"   {chosen.out}")


def choose(server: Server, chosen: argparse.Namespace) -> tuple[list[Solution], dict[str, str]]:
    """The solutions to compare, and those that cannot be, with the reason."""
    solutions, left_out = [], {}
    for solution in BUILT_IN:
        if chosen.only and solution.name not in chosen.only and solution.name != "unwatched":
            continue
        if solution.needs_extension and not server.offers(solution.needs_extension):
            left_out[solution.name] = f"the server has no extension {solution.needs_extension}"
            print(f"   {solution.name} is left out: {left_out[solution.name]}", flush=True)
            continue
        solutions.append(solution)
    return solutions + [extra(*one) for one in chosen.extra], left_out


def measure(server: Server, chosen: argparse.Namespace, solutions: list[Solution], samples: Samples) -> None:
    """All phases, one after the other; within each the solutions take turns, round by round."""
    say(f"{chosen.rows} rows into a database for each solution")
    server.create_database("template")
    server.run_file("template", SQL / "jobs.sql", rows=chosen.rows)
    if not chosen.only_large:
        measure_solutions(server, chosen, solutions, samples)
    by_name = {solution.name: solution for solution in solutions}
    if chosen.skip_large or "audit_log" not in by_name:
        return
    say("A large statement and a large log")
    for solution in solutions:
        server.drop_database(solution.name)
    large.measure(server, by_name["unwatched"], by_name["audit_log"], samples, rounds=chosen.rounds, rows=chosen.rows,
                  updates=chosen.updates, large_rows=chosen.large_rows, stored=chosen.stored)


def measure_solutions(server: Server, chosen: argparse.Namespace, solutions: list[Solution], samples: Samples) -> None:
    """What each solution costs, in a database of its own."""
    subjects = [Subject(server, solution, solution.name) for solution in solutions]
    installed = []
    try:
        for subject in subjects:
            print(f"   {subject.name}", flush=True)
            server.create_database(subject.database, "template")
            subject.install()
            installed.append(subject)
        say("CPU, log and WAL of a single-row update")
        single_row.measure_costs(server, subjects, samples, rounds=chosen.rounds, updates=chosen.updates, rows=chosen.rows)
        say("Single rows: insert, delete, update")
        single_row.measure_rates(server, subjects, samples, rounds=chosen.rounds, seconds=chosen.seconds, rows=chosen.rows)
        say("Statements over many rows: insert, update, delete")
        bulk.measure(server, subjects, samples, rounds=chosen.rounds, rows=chosen.rows)
    finally:
        for subject in installed:
            subject.solution.remove(server, subject.database)


def describe(server: Server, chosen: argparse.Namespace, solutions: list[Solution], left_out: dict[str, str]) -> dict:
    """What was measured, on what, when."""
    free = shutil.disk_usage(server.socket).free
    # Entries of about a kilobyte, from the bulk statements and as many again from the rest; WAL comes on top.
    needed = 20e9 + chosen.rows * chosen.rounds * 6 * 1000 * len(solutions)
    if free < needed:
        # It would find out in its last part, and have measured nothing.
        sys.exit(f"error: a run like this may need {needed / 1e9:.0f} GB of disk, and there are {free / 1e9:.0f}: "
                 "take fewer solutions (--only), --rounds or --rows")
    counted = ("rounds", "seconds", "rows", "updates", "large_rows", "stored", "skip_large")
    return {
        **circumstances(server),
        "options": {name: getattr(chosen, name) for name in counted},
        "versions": {solution.name: solution.version(server) for solution in solutions},
        "left_out": left_out,
    }


if __name__ == "__main__":
    main()
