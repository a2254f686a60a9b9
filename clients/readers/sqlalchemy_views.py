"""SQLAlchemy, on which BI tools build: the views entry, bi_audit_log and feed reflected and read, with a BI tool's questions."""

from __future__ import annotations

import warnings

from sqlalchemy import MetaData, Table, create_engine, func, inspect, select, text

from readers.log import Log, expect, same

NAME = "SQLAlchemy, the views reflected"
VIEWS = ("entry", "entry_target", "entry_change", "feed", "bi_audit_log", "organization")


def read(log: Log) -> str:
    """What an inspector shows, then rows by a driver's own types, then groups by day."""
    engine = create_engine(log.url("psycopg"))
    with warnings.catch_warnings(record=True) as unknown:
        warnings.simplefilter("always")
        looked_at(engine)
        tables = {view: Table(view, MetaData(), schema="audit_log", autoload_with=engine) for view in VIEWS}
    said = sorted({str(warning.message) for warning in unknown})
    expect(said == ["Did not recognize type 'xid8' of column 'transaction_id'"], f"warnings of reflection: {said}")
    entry, bi = tables["entry"], tables["bi_audit_log"]
    written = log.entries()
    with engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(select(entry)).mappings()]
        count = same(rows, written)
        page = select(entry.c.id).order_by(entry.c.occurred_at.desc(), entry.c.id.desc()).limit(50).offset(100)
        expect([row.id for row in connection.execute(page)] == [row["id"] for row in written[100:150]], "LIMIT and OFFSET differ")
        grouped(connection, bi, written)
        # Superset looks at a table's first rows so.
        expect(len(connection.execute(text("SELECT * FROM audit_log.bi_audit_log LIMIT 10")).all()) == 10, "no preview")
    engine.dispose()
    return f"{len(VIEWS)} views with comments, {count} entries, groups by day and type"


def looked_at(engine: object) -> None:
    """Names, columns and comments, as a BI tool lists them."""
    inspector = inspect(engine)
    expect("audit_log" in inspector.get_schema_names(), "the schema is not listed")
    views = inspector.get_view_names("audit_log")
    for view in VIEWS:
        expect(view in views, f"{view} is not among the views {views}")
        expect(bool(inspector.get_table_comment(view, "audit_log")["text"]), f"{view} has no comment")
        bare = [column["name"] for column in inspector.get_columns(view, "audit_log") if not column["comment"]]
        expect(not bare, f"columns of {view} have no comment: {bare}")


def grouped(connection: object, bi: Table, written: list[dict]) -> None:
    """How many events of each type a day, with a label and a limit, as a chart asks."""
    day = func.date_trunc("day", bi.c.event_time).label("__timestamp")
    chart = select(day, bi.c.event_type, func.count().label("events"), func.count(bi.c.performer_id.distinct())).where(
        bi.c.event_time >= written[-1]["occurred_at"], bi.c.organization_id == "acme").group_by(day, bi.c.event_type).limit(1000)
    types = {"insert": "data_change_create", "update": "data_change_update", "delete": "data_change_destroy"}
    must: dict[str, int] = {}
    for row in written:
        if row["organization_id"] == "acme":
            kind = types.get(row["operation"], "action")
            must[kind] = must.get(kind, 0) + 1
    got: dict[str, int] = {}
    for row in connection.execute(chart):
        got[row.event_type] = got.get(row.event_type, 0) + row.events
    expect(got == must, f"events by type are {got}, not {must}")
