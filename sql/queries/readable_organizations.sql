SELECT s.id, s.name, s.enabled, s.logging_started_at
FROM audit_log.organization_state s
WHERE $1 OR s.id OPERATOR(pg_catalog.=) ANY ($2)
