-- The row as it stood: what the log says of it from its beginning on, or backwards from what came later.

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
        -- Of one that came without a value that one is known.
        SELECT coalesce(pg_catalog.jsonb_object_agg(n.name, NULL), '{}') || state INTO state
        FROM pg_catalog.jsonb_each_text(event.before -> 'added') c
        CROSS JOIN LATERAL pg_catalog.unnest(audit_log.names_then(names, ARRAY[c.key])) n(name)
        WHERE c.value IS NULL;
        wanted := wanted || audit_log.names_then(names, audit_log.changed_columns(event.before, '{added,rewritten}'));
        names := audit_log.names_across(names, event.before, true);
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
          PERFORM audit_log.refuse_rebuild(label, target_id);
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
        lost := lost || audit_log.names_then(names, audit_log.changed_columns(event.before, '{rewritten,dropped}'));
        names := audit_log.names_across(names, event.before, false);
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
          PERFORM audit_log.refuse_rebuild(label, target_id);
        END IF;
        RETURN ROW(came IS NULL, audit_log.mapped_state(event.before, names) || undo, lost, came, came IS NULL)::audit_log.row_trace;
      ELSE
        IF event.kind = 'entered' THEN
          RETURN ROW(false, undo, lost, pg_catalog.format('it was in a disabled organization until %s', event.occurred_at), true)::audit_log.row_trace;
        ELSIF event.before IS NULL AND event.after IS NULL THEN
          PERFORM audit_log.refuse_rebuild(label, target_id);
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
COMMENT ON FUNCTION audit_log.row_at(text, text, timestamptz) IS 'The same by the table''s name, also where it was dropped or renamed since, or is in a schema that the caller may not use: schema.table, or a name in search_path. 22023 where nobody knows the name.';
