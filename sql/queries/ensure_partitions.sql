SELECT audit_log.ensure_partitions()
FROM audit_log.free_range('audit_log.event', 'hour', pg_catalog.clock_timestamp()) r
WHERE r.lower IS NOT NULL
