"""SQL on the view entry, as reporting tools write it, beside the best SQL by hand on the tables."""

from __future__ import annotations

from listing.beside import medians
from listing.case import Window
from listing.measurement import Measurement
from listing.session import Session

REACH = 1.5
QUERY_SECONDS = 20.0

COLUMNS = "id, occurred_at, organization_id, category, actor_id, actor_name, target_type, target_id, target_name"
RANGE = "occurred_at >= '{start}' AND occurred_at < '{end}'"
NEWEST = f"""
    SELECT {COLUMNS} FROM {{table}}
    WHERE organization_id = '{{organization}}' AND {RANGE} AND category IN ({{categories}}) ORDER BY occurred_at DESC LIMIT 100
"""
# The newest of each category, then the newest of these.
NEWEST_OF_EACH = f"""
    SELECT found.* FROM unnest(ARRAY[{{categories}}]) wanted
    CROSS JOIN LATERAL (SELECT {COLUMNS} FROM audit_log.event
                        WHERE organization_id = '{{organization}}' AND {RANGE} AND category = wanted
                        ORDER BY occurred_at DESC LIMIT 100) found
    ORDER BY occurred_at DESC LIMIT 100
"""
COUNTS = f"""
    SELECT date_trunc('day', occurred_at, 'UTC') AS day, category, count(*) FROM {{table}}
    WHERE organization_id = '{{organization}}' AND {RANGE} GROUP BY 1, 2
"""
DAILY = f"""
    SELECT day::timestamptz, category, count(*)
    FROM (SELECT (occurred_at AT TIME ZONE 'UTC')::date AS day, category FROM {{table}}
          WHERE organization_id = '{{organization}}' AND {RANGE}) e
    GROUP BY 1, 2
"""


def measure(run: Measurement) -> None:
    """The ratio of the medians of entry and of the fastest way by hand; and how many partitions a day's query reads."""
    session, dataset = run.session(timeout_seconds=0), run.dataset
    day = dataset.day(dataset.starts + (dataset.ends - dataset.starts) * 0.9)
    organizations = {"the largest": "org-01", "a middling one": "org-07"}
    categories = {"common": dataset.common("categories")[-3:], "middle": dataset.middling("categories", 3),
                  "rare": dataset.rare("categories", 3)}
    for about, organization in organizations.items():
        for kind, values in categories.items():
            for window in (day, dataset.month):
                words = words_of(organization, window, values)
                compare(run, session, f"newest, {about}, {kind} categories, {window.label}",
                        {"entry": NEWEST.format(table="audit_log.entry", **words),
                         "event": NEWEST.format(table="audit_log.event", **words),
                         "each category": NEWEST_OF_EACH.format(**words)})
        words = words_of(organization, dataset.month, [])
        compare(run, session, f"counts by day and category, {about}, 30 days",
                {"entry": COUNTS.format(table="audit_log.entry", **words),
                 "event": COUNTS.format(table="audit_log.event", **words),
                 "event, by date": DAILY.format(table="audit_log.event", **words)})
    query = NEWEST.format(table="audit_log.entry", **words_of("org-01", day, categories["common"]))
    run.figures.add("direct", "24 hours of entry", "partitions", "read", partitions(run, query), reach=1)
    session.close()


def words_of(organization: str, window: Window, categories: list[str]) -> dict[str, str]:
    """What the queries are filled in with."""
    return {"organization": organization, "start": window.start.isoformat(), "end": window.end.isoformat(),
            "categories": ", ".join(f"'{category}'" for category in categories)}


def compare(run: Measurement, session: Session, subject: str, queries: dict[str, str]) -> None:
    """Times all ways and keeps the medians of entry and of the fastest other, and their ratio."""
    ways = {name: lambda query=query: session.execute(query) for name, query in queries.items()}
    found, calls = medians(ways, run.calls, QUERY_SECONDS)
    best = min((name for name in found if name != "entry"), key=found.__getitem__)
    for measure, name in (("entry", "entry"), ("same on event", "event"), ("by hand", best)):
        run.figures.add("direct", subject, measure, "ms", found[name] * 1000, calls=calls)
    run.figures.add("direct", subject, "ratio", "times", found["entry"] / found[best], reach=REACH, note=f"by hand: {best}")


def partitions(run: Measurement, query: str) -> int:
    """How many partitions of the log a query reads."""
    def relations(node: dict) -> set[str]:
        own = {node["Relation Name"]} if "Relation Name" in node and node["Actual Loops"] else set()
        return own.union(*(relations(child) for child in node.get("Plans", [])))

    with run.server.connect(run.dataset.database) as connection:
        plan = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}").fetchone()[0][0]["Plan"]
    return sum(name.startswith("event_") for name in relations(plan))
