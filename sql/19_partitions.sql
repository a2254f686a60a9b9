-- Partitions: made ahead, without holding up whoever writes; and what landed without one, moved to its place.

-- No row until somebody chooses: a dump's own would collide with it.
CREATE TABLE audit_log.partition_setting (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  unit text NOT NULL CHECK (unit IN ('hour', 'day', 'week', 'month'))
);
COMMENT ON TABLE audit_log.partition_setting IS 'What set_partition_interval() chose; without a row, week.';

CREATE FUNCTION audit_log.partition_interval() RETURNS text
  LANGUAGE sql STABLE
RETURN coalesce((SELECT s.unit FROM audit_log.partition_setting s), 'week');
COMMENT ON FUNCTION audit_log.partition_interval() IS 'The interval of partitions to be made: hour, day, week or month.';

CREATE FUNCTION audit_log.set_partition_interval(unit text) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  was text := audit_log.partition_interval();
BEGIN
  IF unit IS NULL OR unit NOT IN ('hour', 'day', 'week', 'month') THEN
    RAISE EXCEPTION 'partitions cannot have the interval %', coalesce('"' || unit || '"', 'null')
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: unit', HINT = 'Give hour, day, week or month.';
  END IF;
  INSERT INTO audit_log.partition_setting AS s (unit) VALUES (unit)
  ON CONFLICT ON CONSTRAINT partition_setting_pkey DO UPDATE SET unit = EXCLUDED.unit;
  IF unit <> was THEN
    PERFORM audit_log.record_configuration('retention_changed', NULL, 'partition_interval',
      pg_catalog.jsonb_build_object('partition_interval', unit, 'was', was));
  END IF;
END
$$;
COMMENT ON FUNCTION audit_log.set_partition_interval(text) IS 'Chooses the interval of partitions made from now on: hour, day, week (as at first) or month, in UTC. Partitions that are there stay as they are; new ones fit between them. 22023 for any other. Recorded as retention_changed.';

CREATE FUNCTION audit_log.partition_bounds(parent regclass)
  RETURNS TABLE (partition regclass, lower timestamptz, upper timestamptz)
  LANGUAGE sql STABLE STRICT ROWS 20
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
  SET DateStyle = 'ISO'
AS $$
  SELECT b.oid::regclass,
         CASE WHEN b.bound ~ 'FROM \(MINVALUE\)' THEN '-infinity' ELSE pg_catalog.substring(b.bound, $re$FROM \('([^']+)'\)$re$)::timestamptz END,
         CASE WHEN b.bound ~ 'TO \(MAXVALUE\)' THEN 'infinity' ELSE pg_catalog.substring(b.bound, $re$TO \('([^']+)'\)$re$)::timestamptz END
  FROM (SELECT c.oid, pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS bound
        FROM pg_catalog.pg_inherits i
        JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = parent) b
  WHERE b.bound <> 'DEFAULT'
$$;
COMMENT ON FUNCTION audit_log.partition_bounds(regclass) IS 'The partitions of a table of the log and their instants [lower, upper); days as midnights, UTC. Without the default one. Internal.';

CREATE FUNCTION audit_log.free_range(parent regclass, unit text, at timestamptz, OUT lower timestamptz, OUT upper timestamptz)
  LANGUAGE sql STABLE STRICT
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
AS $$
  SELECT greatest(w.lower, pg_catalog.max(b.upper) FILTER (WHERE b.upper <= at)),
         least(w.upper, pg_catalog.min(b.lower) FILTER (WHERE b.lower > at))
  FROM (SELECT pg_catalog.date_trunc(unit, at) AS lower, pg_catalog.date_trunc(unit, at) + ('1 ' || unit)::interval AS upper) w
  LEFT JOIN audit_log.partition_bounds(parent) b ON true
  GROUP BY w.lower, w.upper
  HAVING pg_catalog.bool_or(b.lower <= at AND b.upper > at) IS NOT TRUE
$$;
COMMENT ON FUNCTION audit_log.free_range(regclass, text, timestamptz) IS 'The range around an instant that a partition of an interval may have beside those that are there; NULL where one has the instant. Internal.';

CREATE FUNCTION audit_log.partition_key(parent regclass) RETURNS name
  LANGUAGE sql STABLE STRICT
RETURN (SELECT a.attname FROM pg_catalog.pg_attribute a WHERE a.attrelid = parent AND a.attnum = 1);
COMMENT ON FUNCTION audit_log.partition_key(regclass) IS 'The column that a table of the log is partitioned by: its first. Internal.';

CREATE FUNCTION audit_log.new_partition(parent regclass, lower timestamptz) RETURNS text
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
AS $$
DECLARE
  parent_name name := (SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid = parent);
  child text := parent_name || '_p' || pg_catalog.to_char(lower, CASE lower WHEN pg_catalog.date_trunc('day', lower) THEN 'YYYYMMDD'
    WHEN pg_catalog.date_trunc('hour', lower) THEN 'YYYYMMDD_HH24' ELSE 'YYYYMMDD_HH24MISSUS' END);
BEGIN
  IF pg_catalog.to_regclass('audit_log.' || pg_catalog.quote_ident(child)) IS NOT NULL THEN
    RETURN NULL;
  END IF;
  -- Vacuumed often: it has little to clean, but marks pages as all-visible, for scans of indexes only.
  EXECUTE pg_catalog.format('CREATE TABLE audit_log.%I (LIKE audit_log.%I INCLUDING DEFAULTS)
    WITH (autovacuum_vacuum_insert_threshold = 20000, autovacuum_vacuum_insert_scale_factor = 0.02)', child, parent_name);
  RETURN child;
END
$$;
COMMENT ON FUNCTION audit_log.new_partition(regclass, timestamptz) IS 'Makes the table of a partition, not attached and without indexes; its name, or NULL where that is taken. Internal.';

CREATE FUNCTION audit_log.attach_partition(parent regclass, child text, lower timestamptz, upper timestamptz) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
  SET DateStyle = 'ISO'
AS $$
BEGIN
  -- Attached, not created in place: only the default partition is then locked, not the parent.
  EXECUTE pg_catalog.format('ALTER TABLE %s ATTACH PARTITION audit_log.%I FOR VALUES FROM (%L) TO (%L)', parent, child, lower, upper);
END
$$;
COMMENT ON FUNCTION audit_log.attach_partition(regclass, text, timestamptz, timestamptz) IS 'Makes a table a partition. Internal.';

CREATE FUNCTION audit_log.finish_partition(parent regclass, child text) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  parent_name name := (SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid = parent);
BEGIN
  EXECUTE pg_catalog.format('SELECT audit_log.index_%s_partition(%L)', parent_name, 'audit_log.' || pg_catalog.quote_ident(child));
  IF audit_log.partition_key(parent) = 'occurred_at' THEN
    PERFORM audit_log.guard(('audit_log.' || pg_catalog.quote_ident(child))::regclass);
  END IF;
END
$$;
COMMENT ON FUNCTION audit_log.finish_partition(regclass, text) IS 'Gives the table of a partition its indexes and, where entries are in it, its guard. Internal.';

CREATE FUNCTION audit_log.build_partition(parent regclass, lower timestamptz, upper timestamptz) RETURNS text
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
AS $$
DECLARE
  key name := audit_log.partition_key(parent);
  child text;
  in_default boolean;
BEGIN
  -- Days are never divided.
  IF lower >= upper OR key = 'day' AND (lower <> pg_catalog.date_trunc('day', lower) OR upper <> pg_catalog.date_trunc('day', upper)) THEN
    RETURN NULL;
  END IF;
  -- What is in the default partition already is moved by move_from_default(); attaching would fail.
  EXECUTE pg_catalog.format('SELECT EXISTS (SELECT FROM %1$s_default WHERE %2$I >= $1 AND %2$I < $2)', parent, key)
  INTO in_default USING lower, upper;
  IF in_default THEN
    RETURN NULL;
  END IF;
  child := audit_log.new_partition(parent, lower);
  IF child IS NOT NULL THEN
    PERFORM audit_log.finish_partition(parent, child);
  END IF;
  RETURN child;
END
$$;
COMMENT ON FUNCTION audit_log.build_partition(regclass, timestamptz, timestamptz) IS 'Makes the table of a partition with all it has, not attached; its name, or NULL where that is taken or the range has rows in the default partition. Internal.';

CREATE FUNCTION audit_log.attach_or_drop(parent regclass, child text, lower timestamptz, upper timestamptz) RETURNS boolean
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM audit_log.attach_partition(parent, child, lower, upper);
  RETURN true;
EXCEPTION WHEN check_violation THEN
  EXECUTE pg_catalog.format('DROP TABLE audit_log.%I', child);
  RETURN false;
END
$$;
COMMENT ON FUNCTION audit_log.attach_or_drop(regclass, text, timestamptz, timestamptz) IS 'Makes an empty table a partition; false, and drops it, where something of its range was written to the default partition meanwhile. Internal.';

CREATE FUNCTION audit_log.create_partition(parent regclass, lower timestamptz, upper timestamptz) RETURNS boolean
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  child text := audit_log.build_partition(parent, lower, upper);
BEGIN
  RETURN child IS NOT NULL AND audit_log.attach_or_drop(parent, child, lower, upper);
END
$$;
COMMENT ON FUNCTION audit_log.create_partition(regclass, timestamptz, timestamptz) IS 'Creates one partition; false where it is there already or its range already has rows in the default partition. Internal.';

CREATE FUNCTION audit_log.unit_of(parent regclass, unit text) RETURNS text
  LANGUAGE sql STABLE
RETURN CASE WHEN unit = 'hour' AND audit_log.partition_key(parent) = 'day' THEN 'day' ELSE unit END;
COMMENT ON FUNCTION audit_log.unit_of(regclass, text) IS 'The interval a table of the log is partitioned by: what is kept by days has at least days. Internal.';

CREATE FUNCTION audit_log.missing_partitions(at timestamptz, ahead integer)
  RETURNS TABLE (parent regclass, lower timestamptz, upper timestamptz)
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
AS $$
  -- Partitions of another interval may take up part of one: what is left can be several pieces.
  SELECT p.parent, pg_catalog.lower(piece), pg_catalog.upper(piece)
  FROM audit_log.partition_interval() unit
  CROSS JOIN pg_catalog.unnest(ARRAY['audit_log.event', 'audit_log.event_target', 'audit_log.activity', 'audit_log.named']::regclass[])
    WITH ORDINALITY p(parent, place)
  CROSS JOIN audit_log.unit_of(p.parent, unit) own
  CROSS JOIN LATERAL (SELECT coalesce(pg_catalog.range_agg(pg_catalog.tstzrange(b.lower, b.upper)), '{}') AS ranges
                      FROM audit_log.partition_bounds(p.parent) b) taken
  CROSS JOIN pg_catalog.generate_series(pg_catalog.date_trunc(own, at),
    pg_catalog.date_trunc(unit, at)
      + coalesce(ahead, CASE unit WHEN 'hour' THEN 72 WHEN 'day' THEN 14 WHEN 'week' THEN 4 ELSE 3 END) * ('1 ' || unit)::interval,
    ('1 ' || own)::interval) first
  CROSS JOIN pg_catalog.unnest(pg_catalog.tstzmultirange(pg_catalog.tstzrange(first, first + ('1 ' || own)::interval)) - taken.ranges) piece
  WHERE pg_catalog.upper(piece) > at
  ORDER BY first, p.place, piece
$$;
COMMENT ON FUNCTION audit_log.missing_partitions(timestamptz, integer) IS 'The ranges from an instant on, so many intervals ahead, that have no partition. Internal.';

CREATE FUNCTION audit_log.make_partitions(at timestamptz, ahead integer, most integer DEFAULT NULL) RETURNS integer
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '40ms'
AS $$
DECLARE
  missing record;
  child text;
  parents regclass[] := '{}';
  children text[] := '{}';
  lowers timestamptz[] := '{}';
  uppers timestamptz[] := '{}';
  created integer := 0;
BEGIN
  IF NOT EXISTS (SELECT FROM audit_log.missing_partitions(at, ahead)) THEN
    RETURN 0;
  END IF;
  -- One session at a time, by a lock that nobody else may take.
  LOCK TABLE audit_log.feed_epoch IN SHARE UPDATE EXCLUSIVE MODE;
  FOR missing IN SELECT m.* FROM audit_log.missing_partitions(at, ahead) m LOOP
    child := audit_log.build_partition(missing.parent, missing.lower, missing.upper);
    CONTINUE WHEN child IS NULL;
    parents := parents || missing.parent;
    children := children || child;
    lowers := lowers || missing.lower;
    uppers := uppers || missing.upper;
    EXIT WHEN pg_catalog.cardinality(children) >= most;
  END LOOP;
  -- The default partitions are locked from the first of these until the transaction ends.
  FOR i IN 1 .. pg_catalog.cardinality(children) LOOP
    created := created + audit_log.attach_or_drop(parents[i], children[i], lowers[i], uppers[i])::integer;
  END LOOP;
  RETURN created;
END
$$;
COMMENT ON FUNCTION audit_log.make_partitions(timestamptz, integer, integer) IS 'Creates the missing partitions from an instant on, so many intervals ahead (NULL: 72 hours, 14 days, 4 weeks or 3 months), so many at the most (NULL: all); how many. Fails rather than wait for a lock. Internal.';

CREATE FUNCTION audit_log.ensure_partitions(ahead integer DEFAULT NULL) RETURNS integer
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF ahead NOT BETWEEN 0 AND 520 THEN
    RAISE EXCEPTION 'cannot create partitions % intervals ahead', ahead
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: ahead', HINT = 'Give a number from 0 to 520.';
  END IF;
  RETURN audit_log.make_partitions(pg_catalog.clock_timestamp(), ahead);
EXCEPTION WHEN lock_not_available THEN
  -- Entries land in the default partition meanwhile; whoever waited here would hold others up.
  RAISE WARNING 'partitions of the audit log were not created: it is in use'
    USING HINT = 'SELECT audit_log.ensure_partitions() again later.';
  RETURN 0;
END
$$;
COMMENT ON FUNCTION audit_log.ensure_partitions(integer) IS 'Creates the missing partitions from now on, so many intervals ahead (NULL: 72 hours, 14 days, 4 weeks or 3 months); returns how many were missing. Locks the default partitions until the transaction ends, which holds up readers of the whole log: call it in a transaction of its own. Does not queue for that lock: where the log is in use it gives a WARNING. run_retention() and the worker call it, and every configuration change (watch(), define_category(), …) where this moment has no partition.';

CREATE FUNCTION audit_log.move_entries(source regclass, target regclass, lower timestamptz, upper timestamptz) RETURNS bigint
  LANGUAGE c VOLATILE STRICT
  SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'audit_log_move_entries';
COMMENT ON FUNCTION audit_log.move_entries(regclass, regclass, timestamptz, timestamptz) IS 'Moves the rows of a range from event_default or event_target_default to a table of the same columns in this schema; how many. Internal.';

CREATE FUNCTION audit_log.move_rows(parent regclass, child text, lower timestamptz, upper timestamptz) RETURNS bigint
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
AS $$
DECLARE
  moved bigint;
BEGIN
  IF audit_log.partition_key(parent) = 'occurred_at' THEN
    RETURN audit_log.move_entries((parent || '_default')::regclass, ('audit_log.' || pg_catalog.quote_ident(child))::regclass, lower, upper);
  END IF;
  EXECUTE pg_catalog.format('WITH moved AS (DELETE FROM %s_default WHERE day >= $1 AND day < $2 RETURNING *)
    INSERT INTO audit_log.%I SELECT * FROM moved', parent, child) USING lower::date, upper::date;
  GET DIAGNOSTICS moved = ROW_COUNT;
  RETURN moved;
END
$$;
COMMENT ON FUNCTION audit_log.move_rows(regclass, text, timestamptz, timestamptz) IS 'Moves the rows of a range from the default partition of a table of the log to the table of a partition to be; how many. Internal.';

CREATE FUNCTION audit_log.name_moved(moved_to text, named_in text, day date) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  EXECUTE pg_catalog.format('INSERT INTO audit_log.%I (day, is_actor, organization_id, type, id, name)
    SELECT DISTINCT $1, m.is_actor, e.organization_id, m.type, m.id, m.name
    FROM audit_log.%I e
    CROSS JOIN LATERAL audit_log.names_of(e.actor_type, e.actor_id, e.actor_name, e.effective_actor_type, e.effective_actor_id,
      e.effective_actor_name, e.target_type, e.target_id, e.target_name, e.targets) m
    CROSS JOIN audit_log.counted_until u
    WHERE audit_log.seen_by(e.feed, u.epoch, u.snapshot)
    ON CONFLICT DO NOTHING', named_in, moved_to) USING day;
END
$$;
COMMENT ON FUNCTION audit_log.name_moved(text, text, date) IS 'Names what counted entries that were moved to a table name, by its first day. Internal.';

CREATE FUNCTION audit_log.next_to_move(before timestamptz DEFAULT '9999-01-01Z') RETURNS timestamptz
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
-- What is beyond these stays: there is no next week to end with.
RETURN (SELECT pg_catalog.max(e.occurred_at) FROM audit_log.event_default e
        WHERE e.occurred_at >= '0001-01-01Z' AND e.occurred_at < next_to_move.before);
COMMENT ON FUNCTION audit_log.next_to_move(timestamptz) IS 'The newest instant of an entry without a partition; NULL where there is none. Internal.';

-- Such a transaction may read the log by its snapshot and by the partitions of now: it would look for what was moved
-- where its snapshot does not show it yet. One statement on its own takes a snapshot for itself.
CREATE FUNCTION audit_log.has_old_snapshots() RETURNS boolean
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM pg_catalog.pg_stat_clear_snapshot();
  RETURN EXISTS (
    SELECT FROM pg_catalog.pg_stat_activity a
    WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid() AND a.backend_type = 'client backend'
      AND a.backend_xmin IS NOT NULL AND a.xact_start < pg_catalog.clock_timestamp() - interval '1 second'
      AND (a.state LIKE 'idle in transaction%' OR a.xact_start < a.query_start));
END
$$;
COMMENT ON FUNCTION audit_log.has_old_snapshots() IS 'Whether a transaction of several statements is open, for more than a second, that goes by a snapshot of before. Internal.';

CREATE FUNCTION audit_log.move_from_default(at timestamptz, most integer DEFAULT 1) RETURNS bigint
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
  SET lock_timeout = '1s'
AS $$
DECLARE
  unit text := audit_log.partition_interval();
  parents regclass[] := '{}';
  children text[] := '{}';
  lowers timestamptz[] := '{}';
  uppers timestamptz[] := '{}';
  parent regclass;
  child text;
  room record;
  moved bigint := 0;
  fresh bigint;
  locked boolean := false;
BEGIN
  IF audit_log.has_old_snapshots() THEN
    RAISE EXCEPTION 'entries without a partition were not moved: the log is in use'
      USING ERRCODE = '55P03', DETAIL = 'code: not_in_prerequisite_state', HINT = 'The next run of retention tries again; a long transaction holds it up.';
  END IF;
  -- Whoever counts entries, or removes some, must not meet them in two places.
  LOCK TABLE audit_log.counted_until IN SHARE ROW EXCLUSIVE MODE;
  LOCK TABLE audit_log.feed_epoch IN SHARE UPDATE EXCLUSIVE MODE;
  FOR i IN 1 .. most LOOP
    FOREACH parent IN ARRAY ARRAY['audit_log.activity', 'audit_log.named', 'audit_log.event_target', 'audit_log.event']::regclass[] LOOP
      SELECT r.lower, r.upper INTO room FROM audit_log.free_range(parent, audit_log.unit_of(parent, unit), at) r
      -- A day is made with its last hour.
      WHERE NOT EXISTS (SELECT FROM unnest(parents, lowers) m(p, first) WHERE m.p = parent AND m.first = r.lower);
      CONTINUE WHEN room.lower IS NULL;
      child := audit_log.new_partition(parent, room.lower);
      IF child IS NULL THEN
        RAISE EXCEPTION 'the table of the partition of % from % on is there, but not attached', parent, room.lower
          USING ERRCODE = '55000', DETAIL = 'code: not_in_prerequisite_state', HINT = 'Attach it, or rename it; the next run of retention goes on.';
      END IF;
      parents := parents || parent;
      children := children || child;
      lowers := lowers || room.lower;
      uppers := uppers || room.upper;
      -- Attaching then need not read it.
      EXECUTE pg_catalog.format(CASE audit_log.partition_key(parent)
        WHEN 'day' THEN 'ALTER TABLE audit_log.%I ADD CONSTRAINT moved CHECK (day >= %L::date AND day < %L::date)'
        ELSE 'ALTER TABLE audit_log.%I ADD CONSTRAINT moved CHECK (occurred_at >= %L AND occurred_at < %L)' END, child, room.lower, room.upper);
      moved := moved + audit_log.move_rows(parent, child, room.lower, room.upper);
      PERFORM audit_log.finish_partition(parent, child);
    END LOOP;
    IF room.lower::date <> pg_catalog.date_trunc('week', at)::date THEN
      -- Names go by the first day of the partition that entries are in; of what is not counted they come later.
      PERFORM audit_log.name_moved(child, coalesce((
        SELECT m.child FROM unnest(parents, children, lowers, uppers) m(p, child, first, last)
        WHERE m.p = 'audit_log.named'::regclass AND room.lower >= m.first AND room.lower < m.last), 'named'), room.lower::date);
    END IF;
    at := audit_log.next_to_move(room.lower);
    EXIT WHEN at IS NULL OR moved >= 100000;
  END LOOP;
  IF parents = '{}' THEN
    RETURN 0;
  END IF;
  -- What came meanwhile, until that is little.
  FOR again IN 1 .. 5 LOOP
    fresh := 0;
    FOR i IN 1 .. pg_catalog.cardinality(parents) LOOP
      CONTINUE WHEN audit_log.partition_key(parents[i]) = 'day';
      fresh := fresh + audit_log.move_rows(parents[i], children[i], lowers[i], uppers[i]);
    END LOOP;
    moved := moved + fresh;
    EXIT WHEN fresh < 500;
  END LOOP;
  -- From here on nothing may take long: whoever writes, or reads, waits.
  FOR i IN 1 .. 50 LOOP
    BEGIN
      PERFORM pg_catalog.set_config('lock_timeout', '20ms', true);
      -- The parents, too: a query that was planned by the partitions of before would miss what was moved.
      LOCK TABLE ONLY audit_log.event, ONLY audit_log.event_target, ONLY audit_log.activity, ONLY audit_log.named,
                 ONLY audit_log.event_default, ONLY audit_log.event_target_default, ONLY audit_log.activity_default, ONLY audit_log.named_default
        IN ACCESS EXCLUSIVE MODE;
      IF audit_log.has_old_snapshots() THEN
        RAISE lock_not_available;
      END IF;
      locked := true;
      EXIT;
    EXCEPTION WHEN lock_not_available THEN
      PERFORM pg_catalog.pg_sleep(0.02);
    END;
  END LOOP;
  IF NOT locked THEN
    RAISE EXCEPTION 'entries without a partition were not moved: the log is in use'
      USING ERRCODE = '55P03', DETAIL = 'code: not_in_prerequisite_state', HINT = 'The next run of retention tries again; a long transaction holds it up.';
  END IF;
  FOR i IN 1 .. pg_catalog.cardinality(parents) LOOP
    -- Counts and names cannot have come.
    IF audit_log.partition_key(parents[i]) = 'occurred_at' THEN
      moved := moved + audit_log.move_rows(parents[i], children[i], lowers[i], uppers[i]);
    END IF;
    PERFORM audit_log.attach_partition(parents[i], children[i], lowers[i], uppers[i]);
    -- Direct writing is for tables without constraints of their own.
    EXECUTE pg_catalog.format('ALTER TABLE audit_log.%I DROP CONSTRAINT moved', children[i]);
  END LOOP;
  RETURN moved;
END
$$;
COMMENT ON FUNCTION audit_log.move_from_default(timestamptz, integer) IS 'Makes the partitions of an instant that has none, and of so many more that come before it, of what the default partitions have of their ranges; how many rows. These can be read all the while, in one place or the other; whoever writes or reads waits only while they are attached. Fails where the log is in use for long, or a transaction that goes by an older snapshot is open. Internal.';
