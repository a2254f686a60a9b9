-- One row's past.

CREATE FUNCTION audit_log.lineage_of(relation regclass) RETURNS integer
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(
    (SELECT r.lineage
     FROM (SELECT relation AS relid UNION SELECT a.relid FROM pg_catalog.pg_partition_ancestors(relation) a) up
     JOIN audit_log.watch_trigger w ON w.relid = up.relid
     JOIN audit_log.relation_name r ON r.id = (w.options ->> 'relation_id')::integer
     LIMIT 1),
    (SELECT r.lineage FROM audit_log.relation_name r
     WHERE r.name = audit_log.relation_label(relation) ORDER BY r.id DESC LIMIT 1))
$$;
COMMENT ON FUNCTION audit_log.lineage_of(regclass) IS 'The lineage of a table that is or was watched; NULL where it never was. Internal.';

CREATE FUNCTION audit_log.history(relation regclass, target_id text) RETURNS SETOF audit_log.entry
  LANGUAGE plpgsql STABLE ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  names integer[];
BEGIN
  PERFORM audit_log.require_reader();
  SELECT pg_catalog.array_agg(r.id) INTO names FROM audit_log.relation_name r
  WHERE r.lineage = audit_log.lineage_of(history.relation);
  RETURN QUERY
    SELECT e.* FROM audit_log.entry e
    JOIN (SELECT v.occurred_at, v.id FROM audit_log.event v
          WHERE v.target_id = history.target_id AND v.relation_id = ANY (names)
          UNION
          -- The update that gave the row another key names this one as a related target.
          SELECT v.occurred_at, v.id FROM audit_log.event_target t
          JOIN audit_log.event v ON v.occurred_at = t.occurred_at AND v.id = t.event_id
          WHERE t.target_id = history.target_id AND t.target_type = v.target_type
            AND v.operation = 'u' AND v.relation_id = ANY (names)) h
      ON h.occurred_at = e.occurred_at AND h.id = e.id
    ORDER BY e.occurred_at DESC, e.id DESC;
END
$$;
COMMENT ON FUNCTION audit_log.history(regclass, text) IS 'The entries of one row, newest first, across renames of its table. target_id as in entry.target_id. Empty where the table was never watched; 42501 where the caller may read nothing.';

CREATE FUNCTION audit_log.row_json(relation regclass, "row" record) RETURNS jsonb
  LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'audit_log_row_json';
COMMENT ON FUNCTION audit_log.row_json(regclass, record) IS 'A row as capture renders it, without the columns its watch ignores or redacts.';

CREATE FUNCTION audit_log.live_row(relation regclass, target_id text) RETURNS jsonb
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
  SET DateStyle = 'ISO, YMD'
  SET IntervalStyle = 'postgres'
  SET bytea_output = 'hex'
  SET extra_float_digits = 1
AS $$
DECLARE
  key text;
  found jsonb;
BEGIN
  SELECT pg_catalog.string_agg(pg_catalog.format('coalesce(t.%I::text, %L)', n, ''), $q$ || ',' || $q$ ORDER BY i) INTO key
  FROM audit_log.watched w CROSS JOIN LATERAL pg_catalog.unnest(w.target_id) WITH ORDINALITY AS c(n, i)
  WHERE w.relation = live_row.relation;
  IF key IS NULL THEN
    RETURN NULL;
  END IF;
  EXECUTE pg_catalog.format('SELECT audit_log.row_json(%L, t) FROM %s t WHERE %s = $1', relation, relation, key)
    INTO found USING target_id;
  RETURN found;
END
$$;
COMMENT ON FUNCTION audit_log.live_row(regclass, text) IS 'The row as it stands in its table, read as the caller. Internal.';

CREATE FUNCTION audit_log.row_at(relation regclass, target_id text, at timestamptz) RETURNS jsonb
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  event record;
  state jsonb;
  known boolean := false;  -- state is the whole row, not only what changed
  gone boolean := false;
  truncated timestamptz;
BEGIN
  PERFORM audit_log.require_reader();
  -- Forward from the row's beginning.
  FOR event IN
    SELECT h.*, h.target_id = row_at.target_id AS own,
           (SELECT t ->> 'id' FROM pg_catalog.jsonb_array_elements(h.targets) t
            WHERE t ->> 'relation' = 'related' AND t ->> 'type' = h.target_type LIMIT 1) AS old_id
    FROM audit_log.history(row_at.relation, row_at.target_id) h
    WHERE h.occurred_at <= row_at.at ORDER BY h.occurred_at, h.id
  LOOP
    IF event.before IS NULL AND event.after IS NULL THEN
      RAISE EXCEPTION '% is watched without row state', relation
        USING ERRCODE = '55000', DETAIL = 'code: not_in_prerequisite_state',
              HINT = 'Watch it with capture => ''changes'' or ''full''; states from before that cannot be rebuilt.';
    END IF;
    gone := event.operation = 'delete' OR NOT event.own;
    IF gone THEN
      state := NULL;
      known := true;
    ELSIF event.operation = 'insert' THEN
      state := event.after;
      known := true;
    ELSE
      IF event.old_id IS NOT NULL AND event.old_id <> row_at.target_id THEN
        state := audit_log.row_at(row_at.relation, event.old_id, event.occurred_at - interval '1 microsecond');
        known := state IS NOT NULL;
      END IF;
      state := coalesce(state, '{}') || event.after;
    END IF;
    truncated := event.occurred_at;
  END LOOP;
  -- A TRUNCATE after the row's last own event took it along.
  IF EXISTS (SELECT FROM audit_log.event v
             WHERE v.operation = 't' AND v.occurred_at <= row_at.at AND v.occurred_at > coalesce(truncated, '-infinity')
               AND v.relation_id IN (SELECT r.id FROM audit_log.relation_name r WHERE r.lineage = audit_log.lineage_of(row_at.relation))) THEN
    state := NULL;
    known := true;
  END IF;
  IF known THEN
    RETURN state;
  END IF;
  RETURN audit_log.row_before(relation, target_id, at);
END
$$;
COMMENT ON FUNCTION audit_log.row_at(regclass, text, timestamptz) IS 'The row as it stood at an instant, a JSON object; NULL where it did not exist. Built from its insert on, or, where that is not in the log, backwards from its delete or from the table (which the caller must then be able to read). Ignored columns are missing, redacted ones say "[redacted]" where they had changed. 55000 where the table is watched without row state.';

CREATE FUNCTION audit_log.row_before(relation regclass, target_id text, at timestamptz) RETURNS jsonb
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  event record;
  state jsonb;
  undo jsonb := '{}';
BEGIN
  -- Oldest first; of each column the first value met is the one it had at the instant.
  FOR event IN
    SELECT h.*, h.target_id = row_before.target_id AS own FROM audit_log.history(row_before.relation, row_before.target_id) h
    WHERE h.occurred_at > row_before.at ORDER BY h.occurred_at, h.id
  LOOP
    IF event.operation = 'insert' AND undo = '{}' THEN
      RETURN NULL;
    ELSIF event.operation = 'delete' THEN
      RETURN event.before || undo;
    ELSIF NOT event.own THEN
      -- The row lived on under another key.
      state := audit_log.row_at(row_before.relation, event.target_id, event.occurred_at);
      RETURN state || coalesce(event.before, '{}') || undo;
    END IF;
    undo := coalesce(event.before, '{}') || undo;
  END LOOP;
  RETURN audit_log.live_row(relation, target_id) || undo;
END
$$;
COMMENT ON FUNCTION audit_log.row_before(regclass, text, timestamptz) IS 'The row at an instant, rebuilt backwards from what came later. Internal.';
