SELECT c.target_type, c.metadata_schema::pg_catalog.text
FROM audit_log.category_definition c
WHERE c.category OPERATOR(pg_catalog.=) $1
