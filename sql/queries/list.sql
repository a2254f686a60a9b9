-- Lines that end in a mark are dropped unless the call has what the mark names.
SELECT * --? rows
SELECT e.id, e.occurred_at, audit_log.entry_json(e) --? json
FROM audit_log.entry e
WHERE e.occurred_at OPERATOR(pg_catalog.>=) $1
  AND e.occurred_at OPERATOR(pg_catalog.<) $2
  AND e.occurred_at OPERATOR(pg_catalog.<=) $3 --? after
  AND (e.occurred_at, e.id) OPERATOR(pg_catalog.<) ($3, $4) --? after
  AND (e.actor_id OPERATOR(pg_catalog.=) ANY ($5) OR e.effective_actor_id OPERATOR(pg_catalog.=) ANY ($5)) --? actor_ids
  AND (e.target_id OPERATOR(pg_catalog.=) ANY ($6) OR EXISTS ( --? target_ids
    SELECT FROM audit_log.event_target t --? target_ids
    WHERE t.occurred_at OPERATOR(pg_catalog.=) e.occurred_at AND t.event_id OPERATOR(pg_catalog.=) e.id --? target_ids
      AND t.target_id OPERATOR(pg_catalog.=) ANY ($6))) --? target_ids
  AND (e.target_type OPERATOR(pg_catalog.=) ANY ($7) OR e.category OPERATOR(pg_catalog.=) ANY ($8)) --? types_or_categories
  AND e.organization_id OPERATOR(pg_catalog.=) ANY ($9) --? organizations
  AND e.organization_id OPERATOR(pg_catalog.<>) ALL ($10) --? disabled
ORDER BY e.occurred_at DESC, e.id DESC
LIMIT $11
