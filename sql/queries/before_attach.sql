SELECT audit_log.before_attach($1, $2)
