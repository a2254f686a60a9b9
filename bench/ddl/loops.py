"""Loops of DDL in a database with the extension and a watched table, and in one without, side by side."""

from __future__ import annotations

import time

from shared.figures import Figures
from shared.rounds import rotated
from shared.server import Server

DATABASES = ("ddl_without", "ddl_with")

SETUP = {
    "ddl_without": (),
    "ddl_with": ("CREATE EXTENSION audit_log", "SELECT audit_log.watch('watched')"),
}

# What one turn of a loop does, and how many times a database without the extension it may take.
SHAPES = {
    "temporary": ("a temporary table, made and dropped", ("CREATE TEMP TABLE brief (id int, v text)", "DROP TABLE brief"), 1.1),
    "keyed": ("a temporary table with a key and an index", ("CREATE TEMP TABLE brief (id int PRIMARY KEY, v text)", "CREATE INDEX ON brief (v)", "DROP TABLE brief"), 1.1),
    "altered": ("a table, made, altered and dropped",
                ("CREATE TABLE plain (id int PRIMARY KEY, v text)", "ALTER TABLE plain ADD COLUMN w int", "ALTER TABLE plain RENAME COLUMN w TO x", "DROP TABLE plain"), 1.1),
}


def measure(server: Server, figures: Figures, turns: int, rounds: int) -> None:
    """Takes every figure once a round; each loop in a session of its own."""
    for database in DATABASES:
        server.drop_database(database)
        server.create_database(database)
        server.run(database, "CREATE TABLE watched (id int PRIMARY KEY, v text)", *SETUP[database])
    for round_ in range(1, rounds + 1):
        for shape, (about, commands, reach) in SHAPES.items():
            times = {database: seconds(server, database, commands, turns) for database in rotated(list(DATABASES), round_)}
            for database in DATABASES:
                figures.add("ddl", f"{shape} {database}", f"{about}: {database}", "µs/turn", times[database] / turns * 1e6)
            figures.add("ddl", f"{shape} times", f"{about}: with the extension, times without", "", times["ddl_with"] / times["ddl_without"],
                        reach=reach)
    for database in DATABASES:
        server.drop_database(database)


def seconds(server: Server, database: str, commands: tuple[str, ...], turns: int) -> float:
    """How long a loop takes, a transaction a turn: what is dropped is then let go of."""
    with server.connect(database) as session:
        # The first command of a session is another matter.
        for command in commands:
            session.execute(command)
        begin = time.perf_counter()
        for _ in range(turns):
            for command in commands:
                session.execute(command)
        return time.perf_counter() - begin
