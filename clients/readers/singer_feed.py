"""Singer: tap-postgres on the view feed, incremental by position, its state passed from run to run."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime
from pathlib import Path

from readers.log import INSTALLED, Log, expect, same

NAME = "Singer, tap-postgres on audit_log.feed"
STREAM = "audit_log-feed"
COLUMNS = ("id", "occurred_at", "organization_id", "category", "operation", "target_id", "target_name", "targets", "before", "after",
           "metadata", "user_agent", "position")


def read(log: Log) -> str:
    """Three runs as for dlt. A tap asks for >= what it had: the last row comes again, and a target knows it by id."""
    config = log.scratch / "config.json"
    # The tap insists on a host; the socket's directory goes before it.
    url = f"postgresql+psycopg2://reader:none@localhost:5432/{log.name}?host={log.socket}"
    config.write_text(json.dumps({"sqlalchemy_url": url, "filter_schemas": ["audit_log"]}))
    catalog = log.scratch / "catalog.json"
    catalog.write_text(json.dumps(selected(json.loads(tap("--config", config, "--discover")))))
    with log.late(25):
        log.write(30)
        first = run(log, config, catalog, "first")
    log.write(10)
    second = run(log, config, catalog, "second", after="first")
    third = run(log, config, catalog, "third", after="second")
    expect(len(third) == 1 and len(first.keys() & second.keys()) == 1, "more than the last row came again")
    count = same((first | second | third).values(), written(log), COLUMNS)
    return f"{len(first)} entries by the first run, {count} after the third, each once but a run's last row"


def selected(catalog: dict) -> dict:
    """The catalog with feed alone, tracked by position, its rows known by id."""
    streams = [stream for stream in catalog["streams"] if stream["tap_stream_id"] == STREAM]
    expect(len(streams) == 1, "feed was not discovered")
    root = next(entry for entry in streams[0]["metadata"] if not entry["breadcrumb"])
    root["metadata"] |= {"selected": True, "replication-method": "INCREMENTAL", "replication-key": "position",
                         "table-key-properties": ["id"]}
    return {"streams": [streams[0] | {"replication_method": "INCREMENTAL", "replication_key": "position", "key_properties": ["id"]}]}


def run(log: Log, config: Path, catalog: Path, name: str, after: str | None = None) -> dict[str, dict]:
    """The records of a run by id; its state is kept."""
    state = ["--state", log.scratch / f"{after}.json"] if after else []
    messages = [json.loads(line, parse_float=str) for line in tap("--config", config, "--catalog", catalog, *state).splitlines()]
    records = [message["record"] for message in messages if message["type"] == "RECORD"]
    last = [message["value"] for message in messages if message["type"] == "STATE"][-1]
    (log.scratch / f"{name}.json").write_text(json.dumps(last))
    expect(len({record["id"] for record in records}) == len(records), "a row came twice in one run")
    return {record["id"]: record | {"occurred_at": datetime.fromisoformat(record["occurred_at"])} for record in records}


def tap(*options: object) -> str:
    """Runs the tap; what it says where it fails is the reason."""
    done = subprocess.run([INSTALLED / "singer" / "bin" / "tap-postgres", *options], text=True, capture_output=True, check=False)
    expect(done.returncode == 0, f"tap-postgres failed:\n{done.stderr}")
    return done.stdout


def written(log: Log) -> list[dict]:
    """What must have come, numbers as text."""
    def spelled(value: object) -> object:
        return json.loads(json.dumps(value, default=str)) if isinstance(value, (dict, list)) else value
    return [{name: spelled(value) for name, value in row.items()} | {"id": str(row["id"])} for row in log.entries()]
