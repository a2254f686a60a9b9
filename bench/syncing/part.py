"""The part of the log that is read: the newest entries, by their time and by their position."""

from __future__ import annotations

from dataclasses import dataclass

from syncing.run import Run

LAST_BEFORE = """
    SELECT position, id, ('x' || left(position, 16))::bit(64)::bigint FROM audit_log.entry
    WHERE occurred_at < %s ORDER BY occurred_at DESC, id DESC LIMIT 1
"""
SINCE = "SELECT id::text FROM audit_log.event WHERE occurred_at >= %s"
BEHIND = "SELECT id::text FROM audit_log.event WHERE (feed, id) > (%s, %s)"


@dataclass
class Part:
    """Entries since an instant, and behind the position that the last one before it has.

    Positions go with time but for a few hundred entries, of the log's own configuration.
    """

    since: str
    position: str
    ids_since: set[bytes]
    ids_behind: set[bytes]


def newest(run: Run) -> Part:
    """So many of the newest entries as are to be read."""
    log = run.log
    since = log.ends - (log.ends - log.starts) * (run.read / log.entries)
    (position, id_, feed), = run.server.rows(log.database, LAST_BEFORE, since)
    part = Part(since.isoformat(), position, ids(run, SINCE, since), ids(run, BEHIND, feed, id_))
    by_time, by_position = len(part.ids_since), len(part.ids_behind)
    print(f"   {by_time:,} entries since {since:%Y-%m-%d %H:%M}, {by_position:,} by their position", flush=True)
    return part


def ids(run: Run, query: str, *parameters: object) -> set[bytes]:
    """The ids a query gives."""
    return {id_.encode() for id_, in run.server.rows(run.log.database, query, *parameters)}
