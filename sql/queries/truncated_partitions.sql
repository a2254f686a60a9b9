SELECT p.relid::pg_catalog.oid
FROM pg_catalog.pg_partition_tree($1::pg_catalog.regclass) p
JOIN pg_catalog.pg_trigger t ON t.tgrelid OPERATOR(pg_catalog.=) p.relid::pg_catalog.oid
WHERE p.relid::pg_catalog.oid OPERATOR(pg_catalog.<>) $1
  AND t.tgfoid OPERATOR(pg_catalog.=) 'audit_log.capture_truncate()'::pg_catalog.regprocedure::pg_catalog.oid
  AND t.tgenabled OPERATOR(pg_catalog.=) 'A'
