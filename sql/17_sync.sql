-- Incremental sync: what was committed since a cursor, every entry once.

CREATE FUNCTION audit_log.sync_start(backfill_start_time timestamptz DEFAULT NULL) RETURNS text
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'audit_log_sync_start';
COMMENT ON FUNCTION audit_log.sync_start(timestamptz) IS 'A cursor for sync(): from now on, or with the past entries whose occurred_at is not before an instant. 42501 missing_endpoint_permission.';

CREATE FUNCTION audit_log.sync("cursor" text, "limit" integer DEFAULT 1000, organization text DEFAULT NULL)
  RETURNS TABLE (
    id uuid, occurred_at timestamptz, recorded_at timestamptz, organization_id text, category text, operation text,
    actor_type text, actor_id text, actor_name text, actor_email text,
    effective_actor_type text, effective_actor_id text, effective_actor_name text, effective_actor_email text,
    target_type text, target_id text, target_name text, targets jsonb, before jsonb, after jsonb, changes jsonb, metadata jsonb,
    remote_addr inet, access_route inet[], user_agent text, request_id text, database_user text, application_name text,
    relation text, transaction_id xid8, "position" text, "cursor" text)
  LANGUAGE c VOLATILE ROWS 1000 AS 'MODULE_PATHNAME', 'audit_log_sync';
COMMENT ON FUNCTION audit_log.sync(text, integer, text) IS 'Entries committed since a cursor of sync_start() or sync(), in the order of position within a call, with the cursor to go on with behind each. Every committed entry comes exactly once, however transactions overlap; one that commits late comes in a later call, with a smaller position. No rows: keep the cursor. limit: 1 to 10,000. organization: NULL for every enabled one the caller may read; it belongs to the cursor. 34000 cursor_invalid, 55000 cursor_expired, 55000 audit_logs_not_enabled, 42501 missing_endpoint_permission.';

CREATE FUNCTION audit_log.sync_json(request jsonb) RETURNS jsonb
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'audit_log_sync_json';
COMMENT ON FUNCTION audit_log.sync_json(jsonb) IS 'sync() as an API: request {"cursor", "limit", "organization"}, or {"backfillStartTime", …} to begin; answer {"success": true, "results": […], "moreDataAvailable", "nextCursor"}, with nextCursor also on an empty page, or {"success": false, "status", "errorInfo": {"code", "message", "field"?}}.';

-- What was in progress when the reader's snapshot was taken holds back all behind it: so nothing appears
-- behind a position that was seen.
CREATE FUNCTION audit_log.settled_below() RETURNS bigint
  LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'audit_log_settled_below';
COMMENT ON FUNCTION audit_log.settled_below() IS 'The feed number below which every transaction is over, by the running query''s snapshot. Internal.';

-- A foreign table, as no index of PostgreSQL's can be on position without costing every write: it is read
-- by the index on event.feed, in the order of position, from where WHERE position > … says.
CREATE FUNCTION audit_log.feed_handler() RETURNS fdw_handler
  LANGUAGE c AS 'MODULE_PATHNAME', 'audit_log_feed_handler';
COMMENT ON FUNCTION audit_log.feed_handler() IS 'What PostgreSQL calls to scan feed_rows. Internal.';
CREATE FUNCTION audit_log.feed_validator(options text[], catalog oid) RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'audit_log_feed_validator';
COMMENT ON FUNCTION audit_log.feed_validator(text[], oid) IS 'Refuses foreign tables other than feed_rows, other servers, and options. Internal.';
CREATE FOREIGN DATA WRAPPER audit_log_feed HANDLER audit_log.feed_handler VALIDATOR audit_log.feed_validator;
COMMENT ON FOREIGN DATA WRAPPER audit_log_feed IS 'Reads the audit log of this database in the order of positions; goes nowhere else.';
CREATE SERVER audit_log_feed FOREIGN DATA WRAPPER audit_log_feed;
COMMENT ON SERVER audit_log_feed IS 'The audit log of this database.';
CREATE FOREIGN TABLE audit_log.feed_rows (
  id uuid, occurred_at timestamptz, recorded_at timestamptz, organization_id text COLLATE "C", category text COLLATE "C", operation text,
  actor_type text COLLATE "C", actor_id text COLLATE "C", actor_name text, actor_email text,
  effective_actor_type text COLLATE "C", effective_actor_id text COLLATE "C", effective_actor_name text, effective_actor_email text,
  target_type text COLLATE "C", target_id text COLLATE "C", target_name text, targets jsonb, before jsonb, after jsonb, changes jsonb, metadata jsonb,
  remote_addr inet, access_route inet[], user_agent text, request_id text, database_user text, application_name text,
  relation text, transaction_id xid8, "position" text COLLATE "C")
  SERVER audit_log_feed;
COMMENT ON FOREIGN TABLE audit_log.feed_rows IS 'Settled entries; read them through audit_log.feed.';

CREATE VIEW audit_log.feed WITH (security_invoker = true) AS
SELECT f.* FROM audit_log.feed_rows f;
COMMENT ON VIEW audit_log.feed IS 'Entries for tools that track one column: WHERE position > … ORDER BY position reads what is behind, in order, and never misses one, as an entry appears only when all before it have. Other conditions are checked row by row.';
COMMENT ON COLUMN audit_log.feed.id IS 'UUIDv7; unique; orders entries of one occurred_at.';
COMMENT ON COLUMN audit_log.feed.occurred_at IS 'When it happened: the clock at capture, or what record() was given.';
COMMENT ON COLUMN audit_log.feed.recorded_at IS 'When the database stored it.';
COMMENT ON COLUMN audit_log.feed.organization_id IS 'Whose event it is; default where nothing says otherwise.';
COMMENT ON COLUMN audit_log.feed.category IS 'What happened, a code of audit_log.vocabulary.';
COMMENT ON COLUMN audit_log.feed.operation IS 'insert, update, delete, truncate; NULL for recorded events.';
COMMENT ON COLUMN audit_log.feed.actor_type IS 'Kind of whoever really acted, a code of audit_log.actor_type.';
COMMENT ON COLUMN audit_log.feed.actor_id IS 'Who really acted: the logged-in person, key or system.';
COMMENT ON COLUMN audit_log.feed.actor_name IS 'The actor''s name at the time.';
COMMENT ON COLUMN audit_log.feed.actor_email IS 'The actor''s email at the time.';
COMMENT ON COLUMN audit_log.feed.effective_actor_type IS 'Kind of the one on whose behalf it was done; the actor''s where nobody was impersonated.';
COMMENT ON COLUMN audit_log.feed.effective_actor_id IS 'On whose behalf it was done; the actor where nobody was impersonated.';
COMMENT ON COLUMN audit_log.feed.effective_actor_name IS 'The effective actor''s name at the time.';
COMMENT ON COLUMN audit_log.feed.effective_actor_email IS 'The effective actor''s email at the time.';
COMMENT ON COLUMN audit_log.feed.target_type IS 'Kind of the primary target, a code of audit_log.target_type.';
COMMENT ON COLUMN audit_log.feed.target_id IS 'The primary target; of a captured row its key, several columns as key_text() joins them; shortened as by stored_id().';
COMMENT ON COLUMN audit_log.feed.target_name IS 'The primary target''s name at the time.';
COMMENT ON COLUMN audit_log.feed.targets IS 'Every target, primary first: [{"type", "id", "name"?, "relation": primary|related|parent, "metadata"?}].';
COMMENT ON COLUMN audit_log.feed.before IS 'Row state before: of a delete the row, of an update the changed columns (or all, by the watch).';
COMMENT ON COLUMN audit_log.feed.after IS 'Row state after: of an insert the row, of an update the changed columns (or all, by the watch).';
COMMENT ON COLUMN audit_log.feed.changes IS '{"column": [old, new]}, derived from before and after; NULL where these together have over 16 MB.';
COMMENT ON COLUMN audit_log.feed.metadata IS 'Whatever the action or the context adds.';
COMMENT ON COLUMN audit_log.feed.remote_addr IS 'Address the request came from, where known.';
COMMENT ON COLUMN audit_log.feed.access_route IS 'Addresses the request passed, where known.';
COMMENT ON COLUMN audit_log.feed.user_agent IS 'The client program, where known.';
COMMENT ON COLUMN audit_log.feed.request_id IS 'The application''s id of the request, where known.';
COMMENT ON COLUMN audit_log.feed.database_user IS 'The login, followed by /role where another role was in force outside any SECURITY DEFINER function. Cannot be set by the application.';
COMMENT ON COLUMN audit_log.feed.application_name IS 'application_name of the session.';
COMMENT ON COLUMN audit_log.feed.relation IS 'Of a captured row the watched table, schema.table, by its name at the time.';
COMMENT ON COLUMN audit_log.feed.transaction_id IS 'The transaction that wrote it; groups what one transaction did.';
COMMENT ON COLUMN audit_log.feed.position IS 'Unique; sorts as text; what to track.';
