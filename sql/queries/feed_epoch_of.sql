SELECT FROM audit_log.feed_epoch f
WHERE f.epoch OPERATOR(pg_catalog.=) $1 AND f.system_identifier OPERATOR(pg_catalog.=) $2 AND f.database_oid OPERATOR(pg_catalog.=) $3
