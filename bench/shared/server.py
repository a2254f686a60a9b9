"""A running cluster: connections, databases, settings."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

SETTINGS = (
    "autovacuum", "checkpoint_timeout", "fsync", "full_page_writes", "jit", "max_wal_size", "server_version",
    "shared_buffers", "synchronous_commit", "wal_level",
)


class Server:
    """A running cluster, reached by the socket in its directory as the user postgres."""

    def __init__(self, bindir: Path, socket: str) -> None:
        self.bindir = bindir
        self.socket = socket
        # Kept open, so that it is never among the backends whose CPU time is counted when they end.
        self.admin = self.connect("postgres")
        self.postmaster = parent_of(self.admin.info.backend_pid)

    def connect(self, database: str) -> psycopg.Connection:
        """A new session, each statement a transaction."""
        return psycopg.connect(host=self.socket, user="postgres", dbname=database, autocommit=True,
                               application_name="bench")

    def run(self, database: str, *statements: str) -> None:
        """Runs statements in a session of their own."""
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement)

    def value(self, database: str, query: str, *parameters: object) -> object:
        """The first column of a query's first row."""
        with self.connect(database) as connection:
            return connection.execute(query, parameters or None).fetchone()[0]

    def rows(self, database: str, query: str, *parameters: object) -> list[tuple]:
        """All rows of a query."""
        with self.connect(database) as connection:
            return connection.execute(query, parameters or None).fetchall()

    def run_file(self, database: str, file: Path, **variables: object) -> None:
        """Runs a file by psql; the error is what psql says."""
        command = [self.bindir / "psql", "-X", "-q", "-h", self.socket, "-U", "postgres", "-d", database,
                   "-v", "ON_ERROR_STOP=1", "-f", file]
        for name, value in variables.items():
            command += ["-v", f"{name}={value}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environment())
        if done.returncode != 0:
            raise RuntimeError(f"{Path(file).name} failed in {database}:\n{done.stderr.strip()}")

    def create_database(self, name: str, template: str = "template1") -> None:
        """A database like the template, which nobody may be connected to."""
        self.admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))

    def drop_database(self, name: str) -> None:
        """Drops a database, if it is there."""
        self.admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))

    def offers(self, extension: str) -> bool:
        """Whether an extension's files are there."""
        query = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = %s)"
        return self.admin.execute(query, (extension,)).fetchone()[0]

    def data_directory(self) -> str:
        """Where the server keeps its databases."""
        return self.admin.execute("SHOW data_directory").fetchone()[0]

    def settings(self) -> dict[str, str]:
        """Settings that matter to what is measured."""
        return {name: self.admin.execute("SELECT current_setting(%s)", (name,)).fetchone()[0] for name in SETTINGS}


def clean_environment() -> dict[str, str]:
    """The environment without what would lead PostgreSQL's programs elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def parent_of(pid: int) -> int:
    """The process that started another one."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])
