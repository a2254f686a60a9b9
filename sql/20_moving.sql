-- Entries that had no partition when they were written, moved to one: nobody waits for it, and no answer lacks them.

CREATE FUNCTION audit_log.move_entries(partition regclass, lower timestamptz, upper timestamptz) RETURNS bigint
  LANGUAGE c VOLATILE STRICT
  SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'audit_log_move_entries';
COMMENT ON FUNCTION audit_log.move_entries(regclass, timestamptz, timestamptz) IS 'Moves the rows of a range from event_unplaced or event_target_unplaced to a partition of event or event_target that has it; how many. Internal.';

CREATE FUNCTION audit_log.name_moved(partition regclass, lower timestamptz, upper timestamptz) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
AS $$
DECLARE
  day date := audit_log.partition_start(partition)::date;
BEGIN
  -- Names go by the first day of the partition that entries are in, beside the partitions by that of their week.
  IF day = pg_catalog.date_trunc('week', lower)::date AND day = pg_catalog.date_trunc('week', upper - interval '1 microsecond')::date THEN
    RETURN;
  END IF;
  EXECUTE pg_catalog.format('INSERT INTO %s (day, is_actor, organization_id, type, id, name)
    SELECT DISTINCT $1, m.is_actor, e.organization_id, m.type, m.id, m.name
    FROM %s e
    CROSS JOIN LATERAL audit_log.names_of(e.actor_type, e.actor_id, e.actor_name, e.effective_actor_type, e.effective_actor_id,
      e.effective_actor_name, e.target_type, e.target_id, e.target_name, e.targets) m
    CROSS JOIN audit_log.counted_until u
    WHERE e.occurred_at >= $2 AND e.occurred_at < $3 AND audit_log.seen_by(e.feed, u.epoch, u.snapshot)
    ON CONFLICT DO NOTHING', audit_log.counts_table('audit_log.named', audit_log.partition_of('audit_log.named', day)), partition) USING day, lower, upper;
END
$$;
COMMENT ON FUNCTION audit_log.name_moved(regclass, timestamptz, timestamptz) IS 'Names what counted entries of a range that were moved to a partition name, by its first day; of what is not counted they come later. Internal.';

CREATE FUNCTION audit_log.next_to_move(before timestamptz DEFAULT '9999-01-01Z') RETURNS timestamptz
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
-- What is beyond these stays: there is no next week to end with.
RETURN greatest(
  (SELECT pg_catalog.max(e.occurred_at) FROM audit_log.event_unplaced e WHERE e.occurred_at >= '0001-01-01Z' AND e.occurred_at < next_to_move.before),
  (SELECT pg_catalog.max(t.occurred_at) FROM audit_log.event_target_unplaced t WHERE t.occurred_at >= '0001-01-01Z' AND t.occurred_at < next_to_move.before));
COMMENT ON FUNCTION audit_log.next_to_move(timestamptz) IS 'The newest instant, before one, of an entry without a partition; NULL where there is none. Internal.';

CREATE FUNCTION audit_log.is_known_to_all(partition regclass) RETURNS boolean
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  name text;
  known_version xid;
  known audit_log.partition_known;
BEGIN
  -- Detached and attached again, or altered, it is another version.
  SELECT c.relname, c.xmin INTO name, known_version FROM pg_catalog.pg_class c WHERE c.oid = partition;
  INSERT INTO audit_log.partition_known AS k (partition) VALUES (name) ON CONFLICT ON CONSTRAINT partition_known_pkey DO NOTHING;
  SELECT k.* INTO known FROM audit_log.partition_known k WHERE k.partition = name;
  IF known.attached_by = pg_catalog.pg_current_xact_id() THEN
    RETURN false;
  END IF;
  IF known.version IS DISTINCT FROM known_version THEN
    known.since := pg_catalog.clock_timestamp();
    UPDATE audit_log.partition_known k SET version = known_version, since = known.since WHERE k.partition = name;
  END IF;
  PERFORM pg_catalog.pg_stat_clear_snapshot();
  RETURN NOT EXISTS (
    SELECT FROM pg_catalog.pg_stat_activity a
    WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid() AND a.xact_start <= known.since
      AND a.backend_type NOT IN ('autovacuum worker', 'walsender'));
END
$$;
COMMENT ON FUNCTION audit_log.is_known_to_all(regclass) IS 'Whether every transaction that is open here began when a partition was there. Internal.';

CREATE FUNCTION audit_log.make_partitions_of(at timestamptz, OUT created integer, OUT taken text)
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '40ms'
AS $$
DECLARE
  unit text := audit_log.partition_interval();
  parent regclass;
  room record;
BEGIN
  created := 0;
  FOREACH parent IN ARRAY ARRAY['audit_log.event', 'audit_log.event_target', 'audit_log.activity', 'audit_log.named']::regclass[] LOOP
    SELECT r.lower, r.upper INTO room FROM audit_log.free_range(parent, audit_log.unit_of(parent, unit), at) r;
    CONTINUE WHEN room.lower IS NULL;
    IF audit_log.create_partition(parent, room.lower, room.upper) THEN
      created := created + 1;
    ELSIF audit_log.partition_key(parent) = 'occurred_at' THEN
      taken := pg_catalog.format('%s from %s on', parent, room.lower);
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION audit_log.make_partitions_of(timestamptz) IS 'Creates the partitions of an instant that has none: how many, and which was not as a table of its name is there. Internal.';

CREATE FUNCTION audit_log.move_unplaced(most integer DEFAULT 20000) RETURNS bigint
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
  SET lock_timeout = '1s'
AS $$
DECLARE
  at timestamptz := audit_log.next_to_move();
  parent regclass;
  own record;
  newest timestamptz;
  first timestamptz;
  lowest timestamptz;
  moved bigint := 0;
  created integer := 0;
  made record;
  taken text;
BEGIN
  IF at IS NULL THEN
    RETURN 0;
  END IF;
  -- Whoever counts entries, or removes some, must not meet them under way; one session at a time makes partitions.
  LOCK TABLE audit_log.counted_until IN SHARE ROW EXCLUSIVE MODE;
  LOCK TABLE audit_log.feed_epoch IN SHARE UPDATE EXCLUSIVE MODE;
  WHILE at IS NOT NULL AND moved < most AND created < 16 LOOP
    SELECT m.* INTO made FROM audit_log.make_partitions_of(at) m;
    created := created + made.created;
    taken := coalesce(taken, made.taken);
    lowest := at;
    FOREACH parent IN ARRAY ARRAY['audit_log.event', 'audit_log.event_target']::regclass[] LOOP
      SELECT b.partition, b.lower, b.upper INTO own FROM audit_log.partition_bounds(parent) b WHERE b.lower <= at AND b.upper > at;
      lowest := least(lowest, own.lower);
      -- So many at once, and all of one instant.
      EXECUTE pg_catalog.format('SELECT pg_catalog.max(u.occurred_at), pg_catalog.min(u.occurred_at)
        FROM (SELECT u.occurred_at FROM %s_unplaced u WHERE u.occurred_at >= $1 AND u.occurred_at < $2 ORDER BY u.occurred_at DESC LIMIT $3) u', parent)
      INTO newest, first USING own.lower, own.upper, greatest(most - moved, 0);
      CONTINUE WHEN newest IS NULL OR NOT audit_log.is_known_to_all(own.partition);
      moved := moved + audit_log.move_entries(own.partition, first, own.upper);
      IF parent = 'audit_log.event'::regclass THEN
        PERFORM audit_log.name_moved(own.partition, first, newest + interval '1 microsecond');
        -- What was looked at there is not all that there is now.
        UPDATE audit_log.examined x SET rules = '', progress = NULL, until = NULL
        FROM pg_catalog.pg_class c WHERE c.oid = own.partition AND x.partition = c.relname;
      END IF;
    END LOOP;
    at := audit_log.next_to_move(lowest);
  END LOOP;
  IF taken IS NOT NULL AND moved + created = 0 THEN
    RAISE EXCEPTION 'the table of the partition of % is there, but not attached', taken
      USING ERRCODE = '55000', DETAIL = 'code: not_in_prerequisite_state', HINT = 'Attach it, or rename it; the next run of retention goes on.';
  END IF;
  RETURN moved + created;
END
$$;
COMMENT ON FUNCTION audit_log.move_unplaced(integer) IS 'Moves entries without a partition to one, the newest first, about so many at once; first makes the partitions that their instants have none of. How much of both was done. Nobody who reads or writes waits for it, or finds an entry in both places or in none. What a partition is too new for, as a transaction from before it is open, is left to a later call. Internal.';
