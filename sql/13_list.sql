-- Listing: newest first, by filters, page by page.

CREATE FUNCTION audit_log.list(
  "cursor" text DEFAULT NULL, "limit" integer DEFAULT 100, start_date timestamptz DEFAULT NULL, end_date timestamptz DEFAULT NULL,
  actor_ids text[] DEFAULT NULL, target_ids text[] DEFAULT NULL, target_types text[] DEFAULT NULL, categories text[] DEFAULT NULL,
  organization text DEFAULT NULL)
  RETURNS TABLE (
    id uuid, occurred_at timestamptz, recorded_at timestamptz, organization_id text, category text, operation text,
    actor_type text, actor_id text, actor_name text, actor_email text,
    effective_actor_type text, effective_actor_id text, effective_actor_name text, effective_actor_email text,
    target_type text, target_id text, target_name text, targets jsonb, before jsonb, after jsonb, changes jsonb, metadata jsonb,
    remote_addr inet, access_route inet[], user_agent text, request_id text, database_user text, application_name text,
    relation text, transaction_id xid8, "position" text, next_cursor text)
  LANGUAGE c VOLATILE ROWS 100 AS 'MODULE_PATHNAME', 'audit_log_list';
COMMENT ON FUNCTION audit_log.list(text, integer, timestamptz, timestamptz, text[], text[], text[], text[], text) IS 'A page of entries, newest first (occurred_at, then id), with next_cursor on each row (NULL on the last page). Window [start_date, end_date): neither given, the last 24 hours; one given, 24 hours from or up to it; both, at most 18 months. actor_ids (actor or effective actor) AND target_ids (any target) AND (target_types OR categories); at most 100 values each, an empty array filters nothing. limit: 1 to 100. organization: NULL for every enabled one the caller may read. 22023 invalid_input, 34000 cursor_invalid, 55000 audit_logs_not_enabled, 42501 missing_endpoint_permission.';

CREATE FUNCTION audit_log.entry_json(e audit_log.entry) RETURNS jsonb
  LANGUAGE sql STABLE PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT pg_catalog.jsonb_build_object(
    'id', e.id,
    'occurredAt', pg_catalog.to_char(e.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'recordedAt', pg_catalog.to_char(e.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'organizationId', e.organization_id,
    'category', e.category,
    'operation', e.operation,
    'actor', pg_catalog.jsonb_build_object('type', e.actor_type, 'id', e.actor_id, 'name', e.actor_name, 'email', e.actor_email),
    'effectiveActor', pg_catalog.jsonb_build_object('type', e.effective_actor_type, 'id', e.effective_actor_id,
                                                    'name', e.effective_actor_name, 'email', e.effective_actor_email),
    'target', pg_catalog.jsonb_build_object('type', e.target_type, 'id', e.target_id, 'name', e.target_name),
    'targets', e.targets,
    'before', CASE WHEN fits THEN e.before END,
    'after', CASE WHEN fits THEN e.after END,
    'changes', CASE WHEN fits THEN e.changes END,
    'metadata', e.metadata,
    'remoteAddr', e.remote_addr,
    'accessRoute', e.access_route,
    'userAgent', e.user_agent,
    'requestId', e.request_id,
    'databaseUser', e.database_user,
    'applicationName', e.application_name,
    'relation', e.relation,
    'transactionId', e.transaction_id,
    'position', e.position)
    || CASE WHEN fits THEN '{}'::jsonb ELSE '{"omitted": ["before", "after", "changes"]}'::jsonb END
  -- A page of a hundred must fit into one jsonb.
  FROM (SELECT audit_log.state_bytes(e.before, e.after) <= 1048576 AS fits) s
$$;
COMMENT ON FUNCTION audit_log.entry_json(audit_log.entry) IS 'An entry in the listing API''s shape: camelCase, actor, effectiveActor and target as objects, instants in UTC. Row states of over 1 MB are left out, and "omitted" says so; entry has them.';

CREATE FUNCTION audit_log.list_json(request jsonb) RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'audit_log_list_json';
COMMENT ON FUNCTION audit_log.list_json(jsonb) IS 'list() as an API: request {"cursor", "limit", "startDate", "endDate", "actorIds", "targetIds", "targetTypes", "categories", "organization"}, dates ISO 8601; answer {"success": true, "results": […], "moreDataAvailable", "nextCursor"} or {"success": false, "status", "errorInfo": {"code", "message", "field"?}}. Does not raise for invalid_input, cursor_invalid, audit_logs_not_enabled, missing_endpoint_permission.';
