SELECT DISTINCT b.organization_id
FROM audit_log.live_binding b
WHERE pg_catalog.pg_has_role($1::pg_catalog.name, b.role_oid, 'USAGE')
