SELECT l.id FROM audit_log.log_identity l ORDER BY l.created_at, l.id LIMIT 1
