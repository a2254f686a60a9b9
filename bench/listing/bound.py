"""A login bound to one organization, for which row security is in force, beside the owner, for whom it is not."""

from __future__ import annotations

from typing import Callable

from listing.beside import medians
from listing.case import LIST, Case
from listing.measurement import Measurement
from listing.session import Answer

REACH = 1.3
QUERY_SECONDS = 20.0
ORGANIZATIONS = {"org-01": "the largest", "org-07": "a middling one"}

NEWEST = """
    SELECT id, occurred_at, category, operation, actor_id, actor_name, target_type, target_id, target_name, changes
    FROM audit_log.entry
    WHERE organization_id = '{organization}' AND occurred_at >= '{start}' AND occurred_at < '{end}' {more}
    ORDER BY occurred_at DESC LIMIT 100
"""
COUNTS = """
    SELECT date_trunc('day', occurred_at, 'UTC') AS day, category, count(*) FROM audit_log.entry
    WHERE organization_id = '{organization}' AND occurred_at >= '{start}' AND occurred_at < '{end}' GROUP BY 1, 2
"""


def measure(run: Measurement) -> None:
    """The ratio of medians, the two taking turns."""
    owner = run.session(timeout_seconds=0)
    dataset = run.dataset
    category = dataset.common("categories")[-1]
    day = dataset.day(dataset.starts + (dataset.ends - dataset.starts) * 0.9)
    for organization, about in ORGANIZATIONS.items():
        login = run.session(f"bench reader of {organization}", timeout_seconds=0)
        for window in (day, dataset.month):
            words = {"organization": organization, "start": window.start.isoformat(), "end": window.end.isoformat()}
            cases = {"list": Case(window, {"organization": (organization,)}),
                     "list, one category": Case(window, {"organization": (organization,), "categories": (category,)})}
            for subject, case in cases.items():
                compare(run, f"{subject}, {about}, {window.label}",
                        lambda parameters=case.parameters(): owner.run(LIST, parameters),
                        lambda parameters=case.parameters(), session=login: session.run(LIST, parameters))
            queries = {"newest entries": NEWEST.format(more="", **words),
                       "newest of one category": NEWEST.format(more=f"AND category = '{category}'", **words),
                       "counts": COUNTS.format(**words)}
            for subject, query in queries.items():
                compare(run, f"{subject}, {about}, {window.label}",
                        lambda query=query: owner.execute(query), lambda query=query, session=login: session.execute(query))
        login.close()
    owner.close()


def compare(run: Measurement, subject: str, owner: Callable[[], Answer], bound: Callable[[], Answer]) -> None:
    """Times both and keeps medians and ratio."""
    found, calls = medians({"owner": owner, "bound": bound}, run.calls, QUERY_SECONDS)
    for name, seconds in found.items():
        run.figures.add("bound", subject, name, "ms", seconds * 1000, calls=calls)
    run.figures.add("bound", subject, "ratio", "times", found["bound"] / found["owner"], reach=REACH)
