"""What reading the log costs: audit_log.sync, feed and export, at ten million entries, beside COPY of the same entries."""
