"""Runs of pgbench."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from shared.server import Server, clean_environment

SCRIPTS = Path(__file__).parent.parent / "sql"


@dataclass
class Run:
    """What a run did: transactions in all, and transactions a second without the time to connect."""

    transactions: int
    per_second: float


def run(server: Server, database: str, script: str, *, clients: int = 1, rows: int = 1,
        seconds: int | None = None, transactions: int | None = None) -> Run:
    """Runs sql/SCRIPT.pgbench with prepared statements, for so many seconds or so many transactions a client."""
    bound = ["-T", str(seconds)] if transactions is None else ["-t", str(transactions)]
    command = [server.bindir / "pgbench", "-h", server.socket, "-U", "postgres", "-n", "-M", "prepared",
               "-c", str(clients), "-j", str(clients), "-D", f"rows={rows}", *bound,
               "-f", SCRIPTS / f"{script}.pgbench", database]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environment())
    processed = re.search(r"actually processed: (\d+)", done.stdout)
    failed = re.search(r"failed transactions: (\d+)", done.stdout)
    rate = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    if done.returncode != 0 or not (processed and failed and rate) or int(failed[1]) > 0:
        raise RuntimeError(f"pgbench {script} failed in {database}:\n{done.stdout}{done.stderr}")
    return Run(int(processed[1]), float(rate[1]))
