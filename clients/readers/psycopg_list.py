"""psycopg 3: pages of audit_log.list until next_cursor is NULL, with writes between them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from readers.log import Log, expect, same

NAME = "psycopg 3, audit_log.list"


def read(log: Log) -> str:
    """By text and by binary results, then with every page in a server-side cursor."""
    counts = [paged(log, binary=binary, named=named) for binary, named in ((False, False), (True, False), (False, True))]
    return f"{counts} entries by text, binary, server-side cursor, with writes between pages"


def paged(log: Log, *, binary: bool, named: bool) -> int:
    """Newer entries stay out; those written for an instant still to come in the listing are there."""
    now = datetime.now(timezone.utc)
    window = (now - timedelta(days=2), now + timedelta(days=1))
    wanted = {row["id"] for row in log.entries("occurred_at >= %s AND occurred_at < %s", *window)}
    rows: list[dict] = []
    token = None
    pages = 0
    with log.connect("reader") as connection:
        while True:
            arguments = (token, 37, *window)
            query = "SELECT * FROM audit_log.list(%s, %s, %s, %s)"
            if named:
                with connection.transaction(), connection.cursor("page") as cursor:
                    page = cursor.execute(query, arguments).fetchall()
            else:
                page = connection.execute(query, arguments, binary=binary).fetchall()
            expect(0 < len(page) <= 37, f"a page has {len(page)} rows")
            expect(len({row["next_cursor"] for row in page}) == 1, "next_cursor differs within a page")
            rows += page
            pages += 1
            token = page[0]["next_cursor"]
            if token is None:
                break
            log.write(4)
            if pages <= 3:
                log.write(3, earlier=f"1 day {pages} seconds")
    early = log.entries("target_id LIKE 'e%%' AND occurred_at >= %s", window[0])
    wanted |= {row["id"] for row in early}
    written = [row for row in log.entries() if row["id"] in wanted]
    return same(rows, written, ordered=True)
