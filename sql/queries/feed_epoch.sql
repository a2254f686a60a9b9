SELECT pg_catalog.max(f.epoch) FILTER (WHERE f.system_identifier OPERATOR(pg_catalog.=) $1 AND f.database_oid OPERATOR(pg_catalog.=) $2),
       pg_catalog.max(f.epoch)
FROM audit_log.feed_epoch f
