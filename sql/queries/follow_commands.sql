SELECT audit_log.follow_commands($1, $2)
