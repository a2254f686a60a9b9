"""Measures, prints the table, writes the results: python -m ddl, started by run.sh."""

from ddl import loops
from shared.loop_command import LoopCommand

if __name__ == "__main__":
    LoopCommand("ddl", "ddl", "Measures what DDL costs that is about no watched table.", "turns", 2_000, loops.measure).run()
