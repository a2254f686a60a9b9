"""dlt: the view feed into DuckDB, incremental by position, with a transaction that commits between two runs."""

from __future__ import annotations

import os
import warnings

from sqlalchemy import ARRAY, Column, ColumnElement, Select, Table, Text, cast, func
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.types import NullType

from readers.log import Log, expect, same

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "ERROR"
warnings.filterwarnings("ignore", message="Did not recognize type 'xid8'")

# After the settings, which it reads.
import dlt  # noqa: E402
import duckdb  # noqa: E402
from dlt.sources.sql_database import sql_table  # noqa: E402

NAME = "dlt, audit_log.feed into DuckDB"
AS_TEXT = ("targets", "before", "after", "changes", "metadata", "access_route")
COLUMNS = ("id", "occurred_at", "organization_id", "category", "operation", "actor_name", "target_id", "target_name", "user_agent",
           "remote_addr", "position", *AS_TEXT)


def read(log: Log) -> str:
    """Three runs: all there is, with a transaction open; what came since; nothing."""
    file = str(log.scratch / "warehouse.duckdb")
    with log.late(25):
        log.write(30)
        run(log, file)
        first = loaded(file)
    log.write(10)
    run(log, file)
    run(log, file)
    rows = loaded(file)
    expect(len(first) < len(rows), "the second run brought nothing")
    return f"{len(first)} entries by the first run, {same(rows, written(log), COLUMNS)} after the third, each once"


def run(log: Log, file: str) -> None:
    """What a user's script would be."""
    pipeline = dlt.pipeline("audit_log", destination=dlt.destinations.duckdb(file), dataset_name="audit",
                            pipelines_dir=str(log.scratch / "dlt"))
    feed = sql_table(credentials=log.url("psycopg"), schema="audit_log", table="feed", chunk_size=100,
                     incremental=dlt.sources.incremental("position", row_order="asc"), query_adapter_callback=as_text)
    feed.apply_hints(columns={column: {"data_type": "text"} for column in AS_TEXT})
    pipeline.run(feed, write_disposition="append")


def as_text(query: Select, table: Table) -> Select:
    """JSON as PostgreSQL writes it, digits and all; addresses, which dlt does not know, as text."""
    def column(of: Column) -> ColumnElement:
        if isinstance(of.type, INET):
            return func.host(of).label(of.name)
        if isinstance(of.type, ARRAY):
            return cast(func.to_jsonb(of), Text).label(of.name)
        return cast(of, Text).label(of.name) if isinstance(of.type, (JSONB, NullType)) else of
    return query.with_only_columns(*map(column, table.columns))


def loaded(file: str) -> list[dict]:
    """The rows in DuckDB."""
    with duckdb.connect(file, read_only=True) as warehouse:
        cursor = warehouse.execute(f"SELECT {', '.join(COLUMNS)} FROM audit.feed")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row)) for row in cursor.fetchall()]


def written(log: Log) -> list[dict]:
    """What must be there, the same columns as text."""
    rows = log.entries()
    with log.connect() as connection:
        columns = ", ".join(f"to_jsonb({column})::text AS {column}" for column in AS_TEXT)
        texts = {row["id"]: row for row in connection.execute(
            f"SELECT id, id::text AS text_id, host(remote_addr) AS remote_addr, {columns} FROM audit_log.entry").fetchall()}
    return [row | texts[row["id"]] | {"id": texts[row["id"]]["text_id"]} for row in rows]
