-- What the log and the table know of one row, and by which names of its columns.

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
#variable_conflict use_variable
DECLARE
  condition text := 'true';
  found jsonb;
BEGIN
  -- Where the key's types are so plain that a text tells the value, an index finds the row, or a comparison most others not.
  SELECT CASE
    WHEN NOT pg_catalog.bool_and(a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'uuid'::regtype, 'text'::regtype, 'varchar'::regtype)) THEN 'true'
    WHEN pg_catalog.count(*) > 1 THEN pg_catalog.format('audit_log.stored_id(audit_log.key_text(ARRAY[%s])) = $1',
      pg_catalog.string_agg(pg_catalog.format('t.%I::pg_catalog.text', a.attname), ', ' ORDER BY c.place))
    WHEN pg_catalog.min(a.atttypid::regtype::text) IN ('text', 'character varying') THEN
      pg_catalog.format('audit_log.stored_id(t.%I::pg_catalog.text) = $1', pg_catalog.min(a.attname::text))
    WHEN pg_catalog.min(a.atttypid::regtype::text) = 'uuid' AND target_id !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN 'false'
    WHEN pg_catalog.min(a.atttypid::regtype::text) <> 'uuid' AND (target_id !~ '^-?[0-9]{1,19}$' OR target_id::numeric NOT BETWEEN -9223372036854775808 AND 9223372036854775807) THEN 'false'
    ELSE pg_catalog.format('t.%I OPERATOR(pg_catalog.=) %L::pg_catalog.%s', pg_catalog.min(a.attname::text), target_id,
                           CASE pg_catalog.min(a.atttypid::regtype::text) WHEN 'uuid' THEN 'uuid' ELSE 'int8' END) END
  INTO condition
  FROM audit_log.watched w
  CROSS JOIN LATERAL pg_catalog.unnest(w.target_id) WITH ORDINALITY AS c(name, place)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = w.relation AND a.attname = c.name
  WHERE w.relation = live_row.relation
  HAVING pg_catalog.count(*) > 0;
  -- t.*, not t: a column may be called so. The id is made by the types' output functions: a cast to text could be the
  -- table owner's own.
  EXECUTE pg_catalog.format('SELECT audit_log.row_json(%1$L, t.*) FROM %2$s t WHERE %3$s AND audit_log.row_id(%1$L, t.*) = $1 LIMIT 1',
                            relation, relation, coalesce(condition, 'true'))
    INTO found USING target_id;
  RETURN found;
END
$$;
COMMENT ON FUNCTION audit_log.live_row(regclass, text) IS 'The row as it stands in its table, read as the caller. Internal.';

CREATE TYPE audit_log.row_event AS (
  occurred_at timestamptz, id uuid, kind text, other_id text, before jsonb, after jsonb, organization_id text);
COMMENT ON TYPE audit_log.row_event IS 'Something that happened to a row or its table. Internal.';
COMMENT ON COLUMN audit_log.row_event.occurred_at IS 'When; of a statement that changed keys, when it began to.';
COMMENT ON COLUMN audit_log.row_event.id IS 'The entry; NULL for what happened to the table.';
COMMENT ON COLUMN audit_log.row_event.kind IS 'inserted, changed, deleted; arrived and departed: an update gave it this key, or another; entered and left with these: from and to a disabled organization; truncated; and the kinds of relation_change.';
COMMENT ON COLUMN audit_log.row_event.other_id IS 'Of arrived its key before, of departed its key after.';
COMMENT ON COLUMN audit_log.row_event.before IS 'Row state before; of columns what relation_change has.';
COMMENT ON COLUMN audit_log.row_event.after IS 'Row state after.';
COMMENT ON COLUMN audit_log.row_event.organization_id IS 'The entry''s.';

-- Rows can exchange keys within one statement: all that leave a key then do so before another comes to it, in
-- whatever order they were recorded.
CREATE FUNCTION audit_log.row_events(label text, target_id text) RETURNS audit_log.row_event[]
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  WITH period AS MATERIALIZED (
    SELECT * FROM audit_log.name_periods(label)),
  own AS (
    SELECT v.*, CASE WHEN v.operation IN ('u', 'l', 'e') THEN
             (SELECT t ->> 'id' FROM pg_catalog.jsonb_array_elements(v.targets) t
              WHERE t ->> 'relation' = 'related' AND t ->> 'type' = v.target_type LIMIT 1) END AS old_id
    FROM audit_log.stored_event v
    WHERE v.target_id = row_events.target_id AND v.relation IN (SELECT p.name FROM period p)),
  event AS (
    SELECT o.occurred_at, o.id, o.feed, o.command, o.relation, o.organization_id,
           CASE o.operation WHEN 'i' THEN 'inserted' WHEN 'd' THEN 'deleted' WHEN 'l' THEN 'left' WHEN 'e' THEN 'entered'
             ELSE CASE WHEN o.old_id IS NULL THEN 'changed' ELSE 'arrived' END END AS kind,
           o.old_id AS other_id, o.before, o.after
    FROM own o
    UNION ALL
    SELECT v.occurred_at, v.id, v.feed, v.command, v.relation, v.organization_id, 'departed', v.target_id, v.before, v.after
    FROM audit_log.stored_event_target t
    JOIN audit_log.stored_event v ON v.occurred_at = t.occurred_at AND v.id = t.event_id
    WHERE t.target_id = row_events.target_id AND t.target_type = v.target_type AND v.operation IN ('u', 'l', 'e')
      AND v.relation IN (SELECT p.name FROM period p)
      AND v.targets @> pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object('id', row_events.target_id, 'relation', 'related'))
    UNION ALL
    SELECT v.occurred_at, v.id, v.feed, NULL, v.relation, v.organization_id,
           CASE v.operation WHEN 't' THEN 'truncated' ELSE 'partition_removed' END, NULL, NULL, NULL
    FROM audit_log.stored_event v
    -- An index has those together whose target is NULL, as a truncate's is.
    WHERE v.target_id IS NULL AND v.operation IN ('t', 'p') AND v.relation IN (SELECT p.name FROM period p)),
  placed AS (
    SELECT e.id, e.kind, e.other_id, e.before, e.after, e.organization_id, e.occurred_at AS at,
           CASE WHEN e.command IS NULL THEN e.occurred_at ELSE pg_catalog.min(e.occurred_at) OVER (PARTITION BY e.feed, e.command) END AS occurred_at,
           CASE WHEN e.command IS NULL THEN 2 WHEN e.kind = 'departed' THEN 0 ELSE 1 END AS phase
    FROM event e
    WHERE EXISTS (SELECT FROM period p WHERE p.name = e.relation AND e.occurred_at > p.since AND e.occurred_at <= p.until)
    UNION ALL
    SELECT NULL, c.kind, NULL, c.columns, NULL, NULL, c.at, c.at, 2
    FROM audit_log.relation_changes(label) c WHERE c.kind <> 'renamed')
  SELECT coalesce(pg_catalog.array_agg(ROW(e.occurred_at, e.id, e.kind, e.other_id, e.before, e.after, e.organization_id)::audit_log.row_event
                                       ORDER BY e.occurred_at, e.phase, e.at, e.id NULLS FIRST), '{}')
  FROM placed e
$$;
COMMENT ON FUNCTION audit_log.row_events(text, text) IS 'What happened to the row of a key and to its table, oldest first. Internal.';

CREATE FUNCTION audit_log.place_of(events audit_log.row_event[], id uuid) RETURNS integer
  LANGUAGE sql IMMUTABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT e.place::integer FROM pg_catalog.unnest(events) WITH ORDINALITY AS e(occurred_at, id, kind, other_id, before, after, organization_id, place)
  WHERE e.id = place_of.id
$$;
COMMENT ON FUNCTION audit_log.place_of(audit_log.row_event[], uuid) IS 'Where an entry is among events, from 1. Internal.';

-- Where no row was another one of a disabled organization's can have come, and left again.
CREATE FUNCTION audit_log.was_paused(organization text, since timestamptz, until timestamptz) RETURNS text
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT pg_catalog.format('organization "%s" was disabled from %s on', p.organization_id, p.since)
  FROM audit_log.organization_pause p
  WHERE (organization IS NULL OR p.organization_id = organization) AND p.since < was_paused.until AND p.until > was_paused.since
  ORDER BY p.since LIMIT 1
$$;
COMMENT ON FUNCTION audit_log.was_paused(text, timestamptz, timestamptz) IS 'Why changes of the rows of an organization, or of any, between two times may be missing; NULL where they are not. Internal.';

-- Renames a row state's columns, and leaves out those whose name is NULL in the map.
CREATE FUNCTION audit_log.mapped_state(state jsonb, names jsonb) RETURNS jsonb
  LANGUAGE sql IMMUTABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN names = '{}' OR state IS NULL THEN state ELSE (
    SELECT coalesce(pg_catalog.jsonb_object_agg(coalesce(names ->> s.key, s.key), s.value), '{}')
    FROM pg_catalog.jsonb_each(state) s
    WHERE NOT (names ? s.key AND names ->> s.key IS NULL)) END
$$;
COMMENT ON FUNCTION audit_log.mapped_state(jsonb, jsonb) IS 'A row state under other column names. Internal.';

-- Names are told by a map: of columns as they were called at one time, what the same ones are called at another; NULL of
-- those that were not there then, or not with the same values.
CREATE FUNCTION audit_log.names_then(names jsonb, columns text[]) RETURNS text[]
  LANGUAGE sql IMMUTABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(pg_catalog.array_agg(n.name ORDER BY n.place) FILTER (WHERE n.name IS NOT NULL), '{}')
  FROM (SELECT CASE WHEN names ? c.name THEN names ->> c.name ELSE c.name END AS name, c.place
        FROM pg_catalog.unnest(columns) WITH ORDINALITY AS c(name, place)) n
$$;
COMMENT ON FUNCTION audit_log.names_then(jsonb, text[]) IS 'What columns are called by a map of names, without those that it has not. Internal.';

CREATE FUNCTION audit_log.changed_columns(change jsonb, kinds text[]) RETURNS text[]
  LANGUAGE sql IMMUTABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(pg_catalog.array_agg(c.name), '{}')
  FROM pg_catalog.unnest(kinds) k(kind)
  CROSS JOIN LATERAL (
    SELECT pg_catalog.jsonb_object_keys(change -> k.kind) AS name WHERE pg_catalog.jsonb_typeof(change -> k.kind) = 'object'
    UNION ALL
    SELECT pg_catalog.jsonb_array_elements_text(change -> k.kind) WHERE pg_catalog.jsonb_typeof(change -> k.kind) = 'array') c
$$;
COMMENT ON FUNCTION audit_log.changed_columns(jsonb, text[]) IS 'The columns of a change that were added, rewritten, dropped or ignored. Internal.';

CREATE FUNCTION audit_log.names_across(names jsonb, change jsonb, backwards boolean) RETURNS jsonb
  LANGUAGE sql IMMUTABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT names
    || coalesce((SELECT pg_catalog.jsonb_object_agg(g.name, NULL)
                 FROM pg_catalog.unnest(audit_log.changed_columns(change, CASE WHEN backwards THEN '{added,rewritten,dropped,ignored}' ELSE '{added,rewritten}' END::text[])) g(name)), '{}')
    || coalesce((SELECT pg_catalog.jsonb_object_agg(CASE WHEN backwards THEN r.key ELSE r.value END,
                                                    (audit_log.names_then(names, ARRAY[CASE WHEN backwards THEN r.value ELSE r.key END]))[1])
                 FROM pg_catalog.jsonb_each_text(change -> 'renamed') r), '{}')
$$;
COMMENT ON FUNCTION audit_log.names_across(jsonb, jsonb, boolean) IS 'A map of names on the other side of a change of columns: before it where one goes backwards, else after it. Internal.';

-- Of the columns of a time, those that are called otherwise today and are still there.
CREATE FUNCTION audit_log.names_today(label text, at timestamptz) RETURNS jsonb
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  changes jsonb;
  names jsonb := '{}';  -- names of now by names of then
  then_name text;
  now_name text;
  gone text[] := '{}';
BEGIN
  FOR changes IN SELECT c.columns FROM audit_log.relation_changes(label) c WHERE c.kind = 'columns' AND c.at > names_today.at ORDER BY c.at LOOP
    SELECT coalesce(pg_catalog.jsonb_object_agg(n.key, coalesce(changes -> 'renamed' ->> n.value, n.value)), '{}') INTO names
    FROM pg_catalog.jsonb_each_text(names) n WHERE n.value IS NOT NULL AND NOT coalesce(changes -> 'dropped' ? n.value, false);
    FOR then_name, now_name IN SELECT r.key, r.value FROM pg_catalog.jsonb_each_text(changes -> 'renamed') r LOOP
      -- Not one that was renamed before, nor one that was made since.
      IF NOT EXISTS (SELECT FROM pg_catalog.jsonb_each_text(names) n WHERE n.value = now_name) AND then_name <> ALL (gone) AND NOT names ? then_name THEN
        names := names || pg_catalog.jsonb_build_object(then_name, now_name);
      END IF;
    END LOOP;
    gone := gone || ARRAY(SELECT pg_catalog.jsonb_array_elements_text(coalesce(changes -> 'dropped', '[]')))
                 || ARRAY(SELECT pg_catalog.jsonb_object_keys(coalesce(changes -> 'added', '{}')));
  END LOOP;
  RETURN names;
END
$$;
COMMENT ON FUNCTION audit_log.names_today(text, timestamptz) IS 'Columns of a table at a time that were only renamed since: {"name then": "name today"}. Internal.';

CREATE FUNCTION audit_log.refuse_rebuild(label text, target_id text,
  why text DEFAULT 'its table was watched without row state (capture => ''keys'')') RETURNS void
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RAISE EXCEPTION 'row % of % cannot be rebuilt: %', target_id, label, why
    USING ERRCODE = '55000', DETAIL = 'code: not_in_prerequisite_state',
          HINT = 'audit_log.history() shows what is known of it.';
END
$$;
COMMENT ON FUNCTION audit_log.refuse_rebuild(text, text, text) IS 'Fails with 55000: a row''s state is not known. Internal.';
