SELECT pg_catalog.bool_and(s.enabled) FROM audit_log.organization_state s WHERE s.id OPERATOR(pg_catalog.=) $1
