-- The entry and its companions: what people and BI tools read.

CREATE FUNCTION audit_log.state_bytes(before jsonb, after jsonb) RETURNS bigint
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_state_bytes';
COMMENT ON FUNCTION audit_log.state_bytes(jsonb, jsonb) IS 'Bytes of both row states together when nothing is compressed. Internal.';

CREATE FUNCTION audit_log.changes(before jsonb, after jsonb) RETURNS jsonb
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_changes';
COMMENT ON FUNCTION audit_log.changes(jsonb, jsonb) IS 'What differs between two row states, {"column": [old, new]}, by their text; a redacted column always does. NULL where nothing differs, or where the states together have over 16 MB.';

CREATE FUNCTION audit_log.primary_target(target_type text, target_id text, target_name text) RETURNS jsonb
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_primary_target';
COMMENT ON FUNCTION audit_log.primary_target(text, text, text) IS 'A list of targets that has one, the primary. Internal.';

CREATE VIEW audit_log.entry WITH (security_invoker = true) AS
SELECT e.id,
       e.occurred_at,
       coalesce(e.recorded_at, e.occurred_at) AS recorded_at,
       e.organization_id,
       e.category,
       CASE WHEN e.operation = 'i' THEN 'insert' WHEN e.operation IN ('u', 'l', 'e') THEN 'update' WHEN e.operation = 'd' THEN 'delete' WHEN e.operation IN ('t', 'p') THEN 'truncate' END AS operation,
       e.actor_type,
       e.actor_id,
       e.actor_name,
       e.actor_email,
       coalesce(e.effective_actor_type, e.actor_type) AS effective_actor_type,
       CASE WHEN e.effective_actor_type IS NULL THEN e.actor_id ELSE e.effective_actor_id END AS effective_actor_id,
       CASE WHEN e.effective_actor_type IS NULL THEN e.actor_name ELSE e.effective_actor_name END AS effective_actor_name,
       CASE WHEN e.effective_actor_type IS NULL THEN e.actor_email ELSE e.effective_actor_email END AS effective_actor_email,
       e.target_type,
       e.target_id,
       e.target_name,
       coalesce(e.targets, audit_log.primary_target(e.target_type, e.target_id, e.target_name)) AS targets,
       e.before,
       e.after,
       audit_log.changes(e.before, e.after) AS changes,
       e.metadata,
       e.remote_addr,
       e.access_route,
       e.user_agent,
       e.request_id,
       e.database_user,
       e.application_name,
       e.relation,
       (e.feed & 281474976710655)::text::xid8 AS transaction_id,
       (pg_catalog.lpad(pg_catalog.to_hex(e.feed), 16, '0') || pg_catalog.replace(e.id::text, '-', '')) COLLATE "C" AS position
FROM audit_log.stored_event e;
COMMENT ON VIEW audit_log.entry IS 'The audit log: one row an event, what the caller may read of it. Name occurred_at in WHERE: only then are other times'' partitions left alone.';
COMMENT ON COLUMN audit_log.entry.id IS 'UUIDv7; unique; orders entries of one occurred_at.';
COMMENT ON COLUMN audit_log.entry.occurred_at IS 'When it happened: the clock at capture, or what record() was given.';
COMMENT ON COLUMN audit_log.entry.recorded_at IS 'When the database stored it.';
COMMENT ON COLUMN audit_log.entry.organization_id IS 'Whose event it is; default where nothing says otherwise.';
COMMENT ON COLUMN audit_log.entry.category IS 'What happened, a code of audit_log.vocabulary.';
COMMENT ON COLUMN audit_log.entry.operation IS 'insert, update, delete, truncate; NULL for recorded events.';
COMMENT ON COLUMN audit_log.entry.actor_type IS 'Kind of whoever really acted, a code of audit_log.actor_type.';
COMMENT ON COLUMN audit_log.entry.actor_id IS 'Who really acted: the logged-in person, key or system.';
COMMENT ON COLUMN audit_log.entry.actor_name IS 'The actor''s name at the time.';
COMMENT ON COLUMN audit_log.entry.actor_email IS 'The actor''s email at the time.';
COMMENT ON COLUMN audit_log.entry.effective_actor_type IS 'Kind of the one on whose behalf it was done; the actor''s where nobody was impersonated.';
COMMENT ON COLUMN audit_log.entry.effective_actor_id IS 'On whose behalf it was done; the actor where nobody was impersonated.';
COMMENT ON COLUMN audit_log.entry.effective_actor_name IS 'The effective actor''s name at the time.';
COMMENT ON COLUMN audit_log.entry.effective_actor_email IS 'The effective actor''s email at the time.';
COMMENT ON COLUMN audit_log.entry.target_type IS 'Kind of the primary target, a code of audit_log.target_type.';
COMMENT ON COLUMN audit_log.entry.target_id IS 'The primary target; of a captured row its key, several columns as key_text() joins them; shortened as by stored_id().';
COMMENT ON COLUMN audit_log.entry.target_name IS 'The primary target''s name at the time.';
COMMENT ON COLUMN audit_log.entry.targets IS 'Every target, primary first: [{"type", "id", "name"?, "relation": primary|related|parent, "metadata"?}].';
COMMENT ON COLUMN audit_log.entry.before IS 'Row state before: of a delete the row, of an update the changed columns (or all, by the watch).';
COMMENT ON COLUMN audit_log.entry.after IS 'Row state after: of an insert the row, of an update the changed columns (or all, by the watch).';
COMMENT ON COLUMN audit_log.entry.changes IS '{"column": [old, new]}, derived from before and after; NULL where these together have over 16 MB.';
COMMENT ON COLUMN audit_log.entry.metadata IS 'Whatever the action or the context adds.';
COMMENT ON COLUMN audit_log.entry.remote_addr IS 'Address the request came from, where known.';
COMMENT ON COLUMN audit_log.entry.access_route IS 'Addresses the request passed, where known.';
COMMENT ON COLUMN audit_log.entry.user_agent IS 'The client program, where known.';
COMMENT ON COLUMN audit_log.entry.request_id IS 'The application''s id of the request, where known.';
COMMENT ON COLUMN audit_log.entry.database_user IS 'The login, followed by /role where another role was in force outside any SECURITY DEFINER function. Cannot be set by the application.';
COMMENT ON COLUMN audit_log.entry.application_name IS 'application_name of the session.';
COMMENT ON COLUMN audit_log.entry.relation IS 'Of a captured row the watched table, schema.table, by its name at the time.';
COMMENT ON COLUMN audit_log.entry.transaction_id IS 'The transaction that wrote it; groups what one transaction did.';
COMMENT ON COLUMN audit_log.entry.position IS 'Opaque; sorts as text in feed order.';

CREATE VIEW audit_log.entry_target WITH (security_invoker = true) AS
SELECT e.id AS entry_id, e.organization_id, e.occurred_at, t.ordinal::integer AS ordinal,
       t.target ->> 'type' AS target_type, t.target ->> 'id' AS target_id, t.target ->> 'name' AS target_name,
       t.target ->> 'relation' AS relation, t.target -> 'metadata' AS metadata
FROM audit_log.entry e
CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(e.targets) WITH ORDINALITY AS t(target, ordinal);
COMMENT ON VIEW audit_log.entry_target IS 'One row a target of an entry.';
COMMENT ON COLUMN audit_log.entry_target.entry_id IS 'entry.id.';
COMMENT ON COLUMN audit_log.entry_target.organization_id IS 'The entry''s.';
COMMENT ON COLUMN audit_log.entry_target.occurred_at IS 'The entry''s.';
COMMENT ON COLUMN audit_log.entry_target.ordinal IS '1 is the primary target.';
COMMENT ON COLUMN audit_log.entry_target.target_type IS 'A code of audit_log.target_type.';
COMMENT ON COLUMN audit_log.entry_target.target_id IS 'The target''s id.';
COMMENT ON COLUMN audit_log.entry_target.target_name IS 'Its name at the time, where known.';
COMMENT ON COLUMN audit_log.entry_target.relation IS 'primary, related or parent.';
COMMENT ON COLUMN audit_log.entry_target.metadata IS 'What else was recorded of the target.';

CREATE VIEW audit_log.entry_change WITH (security_invoker = true) AS
SELECT e.id AS entry_id, c.key AS column_name, c.value -> 0 AS old_value, c.value -> 1 AS new_value
FROM audit_log.entry e
CROSS JOIN LATERAL pg_catalog.jsonb_each(e.changes) AS c;
COMMENT ON VIEW audit_log.entry_change IS 'One row a changed column of an entry.';
COMMENT ON COLUMN audit_log.entry_change.entry_id IS 'entry.id.';
COMMENT ON COLUMN audit_log.entry_change.column_name IS 'The column''s name at the time.';
COMMENT ON COLUMN audit_log.entry_change.old_value IS 'Its value before, as JSON; null for an insert.';
COMMENT ON COLUMN audit_log.entry_change.new_value IS 'Its value after, as JSON; null for a delete.';

CREATE VIEW audit_log.bi_audit_log WITH (security_invoker = true) AS
SELECT e.organization_id,
       e.occurred_at AS event_time,
       e.request_id,
       e.metadata ->> 'request_type' AS request_type,
       e.actor_id AS performer_id,
       e.actor_type AS performer_type,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'name', e.actor_name, 'email', e.actor_email, 'user_agent', e.user_agent,
         'on_behalf_of', CASE WHEN (e.effective_actor_type, e.effective_actor_id) IS DISTINCT FROM (e.actor_type, e.actor_id)
           THEN pg_catalog.jsonb_build_object('type', e.effective_actor_type, 'id', e.effective_actor_id,
                                              'name', e.effective_actor_name, 'email', e.effective_actor_email) END)) AS performer_meta,
       e.remote_addr AS performer_ip_address,
       CASE e.operation WHEN 'insert' THEN 'data_change_create' WHEN 'update' THEN 'data_change_update'
                        WHEN 'delete' THEN 'data_change_destroy' ELSE 'action' END AS event_type,
       e.target_id AS event_target_id,
       e.target_type AS event_target_type,
       CASE WHEN e.operation IN ('insert', 'update', 'delete') THEN coalesce(e.changes, '{}')
            ELSE coalesce(e.metadata, '{}') || pg_catalog.jsonb_build_object('category', e.category) END AS event_meta
FROM audit_log.entry e;
COMMENT ON VIEW audit_log.bi_audit_log IS 'The log in the twelve columns of a business-intelligence connector.';
COMMENT ON COLUMN audit_log.bi_audit_log.organization_id IS 'Whose event it is.';
COMMENT ON COLUMN audit_log.bi_audit_log.event_time IS 'When it happened.';
COMMENT ON COLUMN audit_log.bi_audit_log.request_id IS 'The application''s id of the request, where known.';
COMMENT ON COLUMN audit_log.bi_audit_log.request_type IS 'metadata.request_type, where the application gives it.';
COMMENT ON COLUMN audit_log.bi_audit_log.performer_id IS 'Who really acted.';
COMMENT ON COLUMN audit_log.bi_audit_log.performer_type IS 'Kind of actor.';
COMMENT ON COLUMN audit_log.bi_audit_log.performer_meta IS '{"name", "email", "user_agent", "on_behalf_of"}, where known.';
COMMENT ON COLUMN audit_log.bi_audit_log.performer_ip_address IS 'Address the request came from, where known.';
COMMENT ON COLUMN audit_log.bi_audit_log.event_type IS 'data_change_create, data_change_update, data_change_destroy or action.';
COMMENT ON COLUMN audit_log.bi_audit_log.event_target_id IS 'The primary target.';
COMMENT ON COLUMN audit_log.bi_audit_log.event_target_type IS 'Its kind.';
COMMENT ON COLUMN audit_log.bi_audit_log.event_meta IS 'Of a data change {"field": [old, new]}, else the metadata and the category.';

CREATE FUNCTION audit_log.readable_organizations()
  RETURNS TABLE (id text, name text, enabled boolean, logging_started_at timestamptz, purged_until timestamptz, retention interval)
  LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'audit_log_readable_organizations';
COMMENT ON FUNCTION audit_log.readable_organizations() IS 'What is known of the organizations the caller may read. Internal.';

CREATE VIEW audit_log.organization WITH (security_invoker = true) AS
SELECT s.id, s.name, s.enabled, s.logging_started_at,
       coalesce(s.purged_until, least(s.logging_started_at, (SELECT pg_catalog.min(e.occurred_at) FROM audit_log.stored_event e WHERE e.organization_id = s.id)))
         AS earliest_available_at,
       s.retention
FROM audit_log.readable_organizations() s;
COMMENT ON VIEW audit_log.organization IS 'Organizations the caller may read.';
COMMENT ON COLUMN audit_log.organization.id IS 'The id the application uses.';
COMMENT ON COLUMN audit_log.organization.name IS 'Its name, as given to enable_organization().';
COMMENT ON COLUMN audit_log.organization.enabled IS 'False after disable_organization().';
COMMENT ON COLUMN audit_log.organization.logging_started_at IS 'When it was enabled or first seen in a write.';
COMMENT ON COLUMN audit_log.organization.earliest_available_at IS 'The oldest instant since which nothing was purged; before any purge, of the first entry or logging_started_at, whichever is older.';
COMMENT ON COLUMN audit_log.organization.retention IS 'How long its entries are kept, where no rule for a category says otherwise; NULL: for ever.';
