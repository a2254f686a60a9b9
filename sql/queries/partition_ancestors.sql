SELECT a.relid::pg_catalog.oid
FROM pg_catalog.pg_partition_ancestors($1::pg_catalog.regclass) a
WHERE a.relid::pg_catalog.oid OPERATOR(pg_catalog.<>) $1
