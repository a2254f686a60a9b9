-- Counts of entries, and whom and what they name. count_entries() keeps them; what it has not seen yet
-- is read from the entries themselves, so that both together are exact at every moment.

CREATE TABLE audit_log.counted_until (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  epoch smallint NOT NULL,
  snapshot pg_snapshot NOT NULL,
  counted_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE audit_log.counted_until IS 'Which entries are counted: those of transactions that this snapshot saw, and all of earlier epochs.';

CREATE FUNCTION audit_log.seen_by(feed bigint, epoch smallint, snapshot pg_snapshot) RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN (feed >> 48) < epoch THEN true
            WHEN (feed >> 48) > epoch THEN false
            ELSE pg_catalog.pg_visible_in_snapshot((feed & 281474976710655)::text::xid8, snapshot) END;
COMMENT ON FUNCTION audit_log.seen_by(bigint, smallint, pg_snapshot) IS 'Whether a snapshot taken in an epoch saw the transaction of a feed position. Internal.';

CREATE FUNCTION audit_log.unseen_from(epoch smallint, snapshot pg_snapshot) RETURNS bigint
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (epoch::bigint << 48) | pg_catalog.pg_snapshot_xmin(snapshot)::text::bigint;
COMMENT ON FUNCTION audit_log.unseen_from(smallint, pg_snapshot) IS 'The feed number below which a snapshot taken in an epoch saw every transaction. Internal.';

CREATE VIEW audit_log.uncounted WITH (security_invoker = true) AS
SELECT e.*
FROM audit_log.stored_event e
-- Each bound a sub-select as a whole: row security lets an index be asked for nothing but an operator that gives nothing away.
WHERE e.feed >= (SELECT coalesce((SELECT audit_log.unseen_from(u.epoch, u.snapshot) FROM audit_log.counted_until u), 0))
  -- Nothing is above it. PostgreSQL expects little between two bounds, and much behind one: it would read whole partitions.
  AND e.feed <= (SELECT 9223372036854775807)
  AND audit_log.seen_by(e.feed, (SELECT u.epoch FROM audit_log.counted_until u), (SELECT u.snapshot FROM audit_log.counted_until u)) IS NOT TRUE;
COMMENT ON VIEW audit_log.uncounted IS 'Entries that count_entries() has not counted yet. Internal.';

-- One partition for each of event, of the same days, so that both go together.
CREATE TABLE audit_log.activity (
  day date NOT NULL,
  organization_id text COLLATE "C" NOT NULL,
  category text COLLATE "C" NOT NULL,
  actor_type text COLLATE "C",
  actor_id text COLLATE "C",
  events bigint NOT NULL
) PARTITION BY RANGE (day);
COMMENT ON TABLE audit_log.activity IS 'Counted entries by day (UTC), organization, category and actor; without actor_type those of all actors. Read it through audit_log.activity_daily.';

CREATE TABLE audit_log.named (
  day date NOT NULL,
  is_actor boolean NOT NULL,
  organization_id text COLLATE "C" NOT NULL,
  type text COLLATE "C" NOT NULL,
  id text COLLATE "C",
  name text
) PARTITION BY RANGE (day);
COMMENT ON TABLE audit_log.named IS 'Whom and what counted entries name, once a partition: actors (and effective ones) and targets, as they were called. For search and type-ahead.';
COMMENT ON COLUMN audit_log.named.day IS 'First day of the partition of event that the entries are in; in event_unplaced, of their week.';

-- Not DEFAULT partitions, as for entries: attaching a partition would lock these.
CREATE TABLE audit_log.activity_unplaced (LIKE audit_log.activity INCLUDING DEFAULTS);
COMMENT ON TABLE audit_log.activity_unplaced IS 'Counts of days that had no partition when they were counted, until they are moved to one; no day is in both.';
CREATE TABLE audit_log.named_unplaced (LIKE audit_log.named INCLUDING DEFAULTS);
COMMENT ON TABLE audit_log.named_unplaced IS 'Names of weeks that had no partition when they were counted, until they are moved to one.';

CREATE VIEW audit_log.stored_activity WITH (security_invoker = true) AS
SELECT p.* FROM audit_log.activity p UNION ALL SELECT u.* FROM audit_log.activity_unplaced u;
COMMENT ON VIEW audit_log.stored_activity IS 'All counts, with a partition or without. Internal.';
CREATE VIEW audit_log.stored_named WITH (security_invoker = true) AS
SELECT p.* FROM audit_log.named p UNION ALL SELECT u.* FROM audit_log.named_unplaced u;
COMMENT ON VIEW audit_log.stored_named IS 'All names, with a partition or without. Internal.';

CREATE FUNCTION audit_log.index_activity_partition(partition regclass) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  EXECUTE pg_catalog.format('CREATE UNIQUE INDEX ON %s (day, organization_id, category, actor_type, pg_catalog.md5(actor_id)) NULLS NOT DISTINCT', partition);
  EXECUTE pg_catalog.format('CREATE INDEX ON %s (day, organization_id text_pattern_ops, category) INCLUDE (events) WHERE actor_type IS NULL', partition);
END
$$;
COMMENT ON FUNCTION audit_log.index_activity_partition(regclass) IS 'Gives a partition of activity its indexes; by a hash, as ids may be longer than an index takes. Internal.';

-- Parts of names and ids, by their trigrams. It tells nothing of a text but whether it contains the other one, so row
-- security lets it be asked before its own conditions: or whoever is bound to organizations would read all names.
CREATE FUNCTION audit_log.contains(content text, part text) RETURNS boolean
  LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_contains';
COMMENT ON FUNCTION audit_log.contains(text, text) IS 'Whether a text contains another; upper and lower case are the same, by Unicode. Internal.';
CREATE OPERATOR audit_log.@~ (LEFTARG = text, RIGHTARG = text, FUNCTION = audit_log.contains, RESTRICT = pg_catalog.matchingsel, JOIN = pg_catalog.matchingjoinsel);
COMMENT ON OPERATOR audit_log.@~ (text, text) IS 'contains()';
CREATE FUNCTION audit_log.text_trigrams_extract(text, internal) RETURNS internal
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_text_trigrams_extract';
COMMENT ON FUNCTION audit_log.text_trigrams_extract(text, internal) IS 'The trigrams of a text in an index of text_trigrams. Internal.';
CREATE FUNCTION audit_log.text_trigrams_query(text, internal, smallint, internal, internal, internal, internal) RETURNS internal
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_text_trigrams_query';
COMMENT ON FUNCTION audit_log.text_trigrams_query(text, internal, smallint, internal, internal, internal, internal) IS 'The trigrams to look for in an index of text_trigrams; fewer than three letters have none. Internal.';
CREATE FUNCTION audit_log.text_trigrams_consistent(internal, smallint, text, integer, internal, internal, internal, internal) RETURNS boolean
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_text_trigrams_consistent';
COMMENT ON FUNCTION audit_log.text_trigrams_consistent(internal, smallint, text, integer, internal, internal, internal, internal) IS 'Whether a row found in an index of text_trigrams may have the text. Internal.';
CREATE FUNCTION audit_log.text_trigrams_may(internal, smallint, text, integer, internal, internal, internal) RETURNS "char"
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_text_trigrams_may';
COMMENT ON FUNCTION audit_log.text_trigrams_may(internal, smallint, text, integer, internal, internal, internal) IS 'The same while not all is known. Internal.';
CREATE OPERATOR CLASS audit_log.text_trigrams FOR TYPE text USING gin AS
  OPERATOR 1 audit_log.@~ (text, text),
  FUNCTION 1 pg_catalog.btint4cmp(integer, integer),
  FUNCTION 2 audit_log.text_trigrams_extract(text, internal),
  FUNCTION 3 audit_log.text_trigrams_query(text, internal, smallint, internal, internal, internal, internal),
  FUNCTION 4 audit_log.text_trigrams_consistent(internal, smallint, text, integer, internal, internal, internal, internal),
  FUNCTION 6 audit_log.text_trigrams_may(internal, smallint, text, integer, internal, internal, internal),
  STORAGE integer;
COMMENT ON OPERATOR CLASS audit_log.text_trigrams USING gin IS 'Texts by parts of at least three letters.';

CREATE FUNCTION audit_log.index_named_partition(partition regclass) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  EXECUTE pg_catalog.format('CREATE UNIQUE INDEX ON %s (pg_catalog.hashtextextended(id, 0), pg_catalog.hashtextextended(name, 0), organization_id, type, is_actor, day) NULLS NOT DISTINCT', partition);
  EXECUTE pg_catalog.format('CREATE INDEX ON %s USING gin (id audit_log.text_trigrams, name audit_log.text_trigrams)', partition);
END
$$;
COMMENT ON FUNCTION audit_log.index_named_partition(regclass) IS 'Gives a partition of named its indexes: by hashes, as names may be of any length, and by parts of names and ids. Internal.';

SELECT audit_log.index_activity_partition('audit_log.activity_unplaced');
SELECT audit_log.index_named_partition('audit_log.named_unplaced');

ALTER TABLE audit_log.activity ENABLE ROW LEVEL SECURITY;
CREATE POLICY reader ON audit_log.activity FOR SELECT TO audit_log_reader USING (true);
CREATE POLICY bound ON audit_log.activity FOR SELECT TO audit_log_bound
  USING (organization_id = ANY ((SELECT audit_log.my_organizations())::text[]));
ALTER TABLE audit_log.activity_unplaced ENABLE ROW LEVEL SECURITY;
CREATE POLICY reader ON audit_log.activity_unplaced FOR SELECT TO audit_log_reader USING (true);
CREATE POLICY bound ON audit_log.activity_unplaced FOR SELECT TO audit_log_bound
  USING (organization_id = ANY ((SELECT audit_log.my_organizations())::text[]));
ALTER TABLE audit_log.named ENABLE ROW LEVEL SECURITY;
CREATE POLICY reader ON audit_log.named FOR SELECT TO audit_log_reader USING (true);
CREATE POLICY bound ON audit_log.named FOR SELECT TO audit_log_bound
  USING (organization_id = ANY ((SELECT audit_log.my_organizations())::text[]));
ALTER TABLE audit_log.named_unplaced ENABLE ROW LEVEL SECURITY;
CREATE POLICY reader ON audit_log.named_unplaced FOR SELECT TO audit_log_reader USING (true);
CREATE POLICY bound ON audit_log.named_unplaced FOR SELECT TO audit_log_bound
  USING (organization_id = ANY ((SELECT audit_log.my_organizations())::text[]));

CREATE FUNCTION audit_log.names_of(
  actor_type text, actor_id text, actor_name text, effective_type text, effective_id text, effective_name text,
  target_type text, target_id text, target_name text, targets jsonb)
  RETURNS TABLE (is_actor boolean, type text, id text, name text)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 2
BEGIN ATOMIC
  SELECT true, actor_type, actor_id, actor_name WHERE coalesce(actor_id, actor_name) IS NOT NULL
  UNION ALL
  SELECT true, effective_type, effective_id, effective_name WHERE coalesce(effective_id, effective_name) IS NOT NULL
  UNION ALL
  SELECT false, target_type, target_id, target_name WHERE coalesce(target_id, target_name) IS NOT NULL
  UNION ALL
  -- The first one is the primary target.
  SELECT false, t.value ->> 'type', t.value ->> 'id', t.value ->> 'name'
  FROM pg_catalog.jsonb_array_elements(targets) WITH ORDINALITY t(value, n)
  WHERE t.n > 1 AND coalesce(t.value ->> 'id', t.value ->> 'name') IS NOT NULL;
END;
COMMENT ON FUNCTION audit_log.names_of(text, text, text, text, text, text, text, text, text, jsonb) IS 'The actors and targets of a stored entry. Internal.';

CREATE FUNCTION audit_log.partition_start(partition regclass) RETURNS timestamptz
  LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_partition_start';
COMMENT ON FUNCTION audit_log.partition_start(regclass) IS 'The instant a partition of event begins with; NULL for what is no partition of event itself. Internal.';

CREATE FUNCTION audit_log.partition_of(parent regclass, day date) RETURNS regclass
  LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_partition_of';
COMMENT ON FUNCTION audit_log.partition_of(regclass, date) IS 'The partition of activity or named that a day is in; NULL where there is none. Internal.';

CREATE FUNCTION audit_log.counts_table(parent regclass, partition regclass) RETURNS regclass
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
AS $$
DECLARE
  lower date;
  upper date;
  takes boolean;
BEGIN
  SELECT b.lower, b.upper INTO lower, upper FROM audit_log.partition_bounds(parent) b WHERE b.partition = counts_table.partition;
  IF lower IS NOT NULL THEN
    EXECUTE pg_catalog.format('SELECT EXISTS (SELECT FROM %s)', partition) INTO takes;
    -- Whoever does not know of it would find that entries are counted, but not their counts.
    takes := takes OR audit_log.is_known_to_all(partition);
  END IF;
  IF takes IS NOT TRUE THEN
    RETURN (parent || '_unplaced')::regclass;
  END IF;
  EXECUTE pg_catalog.format('WITH moved AS (DELETE FROM %s_unplaced WHERE day >= $1 AND day < $2 RETURNING *)
    INSERT INTO %s AS a SELECT * FROM moved ON CONFLICT ', parent, partition)
    || CASE parent WHEN 'audit_log.activity'::regclass THEN '(day, organization_id, category, actor_type, pg_catalog.md5(actor_id)) DO UPDATE SET events = a.events + EXCLUDED.events'
                   ELSE 'DO NOTHING' END
  USING lower, upper;
  RETURN partition;
END
$$;
COMMENT ON FUNCTION audit_log.counts_table(regclass, regclass) IS 'Where counts or names of the days of a partition go to: to it, with those that were beside it until now, or beside the partitions where it is too new (or NULL). Internal.';

CREATE FUNCTION audit_log.committed_snapshot() RETURNS text
  LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'audit_log_committed_snapshot';
COMMENT ON FUNCTION audit_log.committed_snapshot() IS 'What the running query sees of other transactions, as a pg_snapshot: its own one is in progress. Internal.';

CREATE FUNCTION audit_log.count_entries() RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
  -- Nobody can estimate what is new; there are far fewer groups than entries.
  SET enable_sort = off
AS $$
DECLARE
  last audit_log.counted_until;
  now_epoch smallint;
  now_snapshot pg_snapshot;
  has_begun boolean;
  low bigint;
  partition regclass;
  leaf regclass;
  place regclass;
  fresh text;
BEGIN
  -- One at a time; whoever removes entries takes the same lock.
  LOCK TABLE audit_log.counted_until IN SHARE ROW EXCLUSIVE MODE;
  SELECT pg_catalog.max(f.epoch),
         pg_catalog.max(f.epoch) FILTER (WHERE f.system_identifier = audit_log.system_identifier()
                                          AND f.database_oid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()))
           IS NOT DISTINCT FROM pg_catalog.max(f.epoch)
  INTO now_epoch, has_begun FROM audit_log.feed_epoch f;
  IF now_epoch IS NULL THEN
    RETURN;
  END IF;
  now_snapshot := audit_log.committed_snapshot();
  IF NOT has_begun THEN
    -- A copy that has not written yet: all that is there was committed where it comes from.
    SELECT pg_catalog.format('%1$s:%1$s:', coalesce(pg_catalog.max(e.feed) & 281474976710655, 0) + 1) INTO now_snapshot
    FROM audit_log.stored_event e WHERE e.feed >= now_epoch::bigint << 48 AND e.feed < (now_epoch::bigint + 1) << 48;
  END IF;
  SELECT u.* INTO last FROM audit_log.counted_until u;
  low := coalesce(audit_log.unseen_from(last.epoch, last.snapshot), 0);
  -- What was counted before it had a partition is moved there, also where nothing new comes.
  PERFORM audit_log.counts_table(p.parent, p.leaf)
  FROM (SELECT 'audit_log.activity'::regclass, audit_log.partition_of('audit_log.activity', a.day) FROM audit_log.activity_unplaced a
        UNION SELECT 'audit_log.named', audit_log.partition_of('audit_log.named', n.day) FROM audit_log.named_unplaced n) p(parent, leaf)
  WHERE p.leaf IS NOT NULL;
  FOR partition IN
    SELECT t.relid FROM pg_catalog.pg_partition_tree('audit_log.event') t WHERE t.isleaf AND t.level > 0
    UNION ALL SELECT 'audit_log.event_unplaced'
  LOOP
    -- What the new snapshot saw and the last one did not, whatever was committed since.
    fresh := pg_catalog.format('%s e WHERE e.feed >= $1 AND audit_log.seen_by(e.feed, $2, $3) AND audit_log.seen_by(e.feed, $4, $5) IS NOT TRUE', partition);
    FOR leaf IN EXECUTE pg_catalog.format(
      'SELECT DISTINCT audit_log.partition_of(''audit_log.activity'', d.day) FROM (SELECT DISTINCT (e.occurred_at AT TIME ZONE ''UTC'')::date AS day FROM %s) d', fresh)
      USING low, now_epoch, now_snapshot, last.epoch, last.snapshot
    LOOP
      place := audit_log.counts_table('audit_log.activity', leaf);
      EXECUTE pg_catalog.format('INSERT INTO %s AS a (day, organization_id, category, actor_type, actor_id, events)
        SELECT c.day, c.organization_id, c.category, c.actor_type, c.actor_id, pg_catalog.count(*)
        FROM (SELECT (e.occurred_at AT TIME ZONE ''UTC'')::date AS day, e.organization_id, e.category, e.actor_type, e.actor_id FROM %s) c
        WHERE audit_log.partition_of(''audit_log.activity'', c.day) IS NOT DISTINCT FROM $6
        GROUP BY GROUPING SETS ((c.day, c.organization_id, c.category), (c.day, c.organization_id, c.category, c.actor_type, c.actor_id))
        ON CONFLICT (day, organization_id, category, actor_type, pg_catalog.md5(actor_id)) DO UPDATE SET events = a.events + EXCLUDED.events', place, fresh)
      USING low, now_epoch, now_snapshot, last.epoch, last.snapshot, leaf;
    END LOOP;
    FOR leaf IN EXECUTE pg_catalog.format(
      'SELECT DISTINCT audit_log.partition_of(''audit_log.named'', d.day)
       FROM (SELECT DISTINCT coalesce($6, pg_catalog.date_trunc(''week'', e.occurred_at))::date AS day FROM %s) d', fresh)
      USING low, now_epoch, now_snapshot, last.epoch, last.snapshot, audit_log.partition_start(partition)
    LOOP
      place := audit_log.counts_table('audit_log.named', leaf);
      EXECUTE pg_catalog.format('INSERT INTO %s (day, is_actor, organization_id, type, id, name)
        SELECT DISTINCT c.day, m.is_actor, c.organization_id, m.type, m.id, m.name
        FROM (SELECT e.*, coalesce($6, pg_catalog.date_trunc(''week'', e.occurred_at))::date AS day FROM %s) c
        CROSS JOIN LATERAL audit_log.names_of(c.actor_type, c.actor_id, c.actor_name,
          c.effective_actor_type, c.effective_actor_id, c.effective_actor_name, c.target_type, c.target_id, c.target_name, c.targets) m
        WHERE audit_log.partition_of(''audit_log.named'', c.day) IS NOT DISTINCT FROM $7
        ON CONFLICT DO NOTHING', place, fresh)
      USING low, now_epoch, now_snapshot, last.epoch, last.snapshot, audit_log.partition_start(partition), leaf;
      -- Nobody who looks for a name should have to read what waits.
      PERFORM audit_log.merge_pending(place);
    END LOOP;
  END LOOP;
  INSERT INTO audit_log.counted_until AS u (epoch, snapshot) VALUES (now_epoch, now_snapshot)
  ON CONFLICT ON CONSTRAINT counted_until_pkey DO UPDATE
    SET epoch = EXCLUDED.epoch, snapshot = EXCLUDED.snapshot, counted_at = pg_catalog.clock_timestamp();
END
$$;
COMMENT ON FUNCTION audit_log.count_entries() IS 'Counts the entries committed since it last ran, for activity_daily, page() and people(). These are exact without it, and slower the more is uncounted: call it every minute or so, in a transaction of its own.';

CREATE VIEW audit_log.activity_daily WITH (security_invoker = true) AS
SELECT a.day, a.organization_id, a.category, a.actor_type, a.actor_id, a.events
FROM audit_log.stored_activity a
WHERE a.actor_type IS NOT NULL
  -- Days with entries that are not counted yet are added up below.
  AND a.day <> ALL (ARRAY(SELECT DISTINCT (u.occurred_at AT TIME ZONE 'UTC')::date FROM audit_log.uncounted u))
UNION ALL
SELECT b.day, b.organization_id, b.category, b.actor_type, b.actor_id, pg_catalog.sum(b.events)::bigint
FROM (SELECT a.day, a.organization_id, a.category, a.actor_type, a.actor_id, a.events
      FROM audit_log.stored_activity a
      WHERE a.actor_type IS NOT NULL
        AND a.day = ANY (ARRAY(SELECT DISTINCT (u.occurred_at AT TIME ZONE 'UTC')::date FROM audit_log.uncounted u))
      UNION ALL
      SELECT (u.occurred_at AT TIME ZONE 'UTC')::date, u.organization_id, u.category, u.actor_type, u.actor_id, 1
      FROM audit_log.uncounted u) b
GROUP BY b.day, b.organization_id, b.category, b.actor_type, b.actor_id;
COMMENT ON VIEW audit_log.activity_daily IS 'Events counted by day, organization, category and actor: exact at every moment.';
COMMENT ON COLUMN audit_log.activity_daily.day IS 'Day of occurred_at, UTC.';
COMMENT ON COLUMN audit_log.activity_daily.organization_id IS 'As in entry.';
COMMENT ON COLUMN audit_log.activity_daily.category IS 'As in entry.';
COMMENT ON COLUMN audit_log.activity_daily.actor_type IS 'As in entry.';
COMMENT ON COLUMN audit_log.activity_daily.actor_id IS 'As in entry.';
COMMENT ON COLUMN audit_log.activity_daily.events IS 'How many.';

CREATE VIEW audit_log.category_daily WITH (security_invoker = true) AS
SELECT b.day, b.organization_id, b.category, pg_catalog.sum(b.events)::bigint AS events
FROM (SELECT a.day, a.organization_id, a.category, a.events FROM audit_log.stored_activity a WHERE a.actor_type IS NULL
      UNION ALL
      SELECT (u.occurred_at AT TIME ZONE 'UTC')::date, u.organization_id, u.category, 1 FROM audit_log.uncounted u) b
GROUP BY b.day, b.organization_id, b.category;
COMMENT ON VIEW audit_log.category_daily IS 'Events counted by day, organization and category, whoever acted: what activity_daily adds up to, from far fewer rows. Exact at every moment.';
COMMENT ON COLUMN audit_log.category_daily.day IS 'Day of occurred_at, UTC.';
COMMENT ON COLUMN audit_log.category_daily.organization_id IS 'As in entry.';
COMMENT ON COLUMN audit_log.category_daily.category IS 'As in entry.';
COMMENT ON COLUMN audit_log.category_daily.events IS 'How many.';
