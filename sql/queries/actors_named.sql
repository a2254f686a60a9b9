SELECT DISTINCT n.id FROM audit_log.naming n WHERE n.is_actor AND n.name OPERATOR(pg_catalog.=) $1
