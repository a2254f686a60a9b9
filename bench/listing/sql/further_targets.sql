-- The targets after the primary one, of the entries in a span of time.
INSERT INTO audit_log.event_target (occurred_at, event_id, organization_id, target_type, target_id)
SELECT e.occurred_at, e.id, e.organization_id, t.target ->> 'type', t.target ->> 'id'
FROM audit_log.event e
CROSS JOIN LATERAL jsonb_array_elements(e.targets) WITH ORDINALITY AS t(target, ordinal)
WHERE t.ordinal > 1 AND e.targets IS NOT NULL AND e.occurred_at >= %(lower)s AND e.occurred_at < %(upper)s
