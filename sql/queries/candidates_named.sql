SELECT DISTINCT n.id FROM audit_log.naming n
WHERE NOT n.is_actor AND n.type OPERATOR(pg_catalog.=) 'candidate' AND n.name OPERATOR(pg_catalog.=) $1
