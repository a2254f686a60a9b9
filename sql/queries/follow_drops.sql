SELECT audit_log.follow_drops($1, $2)
