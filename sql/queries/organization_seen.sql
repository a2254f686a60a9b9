INSERT INTO audit_log.organization_seen (id) VALUES ($1)
