"""audit_log.page, a page as people see it, with its total; and activity_daily, counts by day."""

from __future__ import annotations

import time

from listing.measurement import Measurement
from listing.session import Answer, Session

FIRST_MS, SELECTIVE_MS, BROAD_MS, DAILY_MS = 300.0, 1000.0, 4000.0, 100.0
CALL_SECONDS, CLASS_SECONDS, MOST_CALLS = 60.0, 30.0, 50
ORGANIZATION = "org-01"

PAGE = """
    SELECT * FROM audit_log.page(page => 1, page_size => 50, search => $1::text,
      start_date => $2::timestamptz, end_date => $3::timestamptz, organization => $4::text)
"""
HAS_PAGE = "SELECT EXISTS (SELECT FROM pg_proc WHERE pronamespace = 'audit_log'::regnamespace AND proname = 'page')"
DAILY = """
    SELECT day, category, sum(events) FROM audit_log.activity_daily
    WHERE day >= ($1::timestamptz AT TIME ZONE 'UTC')::date AND day < ($2::timestamptz AT TIME ZONE 'UTC')::date
      AND ($3::text IS NULL OR organization_id = $3::text)
    GROUP BY 1, 2
"""
# The id of a target that few entries have, and a word that is part of many target types.
SELECTIVE = """
    SELECT min(e.target_id) FROM audit_log.event e
    JOIN bench.frequency f ON f.dimension = 'target_ids' AND f.value = e.target_id AND f.entries <= 3
    WHERE e.organization_id = %s AND e.occurred_at >= %s AND e.occurred_at < %s
"""
BROAD = "object"


def measure(run: Measurement) -> None:
    """Times over the 30 days; the reach holds for the 99th percentile."""
    session, month = run.session(timeout_seconds=CALL_SECONDS), run.dataset.month
    bounds = [month.start.isoformat(), month.end.isoformat()]
    if run.server.value(run.dataset.database, HAS_PAGE):
        day = run.dataset.day(month.end - (month.end - month.start) / 10)
        term = run.server.value(run.dataset.database, SELECTIVE, ORGANIZATION, day.start, day.end)
        terms = {"first page": (None, FIRST_MS), "a selective term": (term, SELECTIVE_MS), "a broad term": (BROAD, BROAD_MS)}
        for subject, (search, reach) in terms.items():
            answer = timed(run, session, f"page, {subject}", PAGE, [search, *bounds, ORGANIZATION], reach)
            print(f"   {subject}{f', “{search}”' if search else ''}: {answer.last('total') or 0} in all", flush=True)
    else:
        run.figures.leave_out("audit_log.page", "the server has no such function")
    for subject, organization in (("everything", None), ("the largest organization", ORGANIZATION)):
        timed(run, session, f"activity_daily by day and category, {subject}", DAILY, [*bounds, organization], DAILY_MS)
    session.close()


def timed(run: Measurement, session: Session, subject: str, statement: str, parameters: list[str | None],
          reach: float | None, phase: str = "page") -> Answer:
    """Keeps the times of a statement, run once before; the last answer."""
    answer = session.run(statement, parameters)
    times: list[float] = []
    ended = answer.timed_out
    deadline = time.monotonic() + CLASS_SECONDS
    while len(times) < min(run.calls, MOST_CALLS) and (not times or time.monotonic() < deadline):
        answer = session.run(statement, parameters)
        ended = ended or answer.timed_out
        times.append(answer.seconds)
    run.figures.add_times(phase, subject, times, p99=reach, note=f"ended after {CALL_SECONDS:.0f} s" if ended else "")
    return answer
