"""What listing costs: audit_log.list and what else reads the log, at ten million entries, against the reach set for it."""
