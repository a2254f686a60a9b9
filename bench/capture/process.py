"""What the kernel knows of the server's processes: CPU seconds."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Callable

from capture.server import Server
from shared.server import parent_of

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def backend_cpu(server: Server, work: Callable[[], None]) -> float:
    """CPU seconds, user and system, of the backends that began and ended while the work was done."""
    before, already = ended_cpu(server.postmaster), children(server.postmaster)
    work()
    # A backend's time is added to the postmaster's when that has noticed its end.
    deadline = time.monotonic() + 10
    while children(server.postmaster) - already:
        if time.monotonic() > deadline:
            raise RuntimeError("a backend of a finished run did not end within 10 seconds")
        time.sleep(0.01)
    return ended_cpu(server.postmaster) - before


def ended_cpu(postmaster: int) -> float:
    """CPU seconds of the postmaster's children that have ended."""
    fields = Path(f"/proc/{postmaster}/stat").read_text().rpartition(")")[2].split()
    user, system = int(fields[13]), int(fields[14])
    return (user + system) / TICKS_PER_SECOND


def children(postmaster: int) -> set[int]:
    """The postmaster's children, those included that it has not noticed the end of."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if parent_of(int(entry)) == postmaster:
                    found.add(int(entry))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found
