-- Dropping partitions that are all expired: everything is written down first, then locked for a moment.

CREATE FUNCTION audit_log.lock_for_drop(partitions regclass[]) RETURNS boolean
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '25ms'
AS $$
BEGIN
  -- Nobody waits for it longer than that: it gives way, and tries again.
  FOR i IN 1 .. 20 LOOP
    BEGIN
      LOCK TABLE ONLY audit_log.event, ONLY audit_log.event_target, ONLY audit_log.activity, ONLY audit_log.named
        IN ACCESS EXCLUSIVE MODE;
      EXECUTE (SELECT 'LOCK TABLE ONLY ' || pg_catalog.string_agg(p::text, ', ONLY ') || ' IN ACCESS EXCLUSIVE MODE' FROM pg_catalog.unnest(partitions) p);
      RETURN true;
    EXCEPTION WHEN lock_not_available THEN
      -- A statement is soon over; whoever goes on for longer is not to be stood before all the time.
      PERFORM pg_catalog.pg_sleep(CASE WHEN i < 5 THEN 0.003 ELSE 0.03 END);
    END;
  END LOOP;
  RETURN false;
END
$$;
COMMENT ON FUNCTION audit_log.lock_for_drop(regclass[]) IS 'Takes the locks that dropping partitions takes; false where somebody has one of them for long. Internal.';

-- By indexes, also where nothing is known of what is in the partition yet.
CREATE FUNCTION audit_log.record_purged_feeds(partition regclass, newest timestamptz, organizations bigint) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET enable_seqscan = off
  SET enable_bitmapscan = off
AS $$
#variable_conflict use_variable
DECLARE
  own_feed bigint := audit_log.feed_now();
  highest bigint;
BEGIN
  -- Transactions of late one by one: one that wrote for everybody shows it soon, of the others all is read.
  EXECUTE pg_catalog.format('WITH RECURSIVE late (feed) AS (
      SELECT pg_catalog.min(e.feed) FROM %1$s e WHERE e.feed >= audit_log.recent_from($1)
      UNION ALL
      SELECT (SELECT pg_catalog.min(e.feed) FROM %1$s e WHERE e.feed > l.feed) FROM late l WHERE l.feed IS NOT NULL)
    INSERT INTO audit_log.purged_feed AS p (organization_id, feed, is_highest, purged_by, newest)
    SELECT o.id, l.feed, false, $1, $2
    FROM late l
    CROSS JOIN LATERAL (
      SELECT s.ids FROM (SELECT ARRAY(SELECT DISTINCT f.organization_id FROM (SELECT e.organization_id FROM %1$s e WHERE e.feed = l.feed LIMIT 2000) f) AS ids) s
      WHERE pg_catalog.cardinality(s.ids) = $3
      UNION ALL
      SELECT ARRAY(SELECT DISTINCT e.organization_id FROM %1$s e WHERE e.feed = l.feed)
      LIMIT 1) found
    CROSS JOIN LATERAL pg_catalog.unnest(found.ids) o(id)
    ON CONFLICT (feed, organization_id) WHERE NOT is_highest DO UPDATE SET purged_by = EXCLUDED.purged_by, newest = greatest(p.newest, EXCLUDED.newest)', partition)
  USING own_feed, newest, organizations;
  -- Of the others the highest, for all organizations at once.
  EXECUTE pg_catalog.format('SELECT pg_catalog.max(e.feed) FROM %s e WHERE e.feed < audit_log.recent_from($1)', partition) INTO highest USING own_feed;
  IF highest IS NOT NULL THEN
    INSERT INTO audit_log.purged_feed AS p (organization_id, feed, is_highest, purged_by, newest) VALUES ('', highest, true, own_feed, newest)
    ON CONFLICT (organization_id) WHERE is_highest DO UPDATE
      SET feed = greatest(p.feed, EXCLUDED.feed), purged_by = EXCLUDED.purged_by, newest = greatest(p.newest, EXCLUDED.newest);
  END IF;
END
$$;
COMMENT ON FUNCTION audit_log.record_purged_feeds(regclass, timestamptz, bigint) IS 'Notes in purged_feed whose transactions lose their entries with a partition, which has them of so many organizations. Internal.';

CREATE FUNCTION audit_log.before_drop(partition regclass, lower timestamptz, upper timestamptz, going audit_log.removal[]) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
AS $$
DECLARE
  name text := (SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid = partition);
  -- The days that it has as a whole are between these.
  first_day timestamptz := pg_catalog.date_trunc('day', lower + interval '1 day' - interval '1 microsecond');
  last_day timestamptz := pg_catalog.date_trunc('day', upper);
BEGIN
  -- Everybody's until the partition's newest entry: nobody has any of it left.
  INSERT INTO audit_log.purged_until AS p (organization_id, until)
  SELECT DISTINCT r.organization_id, (going[1]).newest + interval '1 microsecond' FROM pg_catalog.unnest(going) r WHERE (going[1]).newest IS NOT NULL
  ON CONFLICT ON CONSTRAINT purged_until_pkey DO UPDATE SET until = greatest(p.until, EXCLUDED.until);
  PERFORM audit_log.record_purged_feeds(partition, (going[1]).newest, (SELECT pg_catalog.count(DISTINCT r.organization_id) FROM pg_catalog.unnest(going) r));
  PERFORM audit_log.fold_purged_feed();
  -- Of days that it has in part other partitions have the rest.
  IF first_day > lower OR last_day < upper THEN
    EXECUTE pg_catalog.format('SELECT audit_log.uncount(pg_catalog.array_agg(ROW (c.day, c.organization_id, c.category, c.actor_type, c.actor_id, c.events)::audit_log.activity))
      FROM (SELECT (e.occurred_at AT TIME ZONE ''UTC'')::date AS day, e.organization_id, e.category, e.actor_type, e.actor_id, pg_catalog.count(*) AS events
            FROM %s e CROSS JOIN audit_log.counted_until u
            WHERE (e.occurred_at < $1 OR e.occurred_at >= $2) AND audit_log.seen_by(e.feed, u.epoch, u.snapshot)
            GROUP BY GROUPING SETS ((1, 2, 3), (1, 2, 3, 4, 5))) c', partition) USING first_day, last_day;
  END IF;
  PERFORM audit_log.record_removals(going);
  DELETE FROM audit_log.examined x WHERE x.partition = name;
END
$$;
COMMENT ON FUNCTION audit_log.before_drop(regclass, timestamptz, timestamptz, audit_log.removal[]) IS 'Writes down what goes with a partition of event. Internal.';

CREATE FUNCTION audit_log.goes_with(dropped regclass[]) RETURNS SETOF regclass
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  -- What is of no instant that event has a partition for any more, or entries without one.
  WITH stays AS (SELECT b.lower, b.upper FROM audit_log.partition_bounds('audit_log.event') b WHERE b.partition <> ALL (dropped)),
       ends AS (SELECT pg_catalog.max(b.upper) AS upper FROM audit_log.partition_bounds('audit_log.event') b WHERE b.partition = ANY (dropped))
  SELECT b.partition
  FROM pg_catalog.unnest(ARRAY['audit_log.event_target', 'audit_log.activity', 'audit_log.named']::regclass[]) parent
  CROSS JOIN LATERAL audit_log.partition_bounds(parent) b
  WHERE b.upper <= (SELECT e.upper FROM ends e)
    AND NOT EXISTS (SELECT FROM stays s WHERE s.lower < b.upper AND s.upper > b.lower)
    -- Their names are kept with the first day of their week.
    AND NOT EXISTS (SELECT FROM audit_log.event_unplaced d WHERE d.occurred_at >= b.lower
                    AND d.occurred_at < b.upper + CASE parent WHEN 'audit_log.event_target'::regclass THEN interval '0' ELSE interval '7 days' END)
$$;
COMMENT ON FUNCTION audit_log.goes_with(regclass[]) IS 'The partitions of other tables that are of no use once these of event are dropped. Internal.';

CREATE FUNCTION audit_log.drop_expired(at timestamptz, most integer, OUT removed audit_log.removal[], OUT dropped integer)
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
  SET DateStyle = 'ISO'
AS $$
DECLARE
  line timestamptz := (SELECT pg_catalog.max(at - r.keep) FROM audit_log.retention r);
  epoch smallint := audit_log.feed_now() >> 48;
  -- From here on something may come that is not looked at.
  seen pg_snapshot := audit_log.committed_snapshot();
  going regclass[] := '{}';
  others regclass[];
  days daterange[] := '{}';
  firsts date[] := '{}';
  first date;
  one record;
  partition regclass;
  is_empty boolean;
  expired audit_log.removal[];
BEGIN
  removed := '{}';
  dropped := 0;
  FOR one IN SELECT b.* FROM audit_log.partition_bounds('audit_log.event') b WHERE b.upper <= line ORDER BY b.lower LOOP
    IF (audit_log.due_in(one.partition, one.lower, one.upper, at)).since IS NULL THEN
      EXECUTE pg_catalog.format('SELECT NOT EXISTS (SELECT FROM %s)', one.partition) INTO is_empty;
      CONTINUE WHEN NOT is_empty;
    END IF;
    -- The counts of its days are those of both.
    CONTINUE WHEN EXISTS (SELECT FROM audit_log.event_unplaced u WHERE u.occurred_at >= one.lower AND u.occurred_at < one.upper);
    expired := audit_log.all_expired(one.partition, one.lower, one.upper, at);
    CONTINUE WHEN expired IS NULL;
    PERFORM audit_log.before_drop(one.partition, one.lower, one.upper, expired);
    removed := removed || expired;
    going := going || one.partition;
    -- The days that it has as a whole.
    first := (one.lower + interval '1 day' - interval '1 microsecond')::date;
    days := days || pg_catalog.daterange(first, greatest(first, one.upper::date));
    firsts := firsts || one.lower::date;
    EXIT WHEN pg_catalog.cardinality(going) >= most;
  END LOOP;
  IF going = '{}' THEN
    RETURN;
  END IF;
  others := ARRAY(SELECT g FROM audit_log.goes_with(going) g);
  IF NOT audit_log.lock_for_drop(going || others) THEN
    RAISE EXCEPTION 'expired partitions were not dropped (% and % more): the log is in use', going[1], pg_catalog.cardinality(going) - 1
      USING ERRCODE = '55P03', DETAIL = 'code: not_in_prerequisite_state',
            HINT = 'The next run of retention tries again; a long transaction that reads the log holds it up.';
  END IF;
  -- Nobody else writes now, and all wait.
  FOREACH partition IN ARRAY going LOOP
    IF audit_log.first_unseen(partition, epoch, seen, 'infinity') IS NOT NULL THEN
      RAISE EXCEPTION 'partition % was not dropped: something was written to it', partition
        USING ERRCODE = '55P03', DETAIL = 'code: not_in_prerequisite_state', HINT = 'The next run of retention looks at it again.';
    END IF;
  END LOOP;
  -- What has no partition of event may have other targets in one that would go.
  IF EXISTS (SELECT FROM pg_catalog.unnest(others) o WHERE o <> ALL (ARRAY(SELECT g FROM audit_log.goes_with(going) g))) THEN
    RAISE EXCEPTION 'expired partitions were not dropped (% and % more): something was written of their time', going[1], pg_catalog.cardinality(going) - 1
      USING ERRCODE = '55P03', DETAIL = 'code: not_in_prerequisite_state', HINT = 'The next run of retention looks at it again.';
  END IF;
  DELETE FROM audit_log.partition_known k USING pg_catalog.unnest(going || others) d JOIN pg_catalog.pg_class c ON c.oid = d WHERE k.partition = c.relname;
  EXECUTE (SELECT 'DROP TABLE ' || pg_catalog.string_agg(p::text, ', ') FROM pg_catalog.unnest(going || others) p);
  dropped := pg_catalog.cardinality(going);
  -- Where counts or names have a partition of their own that stays, or none.
  FOR i IN 1 .. dropped LOOP
    DELETE FROM audit_log.activity a WHERE a.day >= pg_catalog.lower(days[i]) AND a.day < pg_catalog.upper(days[i]);
    DELETE FROM audit_log.activity_unplaced a WHERE a.day >= pg_catalog.lower(days[i]) AND a.day < pg_catalog.upper(days[i]);
    IF NOT EXISTS (SELECT FROM audit_log.partition_bounds('audit_log.event') b WHERE b.lower::date = firsts[i])
       AND NOT EXISTS (SELECT FROM audit_log.event_unplaced d WHERE d.occurred_at >= firsts[i]::timestamptz AND d.occurred_at < firsts[i]::timestamptz + interval '7 days') THEN
      DELETE FROM audit_log.named n WHERE n.day = firsts[i];
      DELETE FROM audit_log.named_unplaced n WHERE n.day = firsts[i];
    ELSIF EXISTS (SELECT FROM audit_log.stored_named n WHERE n.day = firsts[i]) THEN
      -- Others have names under the same day.
      PERFORM audit_log.names_are_stale(coalesce(
        (SELECT c.relname FROM audit_log.partition_bounds('audit_log.event') b JOIN pg_catalog.pg_class c ON c.oid = b.partition
         WHERE b.lower::date = firsts[i] LIMIT 1), 'event_unplaced'));
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION audit_log.drop_expired(timestamptz, integer) IS 'Drops the oldest partitions of event that are all expired by a clock, so many at the most, and those of their instants of the other tables; what went with them. Holds everybody up from its last steps until the transaction ends. Fails, having done nothing, where the log is in use for long. Internal.';
