SELECT FROM audit_log.stored_event e
WHERE e.occurred_at OPERATOR(pg_catalog.=) $1 AND e.id OPERATOR(pg_catalog.=) $2
