-- The purge: what the rules have expired and no hold matches goes, whole partitions at once, the rest in batches.

-- What was looked at, so that it need not be looked at again until a rule's line moves over it.
CREATE TABLE audit_log.examined (
  partition text COLLATE "C" PRIMARY KEY,
  rules text NOT NULL,
  at timestamptz NOT NULL,
  epoch smallint NOT NULL,
  snapshot pg_snapshot NOT NULL,
  progress timestamptz,
  until timestamptz,
  names_stale_since timestamptz
);
COMMENT ON TABLE audit_log.examined IS 'What the purge has looked at, a row a partition of event.';
COMMENT ON COLUMN audit_log.examined.rules IS 'A hash of the rules and holds that it looked by; by others all is looked at again.';
COMMENT ON COLUMN audit_log.examined.at IS 'The clock it went by.';
COMMENT ON COLUMN audit_log.examined.snapshot IS 'What it saw; entries of later transactions are looked at again.';
COMMENT ON COLUMN audit_log.examined.progress IS 'The instant to go on from, up to until; NULL where it is done.';
COMMENT ON COLUMN audit_log.examined.names_stale_since IS 'Since when named may have names that no entry of the partition has any more.';

-- What sync() must know: whether something was purged that a cursor has not delivered.
CREATE TABLE audit_log.purged_feed (
  organization_id text COLLATE "C" NOT NULL,
  feed bigint NOT NULL,
  is_highest boolean NOT NULL,
  purged_by bigint NOT NULL,
  newest timestamptz NOT NULL
);
CREATE UNIQUE INDEX purged_feed_highest ON audit_log.purged_feed (organization_id) WHERE is_highest;
CREATE UNIQUE INDEX purged_feed_recent ON audit_log.purged_feed (feed, organization_id) WHERE NOT is_highest;
COMMENT ON TABLE audit_log.purged_feed IS 'Transactions that entries were purged of: those of late one by one, of the others the highest, an organization ('''' where a partition was dropped whole).';
COMMENT ON COLUMN audit_log.purged_feed.purged_by IS 'The feed number of the transaction that purged last.';
COMMENT ON COLUMN audit_log.purged_feed.newest IS 'The latest occurred_at that what was purged may have had.';

CREATE TYPE audit_log.removal AS (
  organization_id text, category text, keep interval, entries bigint, oldest timestamptz, newest timestamptz, partition text, dropped boolean);
COMMENT ON TYPE audit_log.removal IS 'What a purge removes of an organization''s category: how many entries, by which rule, of what time, of which partition and whether with it.';

CREATE FUNCTION audit_log.names_are_stale(partition text) RETURNS void
  LANGUAGE sql
  SET search_path = pg_catalog, pg_temp
AS $$
  -- Looked at by no rules at all, where it was not looked at yet.
  INSERT INTO audit_log.examined AS x (partition, rules, at, epoch, snapshot, names_stale_since)
  VALUES (names_are_stale.partition, '', '-infinity', 0, '1:1:', pg_catalog.clock_timestamp())
  ON CONFLICT ON CONSTRAINT examined_pkey DO UPDATE SET names_stale_since = coalesce(x.names_stale_since, EXCLUDED.names_stale_since)
$$;
COMMENT ON FUNCTION audit_log.names_are_stale(text) IS 'Notes that named may have names under a partition of event that its entries do not have any more. Internal.';

CREATE FUNCTION audit_log.feed_now() RETURNS bigint
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'audit_log_feed_now';
COMMENT ON FUNCTION audit_log.feed_now() IS 'The feed number of what this transaction writes. Internal.';

CREATE FUNCTION audit_log.rules_hash() RETURNS text
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
  SET IntervalStyle = 'postgres'
RETURN pg_catalog.md5(
  (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(r.organization_id, r.category, r.keep) ORDER BY r.organization_id, r.category) FROM audit_log.retention r)::text
  || coalesce((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(h.name, h.organization_id, h.target_type, h.target_id) ORDER BY h.name) FROM audit_log.legal_hold h)::text, ''));
COMMENT ON FUNCTION audit_log.rules_hash() IS 'A hash of all rules and holds. Internal.';

-- By the index on feed, also where nothing is known of what is in the partition yet.
CREATE FUNCTION audit_log.first_unseen(partition regclass, epoch smallint, seen pg_snapshot, before timestamptz) RETURNS timestamptz
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
  SET enable_seqscan = off
AS $$
DECLARE
  first timestamptz;
BEGIN
  EXECUTE pg_catalog.format('SELECT pg_catalog.min(u.occurred_at)
    FROM (SELECT e.occurred_at FROM %s e
          WHERE e.feed >= audit_log.unseen_from($1, $2) AND NOT audit_log.seen_by(e.feed, $1, $2) AND e.occurred_at < $3 OFFSET 0) u', partition)
  INTO first USING epoch, seen, before;
  RETURN first;
END
$$;
COMMENT ON FUNCTION audit_log.first_unseen(regclass, smallint, pg_snapshot, timestamptz) IS 'The oldest instant, before one, of what a partition has that a snapshot did not see; NULL where there is none. Internal.';

CREATE FUNCTION audit_log.may_have_expired(at timestamptz) RETURNS TABLE (partition regclass, lower timestamptz, upper timestamptz)
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  WITH line AS (SELECT pg_catalog.max(at - r.keep) AS at FROM audit_log.retention r HAVING pg_catalog.max(at - r.keep) IS NOT NULL)
  SELECT b.partition, b.lower, b.upper FROM audit_log.partition_bounds('audit_log.event') b JOIN line l ON b.lower < l.at
  UNION ALL
  SELECT 'audit_log.event_unplaced', '-infinity', 'infinity' FROM line
  ORDER BY 2
$$;
COMMENT ON FUNCTION audit_log.may_have_expired(timestamptz) IS 'Partitions of event old enough for some rule by a clock, and what is beside them, the oldest first. Internal.';

CREATE FUNCTION audit_log.due_in(
  partition regclass, lower timestamptz, upper timestamptz, at timestamptz, OUT since timestamptz, OUT until timestamptz, OUT clock timestamptz)
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
AS $$
DECLARE
  line timestamptz := (SELECT pg_catalog.max(due_in.at - r.keep) FROM audit_log.retention r);
  seen audit_log.examined;
  fresh timestamptz;
BEGIN
  SELECT x.* INTO seen FROM audit_log.examined x JOIN pg_catalog.pg_class c ON c.relname = x.partition WHERE c.oid = due_in.partition;
  clock := due_in.at;
  IF seen.rules IS DISTINCT FROM audit_log.rules_hash() THEN
    since := lower;
    until := least(upper, line);
  ELSIF seen.progress IS NOT NULL THEN
    since := seen.progress;
    until := seen.until;
    clock := seen.at;
  ELSE
    -- What a rule's line has passed since,
    SELECT pg_catalog.min(greatest(lower, seen.at - r.keep)), pg_catalog.max(least(upper, due_in.at - r.keep)) INTO since, until
    FROM audit_log.retention r
    WHERE r.keep IS NOT NULL AND due_in.at - r.keep > lower AND seen.at - r.keep < upper AND seen.at - r.keep < due_in.at - r.keep;
    -- and what was written behind it.
    fresh := audit_log.first_unseen(partition, seen.epoch, seen.snapshot, line);
    IF fresh IS NOT NULL THEN
      since := least(since, fresh);
      until := least(upper, line);
    END IF;
  END IF;
END
$$;
COMMENT ON FUNCTION audit_log.due_in(regclass, timestamptz, timestamptz, timestamptz) IS 'The instants [since, until) of a partition to look at for entries that may have expired by a clock, and that clock; NULL where there are none. Internal.';

-- By the index on feed, also where nothing is known of what is in the partition yet.
CREATE FUNCTION audit_log.uncounted_contents(partition regclass) RETURNS TABLE (organization_id text, category text, entries bigint)
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
  SET enable_seqscan = off
AS $$
DECLARE
  counted audit_log.counted_until;
BEGIN
  SELECT u.* INTO counted FROM audit_log.counted_until u;
  RETURN QUERY EXECUTE pg_catalog.format('SELECT e.organization_id, e.category, pg_catalog.count(*) FROM %s e
    WHERE e.feed >= $1 AND audit_log.seen_by(e.feed, $2, $3) IS NOT TRUE GROUP BY e.organization_id, e.category', partition)
  USING coalesce(audit_log.unseen_from(counted.epoch, counted.snapshot), 0), counted.epoch, counted.snapshot;
END
$$;
COMMENT ON FUNCTION audit_log.uncounted_contents(regclass) IS 'How many entries of a partition are not counted yet, by organization and category. Internal.';

CREATE FUNCTION audit_log.contents(partition regclass, lower timestamptz, upper timestamptz)
  RETURNS TABLE (organization_id text, category text, entries bigint)
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
AS $$
BEGIN
  IF lower = pg_catalog.date_trunc('day', lower) AND upper = pg_catalog.date_trunc('day', upper) THEN
    RETURN QUERY SELECT b.organization_id, b.category, pg_catalog.sum(b.entries)::bigint
      FROM (SELECT a.organization_id, a.category, a.events AS entries FROM audit_log.stored_activity a
            WHERE a.actor_type IS NULL AND a.day >= contents.lower::date AND a.day < contents.upper::date
            UNION ALL SELECT u.organization_id, u.category, u.entries FROM audit_log.uncounted_contents(partition) u) b
      GROUP BY b.organization_id, b.category HAVING pg_catalog.sum(b.entries) > 0;
  ELSE
    RETURN QUERY EXECUTE pg_catalog.format('SELECT e.organization_id, e.category, pg_catalog.count(*) FROM %s e GROUP BY e.organization_id, e.category', partition);
  END IF;
END
$$;
COMMENT ON FUNCTION audit_log.contents(regclass, timestamptz, timestamptz) IS 'How many entries a partition has, by organization and category; from the counts where it has whole days, which are also those of entries without a partition. Internal.';

CREATE FUNCTION audit_log.has_held(partition regclass, lower timestamptz, upper timestamptz) RETURNS boolean
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  one audit_log.legal_hold;
  held boolean;
BEGIN
  FOR one IN SELECT h.* FROM audit_log.legal_hold h LOOP
    IF one.target_id IS NULL AND one.target_type IS NOT NULL THEN
      EXECUTE pg_catalog.concat('SELECT EXISTS (SELECT FROM ', partition, ' e WHERE (e.target_type = $3 OR e.targets @> $4)',
        ' AND e.organization_id = ' || pg_catalog.quote_literal(one.organization_id), ')')
      INTO held USING lower, upper, one.target_type, pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object('type', one.target_type));
    ELSE
      -- Each has an index that leads to it.
      EXECUTE pg_catalog.concat('SELECT EXISTS (SELECT FROM ', partition, ' e WHERE true',
        ' AND e.organization_id = ' || pg_catalog.quote_literal(one.organization_id),
        ' AND e.target_type = ' || pg_catalog.quote_literal(one.target_type),
        ' AND e.target_id = ' || pg_catalog.quote_literal(one.target_id), ')
        OR EXISTS (SELECT FROM audit_log.stored_event_target t WHERE t.occurred_at >= $1 AND t.occurred_at < $2',
        ' AND t.organization_id = ' || pg_catalog.quote_literal(one.organization_id),
        ' AND t.target_type = ' || pg_catalog.quote_literal(one.target_type),
        ' AND t.target_id = ' || pg_catalog.quote_literal(one.target_id), ')')
      INTO held USING lower, upper;
    END IF;
    IF held THEN
      RETURN true;
    END IF;
  END LOOP;
  RETURN false;
END
$$;
COMMENT ON FUNCTION audit_log.has_held(regclass, timestamptz, timestamptz) IS 'Whether a hold in force matches an entry of a partition. Internal.';

CREATE FUNCTION audit_log.has_targets_elsewhere(partition regclass, lower timestamptz, upper timestamptz) RETURNS boolean
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  shared boolean;
BEGIN
  IF EXISTS (SELECT FROM audit_log.event_target_unplaced t WHERE t.occurred_at >= lower AND t.occurred_at < upper)
     OR EXISTS (SELECT FROM audit_log.partition_bounds('audit_log.event_target') b
                WHERE b.lower < has_targets_elsewhere.upper AND b.upper > has_targets_elsewhere.lower
                  AND (b.lower < has_targets_elsewhere.lower OR b.upper > has_targets_elsewhere.upper)) THEN
    EXECUTE pg_catalog.format('SELECT EXISTS (SELECT FROM %s e WHERE e.targets IS NOT NULL)', partition) INTO shared;
  END IF;
  RETURN coalesce(shared, false);
END
$$;
COMMENT ON FUNCTION audit_log.has_targets_elsewhere(regclass, timestamptz, timestamptz) IS 'Whether other targets of entries of a partition may be in what does not go with it. Internal.';

CREATE FUNCTION audit_log.all_expired(partition regclass, lower timestamptz, upper timestamptz, at timestamptz) RETURNS audit_log.removal[]
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  name text := (SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid = partition);
  going audit_log.removal[];
  first timestamptz;
  last timestamptz;
BEGIN
  -- Cheapest first: some rule's line is behind the partition, every rule's over something in it is, nothing is held, and all of it goes with it.
  IF upper = 'infinity' OR NOT coalesce(upper <= (SELECT pg_catalog.max(at - r.keep) FROM audit_log.retention r), false) THEN
    RETURN NULL;
  END IF;
  going := ARRAY(SELECT ROW (c.organization_id, c.category, audit_log.keep_of(c.organization_id, c.category), c.entries, NULL, NULL, name, true)::audit_log.removal
                 FROM audit_log.contents(partition, lower, upper) c);
  IF EXISTS (SELECT FROM pg_catalog.unnest(going) g WHERE coalesce(at - g.keep < upper, true))
     OR audit_log.has_held(partition, lower, upper) OR audit_log.has_targets_elsewhere(partition, lower, upper) THEN
    RETURN NULL;
  END IF;
  EXECUTE pg_catalog.format('SELECT pg_catalog.min(e.occurred_at), pg_catalog.max(e.occurred_at) FROM %s e', partition) INTO first, last;
  RETURN ARRAY(SELECT ROW (g.organization_id, g.category, g.keep, g.entries, first, last, g.partition, g.dropped)::audit_log.removal FROM pg_catalog.unnest(going) g);
END
$$;
COMMENT ON FUNCTION audit_log.all_expired(regclass, timestamptz, timestamptz, timestamptz) IS 'What goes with a partition that can be dropped whole by a clock; NULL where it cannot be. Internal.';

CREATE FUNCTION audit_log.uncount(counts audit_log.activity[]) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  first date := (SELECT pg_catalog.min(c.day) FROM pg_catalog.unnest(counts) c);
  last date := (SELECT pg_catalog.max(c.day) FROM pg_catalog.unnest(counts) c);
  -- Compared so that they can be hashed; none is an empty text but where it is NULL or the other is one, too.
  is_of text := 'a.day >= $2 AND a.day <= $3 AND a.day = c.day AND a.organization_id = c.organization_id AND a.category = c.category
    AND coalesce(a.actor_type, '''') = coalesce(c.actor_type, '''') AND coalesce(a.actor_id, '''') = coalesce(c.actor_id, '''')
    AND a.actor_type IS NOT DISTINCT FROM c.actor_type AND a.actor_id IS NOT DISTINCT FROM c.actor_id';
  place regclass;
BEGIN
  FOREACH place IN ARRAY ARRAY['audit_log.activity', 'audit_log.activity_unplaced']::regclass[] LOOP
    EXECUTE pg_catalog.format('DELETE FROM %s a USING pg_catalog.unnest($1) c WHERE %s AND a.events <= c.events', place, is_of) USING counts, first, last;
    EXECUTE pg_catalog.format('UPDATE %s a SET events = a.events - c.events FROM pg_catalog.unnest($1) c WHERE %s', place, is_of) USING counts, first, last;
  END LOOP;
END
$$;
COMMENT ON FUNCTION audit_log.uncount(audit_log.activity[]) IS 'Takes entries off their counts. Internal.';

CREATE FUNCTION audit_log.remove_expired(partition regclass, at timestamptz, since timestamptz, until timestamptz)
  RETURNS TABLE (organization_id text, category text, keep interval, entries bigint, oldest timestamptz, newest timestamptz)
  LANGUAGE c VOLATILE STRICT
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
  AS 'MODULE_PATHNAME', 'audit_log_remove_expired';
COMMENT ON FUNCTION audit_log.remove_expired(regclass, timestamptz, timestamptz, timestamptz) IS 'Removes the entries of a partition within [since, until) that are expired by a clock, which is never ahead of the real one, and not held; with their other targets and counts. Internal.';

CREATE FUNCTION audit_log.record_removal(organization text, partition text, metadata jsonb) RETURNS void
  LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'audit_log_record_removal';
COMMENT ON FUNCTION audit_log.record_removal(text, text, jsonb) IS 'Records a purge as retention_run: in the organization, or in default where that is disabled. Internal.';

CREATE FUNCTION audit_log.record_removals(removed audit_log.removal[]) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET IntervalStyle = 'postgres'
  SET TimeZone = 'UTC'
AS $$
BEGIN
  PERFORM audit_log.record_removal(r.organization_id, r.partition, pg_catalog.jsonb_build_object(
    'organization', r.organization_id, 'entries', pg_catalog.sum(r.entries), 'oldest', pg_catalog.min(r.oldest), 'newest', pg_catalog.max(r.newest),
    'dropped', r.dropped, 'rules', pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('category', r.category, 'keep', r.keep, 'entries', r.entries) ORDER BY r.category)))
  FROM pg_catalog.unnest(removed) r
  GROUP BY r.organization_id, r.partition, r.dropped
  -- Each would leave another one, for ever.
  HAVING NOT pg_catalog.bool_and(r.category = 'retention_run');
END
$$;
COMMENT ON FUNCTION audit_log.record_removals(audit_log.removal[]) IS 'Records what a purge removed, an entry an organization; what was nothing but such entries is not. Internal.';

CREATE FUNCTION audit_log.recent_from(feed bigint) RETURNS bigint
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN feed - 10000;
COMMENT ON FUNCTION audit_log.recent_from(bigint) IS 'The feed number from which purged_feed has transactions one by one, where a transaction''s is the latest. Internal.';

CREATE FUNCTION audit_log.fold_purged_feed() RETURNS void
  LANGUAGE sql
  SET search_path = pg_catalog, pg_temp
AS $$
  WITH old AS (
    DELETE FROM audit_log.purged_feed p WHERE NOT p.is_highest AND p.feed < audit_log.recent_from(audit_log.feed_now()) RETURNING p.*)
  INSERT INTO audit_log.purged_feed AS p (organization_id, feed, is_highest, purged_by, newest)
  SELECT o.organization_id, pg_catalog.max(o.feed), true, pg_catalog.max(o.purged_by), pg_catalog.max(o.newest)
  FROM old o GROUP BY o.organization_id
  ON CONFLICT (organization_id) WHERE is_highest DO UPDATE
    SET feed = greatest(p.feed, EXCLUDED.feed), purged_by = greatest(p.purged_by, EXCLUDED.purged_by), newest = greatest(p.newest, EXCLUDED.newest)
$$;
COMMENT ON FUNCTION audit_log.fold_purged_feed() IS 'Keeps purged_feed small: of transactions that are not of late only the highest is kept. Internal.';

CREATE FUNCTION audit_log.clear_batch(
  partition regclass, at timestamptz, since timestamptz, until timestamptz, seen pg_snapshot, most integer)
  RETURNS audit_log.removal[]
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
AS $$
DECLARE
  name text := (SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid = partition);
  hash text := audit_log.rules_hash();
  epoch smallint := audit_log.feed_now() >> 48;
  next timestamptz;
  removed audit_log.removal[];
BEGIN
  EXECUTE pg_catalog.format('SELECT e.occurred_at FROM %s e WHERE e.occurred_at >= $1 AND e.occurred_at < $2 ORDER BY e.occurred_at OFFSET $3 LIMIT 1', partition)
  INTO next USING since, until, most;
  -- However many share an instant, there is an end to them.
  next := CASE WHEN next IS NULL THEN until ELSE greatest(next, since + interval '1 microsecond') END;
  SELECT pg_catalog.array_agg(ROW (r.organization_id, r.category, r.keep, r.entries, r.oldest, r.newest, name, false)::audit_log.removal) INTO removed
  FROM audit_log.remove_expired(partition, at, since, next) r;
  INSERT INTO audit_log.examined AS x (partition, rules, at, epoch, snapshot, progress, until, names_stale_since)
  VALUES (name, hash, at, epoch, seen, CASE WHEN next < until THEN next END, CASE WHEN next < until THEN until END,
          CASE WHEN removed IS NOT NULL THEN pg_catalog.clock_timestamp() END)
  ON CONFLICT ON CONSTRAINT examined_pkey DO UPDATE
    SET rules = EXCLUDED.rules, at = EXCLUDED.at,
        -- What it saw at first is what it has looked at as a whole.
        epoch = CASE WHEN x.progress IS NULL OR x.rules <> EXCLUDED.rules THEN EXCLUDED.epoch ELSE x.epoch END,
        snapshot = CASE WHEN x.progress IS NULL OR x.rules <> EXCLUDED.rules THEN EXCLUDED.snapshot ELSE x.snapshot END,
        progress = EXCLUDED.progress, until = EXCLUDED.until,
        names_stale_since = coalesce(x.names_stale_since, EXCLUDED.names_stale_since);
  IF removed IS NOT NULL THEN
    PERFORM audit_log.fold_purged_feed();
    PERFORM audit_log.record_removals(removed);
  END IF;
  RETURN removed;
END
$$;
COMMENT ON FUNCTION audit_log.clear_batch(regclass, timestamptz, timestamptz, timestamptz, pg_snapshot, integer) IS 'Removes what is expired among about so many entries of a partition, and remembers how far it came; seen is what was committed when these were found to be due. Internal.';
