-- Lines that end in a mark are dropped unless the call has what the mark names.
SELECT
  e.occurred_at, e.feed, e.recorded_at, e.relation_id, e.operation, e.id, e.organization_id, e.category,
  e.target_type, e.target_id, e.target_name, e.actor_type, e.actor_id, e.actor_name, e.actor_email,
  e.effective_actor_type, e.effective_actor_id, e.effective_actor_name, e.effective_actor_email,
  e.targets, e.before, e.after, e.metadata, e.remote_addr, e.access_route, e.user_agent, e.request_id,
  e.database_user, e.application_name, e.source, e.other_type
FROM {partition} e
WHERE e.occurred_at OPERATOR(pg_catalog.>=) $1
  AND e.occurred_at OPERATOR(pg_catalog.<) $2
  AND (e.occurred_at, e.id) OPERATOR(pg_catalog.<) ($3, $4) --? after
  AND e.organization_id OPERATOR(pg_catalog.=) ANY ($6) --? organizations
  AND e.organization_id OPERATOR(pg_catalog.<>) ALL ($7) --? disabled
  AND (e.actor_id OPERATOR(pg_catalog.=) ANY ($8) OR e.effective_actor_id OPERATOR(pg_catalog.=) ANY ($8)) --? actor_ids
  AND (e.target_id OPERATOR(pg_catalog.=) ANY ($9) OR EXISTS ( --? target_ids
    SELECT FROM pg_catalog.jsonb_array_elements(e.targets) t --? target_ids
    WHERE t.value OPERATOR(pg_catalog.->>) 'id' OPERATOR(pg_catalog.=) ANY ($9))) --? target_ids
  AND (e.target_type OPERATOR(pg_catalog.=) ANY ($10) OR e.category OPERATOR(pg_catalog.=) ANY ($11)) --? types_or_categories
ORDER BY e.occurred_at DESC, e.id DESC
LIMIT $5
