"""Apache Superset: the view entry as a dataset, asked as its table and time-series charts ask, through its own API."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from datetime import datetime, timezone

from readers.log import CLIENTS, INSTALLED, Log, expect, same

NAME = "Apache Superset, charts on audit_log.entry"
SHOWN = ("id", "organization_id", "category", "operation", "target_id", "target_name", "actor_name", "position")
# No rows: what Superset shows of these is its own, jsonb as text.
ROWS = {"columns": [*SHOWN, "occurred_at"], "orderby": [["position", True]], "row_limit": 10_000}
FILTERED = {**ROWS, "filters": [{"col": "organization_id", "op": "==", "val": "acme"}, {"col": "category", "op": "IN", "val": ["job_opened"]}]}
BY_DAY = {"columns": [{"columnType": "BASE_AXIS", "expressionType": "SQL", "label": "occurred_at", "sqlExpression": "occurred_at", "timeGrain": "P1D"},
                      "category"],
          "metrics": [{"expressionType": "SQL", "sqlExpression": "COUNT(*)", "label": "events"}], "row_limit": 10_000,
          "extras": {"time_grain_sqla": "P1D"}}


def read(log: Log) -> str:
    """Columns as Superset finds them, all rows, rows by filters, and events by day and category."""
    log.write(30, "3 days")
    written = log.entries()
    found = asked(log, {"rows": ROWS, "filtered": FILTERED, "by_day": BY_DAY})
    expect(set(found["columns"]) == set(written[0]), f"columns: {sorted(found['columns'])}")
    spelled = [{**row, "id": str(row["id"])} for row in written]
    count = same(found["charts"]["rows"], spelled, SHOWN)
    some = [row for row in spelled if row["organization_id"] == "acme" and row["category"] == "job_opened"]
    same(found["charts"]["filtered"], some, SHOWN)
    days = Counter((row["occurred_at"].astimezone(timezone.utc).date(), row["category"]) for row in written)
    shown = Counter({(day(row["occurred_at"]), row["category"]): row["events"] for row in found["charts"]["by_day"]})
    expect(shown == days, f"events by day and category: {shown}, not {days}")
    return f"{len(found['columns'])} columns, {count} entries, {len(some)} by filters, {len(days)} groups by day and category"


def day(shown: float | str) -> object:
    """A day as Superset's JSON has it: milliseconds since 1970."""
    return datetime.fromtimestamp(float(shown) / 1000, timezone.utc).date()


def asked(log: Log, charts: dict) -> dict:
    """What Superset answers, with a database of its own that is made first."""
    environment = {**os.environ, "SUPERSET_HOME": str(log.scratch), "SUPERSET_SECRET_KEY": "of this run alone, and no longer than it",
                   "SUPERSET_CONFIG_PATH": str(CLIENTS / "superset" / "superset_config.py"), "FLASK_APP": "superset.app:create_app()"}
    bin_ = INSTALLED / "superset" / "bin"
    for step in ("db", "upgrade"), ("init",):
        run([bin_ / "superset", *step], environment)
    request, answer = log.scratch / "request.json", log.scratch / "answer.json"
    request.write_text(json.dumps({"url": log.url("psycopg2"), "view": "entry", "charts": charts}))
    run([bin_ / "python", CLIENTS / "superset" / "ask.py", request, answer], environment)
    return json.loads(answer.read_text())


def run(command: list, environment: dict) -> None:
    """Runs a program; what it says where it fails is the reason."""
    done = subprocess.run(command, text=True, capture_output=True, check=False, env=environment)
    expect(done.returncode == 0, f"{command[:2]} failed:\n{done.stderr[-3000:]}")
