SELECT audit_log.check_triggers($1)
