"""Measures, prints the table, writes the results: python -m catching, started by run.sh."""

from catching import loops
from shared.loop_command import LoopCommand

if __name__ == "__main__":
    LoopCommand("catching", "catch", "Measures what EXCEPTION blocks in loops cost where their table is watched.", "blocks", 50_000, loops.measure).run()
