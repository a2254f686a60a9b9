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
    JOIN (SELECT v.occurred_at, v.id FROM audit_log.stored_event v
          WHERE v.target_id = history.target_id AND v.relation_id = ANY (names)
          UNION
          -- The update that gave the row another key names this one as a related target.
          SELECT v.occurred_at, v.id FROM audit_log.stored_event_target t
          JOIN audit_log.stored_event v ON v.occurred_at = t.occurred_at AND v.id = t.event_id
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
  -- The table's policies are its owner's code: they do not run in the auditor's name.
  SET row_security = off
AS $$
DECLARE
  key text;
  found jsonb;
BEGIN
  -- By the types' output functions: a cast to text could be the table owner's own.
  SELECT pg_catalog.string_agg(pg_catalog.format('pg_catalog.format(%L, t.%I)', '%s', n), $q$ || ',' || $q$ ORDER BY i) INTO key
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

-- What happened to a row, oldest first, as far as its existence is concerned:
-- born (insert, or an update that gave it this key), changed, died (delete, truncate, or an update
-- that gave it another key, which other_id then is). TRUNCATE of one partition does not count.
CREATE FUNCTION audit_log.row_events(relation regclass, target_id text)
  RETURNS TABLE (occurred_at timestamptz, id uuid, kind text, other_id text, before jsonb, after jsonb)
  LANGUAGE sql STABLE ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT h.occurred_at, h.id,
         CASE WHEN h.operation = 'insert' OR (own AND old_id <> h.target_id) THEN 'born'
              WHEN h.operation = 'delete' OR NOT own THEN 'died' ELSE 'changed' END,
         CASE WHEN NOT own THEN h.target_id WHEN old_id <> h.target_id THEN old_id END,
         h.before, h.after
  FROM audit_log.history(row_events.relation, row_events.target_id) h
  CROSS JOIN LATERAL (
    SELECT h.target_id = row_events.target_id AS own,
           (SELECT t ->> 'id' FROM pg_catalog.jsonb_array_elements(h.targets) t
            WHERE h.operation = 'update' AND t ->> 'relation' = 'related' AND t ->> 'type' = h.target_type LIMIT 1) AS old_id) k
  UNION ALL
  SELECT v.occurred_at, v.id, 'died', NULL, NULL, NULL
  FROM audit_log.stored_event v
  -- That of a truncate is NULL, and the index on targets has those together.
  WHERE v.target_id IS NULL AND v.operation = 't' AND NOT coalesce(v.metadata ? 'partition', false)
    AND v.relation_id IN (SELECT r.id FROM audit_log.relation_name r WHERE r.lineage = audit_log.lineage_of(row_events.relation))
  ORDER BY 1, 2
$$;
COMMENT ON FUNCTION audit_log.row_events(regclass, text) IS 'The events of a row, oldest first, by what they did to its existence. Internal.';

-- The row before whatever happened at (at, before_id) or later, from its beginning in the log.
CREATE FUNCTION audit_log.row_forward(relation regclass, target_id text, at timestamptz, before_id uuid) RETURNS jsonb
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  event record;
  state jsonb;
  known boolean := false;
BEGIN
  FOR event IN
    SELECT e.* FROM audit_log.row_events(row_forward.relation, row_forward.target_id) e
    WHERE (e.occurred_at, e.id) < (row_forward.at, row_forward.before_id)
  LOOP
    IF event.kind = 'died' THEN
      state := NULL;
      known := true;
    ELSIF event.before IS NULL AND event.after IS NULL THEN
      RAISE EXCEPTION '% was watched without row state', relation
        USING ERRCODE = '55000', DETAIL = 'code: not_in_prerequisite_state',
              HINT = 'Watch it with capture => ''changes'' or ''full''; states from before that cannot be rebuilt.';
    ELSIF event.kind = 'changed' THEN
      state := state || event.after;
    ELSIF event.other_id IS NULL THEN
      state := event.after;
      known := true;
    ELSE
      state := audit_log.row_forward(row_forward.relation, event.other_id, event.occurred_at, event.id) || event.after;
      known := true;
    END IF;
  END LOOP;
  IF known THEN
    RETURN state;
  END IF;
  RETURN audit_log.row_backward(relation, target_id, at, before_id);
END
$$;
COMMENT ON FUNCTION audit_log.row_forward(regclass, text, timestamptz, uuid) IS 'A row as it was before an event, built from its beginning. Internal.';

-- The same where the beginning is not in the log: what came later, taken back.
CREATE FUNCTION audit_log.row_backward(relation regclass, target_id text, at timestamptz, from_id uuid) RETURNS jsonb
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  event record;
  undo jsonb := '{}';  -- of each column the value it had first
  live jsonb;
BEGIN
  FOR event IN
    SELECT e.* FROM audit_log.row_events(row_backward.relation, row_backward.target_id) e
    WHERE (e.occurred_at, e.id) >= (row_backward.at, row_backward.from_id)
  LOOP
    IF event.kind = 'born' THEN
      RETURN NULL;
    ELSIF event.kind = 'died' AND event.other_id IS NOT NULL THEN
      -- It lived on under another key: what follows that event, taken back, is the row after it.
      RETURN audit_log.row_after(row_backward.relation, event.other_id, event.occurred_at, event.id) || event.before || undo;
    ELSIF event.kind = 'died' AND event.before IS NOT NULL THEN
      RETURN event.before || undo;
    ELSIF event.kind = 'died' THEN
      EXIT;
    END IF;
    undo := coalesce(event.before, '{}') || undo;
  END LOOP;
  live := CASE WHEN event.kind IS DISTINCT FROM 'died' THEN audit_log.live_row(relation, target_id) END;
  IF live IS NULL AND EXISTS (SELECT FROM audit_log.row_events(row_backward.relation, row_backward.target_id) e WHERE e.kind = 'changed') THEN
    RAISE EXCEPTION 'row % of % cannot be rebuilt: neither its beginning nor its end is in the log', target_id, relation
      USING ERRCODE = '55000', DETAIL = 'code: not_in_prerequisite_state',
            HINT = 'audit_log.history() shows what is known of it.';
  END IF;
  RETURN live || undo;
END
$$;
COMMENT ON FUNCTION audit_log.row_backward(regclass, text, timestamptz, uuid) IS 'A row as it was before an event, rebuilt from what came later. Internal.';

CREATE FUNCTION audit_log.row_after(relation regclass, target_id text, at timestamptz, event_id uuid) RETURNS jsonb
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(
    (SELECT audit_log.row_backward(row_after.relation, row_after.target_id, e.occurred_at, e.id)
     FROM audit_log.row_events(row_after.relation, row_after.target_id) e
     WHERE (e.occurred_at, e.id) > (row_after.at, row_after.event_id) LIMIT 1),
    audit_log.live_row(row_after.relation, row_after.target_id))
$$;
COMMENT ON FUNCTION audit_log.row_after(regclass, text, timestamptz, uuid) IS 'A row as it was right after an event, rebuilt from what came later. Internal.';

CREATE FUNCTION audit_log.row_at(relation regclass, target_id text, at timestamptz) RETURNS jsonb
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM audit_log.require_reader();
  RETURN audit_log.row_forward(relation, target_id, at, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
END
$$;
COMMENT ON FUNCTION audit_log.row_at(regclass, text, timestamptz) IS 'The row as it stood at an instant, a JSON object; NULL where it did not exist. Built from its insert on, or, where that is not in the log, backwards from its delete or from the table (which the caller must then be able to read). Ignored columns are missing, redacted ones say "[redacted]". 55000 where the table was watched without row state, or the log does not hold enough.';
