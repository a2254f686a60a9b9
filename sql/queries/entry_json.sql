SELECT audit_log.entry_json($1)
