"""A solution at work in a database: what it has logged, and that it has logged everything."""

from __future__ import annotations

from capture.server import Server
from capture.solutions import ONE_EACH, Solution

ONE_OF_EACH = {
    "insert": "INSERT INTO jobs SELECT -1, organization_id, title, department, location, status, employment_type, "
              "salary_min, salary_max, description, created_at, updated_at FROM jobs_seed WHERE id = 1",
    "update": "UPDATE jobs SET status = 'closed' WHERE id = -1",
    "delete": "DELETE FROM jobs WHERE id = -1",
}

# The log with all its partitions, TOAST tables and indexes, in bytes.
LOG_BYTES = """
    SELECT coalesce(sum(pg_total_relation_size(member)), 0)::bigint
    FROM (SELECT relid AS member FROM pg_partition_tree(%(log)s::regclass)
          UNION SELECT %(log)s::regclass) members
"""


class Subject:
    """A solution installed in a database that has the table jobs."""

    def __init__(self, server: Server, solution: Solution, database: str) -> None:
        self.server = server
        self.solution = solution
        self.database = database
        self.name = solution.name
        self.entries = solution.entries or ONE_EACH

    def install(self) -> None:
        """Installs the solution; an insert, an update and a delete of a row show that it captures."""
        self.solution.install(self.server, self.database)
        found = {}
        for operation, statement in ONE_OF_EACH.items():
            mark = self.mark()
            self.server.run(self.database, statement)
            found[operation] = self.added(mark)
        if self.solution.log is None:
            return
        if self.solution.entries is None and min(found.values()) >= 1:
            self.entries = found
        if found != self.entries:
            raise RuntimeError(f"{self.name}: an insert, an update and a delete of one row logged {found}, not {self.entries}")

    def mark(self) -> object:
        """Where the log ends now."""
        if self.solution.log is None:
            return None
        if self.solution.key is None:
            return self.server.value(self.database, f"SELECT count(*) FROM {self.solution.log}")
        return self.server.value(self.database, f"SELECT max({self.solution.key}) FROM {self.solution.log}")

    def added(self, mark: object) -> int:
        """Rows logged since a mark."""
        log, key = self.solution.log, self.solution.key
        if log is None:
            return 0
        if key is None:
            return self.server.value(self.database, f"SELECT count(*) FROM {log}") - mark
        if mark is None:
            return self.server.value(self.database, f"SELECT count(*) FROM {log}")
        return self.server.value(self.database, f"SELECT count(*) FROM {log} WHERE {key} > %s", mark)

    def check(self, mark: object, operation: str, operations: int) -> None:
        """Fails where the log has not grown by what the operations since the mark make."""
        if self.solution.log is None:
            return
        added, wanted = self.added(mark), operations * self.entries[operation]
        if added != wanted:
            raise RuntimeError(f"{self.name}: {operations} rows' {operation} logged {added} rows, not {wanted}")

    def log_bytes(self) -> int:
        """Bytes of the log: rows, TOAST and indexes."""
        if self.solution.log is None:
            return 0
        with self.server.connect(self.database) as connection:
            return connection.execute(LOG_BYTES, {"log": self.solution.log}).fetchone()[0]
