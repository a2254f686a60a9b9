UPDATE audit_log.idempotency
SET event_id = $3, occurred_at = $4, payload = $5
WHERE organization_id OPERATOR(pg_catalog.=) $1 AND key OPERATOR(pg_catalog.=) $2
