"""psycopg 3: a login bound to one organization, by every way of reading."""

from __future__ import annotations

import psycopg

from readers.log import Log, expect, same

NAME = "psycopg 3, a login bound to one organization"
READS = {
    "entry": "SELECT * FROM audit_log.entry",
    "feed": "SELECT * FROM audit_log.feed",
    "list": "SELECT * FROM audit_log.list(NULL, 100)",
    "sync": "SELECT * FROM audit_log.sync(audit_log.sync_start('1970-01-02Z'), 10000)",
}
REFUSED = {
    "list": "SELECT * FROM audit_log.list(organization => 'globex')",
    "sync": "SELECT * FROM audit_log.sync(audit_log.sync_start(), organization => 'globex')",
    "export": "SELECT * FROM audit_log.export(organization => 'globex')",
    "record": "SELECT audit_log.record('job_opened', '1')",
    "the table": "INSERT INTO audit_log.event SELECT * FROM audit_log.event LIMIT 1",
}


def read(log: Log) -> str:
    """The same rows as a superuser's WHERE organization_id = 'acme', and 42501 for the other's."""
    written = log.entries("organization_id = 'acme'")
    expect(0 < len(written) < len(log.entries()), "the log has one organization only")
    with log.connect("acme_reader") as connection:
        for name, query in READS.items():
            read_rows = connection.execute(query).fetchall()
            same(read_rows, written[:100] if name == "list" else written)
        for name, query in REFUSED.items():
            try:
                connection.execute(query)
            except psycopg.errors.InsufficientPrivilege:
                continue
            expect(False, f"{name} lets a bound login have what is not its organization's")
        bi = connection.execute("SELECT DISTINCT organization_id FROM audit_log.bi_audit_log").fetchall()
        expect(bi == [{"organization_id": "acme"}], f"bi_audit_log has {bi}")
        exported = connection.execute("SELECT count(*) FROM audit_log.export()").fetchone()["count"]
        expect(exported == len(written), f"export gives {exported} rows of {len(written)}")
    return f"{len(written)} entries of one organization by {', '.join(READS)}, bi_audit_log and export"
