-- doctor(), of the log itself: worker, partitions, guards, indexes, retention and feed.

CREATE FUNCTION audit_log.doctor_worker() RETURNS SETOF audit_log.diagnosis
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  now timestamptz := pg_catalog.clock_timestamp();
  libraries text := pg_catalog.current_setting('shared_preload_libraries');
  databases text := coalesce(pg_catalog.current_setting('audit_log.databases', true), '*');
  -- A restored log has its own row and the dump's.
  since timestamptz := (SELECT pg_catalog.max(l.created_at) FROM audit_log.log_identity l);
  counted audit_log.counted_until := (SELECT u FROM audit_log.counted_until u);
  partition regclass;
  waiting bigint := 0;
BEGIN
  IF pg_catalog.pg_is_in_recovery() THEN
    -- It is the primary's to do.
    RETURN;
  END IF;
  IF libraries !~ '(^|[,/\s"])audit_log(\.so)?($|[,\s"])' THEN
    -- A scheduler that runs it does as well.
    RETURN QUERY SELECT 'info', 'worker not preloaded: nothing makes partitions ahead and removes what is expired, unless a scheduler does', 'shared_preload_libraries',
      pg_catalog.format('ALTER SYSTEM SET shared_preload_libraries = %s -- and restart the server; or SELECT audit_log.run_retention() hourly from a scheduler',
        (SELECT pg_catalog.string_agg(pg_catalog.quote_literal(pg_catalog.btrim(l, ' "')), ', ' ORDER BY n)
         FROM pg_catalog.regexp_split_to_table(libraries || ',audit_log', ',') WITH ORDINALITY AS c(l, n) WHERE pg_catalog.btrim(l) <> ''))
    WHERE NOT EXISTS (SELECT FROM audit_log.worker_task w WHERE w.task = 'clear' AND w.last_run_at > now - interval '3 hours');
  ELSIF NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.backend_type = 'audit_log launcher') THEN
    RETURN QUERY SELECT 'error', 'worker not running: it is preloaded, but its launcher is not there', 'audit_log launcher',
      'Look into the server''s log, which says why it ended, and whether max_worker_processes has room for it; it is started again after a few seconds, or with the server.';
  ELSIF pg_catalog.btrim(databases) <> '*' AND NOT EXISTS (
    SELECT FROM pg_catalog.regexp_matches(databases, '(?:^|,)\s*(?:"((?:[^"]|"")*)"|([^",\s](?:[^",]*[^",\s])?))\s*(?=,|$)', 'g') m
    WHERE coalesce(pg_catalog.replace(m[1], '""', '"'), m[2]) = pg_catalog.current_database()) THEN
    RETURN QUERY SELECT 'info', pg_catalog.format('database left out: the worker does not serve it (audit_log.databases is "%s")', databases), pg_catalog.current_database()::text,
      pg_catalog.format('ALTER SYSTEM SET audit_log.databases = %L -- and SELECT pg_reload_conf(); or SELECT audit_log.run_retention() hourly from a scheduler',
        pg_catalog.concat_ws(', ', nullif(pg_catalog.btrim(databases), ''), pg_catalog.quote_ident(pg_catalog.current_database())));
  END IF;
  RETURN QUERY SELECT 'warning', pg_catalog.format('task failing: %s times in a row: %s', s.failures, s.last_error), s.task, 'SELECT * FROM audit_log.run_retention()'
  FROM audit_log.worker_status s WHERE s.failures > 0;
  RETURN QUERY SELECT 'warning', pg_catalog.format('task late: it %s has not been done %s', s.description, coalesce('since ' || pg_catalog.date_trunc('second', s.last_success), 'yet')), s.task,
    'SELECT * FROM audit_log.run_retention()'
  FROM audit_log.worker_status s
  -- Counting and moving wait for entries, and are told by what waits for them.
  WHERE s.task NOT IN ('counts', 'merge', 'move') AND s.failures = 0 AND audit_log.task_interval(s.task) IS NOT NULL
    AND coalesce(s.last_success, since) < now - greatest(3 * audit_log.task_interval(s.task), interval '3 hours')
    -- The first entry began it.
    AND EXISTS (SELECT FROM audit_log.feed_epoch);
  -- By the index on feed, of partitions that entries came to since.
  FOR partition IN
    SELECT b.partition FROM audit_log.partition_bounds('audit_log.event') b
    WHERE b.lower <= now AND (b.upper > counted.counted_at OR counted.counted_at IS NULL)
    UNION ALL SELECT 'audit_log.event_unplaced'
  LOOP
    EXECUTE pg_catalog.format('SELECT pg_catalog.count(*) + $2 FROM (SELECT FROM %s e WHERE e.feed >= $1 ORDER BY e.feed LIMIT 100001 - $2) e', partition)
    INTO waiting USING coalesce((counted.epoch::bigint << 48) | pg_catalog.pg_snapshot_xmax(counted.snapshot)::text::bigint, 0), waiting;
    EXIT WHEN waiting > 100000;
  END LOOP;
  IF waiting > 100000 THEN
    RETURN QUERY SELECT 'warning', 'counts behind: over 100000 entries are not counted yet, which slows page(), people() and activity_daily', 'counts', 'SELECT audit_log.count_entries()';
  END IF;
END
$$;
COMMENT ON FUNCTION audit_log.doctor_worker() IS 'What is wrong with the worker and its tasks. Internal.';

CREATE FUNCTION audit_log.attach_call(parent regclass, relation regclass) RETURNS text
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
  SET DateStyle = 'ISO'
AS $$
DECLARE
  digits text := (SELECT pg_catalog.replace(pg_catalog.substring(c.relname, '_p([0-9_]+)$'), '_', '') FROM pg_catalog.pg_class c WHERE c.oid = relation);
  start timestamptz;
  room record;
  fits boolean;
BEGIN
  start := pg_catalog.to_timestamp(pg_catalog.rpad(digits, 20, '0'), 'YYYYMMDDHH24MISSUS');
  SELECT r.lower, r.upper INTO room FROM audit_log.free_range(parent, audit_log.unit_of(parent, audit_log.partition_interval()), start) r;
  IF room.lower = start
     AND (SELECT pg_catalog.count(DISTINCT a.columns) = 1
          FROM (SELECT pg_catalog.string_agg(a.attname || ' ' || a.atttypid, ',' ORDER BY a.attname) AS columns
                FROM pg_catalog.pg_attribute a WHERE a.attrelid IN (parent, relation) AND a.attnum > 0 AND NOT a.attisdropped GROUP BY a.attrelid) a) THEN
    -- Counts of a day are in one place.
    EXECUTE pg_catalog.format('SELECT coalesce(pg_catalog.min(%1$I) >= $1 AND pg_catalog.max(%1$I) < $2, true)
      AND (%1$L <> ''day'' OR NOT EXISTS (SELECT FROM %3$s_unplaced WHERE %1$I >= $1 AND %1$I < $2)) FROM %2$s', audit_log.partition_key(parent), relation, parent)
    INTO fits USING room.lower, room.upper;
  END IF;
  RETURN CASE WHEN fits THEN pg_catalog.format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', parent, relation, room.lower, room.upper) END;
EXCEPTION WHEN OTHERS THEN
  -- It only looks like a partition.
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION audit_log.attach_call(regclass, regclass) IS 'The statement that makes a table a partition again by whose name it is called; NULL where it does not fit there. Internal.';

CREATE FUNCTION audit_log.doctor_partitions(longer_than interval) RETURNS SETOF audit_log.diagnosis
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
AS $$
DECLARE
  now timestamptz := pg_catalog.clock_timestamp();
  unit text := audit_log.partition_interval();
  parents regclass[] := ARRAY['audit_log.event', 'audit_log.event_target', 'audit_log.activity', 'audit_log.named'];
  unplaced timestamptz := audit_log.next_to_move();
BEGIN
  IF NOT EXISTS (SELECT FROM audit_log.partition_bounds('audit_log.event')) AND NOT EXISTS (SELECT FROM audit_log.event_unplaced) THEN
    RETURN QUERY SELECT 'info', 'no partition yet: watch(), any other change of configuration, and the worker make them', 'audit_log.event', 'SELECT audit_log.ensure_partitions()';
  ELSE
    RETURN QUERY SELECT CASE m.ahead WHEN 0 THEN 'error' ELSE 'warning' END,
      CASE m.ahead WHEN 0 THEN 'no partition: there is none for this moment, what is written now is to be moved later'
                   ELSE pg_catalog.format('no partition ahead: there is none for the %s to come', unit) END,
      m.parent::text,
      'SELECT audit_log.ensure_partitions()'
    FROM (SELECT DISTINCT ON (r.parent) r.*, (r.lower > now)::integer AS ahead
          FROM audit_log.missing_partitions(now, 1) r
          ORDER BY r.parent, r.lower) m;
  END IF;
  RETURN QUERY SELECT 'warning', 'entries without a partition: they had none when they were written', 'audit_log.event_unplaced', 'SELECT * FROM audit_log.run_retention()'
  WHERE unplaced IS NOT NULL
    AND NOT EXISTS (SELECT FROM audit_log.partition_bounds('audit_log.event') b WHERE b.lower <= unplaced AND b.upper > unplaced);
  -- Their partition is made first; moving them gives way to who began before.
  RETURN QUERY SELECT 'warning', 'entries not moved to their partition: they wait for a transaction that began before the partition was there', 'audit_log.event_unplaced',
    coalesce((SELECT pg_catalog.format('SELECT pg_catalog.pg_terminate_backend(%s)', a.pid) FROM pg_catalog.pg_stat_activity a
              WHERE a.datname = pg_catalog.current_database() AND a.xact_start <= k.since ORDER BY a.xact_start LIMIT 1), 'SELECT * FROM audit_log.run_retention()')
  FROM audit_log.partition_bounds('audit_log.event') b
  JOIN pg_catalog.pg_class c ON c.oid = b.partition
  JOIN audit_log.partition_known k ON k.partition = c.relname
  WHERE b.lower <= unplaced AND b.upper > unplaced AND k.since < now - longer_than;
  RETURN QUERY SELECT 'error', 'partition not attached: nobody reads what is in it, and a partition of its name cannot be made', c.oid::regclass::text,
    coalesce(audit_log.attach_call(p.oid, c.oid), pg_catalog.format('ALTER TABLE %s RENAME TO %I', c.oid::regclass, pg_catalog.left(c.relname, 53) || '_detached'))
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_class p ON p.oid = ANY (parents) AND c.relnamespace = p.relnamespace AND c.relname ~ ('^' || p.relname || '_p[0-9]{8}(_[0-9]{2}|_[0-9]{12})?$')
  WHERE c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition;
END
$$;
COMMENT ON FUNCTION audit_log.doctor_partitions(interval) IS 'What is wrong with the partitions of the log, and what has kept entries from theirs for longer than an interval. Internal.';

CREATE FUNCTION audit_log.doctor_guards() RETURNS SETOF audit_log.diagnosis
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  WITH guard AS (
    SELECT t.*, t.tgtype = CASE t.tgname WHEN 'append_only' THEN 58 ELSE 27 END AND t.tgqual IS NULL AND t.tgattr::text = ''
                AND t.tgfoid = 'audit_log.refuse_change()'::regprocedure AS is_whole
    FROM pg_catalog.pg_trigger t WHERE t.tgname IN ('append_only', 'append_only_row')),
  guarded AS (
    SELECT l.relation, l.kind, 'append_only'::name AS name FROM audit_log.log_table l
    UNION ALL SELECT 'audit_log.relation_change'::regclass, 'r', 'append_only'
    UNION ALL SELECT l.relation, l.kind, 'append_only_row' FROM audit_log.log_table l WHERE l.relation IN ('audit_log.event'::regclass, 'audit_log.event_target'::regclass))
  SELECT 'error', pg_catalog.format('not append-only: trigger "%s" is missing or another, so what is in it can be changed', g.name), g.relation::text,
         pg_catalog.concat('DROP TRIGGER ' || t.tgname || ' ON ' || g.relation::text || '; ',
           CASE g.name WHEN 'append_only' THEN pg_catalog.format('SELECT audit_log.guard(%L)', g.relation)
             ELSE pg_catalog.format('CREATE TRIGGER append_only_row BEFORE UPDATE OR DELETE ON %1$s FOR EACH ROW EXECUTE FUNCTION audit_log.refuse_change(); ALTER TABLE %1$s ENABLE ALWAYS TRIGGER append_only_row', g.relation) END)
  FROM guarded g LEFT JOIN guard t ON t.tgrelid = g.relation AND t.tgname = g.name
  WHERE t.is_whole IS NOT TRUE
  UNION ALL
  -- Of partitions that are as their parent is, the parent tells.
  SELECT 'error', pg_catalog.format('not append-only: trigger "%s" is disabled or does not always fire, so what is in it can be changed', t.tgname), t.tgrelid::regclass::text,
         pg_catalog.format('ALTER TABLE %s%s ENABLE ALWAYS TRIGGER %I', CASE WHEN t.tgname = 'append_only' THEN 'ONLY ' END, t.tgrelid::regclass, t.tgname)
  FROM guard t
  WHERE t.is_whole AND t.tgenabled <> 'A' AND (t.tgrelid = 'audit_log.relation_change'::regclass OR t.tgrelid IN (SELECT l.relation FROM audit_log.log_table l))
    AND NOT EXISTS (SELECT FROM guard p WHERE p.oid = t.tgparentid AND p.tgenabled = t.tgenabled)
$$;
COMMENT ON FUNCTION audit_log.doctor_guards() IS 'Tables of the log that can be changed. Internal.';

CREATE FUNCTION audit_log.doctor_indexes() RETURNS SETOF audit_log.diagnosis
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT 'warning', pg_catalog.format('index missing: there is none on %s, so reading by it is slow', m.columns), m.relation::text, pg_catalog.format('CREATE INDEX CONCURRENTLY ON %s %s', m.relation, m.definition)
  FROM audit_log.missing_indexes() m
  WHERE m.relation NOT IN (SELECT e.relation FROM audit_log.earlier_indexes() e)
  UNION ALL
  SELECT 'info', 'indexes of an earlier version: they take more room, and more time to write to', e.relation::text, 'SELECT audit_log.reindex_partitions()'
  FROM (SELECT DISTINCT e.relation FROM audit_log.earlier_indexes() e) e
  UNION ALL
  SELECT 'warning', 'index invalid: it is written to and not read; CREATE INDEX or REINDEX CONCURRENTLY did not finish', p.index::text,
         pg_catalog.format(CASE WHEN EXISTS (SELECT FROM audit_log.present_indexes() o WHERE o.relation = p.relation AND o.is_valid AND o.columns = p.columns AND o.condition = p.condition)
                                THEN 'DROP INDEX CONCURRENTLY %s' ELSE 'REINDEX INDEX CONCURRENTLY %s' END, p.index)
  FROM audit_log.present_indexes() p
  WHERE NOT p.is_valid AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index b WHERE b.index_relid = p.index OR b.relid = p.relation)
$$;
COMMENT ON FUNCTION audit_log.doctor_indexes() IS 'Indexes that partitions lack. Internal.';

CREATE FUNCTION audit_log.doctor_writing() RETURNS SETOF audit_log.diagnosis
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT 'info', pg_catalog.format('slow writing: %s makes every entry an INSERT of its own', o.what), o.relation::text, o.fix
  FROM (SELECT l.relation, pg_catalog.format('trigger "%s"', t.tgname) AS what, pg_catalog.format('DROP TRIGGER %I ON %s', t.tgname, l.relation) AS fix
        FROM audit_log.log_table l JOIN pg_catalog.pg_trigger t ON t.tgrelid = l.relation
        WHERE NOT t.tgisinternal AND t.tgtype & 4 <> 0 AND t.tgparentid = 0
        UNION ALL
        SELECT l.relation, pg_catalog.format('constraint "%s"', c.conname), pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', l.relation, c.conname)
        FROM audit_log.log_table l JOIN pg_catalog.pg_constraint c ON c.conrelid = l.relation
        WHERE c.contype IN ('c', 'f') AND c.coninhcount = 0 AND c.conparentid = 0
        UNION ALL
        SELECT l.relation, pg_catalog.format('rule "%s"', r.rulename), pg_catalog.format('DROP RULE %I ON %s', r.rulename, l.relation)
        FROM audit_log.log_table l JOIN pg_catalog.pg_rewrite r ON r.ev_class = l.relation
        UNION ALL
        SELECT l.relation, pg_catalog.format('index "%s"', c.relname), pg_catalog.format('DROP INDEX %s', i.indexrelid::regclass)
        FROM audit_log.log_table l JOIN pg_catalog.pg_index i ON i.indrelid = l.relation
        JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = c.relam
        WHERE NOT c.relispartition
          AND ((m.amname <> 'btree' AND (m.amname <> 'gin' OR i.indpred IS NOT NULL OR EXISTS (SELECT FROM pg_catalog.pg_opclass o WHERE o.oid = ANY (i.indclass::oid[])
                 AND (o.opcname NOT IN ('text_values', 'other_targets') OR o.opcnamespace <> 'audit_log'::regnamespace)))) OR i.indexprs IS NOT NULL OR i.indisexclusion OR (i.indisunique AND NOT i.indimmediate)
               OR pg_catalog.pg_get_expr(i.indpred, i.indrelid) !~ '^\([a-z_]+ IS (NOT )?NULL\)$')) o
$$;
COMMENT ON FUNCTION audit_log.doctor_writing() IS 'What keeps entries from being written directly. Internal.';

CREATE FUNCTION audit_log.doctor_retention() RETURNS SETOF audit_log.diagnosis
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
  -- Each partition by itself, and by index.
  SET plan_cache_mode = force_custom_plan
  SET enable_seqscan = off
AS $$
DECLARE
  clock timestamptz := pg_catalog.clock_timestamp() - interval '1 day';
  line timestamptz := (SELECT pg_catalog.max(clock - r.keep) FROM audit_log.retention r);
  hash text := audit_log.rules_hash();
  one record;
  is_behind boolean;
BEGIN
  -- By the counts; where nobody counts, by the oldest entries of each partition.
  FOR one IN
    WITH partition AS (
      SELECT b.partition, b.lower, b.upper, x.at, x.progress
      FROM audit_log.partition_bounds('audit_log.event') b
      JOIN pg_catalog.pg_class c ON c.oid = b.partition
      LEFT JOIN audit_log.examined x ON x.partition = c.relname AND x.rules = hash
      WHERE b.lower < line)
    SELECT d.organization_id, d.category, d.lower, d.upper
    FROM (SELECT a.day::timestamptz AS lower, (a.day + 1)::timestamptz AS upper, a.organization_id, a.category,
                 CASE WHEN oc.changed_at IS NOT NULL THEN oc.keep WHEN o.changed_at IS NOT NULL THEN o.keep WHEN c.changed_at IS NOT NULL THEN c.keep
                      ELSE (SELECT r.keep FROM audit_log.retention r WHERE r.organization_id IS NULL AND r.category IS NULL) END AS keep
          FROM audit_log.stored_activity a
          LEFT JOIN audit_log.retention_rule oc ON oc.organization_id = a.organization_id AND oc.category = a.category
          LEFT JOIN audit_log.retention_rule o ON o.organization_id = a.organization_id AND o.category IS NULL
          LEFT JOIN audit_log.retention_rule c ON c.organization_id IS NULL AND c.category = a.category
          WHERE a.actor_type IS NULL AND a.events > 0 AND a.day < line::date) d
    WHERE d.upper <= clock - d.keep
      -- What was looked at by these rules when it was expired, and is there, is held.
      AND EXISTS (SELECT FROM partition p WHERE p.lower < d.upper AND p.upper > d.lower
                  AND (p.at - d.keep >= d.upper AND (p.progress IS NULL OR p.progress >= d.upper)) IS NOT TRUE)
    ORDER BY d.lower LIMIT 50
  LOOP
    is_behind := EXISTS (SELECT FROM (SELECT e.organization_id, e.target_type, e.target_id, e.targets FROM audit_log.stored_event e
                                      WHERE e.organization_id = one.organization_id AND e.category = one.category AND e.occurred_at >= one.lower AND e.occurred_at < one.upper LIMIT 1000) e
                         WHERE NOT audit_log.is_held(e.organization_id, e.target_type, e.target_id, e.targets));
    EXIT WHEN is_behind;
  END LOOP;
  IF is_behind IS NOT TRUE AND NOT EXISTS (SELECT FROM audit_log.counted_until) THEN
    FOR one IN SELECT b.partition, b.lower FROM audit_log.partition_bounds('audit_log.event') b WHERE b.lower < line ORDER BY b.lower LOOP
      EXECUTE pg_catalog.format('SELECT EXISTS (SELECT FROM (SELECT * FROM %s e WHERE e.occurred_at < $1 ORDER BY e.occurred_at LIMIT 100) e
        WHERE e.occurred_at < $2 - audit_log.keep_of(e.organization_id, e.category) AND NOT audit_log.is_held(e.organization_id, e.target_type, e.target_id, e.targets))', one.partition)
      INTO is_behind USING line, clock;
      EXIT WHEN is_behind;
    END LOOP;
  END IF;
  IF is_behind THEN
    RETURN QUERY SELECT 'warning', pg_catalog.format('retention behind: there are entries, from %s on, that should have been removed by their rule over a day ago', one.lower::date),
      'audit_log.event', 'SELECT * FROM audit_log.run_retention()';
  END IF;
END
$$;
COMMENT ON FUNCTION audit_log.doctor_retention() IS 'Whether there are expired entries that should be gone. Internal.';

CREATE FUNCTION audit_log.doctor_feed(longer_than interval) RETURNS SETOF audit_log.diagnosis
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
  SET IntervalStyle = 'postgres'
AS $$
  SELECT 'warning', 'feed held back: a transaction that writes, here or in another database, is open; feed shows nothing that was written since it began to write',
         pg_catalog.format('pid %s: user %s, database %s, open for %s, %s, last statement begun %s ago', a.pid, coalesce(a.usename, '-'), coalesce(a.datname, '-'),
           pg_catalog.date_trunc('second', n.now - a.xact_start), coalesce(a.state, a.backend_type), coalesce(pg_catalog.date_trunc('second', n.now - a.query_start)::text, '-')),
         CASE WHEN a.pid = pg_catalog.pg_backend_pid() THEN 'COMMIT' ELSE pg_catalog.format('SELECT pg_catalog.pg_terminate_backend(%s)', a.pid) END
  FROM pg_catalog.pg_stat_activity a CROSS JOIN (SELECT pg_catalog.clock_timestamp() AS now) n
  WHERE a.backend_xid IS NOT NULL AND a.xact_start < n.now - longer_than
  UNION ALL
  SELECT 'warning', 'feed held back: a prepared transaction, here or in another database, waits for its end; feed shows nothing that was written since it began to write',
         pg_catalog.format('gid %s: user %s, database %s, prepared %s ago', p.gid, p.owner, p.database, pg_catalog.date_trunc('second', n.now - p.prepared)),
         pg_catalog.format('ROLLBACK PREPARED %L', p.gid) || CASE WHEN p.database = pg_catalog.current_database() THEN '' ELSE pg_catalog.format(' -- connected to %I', p.database) END
  FROM pg_catalog.pg_prepared_xacts p CROSS JOIN (SELECT pg_catalog.clock_timestamp() AS now) n
  WHERE p.prepared < n.now - longer_than
$$;
COMMENT ON FUNCTION audit_log.doctor_feed(interval) IS 'Transactions that have held back audit_log.feed for longer than an interval, at the most for as long as they are open. Internal.';
