SELECT audit_log.ensure_partitions()
