SELECT s.id, s.name, s.enabled, s.logging_started_at, p.until, audit_log.keep_of(s.id, NULL)
FROM audit_log.organization_state s
LEFT JOIN audit_log.purged_until p ON p.organization_id OPERATOR(pg_catalog.=) s.id
WHERE $1 OR s.id OPERATOR(pg_catalog.=) ANY ($2)
