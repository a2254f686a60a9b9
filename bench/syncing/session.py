"""A session whose results are received and thrown away: prepared statements, as in make bench-list, and COPY."""

from __future__ import annotations

from typing import Callable

from psycopg import pq

from listing.session import Session


class Reading(Session):
    """A connection by libpq that can also COPY to the client."""

    @property
    def backend(self) -> int:
        """The process that serves it."""
        return self._connection.backend_pid

    def value(self, statement: str) -> str | None:
        """The first column of a statement's only row."""
        answer = self.execute(statement)
        return answer.last(answer.result.fname(0).decode())

    def copy(self, query: str, options: str = "") -> Copy:
        """Begins to COPY what a query gives to here."""
        result = self._connection.exec_(f"COPY ({query}) TO STDOUT {options}".encode())
        if result.status != pq.ExecStatus.COPY_OUT:
            self._checked(result)
        return Copy(self._connection, self._checked)


class Copy:
    """A COPY under way; lines are those received so far."""

    def __init__(self, connection: pq.abc.PGconn, checked: Callable[[pq.abc.PGresult], None]) -> None:
        self._connection = connection
        self._checked = checked
        self.lines = 0

    def read_until(self, lines: int) -> None:
        """Receives lines until there were so many; fails where there are fewer."""
        receive = self._connection.get_copy_data
        while self.lines < lines:
            if receive(0)[0] < 0:
                self._end()
                raise RuntimeError(f"COPY gave {self.lines} lines, not {lines}")
            self.lines += 1

    def read_all(self) -> None:
        """Receives the rest; fails where the server did."""
        receive = self._connection.get_copy_data
        while receive(0)[0] > 0:
            self.lines += 1
        self._end()

    def _end(self) -> None:
        while (result := self._connection.get_result()) is not None:
            self._checked(result)
