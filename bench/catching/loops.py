"""Loops of EXCEPTION blocks that write to a table, watched and not, side by side."""

from __future__ import annotations

import time

from shared.figures import Figures
from shared.rounds import rotated
from shared.server import Server

DATABASE = "catching"
TABLES = ("unwatched", "watched")

SETUP = (
    "CREATE EXTENSION audit_log",
    "CREATE TABLE unwatched (id int PRIMARY KEY, title text, org text)",
    "CREATE TABLE watched (LIKE unwatched INCLUDING ALL)",
    "SELECT audit_log.watch('watched', organization => 'org')",
    "SELECT audit_log.ensure_partitions(2)",
)

LOOP = """DO $$ BEGIN
  FOR i IN 1..{count} LOOP
    BEGIN
      {write}
      {undo}
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
END $$"""

INSERT = "INSERT INTO {table} VALUES (i, 'a title of some length', 'acme');"

# What a block does, which of them are rolled back, and how often its watched loop may take the unwatched one's time.
SHAPES = {
    "insert": ("an INSERT, rolled back", INSERT, "RAISE EXCEPTION 'undo';", 2.0),
    "update": ("INSERT, UPDATE and DELETE, rolled back",
               INSERT + " UPDATE {table} SET title = 'another' WHERE id = i; DELETE FROM {table} WHERE id = i;",
               "RAISE EXCEPTION 'undo';", 2.0),
    "half": ("an INSERT, every second one rolled back", INSERT, "IF i % 2 = 0 THEN RAISE EXCEPTION 'undo'; END IF;", 2.0),
    "none": ("an INSERT that stays", INSERT, "", None),
}

# A loop of a quarter of the blocks should take a quarter of the time: more than this much longer a block is not linear.
LINEAR = 1.25


def measure(server: Server, figures: Figures, blocks: int, rounds: int) -> None:
    """Takes every figure once a round; each loop in a session of its own, on empty tables."""
    server.drop_database(DATABASE)
    server.create_database(DATABASE)
    server.run(DATABASE, *SETUP)
    for round_ in range(1, rounds + 1):
        for shape, (about, write, undo, reach) in SHAPES.items():
            times = {table: seconds(server, table, write, undo, blocks) for table in rotated(list(TABLES), round_)}
            for table in TABLES:
                figures.add("catching", f"{shape} {table}", f"{about}: {table}", "µs/block", times[table] / blocks * 1e6)
            figures.add("catching", f"{shape} times", f"{about}: watched, times unwatched", "", times["watched"] / times["unwatched"],
                        reach=reach)
            quarter = seconds(server, "watched", write, undo, blocks // 4)
            figures.add("catching", f"{shape} linear", f"{about}: a block of {blocks:,}, times one of {blocks // 4:,}", "",
                        times["watched"] / (quarter * 4), reach=LINEAR)
    server.drop_database(DATABASE)


def seconds(server: Server, table: str, write: str, undo: str, blocks: int) -> float:
    """How long a loop takes; what stays of it must be recorded, and nothing else."""
    server.run(DATABASE, f"TRUNCATE {table}")
    recorded = "SELECT count(*) FROM audit_log.entry WHERE operation = 'insert'"
    before = server.value(DATABASE, recorded)
    with server.connect(DATABASE) as session:
        # The first write of a session is another matter.
        session.execute(f"INSERT INTO {table} VALUES (0, 'first', 'acme')")
        begin = time.perf_counter()
        session.execute(LOOP.format(count=blocks, write=write.format(table=table), undo=undo))
        taken = time.perf_counter() - begin
    rows = server.value(DATABASE, f"SELECT count(*) FROM {table}")
    entries = server.value(DATABASE, recorded) - before
    if entries != (rows if table == "watched" else 0):
        raise RuntimeError(f"{entries} entries of {rows} rows of {table}")
    return taken
