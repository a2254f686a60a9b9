SELECT
  e.occurred_at, e.feed, e.recorded_at, e.command, e.operation, e.id, e.organization_id, e.category, e.relation,
  e.target_type, e.target_id, e.target_name, e.actor_type, e.actor_id, e.actor_name, e.actor_email,
  e.effective_actor_type, e.effective_actor_id, e.effective_actor_name, e.effective_actor_email,
  e.targets, e.before, e.after, e.metadata, e.remote_addr, e.access_route, e.user_agent, e.request_id,
  e.database_user, e.application_name, e.source, e.other_type
FROM {partition} e
WHERE e.feed OPERATOR(pg_catalog.<) $1
  AND (e.feed, e.id) OPERATOR(pg_catalog.>) ($2, $3)
ORDER BY e.feed, e.id
LIMIT $4
