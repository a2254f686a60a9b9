"""The solutions compared, and how each is put on the table jobs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Callable

from capture.server import Server

SQL = Path(__file__).parent.parent / "sql"
PEERS = Path(__file__).parent.parent / "peers"

ONE_EACH = {"insert": 1, "update": 1, "delete": 1}


@dataclass
class Solution:
    """A way to capture.

    log: the relation that entries go to; None where nothing is captured.
    key: a column of it that is greater for later entries, by which those of a run are counted; None counts all.
    entries: how many rows of it an operation on one row makes; None is found out by doing one.
    """

    name: str
    install: Callable[[Server, str], None]
    log: str | None = None
    key: str | None = None
    entries: dict[str, int] | None = field(default_factory=lambda: dict(ONE_EACH))
    remove: Callable[[Server, str], None] = lambda server, database: None
    needs_extension: str | None = None
    version: Callable[[Server], str] = lambda server: ""


def by_file(name: str) -> Callable[[Server, str], None]:
    """Installs by a file of sql/."""
    return lambda server, database: server.run_file(database, SQL / name)


def by_script(name: str, *arguments: str) -> Callable[[Server, str], None]:
    """Installs by a program of peers/, which gets socket directory, database and the arguments."""

    def install(server: Server, database: str) -> None:
        command = [sys.executable, PEERS / name, server.socket, database, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PEERS)
        if done.returncode != 0:
            raise RuntimeError(f"{name} failed:\n{done.stderr.strip()}")

    return install


def install_audit_log(server: Server, database: str) -> None:
    """Watches the table and sets the context, and makes sure that entries carry it."""
    server.run_file(database, SQL / "audit_log.sql")
    with server.connect(database) as connection, connection.transaction(force_rollback=True):
        connection.execute("UPDATE jobs SET title = title || '!' WHERE id = 1")
        query = "SELECT actor_id, organization_id FROM audit_log.entry ORDER BY occurred_at DESC, id DESC LIMIT 1"
        found = connection.execute(query).fetchone()
    if found != ("1042", "acme"):
        raise RuntimeError(f"audit_log: an entry does not carry the context, but {found}")


def extension_version(name: str) -> Callable[[Server], str]:
    """The version an extension's files would install."""
    query = "SELECT default_version FROM pg_available_extensions WHERE name = %s"
    return lambda server: server.admin.execute(query, (name,)).fetchone()[0]


def package_version(name: str) -> Callable[[Server], str]:
    """The version of a Python package."""
    return lambda server: version(name)


BUILT_IN = [
    Solution("unwatched", install=lambda server, database: None),
    Solution("audit_log", install=install_audit_log, log="audit_log.event", key="occurred_at",
             needs_extension="audit_log", version=extension_version("audit_log")),
    Solution("plpgsql", install=by_file("plpgsql.sql"), log="jobs_log", key="id"),
    # An update's old and new row are a row of its log each.
    Solution("table_log", install=by_file("table_log.sql"), log="jobs_log", key="trigger_id",
             entries={"insert": 1, "update": 2, "delete": 1},
             needs_extension="table_log", version=extension_version("table_log")),
    Solution("postgresql_audit", install=by_script("postgresql_audit_setup.py"), log="activity", key="id",
             version=package_version("PostgreSQL-Audit")),
    Solution("django_pghistory", install=by_script("django_pghistory_setup.py", "row"),
             log="django_jobs_jobevent", key="pgh_id", version=package_version("django-pghistory")),
    Solution("django_pghistory_statement", install=by_script("django_pghistory_setup.py", "statement"),
             log="django_jobs_jobevent", key="pgh_id", version=package_version("django-pghistory")),
]

NAMES = [solution.name for solution in BUILT_IN]


def extra(name: str, setup: str, teardown: str, log: str) -> Solution:
    """A solution given on the command line by two files and its log's relation."""
    return Solution(name, log=log, entries=None,
                    install=lambda server, database: server.run_file(database, Path(setup)),
                    remove=lambda server, database: server.run_file(database, Path(teardown)))
