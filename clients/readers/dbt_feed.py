"""dbt: the package in clients/dbt, whose model is incremental by position, run through late commits, then tested."""

from __future__ import annotations

import os
import subprocess

from readers.log import CLIENTS, INSTALLED, Log, expect, same

NAME = "dbt-postgres, an incremental model on audit_log.feed"


def read(log: Log) -> str:
    """Three runs, the first with a transaction open; the tests, and how fresh the sources are."""
    with log.late(25):
        log.write(30)
        dbt(log, "run")
        first = modelled(log)
    log.write(10)
    tested = dbt(log, "build")
    count = same(modelled(log), log.entries())
    expect(len(first) < count, "the second run brought nothing")
    dbt(log, "run")
    same(modelled(log), log.entries())
    fresh = dbt(log, "source", "freshness")
    expect(tested.count("PASS") >= 10 and fresh.count("PASS freshness") == 2, f"tests or freshness were not run: {tested}{fresh}")
    return f"{len(first)} entries by the first run, {count} after the third, each once; every test passed, both sources are fresh"


def dbt(log: Log, *command: str) -> str:
    """Runs dbt; what it says where it fails is the reason."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "DBT", "PYTHON"))}
    environment |= {"AUDIT_LOG_HOST": str(log.socket), "AUDIT_LOG_DATABASE": log.name, "DO_NOT_TRACK": "1"}
    program = [INSTALLED / "dbt" / "bin" / "dbt", "--no-use-colors", "--no-version-check", *command, "--project-dir", CLIENTS / "dbt",
               "--profiles-dir", CLIENTS / "dbt", "--target-path", log.scratch / "target"]
    done = subprocess.run(program, cwd=log.scratch, env=environment | {"DBT_LOG_PATH": str(log.scratch / "logs")}, text=True,
                          capture_output=True, check=False)
    expect(done.returncode == 0, f"dbt {' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def modelled(log: Log) -> list[dict]:
    """The model's rows."""
    with log.connect("reader") as connection:
        return connection.execute("SELECT * FROM analytics.audit_log_entries").fetchall()
