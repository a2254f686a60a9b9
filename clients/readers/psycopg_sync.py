"""psycopg 3: a copy kept by audit_log.sync in SQLite, cursor and rows in one transaction, through crashes of both sides."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import psycopg

from readers.log import Log, expect

NAME = "psycopg 3, audit_log.sync"
TEXT = "id::text, occurred_at::text, organization_id, category, target_id, target_name, before::text, after::text, position"


def read(log: Log) -> str:
    """Killed between rows and commit, the server crashed, late commits, writers beside it; then compared."""
    file = log.scratch / "copy.sqlite"
    expect(follow(log, file, dies_after=3) == -signal.SIGKILL, "the reader was not killed")
    log.crash()
    expect(follow(log, file, dies_after=2) == -signal.SIGKILL, "the reader was not killed")
    with log.late(20):
        log.write(30)
        expect(follow(log, file) == 0, "the reader failed")
        expect(copied(file) == rows(log), "the copy differs while a transaction is open")
    writers = [threading.Thread(target=lambda: [log.write(3) for _ in range(12)]) for _ in range(2)]
    for writer in writers:
        writer.start()
    expect(follow(log, file, dies_after=2) in (0, -signal.SIGKILL), "the reader failed")
    expect(follow(log, file) == 0, "the reader failed")
    for writer in writers:
        writer.join()
    expect(follow(log, file) == 0, "the reader failed")
    log.entries()
    copy = copied(file)
    expect(copy == rows(log), "the copy is not as the log")
    return f"{len(copy)} entries, each once, through two killed readers, a crashed server and a late commit"


def follow(log: Log, file: Path, dies_after: int = 0) -> int:
    """Runs the reader below until nothing is new; gives its status."""
    command = [sys.executable, "-m", "readers.psycopg_sync", log.socket, log.name, file, str(dies_after)]
    return subprocess.run(command, check=False).returncode


def rows(log: Log) -> list[tuple]:
    """What the copy must have."""
    with log.connect() as connection:
        query = f"SELECT {TEXT} FROM audit_log.entry ORDER BY position"
        return connection.cursor(row_factory=psycopg.rows.tuple_row).execute(query).fetchall()


def copied(file: Path) -> list[tuple]:
    """What the copy has; its table refuses a second row of an id."""
    return sqlite3.connect(file).execute("SELECT * FROM copied ORDER BY position").fetchall()


def keep(socket: str, database: str, file: str, dies_after: int) -> None:
    """The reader: a page and the cursor behind it, in one transaction of the copy's."""
    copy = sqlite3.connect(file)
    copy.execute("CREATE TABLE IF NOT EXISTS copied (id PRIMARY KEY, occurred_at, organization_id, category, target_id,"
                 " target_name, before, after, position)")
    copy.execute("CREATE TABLE IF NOT EXISTS reached (cursor)")
    with psycopg.connect(host=socket, user="reader", dbname=database, autocommit=True) as source:
        kept = copy.execute("SELECT cursor FROM reached").fetchone()
        token = kept[0] if kept else source.execute("SELECT audit_log.sync_start('1970-01-02Z')").fetchone()[0]
        pages = 0
        while page := source.execute(f'SELECT {TEXT}, "cursor" FROM audit_log.sync(%s, 40)', (token,)).fetchall():
            copy.executemany("INSERT INTO copied VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", [row[:-1] for row in page])
            pages += 1
            if pages == dies_after:
                os.kill(os.getpid(), signal.SIGKILL)
            token = page[-1][-1]
            copy.execute("DELETE FROM reached")
            copy.execute("INSERT INTO reached VALUES (?)", (token,))
            copy.commit()


if __name__ == "__main__":
    keep(*sys.argv[1:4], int(sys.argv[4]))
