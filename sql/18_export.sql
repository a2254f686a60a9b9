-- Export: entries as rows for COPY, and in other products' formats.

CREATE FUNCTION audit_log.begin_export(
  start_date timestamptz, end_date timestamptz, actor_ids text[], target_ids text[], target_types text[], categories text[],
  organization text) RETURNS boolean
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'audit_log_begin_export';
COMMENT ON FUNCTION audit_log.begin_export(timestamptz, timestamptz, text[], text[], text[], text[], text) IS 'Checks an export as list() checks a listing, and records it as data_export; where nothing can be written, a NOTICE says so. True. Internal.';

CREATE FUNCTION audit_log.safe_cell(content text) RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN pg_catalog.left(content, 1) IN ('=', '+', '-', '@', E'\t', E'\r', E'\n') THEN '''' || content ELSE content END;
COMMENT ON FUNCTION audit_log.safe_cell(text) IS 'A text with '' in front where a spreadsheet would run it as a formula. Internal.';

-- Not a materialised result: the planner puts the query in its place, and rows go out as they are read.
CREATE FUNCTION audit_log.export(
  start_date timestamptz DEFAULT NULL, end_date timestamptz DEFAULT NULL,
  actor_ids text[] DEFAULT NULL, target_ids text[] DEFAULT NULL, target_types text[] DEFAULT NULL, categories text[] DEFAULT NULL,
  organization text DEFAULT NULL, safe_cells boolean DEFAULT true)
  RETURNS TABLE (action text, "timestamp" text, actor jsonb, targets jsonb, access_route inet[], remote_addr inet, user_agent text,
                 metadata jsonb, before jsonb, after jsonb)
  LANGUAGE sql STABLE ROWS 100000
BEGIN ATOMIC
  SELECT e.category,
         pg_catalog.to_char(e.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
         pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'type', e.actor_type, 'id', e.actor_id, 'name', e.actor_name, 'email', e.actor_email,
           'on_behalf_of', CASE WHEN (e.effective_actor_type, e.effective_actor_id) IS DISTINCT FROM (e.actor_type, e.actor_id)
             THEN pg_catalog.jsonb_build_object('type', e.effective_actor_type, 'id', e.effective_actor_id,
                                                'name', e.effective_actor_name, 'email', e.effective_actor_email) END)),
         e.targets, e.access_route, e.remote_addr,
         CASE WHEN export.safe_cells IS FALSE THEN e.user_agent ELSE audit_log.safe_cell(e.user_agent) END,
         e.metadata, e.before, e.after
  FROM audit_log.entry e
  WHERE (SELECT audit_log.begin_export(export.start_date, export.end_date, export.actor_ids, export.target_ids,
                                       export.target_types, export.categories, export.organization))
    AND (export.start_date IS NULL OR e.occurred_at >= export.start_date)
    AND (export.end_date IS NULL OR e.occurred_at < export.end_date)
    AND (export.organization IS NULL OR e.organization_id = export.organization)
    AND e.organization_id <> ALL (ARRAY(SELECT o.id FROM audit_log.readable_organizations() o WHERE NOT o.enabled))
    AND (coalesce(pg_catalog.cardinality(export.actor_ids), 0) = 0
         OR e.actor_id = ANY (audit_log.stored_ids(export.actor_ids)) OR e.effective_actor_id = ANY (audit_log.stored_ids(export.actor_ids)))
    AND (coalesce(pg_catalog.cardinality(export.target_ids), 0) = 0
         OR e.target_id = ANY (audit_log.stored_ids(export.target_ids))
         OR EXISTS (SELECT FROM audit_log.stored_event_target t
                    WHERE t.occurred_at = e.occurred_at AND t.event_id = e.id AND t.target_id = ANY (audit_log.stored_ids(export.target_ids))))
    AND (coalesce(pg_catalog.cardinality(export.target_types), 0) + coalesce(pg_catalog.cardinality(export.categories), 0) = 0
         OR e.target_type = ANY (export.target_types) OR e.category = ANY (export.categories));
END;
COMMENT ON FUNCTION audit_log.export(timestamptz, timestamptz, text[], text[], text[], text[], text, boolean) IS 'Entries as rows for COPY (SELECT * FROM audit_log.export(…)) TO STDOUT (FORMAT csv, HEADER): they go out as they are read, in about the order of time. Filters as list()''s; no dates: all time. timestamp is ISO 8601, UTC. safe_cells: a user agent that a spreadsheet would run as a formula gets '' in front. Recorded as data_export; where nothing can be written (a standby, a read-only transaction) a NOTICE says that it was not. 22023 invalid_input, 55000 audit_logs_not_enabled, 42501 missing_endpoint_permission.';

CREATE FUNCTION audit_log.format_json(entry jsonb, source jsonb, format text) RETURNS jsonb
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_format_json';
COMMENT ON FUNCTION audit_log.format_json(jsonb, jsonb, text) IS 'An entry, given as the JSON of its row and where it was imported from, in another product''s shape. Internal.';

CREATE FUNCTION audit_log.format(entry audit_log.entry, format text) RETURNS jsonb
  LANGUAGE sql STABLE PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
AS $$
  SELECT audit_log.format_json(
    pg_catalog.to_jsonb(entry),
    -- An imported one was given its instant.
    CASE WHEN entry.recorded_at <> entry.occurred_at THEN
      (SELECT v.source FROM audit_log.stored_event v WHERE v.occurred_at = entry.occurred_at AND v.id = entry.id) END,
    format)
$$;
COMMENT ON FUNCTION audit_log.format(audit_log.entry, text) IS 'An entry in another product''s shape: ashby, captivateiq, gem, greenhouse or ocsf. An imported one comes back with the keys and values it had. 22023 where there is no such format.';
