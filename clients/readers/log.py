"""The cluster with the log that is read: connections, writes, crashes, and what SQL says is there."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

# Numbers as they are written, not as floats.
set_json_loads(partial(json.loads, parse_float=Decimal))

CLIENTS = Path(__file__).parent.parent
CLUSTER = CLIENTS.parent / "scripts" / "cluster.sh"
INSTALLED = CLIENTS.parent / "target" / "clients"

COLUMNS = ("id", "occurred_at", "organization_id", "category", "operation", "actor_name", "effective_actor_id", "target_id", "target_name",
           "targets", "before", "after", "changes", "metadata", "remote_addr", "access_route", "user_agent", "position")


class Wrong(Exception):
    """A reader read something else than was written."""


class Log:
    """A database of its own with some hundred entries, and a directory for what a reader keeps."""

    def __init__(self, socket: Path, name: str, scratch: Path) -> None:
        self.socket = socket
        self.name = name
        self.scratch = scratch
        with psycopg.connect(host=str(socket), user="postgres", dbname="postgres", autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE log").format(sql.Identifier(name)))

    def connect(self, user: str = "postgres", **options: object) -> psycopg.Connection:
        """A new session, each statement a transaction, with rows as dictionaries."""
        return psycopg.connect(host=str(self.socket), user=user, dbname=self.name, autocommit=True, row_factory=dict_row, **options)

    def url(self, driver: str, user: str = "reader") -> str:
        """Where the database is, for SQLAlchemy."""
        return f"postgresql+{driver}://{user}@/{self.name}?host={self.socket}"

    def write(self, rows: int, earlier: str | None = None) -> None:
        """Writes some entries and commits; with an interval, such that occurred so long ago."""
        with self.connect() as connection:
            connection.execute("SELECT application.write(%s, %s::interval)", (rows, earlier))

    @contextlib.contextmanager
    def late(self, rows: int) -> Iterator[None]:
        """Some entries whose transaction is open inside the with, and is committed at its end."""
        with self.connect() as connection, connection.transaction():
            connection.execute("SELECT application.write(%s)", (rows,))
            yield

    def crash(self) -> None:
        """The server stops as in a crash and is started again."""
        subprocess.run([CLUSTER, "down", self.socket, "immediate"], check=True)
        subprocess.run([CLUSTER, "up", self.socket], check=True)

    def entries(self, where: str = "true", *parameters: object) -> list[dict]:
        """The entries as the view gives them to a superuser, newest first, once they are what was written."""
        with self.connect() as connection:
            difference = connection.execute("SELECT * FROM application.difference LIMIT 3").fetchall()
            expect(not difference, f"the log is not what was written: {difference}")
            return connection.execute(f"SELECT * FROM audit_log.entry WHERE {where} ORDER BY occurred_at DESC, id DESC",
                                      parameters).fetchall()


def expect(holds: bool, otherwise: str) -> None:
    """Ends the run where something does not hold."""
    if not holds:
        raise Wrong(otherwise)


def same(read: Iterable[dict], written: Iterable[dict], columns: Iterable[str] = COLUMNS, ordered: bool = False) -> int:
    """Ends the run where rows were left out, came twice, or differ; says how many there are."""
    got, must = list(read), list(written)
    ids, wanted = [str(row["id"]) for row in got], [str(row["id"]) for row in must]
    expect(len(set(ids)) == len(ids), f"{len(ids) - len(set(ids))} of {len(ids)} rows came twice")
    missing, foreign = set(wanted) - set(ids), set(ids) - set(wanted)
    expect(not missing and not foreign, f"of {len(wanted)} rows {len(missing)} are missing, {len(foreign)} should not be there")
    expect(not ordered or ids == wanted, "the order is not that of SQL")
    by_id = {str(row["id"]): row for row in must}
    for row in got:
        for column in columns:
            value = by_id[str(row["id"])][column]
            expect(row[column] == value, f"{column} of {row['id']} is {row[column]!r}, not {value!r}")
    return len(got)
