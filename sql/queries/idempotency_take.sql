-- Takes the key, or waits for the session that has it and tells what it stands for.
INSERT INTO audit_log.idempotency AS i (organization_id, key, event_id, occurred_at, payload)
VALUES ($1, $2, '00000000-0000-0000-0000-000000000000', pg_catalog.now(), $3)
ON CONFLICT (organization_id, key) DO UPDATE SET key = EXCLUDED.key
RETURNING i.event_id, i.occurred_at, i.payload
