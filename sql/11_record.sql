-- Events the application records itself, and records of other systems.

CREATE FUNCTION audit_log.record(
  category text, target_id text DEFAULT NULL, target_name text DEFAULT NULL, targets jsonb DEFAULT NULL,
  metadata jsonb DEFAULT NULL, before jsonb DEFAULT NULL, after jsonb DEFAULT NULL,
  occurred_at timestamptz DEFAULT NULL, organization text DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS uuid
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'audit_log_record';
COMMENT ON FUNCTION audit_log.record(text, text, text, jsonb, jsonb, jsonb, jsonb, timestamptz, text, text) IS 'Records an event; returns its id. target_id and target_name name the primary target, of the category''s type; targets are the others, [{"type", "id", "name"?, "relation"?, "metadata"?}], the first of them the primary one where target_id is not given. occurred_at is now by default, organization the context''s. The same idempotency_key within an organization returns the first id, and 22023 where the payload differs. 22023: unknown category, target type, or metadata that does not match the category''s schema. 55000 audit_logs_not_enabled: the organization is disabled.';

CREATE FUNCTION audit_log.import_event(event jsonb, format text) RETURNS uuid
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'audit_log_import_event';
COMMENT ON FUNCTION audit_log.import_event(jsonb, text) IS 'Imports one record or fails. Internal; audit_log.import() is the public call.';

CREATE FUNCTION audit_log.check_import_format(format text) RETURNS void
  LANGUAGE c IMMUTABLE AS 'MODULE_PATHNAME', 'check_import_format_wrapper';
COMMENT ON FUNCTION audit_log.check_import_format(text) IS 'Fails with 22023 where there is no such import format. Internal.';

CREATE FUNCTION audit_log.import(events jsonb[], format text DEFAULT 'entry')
  RETURNS TABLE (ordinal integer, id uuid, error text)
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  event jsonb;
  hint text;
BEGIN
  PERFORM audit_log.check_import_format(format);
  ordinal := 0;
  FOREACH event IN ARRAY coalesce(events, '{}') LOOP
    ordinal := ordinal + 1;
    BEGIN
      id := audit_log.import_event(event, format);
      error := NULL;
    EXCEPTION WHEN data_exception OR program_limit_exceeded OR object_not_in_prerequisite_state THEN
      -- What is wrong with the record is the caller's to read; anything else is not about the record.
      GET STACKED DIAGNOSTICS error = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
      id := NULL;
      error := error || coalesce('. ' || nullif(hint, ''), '');
    END;
    RETURN NEXT;
  END LOOP;
END
$$;
COMMENT ON FUNCTION audit_log.import(jsonb[], text) IS 'Loads records in the shape entry (as list_json returns them), gem or captivateiq; one row a record: its place in the array from 1, the new entry''s id, or why it was refused. A refused record does not stop the others.';

CREATE FUNCTION audit_log.id_instant(id uuid) RETURNS timestamptz
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_id_instant';
COMMENT ON FUNCTION audit_log.id_instant(uuid) IS 'The occurred_at that an entry''s id carries: entries are indexed by that. Internal.';

CREATE FUNCTION audit_log.imported_record(id uuid) RETURNS jsonb
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM audit_log.require_reader();
  RETURN (SELECT e.source -> 'record' FROM audit_log.stored_event e
          WHERE e.occurred_at = audit_log.id_instant(imported_record.id) AND e.id = imported_record.id);
END
$$;
COMMENT ON FUNCTION audit_log.imported_record(uuid) IS 'The record an entry was imported from, as it came; NULL where it was not imported.';
