-- Partitions: made ahead, without holding up whoever writes or reads.

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
  -- A DEFAULT one is none of ours.
  WHERE b.bound <> 'DEFAULT'
$$;
COMMENT ON FUNCTION audit_log.partition_bounds(regclass) IS 'The partitions of a table of the log and their instants [lower, upper); days as midnights, UTC. Internal.';

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

-- A session learns of a partition when it begins a transaction. One that began before may read by a snapshot of now and by
-- the partitions of then: it would miss what is moved there.
CREATE TABLE audit_log.partition_known (
  partition text COLLATE "C" PRIMARY KEY,
  attached_by xid8,
  version xid,
  since timestamptz
);
COMMENT ON TABLE audit_log.partition_known IS 'Since when a partition is there for every transaction that begins: asked for before entries are moved to it, or counts go there.';

CREATE FUNCTION audit_log.create_partition(parent regclass, lower timestamptz, upper timestamptz) RETURNS boolean
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
  SET DateStyle = 'ISO'
AS $$
DECLARE
  child text;
BEGIN
  -- Days are never divided.
  IF lower >= upper OR audit_log.partition_key(parent) = 'day' AND (lower <> pg_catalog.date_trunc('day', lower) OR upper <> pg_catalog.date_trunc('day', upper)) THEN
    RETURN false;
  END IF;
  child := audit_log.new_partition(parent, lower);
  IF child IS NULL THEN
    RETURN false;
  END IF;
  PERFORM audit_log.finish_partition(parent, child);
  INSERT INTO audit_log.partition_known AS k (partition, attached_by) VALUES (child, pg_catalog.pg_current_xact_id())
  ON CONFLICT ON CONSTRAINT partition_known_pkey DO UPDATE SET attached_by = EXCLUDED.attached_by, version = NULL, since = NULL;
  -- Attached, not created in place: nobody who reads or writes waits for it.
  EXECUTE pg_catalog.format('ALTER TABLE %s ATTACH PARTITION audit_log.%I FOR VALUES FROM (%L) TO (%L)', parent, child, lower, upper);
  RETURN true;
END
$$;
COMMENT ON FUNCTION audit_log.create_partition(regclass, timestamptz, timestamptz) IS 'Creates one partition; false where a table of its name is there already. Internal.';

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
  created integer := 0;
BEGIN
  IF NOT EXISTS (SELECT FROM audit_log.missing_partitions(at, ahead)) THEN
    RETURN 0;
  END IF;
  -- One session at a time, by a lock that nobody else may take.
  LOCK TABLE audit_log.feed_epoch IN SHARE UPDATE EXCLUSIVE MODE;
  FOR missing IN SELECT m.* FROM audit_log.missing_partitions(at, ahead) m LOOP
    created := created + audit_log.create_partition(missing.parent, missing.lower, missing.upper)::integer;
    EXIT WHEN created >= most;
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
  -- Entries land in event_unplaced meanwhile; whoever waited here would hold others up.
  RAISE WARNING 'partitions of the audit log were not created: it is in use'
    USING HINT = 'SELECT audit_log.ensure_partitions() again later.';
  RETURN 0;
END
$$;
COMMENT ON FUNCTION audit_log.ensure_partitions(integer) IS 'Creates the missing partitions from now on, so many intervals ahead (NULL: 72 hours, 14 days, 4 weeks or 3 months); returns how many were missing. Nobody who writes or reads waits for it. Does not queue for a lock: where somebody maintains the tables it gives a WARNING. run_retention() and the worker call it, and every configuration change (watch(), define_category(), …) where this moment has no partition.';
