"""The entries of a large log spread over the weeks before, a partition a week, as in a log that has been kept for a while."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from capture.server import Server

WEEKS = 12
PARENTS = ("audit_log.event", "audit_log.event_target")

# Without the instant, which comes first.
COLUMNS = """
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
    WHERE attrelid = 'audit_log.event'::regclass AND attnum > 1 AND NOT attisdropped
"""
SPREAD = """
    INSERT INTO audit_log.event (occurred_at, {columns})
    SELECT '{first}'::timestamptz + (row_number() OVER () - 1) * interval '{step} microseconds', {columns} FROM audit_log.event
"""
BOUNDS = "SELECT partition::text, lower, upper FROM audit_log.partition_bounds('audit_log.event') ORDER BY lower"
PARTITION = "SELECT partition::text FROM audit_log.partition_bounds(%s::regclass) WHERE lower = %s"


def spread(server: Server, database: str) -> None:
    """Dates all entries anew, evenly over the WEEKS before; the partitions that had them are empty then."""
    filled = [(lower, upper) for name, lower, upper in bounds(server, database)
              if server.value(database, f"SELECT EXISTS (SELECT FROM {name})")]
    entries = server.value(database, "SELECT count(*) FROM audit_log.event")
    if server.value(database, "SELECT EXISTS (SELECT FROM audit_log.event_target)"):
        raise RuntimeError(f"the entries of {database} have further targets, which would have to go with them")
    week = timedelta(weeks=1)
    first = filled[0][0] - WEEKS * week
    for number in range(WEEKS):
        create(server, database, first + number * week, first + (number + 1) * week)
    columns = server.value(database, COLUMNS)
    step = WEEKS * week // timedelta(microseconds=1) // entries
    server.run(database, SPREAD.format(columns=columns, first=first.isoformat(), step=step))
    for lower, upper in filled:
        renew(server, database, lower, upper)
    server.run(database, "VACUUM ANALYZE", "CHECKPOINT")
    found = server.value(database, "SELECT count(*) FROM audit_log.event WHERE occurred_at < %s", filled[0][0])
    if found != entries:
        raise RuntimeError(f"{found} entries of {database} were spread, not {entries}")


def empty_current(server: Server, database: str) -> None:
    """Empties the partitions that have entries of this benchmark's own time: what rounds before have written."""
    now = server.value(database, "SELECT now()")
    for _, lower, upper in bounds(server, database):
        if lower <= now < upper:
            renew(server, database, lower, upper)


def bounds(server: Server, database: str) -> list[tuple[str, datetime, datetime]]:
    """The partitions of entries, from when to when, in UTC."""
    return [(name, lower.astimezone(timezone.utc), upper.astimezone(timezone.utc))
            for name, lower, upper in server.rows(database, BOUNDS)]


def renew(server: Server, database: str, lower: datetime, upper: datetime) -> None:
    """Makes the partitions of a range anew."""
    for parent in PARENTS:
        name = server.value(database, PARTITION, parent, lower)
        server.run(database, f"ALTER TABLE {parent} DETACH PARTITION {name}", f"DROP TABLE {name}")
    create(server, database, lower, upper)


def create(server: Server, database: str, lower: datetime, upper: datetime) -> None:
    """Makes the partitions of a range."""
    for parent in PARENTS:
        if not server.value(database, "SELECT audit_log.create_partition(%s::regclass, %s, %s)", parent, lower, upper):
            raise RuntimeError(f"{parent} in {database} has a partition of {lower} already, or entries without one")
