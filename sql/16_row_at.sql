-- The row as it stood: what the log says of it from its beginning on, or backwards from what came later.

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
    -- That of a truncate is NULL, and the index on targets has those together.
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

CREATE FUNCTION audit_log.refuse_rebuild(label text, target_id text, why text) RETURNS void
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

CREATE TYPE audit_log.row_trace AS (is_known boolean, state jsonb, wanted text[], why text, is_sure boolean);
COMMENT ON TYPE audit_log.row_trace IS 'What is known of a row at a time: whether all of it is; the columns known; those that are there and missing; what kept the rest from being known; whether its existence is certain. Internal.';

-- From a time back to the row's beginning. State NULL and known: the row was not there.
CREATE FUNCTION audit_log.row_before(label text, target_id text, at timestamptz) RETURNS audit_log.row_trace
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  key text := target_id;
  events audit_log.row_event[] := audit_log.row_events(label, key);
  place integer := (SELECT pg_catalog.count(*) FROM pg_catalog.unnest(events) e WHERE e.occurred_at <= at);
  event audit_log.row_event;
  later timestamptz := at;
  names jsonb := '{}';     -- of columns by their names then: their names at the time, NULL where they are not those
  wanted text[] := '{}';
  state jsonb := '{}';
  is_sure boolean := true;
  why text;
  column_name text;
  changed jsonb;
BEGIN
  LOOP
    IF place < 1 THEN
      RETURN ROW(false, state, wanted, 'its beginning is not in the log', is_sure)::audit_log.row_trace;
    END IF;
    event := events[place];
    place := place - 1;
    IF event.organization_id IS NOT NULL AND event.kind NOT IN ('truncated', 'partition_removed') THEN
      why := audit_log.was_paused(event.organization_id, event.occurred_at, later);
      IF why IS NOT NULL THEN
        RETURN ROW(false, state, wanted, why, false)::audit_log.row_trace;
      END IF;
      later := event.occurred_at;
    END IF;
    CASE event.kind
      WHEN 'columns' THEN
        changed := names;
        FOR column_name IN SELECT pg_catalog.jsonb_object_keys(coalesce(event.before -> 'added', '{}')) LOOP
          IF NOT (names ? column_name AND names ->> column_name IS NULL) THEN
            IF event.before -> 'added' -> column_name = 'null' THEN
              state := pg_catalog.jsonb_build_object(coalesce(names ->> column_name, column_name), NULL) || state;
            END IF;
            wanted := wanted || coalesce(names ->> column_name, column_name);
          END IF;
          changed := changed || pg_catalog.jsonb_build_object(column_name, NULL);
        END LOOP;
        FOR column_name IN SELECT pg_catalog.jsonb_array_elements_text(coalesce(event.before -> 'rewritten', '[]')) LOOP
          IF NOT (names ? column_name AND names ->> column_name IS NULL) THEN
            wanted := wanted || coalesce(names ->> column_name, column_name);
          END IF;
          changed := changed || pg_catalog.jsonb_build_object(column_name, NULL);
        END LOOP;
        FOR column_name IN
          SELECT pg_catalog.jsonb_array_elements_text(coalesce(event.before -> 'dropped', '[]'))
          UNION ALL SELECT pg_catalog.jsonb_array_elements_text(coalesce(event.before -> 'ignored', '[]'))
        LOOP
          changed := changed || pg_catalog.jsonb_build_object(column_name, NULL);
        END LOOP;
        SELECT changed || coalesce(pg_catalog.jsonb_object_agg(r.key,
                 CASE WHEN names ? r.value AND names ->> r.value IS NULL THEN NULL ELSE coalesce(names ->> r.value, r.value) END), '{}')
        INTO changed FROM pg_catalog.jsonb_each_text(event.before -> 'renamed') r;
        names := changed;
      WHEN 'watched', 'unwatched' THEN
        RETURN ROW(false, state, wanted, pg_catalog.format(CASE event.kind WHEN 'watched' THEN 'its table was not watched before %s' ELSE 'its table was not watched from %s on' END, event.occurred_at),
                   is_sure)::audit_log.row_trace;
      WHEN 'dropped', 'truncated', 'deleted', 'departed' THEN
        -- What was seen of it after that, without its coming, contradicts it.
        IF state <> '{}' THEN
          RETURN ROW(false, state, wanted, 'its beginning is not in the log', is_sure)::audit_log.row_trace;
        END IF;
        why := audit_log.was_paused(NULL, event.occurred_at, at);
        RETURN ROW(true, NULL, '{}'::text[], why, why IS NULL)::audit_log.row_trace;
      WHEN 'partition_removed', 'partition_added' THEN
        is_sure := false;
        why := pg_catalog.format('rows of its table came or left with a partition at %s', event.occurred_at);
      WHEN 'left', 'entered' THEN
        state := audit_log.mapped_state(event.after, names) || state;
        RETURN ROW(false, state, wanted, pg_catalog.format('it was in a disabled organization %s %s', CASE event.kind WHEN 'left' THEN 'from' ELSE 'until' END, event.occurred_at),
                   is_sure)::audit_log.row_trace;
      ELSE
        IF event.before IS NULL AND event.after IS NULL THEN
          PERFORM audit_log.refuse_rebuild(label, target_id, 'its table was watched without row state (capture => ''keys'')');
        END IF;
        state := audit_log.mapped_state(event.after, names) || state;
        IF event.kind = 'inserted' THEN
          RETURN ROW(true, state, ARRAY(SELECT w FROM pg_catalog.unnest(wanted) w WHERE NOT state ? w), why, is_sure)::audit_log.row_trace;
        ELSIF event.kind = 'arrived' THEN
          key := event.other_id;
          events := audit_log.row_events(label, key);
          place := audit_log.place_of(events, event.id) - 1;
        END IF;
    END CASE;
  END LOOP;
END
$$;
COMMENT ON FUNCTION audit_log.row_before(text, text, timestamptz) IS 'What the log says of a row at a time from what came before. Internal.';

-- From a time on to the row's end, or to the table as it is.
CREATE FUNCTION audit_log.row_after(label text, target_id text, at timestamptz) RETURNS audit_log.row_trace
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  key text := target_id;
  relation oid := audit_log.named_relation(label);
  events audit_log.row_event[] := audit_log.row_events(label, key);
  place integer := (SELECT pg_catalog.count(*) FROM pg_catalog.unnest(events) e WHERE e.occurred_at <= at);
  event audit_log.row_event;
  earlier timestamptz := at;
  names jsonb := '{}';
  undo jsonb := '{}';  -- of each column the value it had first
  lost text[] := '{}';  -- columns whose value of the time is not the one that comes later
  live jsonb;
  organization text;
  came text;
  went text;
  why text;
  column_name text;
  changed jsonb;
BEGIN
  LOOP
    place := place + 1;
    EXIT WHEN place > pg_catalog.cardinality(events);
    event := events[place];
    IF event.organization_id IS NOT NULL AND event.kind NOT IN ('truncated', 'partition_removed') THEN
      why := audit_log.was_paused(event.organization_id, earlier, event.occurred_at);
      IF why IS NOT NULL THEN
        RETURN ROW(false, undo, lost, why, false)::audit_log.row_trace;
      END IF;
      earlier := event.occurred_at;
    END IF;
    CASE event.kind
      WHEN 'columns' THEN
        changed := names;
        FOR column_name IN
          SELECT pg_catalog.jsonb_object_keys(coalesce(event.before -> 'added', '{}'))
          UNION ALL SELECT pg_catalog.jsonb_array_elements_text(coalesce(event.before -> 'rewritten', '[]'))
        LOOP
          changed := changed || pg_catalog.jsonb_build_object(column_name, NULL);
        END LOOP;
        FOR column_name IN
          SELECT pg_catalog.jsonb_array_elements_text(coalesce(event.before -> 'rewritten', '[]'))
          UNION ALL SELECT pg_catalog.jsonb_array_elements_text(coalesce(event.before -> 'dropped', '[]'))
        LOOP
          IF NOT (names ? column_name AND names ->> column_name IS NULL) THEN
            lost := lost || coalesce(names ->> column_name, column_name);
          END IF;
        END LOOP;
        SELECT changed || coalesce(pg_catalog.jsonb_object_agg(r.value,
                 CASE WHEN names ? r.key AND names ->> r.key IS NULL THEN NULL ELSE coalesce(names ->> r.key, r.key) END), '{}')
        INTO changed FROM pg_catalog.jsonb_each_text(event.before -> 'renamed') r;
        names := changed;
      WHEN 'unwatched', 'watched' THEN
        RETURN ROW(false, undo, lost, pg_catalog.format(CASE event.kind WHEN 'watched' THEN 'its table was not watched before %s' ELSE 'its table was not watched from %s on' END, event.occurred_at),
                   false)::audit_log.row_trace;
      WHEN 'truncated', 'dropped' THEN
        RETURN ROW(false, undo, lost, pg_catalog.format('its table was %s at %s', event.kind, event.occurred_at), false)::audit_log.row_trace;
      WHEN 'partition_removed' THEN
        went := coalesce(went, pg_catalog.format('rows of its table left with a partition at %s', event.occurred_at));
      WHEN 'partition_added' THEN
        came := coalesce(came, pg_catalog.format('rows came to its table with a partition at %s', event.occurred_at));
      WHEN 'inserted', 'arrived' THEN
        -- It was not there just before.
        IF went IS NOT NULL OR undo <> '{}' THEN
          RETURN ROW(false, undo, lost, coalesce(went, 'its end is not in the log'), false)::audit_log.row_trace;
        END IF;
        why := audit_log.was_paused(NULL, at, event.occurred_at);
        RETURN ROW(why IS NULL, NULL, '{}'::text[], why, why IS NULL)::audit_log.row_trace;
      WHEN 'deleted' THEN
        IF event.before IS NULL THEN
          PERFORM audit_log.refuse_rebuild(label, target_id, 'its table was watched without row state (capture => ''keys'')');
        END IF;
        RETURN ROW(came IS NULL, audit_log.mapped_state(event.before, names) || undo, lost, came, came IS NULL)::audit_log.row_trace;
      ELSE
        IF event.kind = 'entered' THEN
          RETURN ROW(false, undo, lost, pg_catalog.format('it was in a disabled organization until %s', event.occurred_at), true)::audit_log.row_trace;
        ELSIF event.before IS NULL AND event.after IS NULL THEN
          PERFORM audit_log.refuse_rebuild(label, target_id, 'its table was watched without row state (capture => ''keys'')');
        END IF;
        undo := audit_log.mapped_state(event.before, names) || undo;
        IF event.kind = 'left' THEN
          RETURN ROW(false, undo, lost, pg_catalog.format('it was in a disabled organization from %s', event.occurred_at), true)::audit_log.row_trace;
        ELSIF event.kind = 'departed' THEN
          key := event.other_id;
          events := audit_log.row_events(label, key);
          place := audit_log.place_of(events, event.id);
        END IF;
    END CASE;
  END LOOP;
  IF relation IS NULL OR NOT EXISTS (SELECT FROM audit_log.watch_trigger w WHERE w.relid = relation) THEN
    RETURN ROW(false, undo, lost, 'its table is not watched now', false)::audit_log.row_trace;
  END IF;
  live := audit_log.live_row(relation::regclass, key);
  SELECT live ->> (w.options -> 'organization' ->> 0) INTO organization FROM audit_log.watch_trigger w WHERE w.relid = relation;
  why := coalesce(audit_log.was_paused(coalesce(organization, 'default'), earlier, 'infinity'), CASE WHEN live IS NULL THEN went ELSE came END);
  IF live IS NULL AND at < pg_catalog.statement_timestamp() THEN
    why := coalesce(why, audit_log.was_paused(NULL, at, pg_catalog.statement_timestamp()));
  END IF;
  IF live IS NULL AND undo <> '{}' THEN
    why := coalesce(why, 'its end is not in the log');
  END IF;
  RETURN ROW(why IS NULL, audit_log.mapped_state(live, names) || undo, lost, why, why IS NULL)::audit_log.row_trace;
END
$$;
COMMENT ON FUNCTION audit_log.row_after(text, text, timestamptz) IS 'What the log and the table say of a row at a time from what came later. Internal.';

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

CREATE FUNCTION audit_log.row_at_of(label text, target_id text, at timestamptz) RETURNS jsonb
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  root text;
  key text := audit_log.stored_id(target_id);
  past audit_log.row_trace;
  future audit_log.row_trace;
  state jsonb;
  missing text[] := '{}';
  why text;
BEGIN
  PERFORM audit_log.require_reader();
  root := audit_log.root_label(label);
  -- Of the time before it was first watched the log knows what was there then.
  at := greatest(at, (SELECT c.at FROM (SELECT * FROM audit_log.relation_changes(root) c WHERE c.kind <> 'renamed' ORDER BY c.at LIMIT 1) c WHERE c.kind = 'watched'));
  past := audit_log.row_before(root, key, at);
  state := past.state;
  IF NOT past.is_known OR NOT past.is_sure OR past.wanted <> '{}' THEN
    future := audit_log.row_after(root, key, at);
    IF NOT past.is_known THEN
      state := future.state || past.state;
      why := CASE WHEN NOT future.is_known THEN coalesce(future.why, past.why) END;
      past.wanted := past.wanted || future.wanted;
    ELSIF NOT past.is_sure THEN
      state := CASE WHEN future.state IS NOT NULL OR NOT future.is_known THEN state END;
      why := CASE WHEN past.state IS NULL AND NOT (future.is_known AND future.state IS NULL) THEN past.why
                  WHEN past.state IS NOT NULL AND NOT (future.is_sure OR coalesce(future.state <> '{}', false)) THEN past.why END;
    END IF;
    IF why IS NULL AND state IS NOT NULL THEN
      SELECT state || coalesce(pg_catalog.jsonb_object_agg(w, future.state -> w) FILTER (WHERE future.state ? w AND NOT state ? w), '{}'),
             coalesce(pg_catalog.array_agg(w) FILTER (WHERE NOT coalesce(future.state ? w, false) AND NOT state ? w), '{}')
      INTO state, missing FROM pg_catalog.unnest(past.wanted) w;
      IF missing <> '{}' THEN
        why := pg_catalog.format('column "%s" was added, rewritten or dropped, and its value then is not in the log', missing[1]);
      END IF;
    END IF;
  END IF;
  IF why IS NOT NULL THEN
    PERFORM audit_log.refuse_rebuild(root, target_id, why);
  END IF;
  RETURN audit_log.mapped_state(state, audit_log.names_today(root, at));
END
$$;
COMMENT ON FUNCTION audit_log.row_at_of(text, text, timestamptz) IS 'A row of the table of a name as it stood. Internal.';

CREATE FUNCTION audit_log.row_at(relation regclass, target_id text, at timestamptz) RETURNS jsonb
  LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT audit_log.row_at_of(audit_log.relation_label(relation), target_id, at);
END;
COMMENT ON FUNCTION audit_log.row_at(regclass, text, timestamptz) IS 'The row as it stood at a time, a JSON object with the columns of that time, under today''s names where they were only renamed; NULL where it did not exist. Built from its insert on, or, where that is not in the log, backwards from its delete or from the table (which the caller must then be able to read). Of a time before the table was first watched, as it stood then. Ignored columns are missing, redacted ones say "[redacted]". 55000, and what is missing, where the log does not hold enough: its table was not watched, or without row state, its organization disabled.';

CREATE FUNCTION audit_log.row_at(relation text, target_id text, at timestamptz) RETURNS jsonb
  LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT audit_log.row_at_of(audit_log.label_of(relation, pg_catalog.current_schemas(true)), target_id, at);
END;
COMMENT ON FUNCTION audit_log.row_at(text, text, timestamptz) IS 'The same by the table''s name, also where it was dropped or renamed since, or is in a schema that the caller may not use: schema.table, or a name in search_path. 42P01 where nobody knows the name.';
