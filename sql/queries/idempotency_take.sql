-- Takes the key, or locks the row that has it; a key whose entry is gone is free again.
WITH taken AS (
  INSERT INTO audit_log.idempotency AS i (organization_id, key, event_id, occurred_at, payload)
  VALUES ($1, $2, '00000000-0000-0000-0000-000000000000', pg_catalog.now(), $3)
  ON CONFLICT (organization_id, key) DO UPDATE SET key = EXCLUDED.key
  RETURNING i.event_id, i.occurred_at, i.payload
)
SELECT CASE WHEN EXISTS (SELECT FROM audit_log.event e
                         WHERE e.occurred_at OPERATOR(pg_catalog.=) t.occurred_at AND e.id OPERATOR(pg_catalog.=) t.event_id)
            THEN t.event_id END,
       t.payload
FROM taken t
