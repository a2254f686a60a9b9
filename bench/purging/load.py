"""Sessions that write and list while something else is measured, and how long they wait for locks."""

from __future__ import annotations

import subprocess
import threading
import time

from shared.pgbench import SCRIPTS
from shared.server import Server, clean_environment

# By application name: the longest wait for a lock on a table that goes on at this moment, in milliseconds.
WAITING = """
    SELECT a.application_name, extract(epoch FROM max(clock_timestamp() - l.waitstart))::float8 * 1000
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE NOT l.granted AND l.locktype = 'relation' AND l.waitstart IS NOT NULL AND a.application_name IN ('purge_write', 'purge_list')
    GROUP BY 1
"""
LOOKS_EVERY = 0.002
WARM_UP = 2.0


class Load:
    """pgbench until this ends: so many writers at full speed, so many readers each so often a second. waits has the longest of each, in ms."""

    def __init__(self, server: Server, database: str, writers: int, readers: int, reads: int) -> None:
        self.waits = {"purge_write": 0.0, "purge_list": 0.0}
        self._server = server
        self._running = [self._pgbench(database, "purge_write", writers), self._pgbench(database, "purge_list", readers, "-R", str(readers * reads))]
        self._over = threading.Event()
        self._looker = threading.Thread(target=self._look)

    def __enter__(self) -> Load:
        time.sleep(WARM_UP)
        self._looker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._looker.join()
        for process in self._running:
            process.terminate()
            process.wait()

    def check(self) -> None:
        """Fails where a client has."""
        for process in self._running:
            if process.poll() is not None:
                raise RuntimeError(f"pgbench ended early: {process.communicate()[1]}")

    def _pgbench(self, database: str, script: str, clients: int, *options: str) -> subprocess.Popen:
        command = [self._server.bindir / "pgbench", "-h", self._server.socket, "-U", "postgres", "-n", "-M", "prepared",
                   "-c", str(clients), "-j", str(clients), "-T", "3600", *options, "-f", SCRIPTS / f"{script}.pgbench", database]
        environment = {**clean_environment(), "PGAPPNAME": script}
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)

    def _look(self) -> None:
        with self._server.connect("postgres") as connection:
            while not self._over.is_set():
                for name, waited in connection.execute(WAITING).fetchall():
                    self.waits[name] = max(self.waits[name], waited)
                time.sleep(LOOKS_EVERY)
