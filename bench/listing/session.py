"""A session that runs prepared statements and takes their results as bytes: what is timed is the server, not Python."""

from __future__ import annotations

import time
from dataclasses import dataclass

from psycopg import pq

from shared.server import Server

TIMED_OUT = b"57014"


@dataclass
class Answer:
    """What a call gave: how long it took at the client, and its rows; no rows where it ran into the time limit."""

    seconds: float
    result: pq.abc.PGresult
    timed_out: bool

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return 0 if self.timed_out else self.result.ntuples

    def column(self, name: str) -> list[bytes | None]:
        """A column's values as text."""
        if self.timed_out:
            return []
        number = self._number(name)
        return [self.result.get_value(row, number) for row in range(self.result.ntuples)]

    def last(self, name: str) -> str | None:
        """A column's value in the last row; None where there is no row."""
        if not self.rows:
            return None
        value = self.result.get_value(self.result.ntuples - 1, self._number(name))
        return None if value is None else value.decode()

    def _number(self, name: str) -> int:
        return [self.result.fname(i) for i in range(self.result.nfields)].index(name.encode())


class Session:
    """A connection by libpq; a statement is prepared when it is first run."""

    def __init__(self, server: Server, database: str, user: str = "postgres", timeout_seconds: float = 0) -> None:
        words = {"host": server.socket, "user": user, "dbname": database, "application_name": "bench",
                 "options": f"-c statement_timeout={int(timeout_seconds * 1000)}"}
        conninfo = " ".join(f"{name}='{value}'" for name, value in words.items())
        self._connection = pq.PGconn.connect(conninfo.encode())
        if self._connection.status != pq.ConnStatus.OK:
            raise RuntimeError(f"no connection: {self._connection.error_message.decode().strip()}")
        self._prepared: dict[str, bytes] = {}

    def run(self, statement: str, parameters: list[str | None] | None = None) -> Answer:
        """Runs a statement with parameters as text and waits for all of its rows."""
        name = self._prepared.get(statement)
        if name is None:
            name = f"s{len(self._prepared)}".encode()
            self._checked(self._connection.prepare(name, statement.encode()))
            self._prepared[statement] = name
        values = [None if one is None else one.encode() for one in parameters or []]
        start = time.perf_counter()
        result = self._connection.exec_prepared(name, values)
        return self._answer(start, result)

    def execute(self, statement: str) -> Answer:
        """Runs a statement as it is, planned for this once, as tools do that write SQL."""
        start = time.perf_counter()
        result = self._connection.exec_(statement.encode())
        return self._answer(start, result)

    def _answer(self, start: float, result: pq.abc.PGresult) -> Answer:
        seconds = time.perf_counter() - start
        if result.status == pq.ExecStatus.FATAL_ERROR and result.error_field(pq.DiagnosticField.SQLSTATE) == TIMED_OUT:
            return Answer(seconds, result, True)
        self._checked(result)
        return Answer(seconds, result, False)

    def close(self) -> None:
        """Ends the session."""
        self._connection.finish()

    def _checked(self, result: pq.abc.PGresult) -> None:
        if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
            raise RuntimeError(result.error_message.decode().strip())


def text_array(values: tuple[str, ...]) -> str:
    """An array of texts as PostgreSQL reads it."""
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"
