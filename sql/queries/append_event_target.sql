INSERT INTO audit_log.{table} (occurred_at, event_id, organization_id, target_type, target_id)
VALUES ($1, $2, $3, $4, $5)
