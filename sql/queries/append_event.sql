INSERT INTO audit_log.{table} (
  occurred_at, feed, recorded_at, command, operation, id, organization_id, category, relation,
  target_type, target_id, target_name, actor_type, actor_id, actor_name, actor_email,
  effective_actor_type, effective_actor_id, effective_actor_name, effective_actor_email,
  targets, before, after, metadata, remote_addr, access_route, user_agent, request_id,
  database_user, application_name, source, other_type)
VALUES (
  $1, $2, $3, $4, $5, $6, $7, $8,
  $9, $10, $11, $12, $13, $14, $15,
  $16, $17, $18, $19,
  $20, $21, $22, $23, $24, $25, $26, $27,
  $28, $29, $30, $31, $32)
