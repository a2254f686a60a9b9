"""A case: what a listing is asked for, as a call of list and as the query on one table that a developer would write."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from listing.session import text_array

FILTERS = ("actor_ids", "target_ids", "target_types", "categories", "organization")
PAGE = 100

LIST = """
    SELECT * FROM audit_log.list(
      "cursor" => $1::text, "limit" => $2::integer, start_date => $3::timestamptz, end_date => $4::timestamptz,
      actor_ids => $5::text[], target_ids => $6::text[], target_types => $7::text[], categories => $8::text[],
      organization => $9::text)
"""


@dataclass(frozen=True)
class Window:
    """From when to when entries are asked for."""

    label: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Case:
    """A window and filters, each with its values."""

    window: Window
    filters: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def parameters(self, cursor: str | None = None) -> list[str | None]:
        """The parameters of LIST."""
        arrays = [text_array(self.filters[name]) if name in self.filters else None for name in FILTERS[:4]]
        organization = self.filters["organization"][0] if "organization" in self.filters else None
        return [cursor, str(PAGE), self.window.start.isoformat(), self.window.end.isoformat(), *arrays, organization]

    def call(self, cursor: str | None = None) -> str:
        """LIST with the parameters written out."""
        statement = " ".join(LIST.split())
        for number, value in reversed(list(enumerate(self.parameters(cursor), 1))):
            statement = statement.replace(f"${number}", "NULL" if value is None else "'" + value.replace("'", "''") + "'")
        return statement

    def plain(self) -> tuple[str, list[str | None]]:
        """A page of the same entries from one table."""
        conditions = ["occurred_at >= $1::timestamptz", "occurred_at < $2::timestamptz"]
        parameters: list[str | None] = [self.window.start.isoformat(), self.window.end.isoformat()]

        def condition(text: str) -> None:
            for name in FILTERS:
                if f"<{name}>" in text:
                    parameters.append(self.filters[name][0] if name == "organization" else text_array(self.filters[name]))
                    text = text.replace(f"<{name}>", f"${len(parameters)}::text{'' if name == 'organization' else '[]'}")
            conditions.append(text)

        if "actor_ids" in self.filters:
            condition("(actor_id = ANY (<actor_ids>) OR effective_actor_id = ANY (<actor_ids>))")
        if "target_ids" in self.filters:
            condition("(target_id = ANY (<target_ids>) OR EXISTS (SELECT FROM jsonb_array_elements(targets) t "
                      "WHERE t ->> 'id' = ANY (<target_ids>)))")
        either = {"target_types": "target_type = ANY (<target_types>)", "categories": "category = ANY (<categories>)"}
        asked = [text for name, text in either.items() if name in self.filters]
        if asked:
            condition(f"({' OR '.join(asked)})")
        if "organization" in self.filters:
            condition("organization_id = <organization>")
        where = " AND ".join(conditions)
        return f"SELECT * FROM bench.plain WHERE {where} ORDER BY occurred_at DESC, id DESC LIMIT {PAGE}", parameters

    def label(self) -> str:
        """What it asks for, for people."""
        asked = [f"{name} {', '.join(values[:3])}{' …' if len(values) > 3 else ''}" for name, values in self.filters.items()]
        return f"{self.window.label}: {'; '.join(asked) or 'no filter'}"
