SELECT r.name FROM audit_log.relation_name r WHERE r.id OPERATOR(pg_catalog.=) $1
