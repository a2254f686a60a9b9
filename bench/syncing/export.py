"""All of the log exported as CSV, beside COPY of entry: how fast, and what memory and temporary files it takes."""

from __future__ import annotations

import time
from dataclasses import dataclass

from shared.memory import PeakMemory, private_megabytes
from shared.rounds import rotated
from syncing.run import Run
from syncing.session import Reading

REACH_MB = 32.0
FLAT_MB = 1.0
PERCENT = (10, 50, 90)

EXPORT = ("SELECT * FROM audit_log.export(safe_cells => true)", "(FORMAT csv, HEADER)")
ENTRY = ("SELECT * FROM audit_log.entry", "")
TEMPORARY = "SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()"


@dataclass
class Done:
    """An export: lines, seconds, megabytes above the idle session (at PERCENT of the lines, and most), temporary bytes."""

    lines: int
    seconds: float
    megabytes: list[float]
    peak: float
    temporary: int


def measure(run: Run) -> None:
    """The share of COPY's entries a second in the same round; memory above that of the session before; temporary bytes."""
    entries = run.server.value(run.log.database, "SELECT count(*) FROM audit_log.entry")
    for round_ in run.each_round():
        rate = {}
        for name in rotated(["copy", "export"], round_):
            # CSV begins with a line of names.
            head = 1 if name == "export" else 0
            done = everything(run, *(EXPORT if name == "export" else ENTRY), entries)
            if done.lines != entries + head:
                raise RuntimeError(f"{name} gave {done.lines - head} entries, not {entries}")
            entries += head  # Every export is an entry, too.
            rate[name] = (done.lines - head) / done.seconds
            keep(run, name, done, rate[name])
        run.figures.add("export", "export_share", "export: share of COPY", "", rate["export"] / rate["copy"])


def keep(run: Run, name: str, done: Done, rate: float) -> None:
    """Keeps the figures of one way; the reach is the export's."""
    def add(measure: str, about: str, unit: str, value: float, reach: float | None = None) -> None:
        run.figures.add("export", f"{prefix}_{measure}", f"{label}: {about}" if about else label, unit, value,
                        reach=reach if name == "export" else None)

    prefix, label = ("export", "export") if name == "export" else ("entry", "COPY of entry")
    add("rate", "", "entries/s", rate)
    for percent, megabytes in zip(PERCENT, done.megabytes):
        add(f"memory_{percent}", f"memory at {percent} %, above idle", "MB", megabytes)
    add("memory_growth", f"from {PERCENT[0]} to {PERCENT[-1]} %", "MB", done.megabytes[-1] - done.megabytes[0], FLAT_MB)
    add("memory_peak", "most memory, above idle", "MB", done.peak, REACH_MB)
    add("temporary", "temporary files", "bytes", done.temporary, 0)


def everything(run: Run, query: str, options: str, entries: int) -> Done:
    """Receives all lines of a COPY in a new session."""
    session = run.session()
    session.execute("SELECT 1")
    idle = private_megabytes(session.backend)
    temporary = temporary_bytes(session)
    megabytes = []
    with PeakMemory(session.backend) as peak:
        start = time.perf_counter()
        copy = session.copy(query, options)
        for percent in PERCENT:
            copy.read_until(entries * percent // 100)
            megabytes.append(private_megabytes(session.backend) - idle)
        copy.read_all()
        seconds = time.perf_counter() - start
    temporary = temporary_bytes(session) - temporary
    session.close()
    return Done(copy.lines, seconds, megabytes, peak.megabytes - idle, temporary)


def temporary_bytes(session: Reading) -> int:
    """Bytes of temporary files that the database has had, this session's included."""
    session.execute("SELECT pg_stat_force_next_flush()")
    return int(session.value(TEMPORARY))
