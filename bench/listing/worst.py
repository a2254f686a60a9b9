"""The worst cases found, and the plan of the first: of the call, and of the statements within it, where it runs any."""

from __future__ import annotations

import re
from statistics import median

import psycopg

from listing.case import LIST
from listing.measurement import Measurement

# So many of the slowest calls are repeated so often, to tell the slow from the disturbed.
CANDIDATES, REPEATS = 10, 3

NESTED = """
    LOAD 'auto_explain';
    SET auto_explain.log_min_duration = '1ms'; SET auto_explain.log_nested_statements = on; SET auto_explain.log_analyze = on;
    SET auto_explain.log_buffers = on; SET auto_explain.log_timing = on; SET client_min_messages = log
"""


def plan(run: Measurement) -> str:
    """The slowest cases of list, and of the first the plan with buffers, as text; empty where no case was timed."""
    if not run.slowest:
        return ""
    session = run.session()
    candidates = sorted(run.slowest, key=lambda one: -one.seconds)[:CANDIDATES]
    times = [(median(session.run(LIST, one.case.parameters()).seconds for _ in range(REPEATS)), one.case) for one in candidates]
    session.close()
    times.sort(key=lambda one: -one[0])
    case = times[0][1]
    lines = [*(f"{seconds * 1000:8.2f} ms  {one.label()}" for seconds, one in times), ""]
    nested: list[str] = []
    with run.server.connect(run.dataset.database) as connection:
        connection.execute(case.call())
        lines += [row[0] for row in connection.execute(f"EXPLAIN (ANALYZE, BUFFERS) {case.call()}")]
        try:
            connection.execute(NESTED)
        except psycopg.errors.UndefinedFile:
            lines.append("The server has no auto_explain: plans within the call are not shown.")
            return "\n".join(lines)
        connection.add_notice_handler(lambda notice: nested.append(notice.message_primary or ""))
        connection.execute(case.call())
    # The last is the call itself.
    return shortened("\n".join([*lines, *(f"\n{one.rstrip()}" for one in nested[:-1])]))


def shortened(plans: str) -> str:
    """Lists of many values with the first two."""
    return re.sub(r"\{([^,{}]*,[^,{}]*),[^{}]*\}", r"{\1,…}", plans)
