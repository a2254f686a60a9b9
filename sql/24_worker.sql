-- What keeps the log in order, by the background worker or by run_retention().

CREATE TABLE audit_log.worker_task (
  task text COLLATE "C" PRIMARY KEY,
  last_run_at timestamptz,
  last_success_at timestamptz,
  next_run_at timestamptz,
  clock timestamptz,
  is_wanted boolean NOT NULL DEFAULT false,
  failures integer NOT NULL DEFAULT 0,
  last_error text
);
COMMENT ON TABLE audit_log.worker_task IS 'When the tasks of the worker ran; read it through audit_log.worker_status.';
COMMENT ON COLUMN audit_log.worker_task.clock IS 'What a task that has more to do goes on by, or it would never catch up with the time; else NULL.';
COMMENT ON COLUMN audit_log.worker_task.is_wanted IS 'Whether there may be something to do, for tasks that only entries that came give something to do.';

CREATE FUNCTION audit_log.worker_tasks() RETURNS TABLE (task text, place integer, description text)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 7
BEGIN ATOMIC
  VALUES ('partitions', 1, 'makes partitions ahead'),
         ('merge', 2, 'merges what new entries added to the indexes'),
         ('counts', 3, 'counts new entries, for totals and activity'),
         ('clear', 4, 'removes expired entries in batches'),
         ('move', 5, 'moves entries that had no partition to one'),
         ('drop', 6, 'drops partitions that are all expired'),
         ('tidy', 7, 'removes names and idempotency keys of what is gone');
END;
COMMENT ON FUNCTION audit_log.worker_tasks() IS 'The tasks of the worker, in the order they are run in at first. Internal.';

CREATE FUNCTION audit_log.task_interval(task text) RETURNS interval
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
RETURN CASE task WHEN 'counts' THEN interval '1 minute' WHEN 'merge' THEN interval '1 minute' WHEN 'move' THEN interval '10 minutes' WHEN 'partitions' THEN interval '1 hour'
            -- 0 is never.
            ELSE nullif(coalesce(pg_catalog.current_setting('audit_log.retention_interval', true), '1h')::interval, interval '0') END;
COMMENT ON FUNCTION audit_log.task_interval(text) IS 'How often the worker runs a task; NULL: never. Internal.';

CREATE VIEW audit_log.worker_status WITH (security_invoker = true) AS
SELECT t.task, t.description, w.last_run_at AS last_run, w.last_success_at AS last_success,
       CASE WHEN audit_log.task_interval(t.task) IS NOT NULL THEN w.next_run_at END AS next_run, coalesce(w.failures, 0) AS failures, w.last_error
FROM audit_log.worker_tasks() t
LEFT JOIN audit_log.worker_task w ON w.task = t.task
ORDER BY t.place;
COMMENT ON VIEW audit_log.worker_status IS 'The tasks that keep the log in order: when each ran, by the worker or run_retention(), and how it went.';
COMMENT ON COLUMN audit_log.worker_status.task IS 'Its name.';
COMMENT ON COLUMN audit_log.worker_status.description IS 'What it does.';
COMMENT ON COLUMN audit_log.worker_status.last_run IS 'When it last ran; NULL: never.';
COMMENT ON COLUMN audit_log.worker_status.last_success IS 'When it last did without an error.';
COMMENT ON COLUMN audit_log.worker_status.next_run IS 'When the worker runs it next, at the earliest; NULL: not yet told, or never, where audit_log.retention_interval is 0.';
COMMENT ON COLUMN audit_log.worker_status.failures IS 'How many times in a row it failed.';
COMMENT ON COLUMN audit_log.worker_status.last_error IS 'Why; NULL after it succeeded.';

CREATE FUNCTION audit_log.lock_for_purge() RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '1s'
AS $$
BEGIN
  -- Rules and holds stay as they are until this transaction ends; counts are taken off by one at a time.
  LOCK TABLE audit_log.retention_rule, audit_log.legal_hold IN SHARE MODE;
  LOCK TABLE audit_log.counted_until IN SHARE ROW EXCLUSIVE MODE;
END
$$;
COMMENT ON FUNCTION audit_log.lock_for_purge() IS 'One purge at a time, under rules and holds that do not change meanwhile. Internal.';

CREATE FUNCTION audit_log.clear_next(at timestamptz, most integer, OUT removed audit_log.removal[], OUT more boolean)
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  seen pg_snapshot;
  one record;
  due record;
BEGIN
  PERFORM audit_log.lock_for_purge();
  seen := audit_log.committed_snapshot();
  FOR one IN SELECT m.* FROM audit_log.may_have_expired(at) m LOOP
    due := audit_log.due_in(one.partition, one.lower, one.upper, at);
    -- Some go whole.
    CONTINUE WHEN due.since IS NULL OR audit_log.all_expired(one.partition, one.lower, one.upper, at) IS NOT NULL;
    removed := audit_log.clear_batch(one.partition, due.clock, due.since, due.until, seen, most);
    more := true;
    RETURN;
  END LOOP;
  more := false;
END
$$;
COMMENT ON FUNCTION audit_log.clear_next(timestamptz, integer) IS 'Looks at the next so many entries that may have expired by a clock and removes those that have; what went, and whether there was anything to look at. Internal.';

CREATE FUNCTION audit_log.tidy_next() RETURNS boolean
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
AS $$
DECLARE
  one record;
  days date[];
  partitions name[];
  entries text;
  names regclass;
BEGIN
  -- A key that is being used anew meanwhile has another id.
  DELETE FROM audit_log.idempotency i
  WHERE (i.organization_id, i.key, i.event_id) IN (
    SELECT k.organization_id, k.key, k.event_id FROM audit_log.idempotency k
    WHERE k.occurred_at < (SELECT pg_catalog.max(u.until) FROM audit_log.purged_until u)
      AND NOT EXISTS (SELECT FROM audit_log.stored_event e WHERE e.occurred_at = k.occurred_at AND e.id = k.event_id)
    LIMIT 10000);
  IF FOUND THEN
    RETURN true;
  END IF;
  -- Once a day: all that a partition has is read for it.
  SELECT x.partition, c.oid::regclass AS relation, audit_log.partition_start(c.oid)::date AS day INTO one
  FROM audit_log.examined x
  JOIN pg_catalog.pg_class c ON c.relname = x.partition AND c.relnamespace = 'audit_log'::regnamespace
  WHERE x.progress IS NULL AND x.names_stale_since < pg_catalog.clock_timestamp() - interval '1 day'
  LIMIT 1;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM audit_log.lock_for_purge();
  -- Partitions that begin on one day share it; with a Monday also what has none, of its week.
  days := CASE WHEN one.day IS NOT NULL THEN ARRAY[one.day] ELSE ARRAY(
    SELECT d.day FROM (SELECT DISTINCT n.day FROM audit_log.stored_named n) d
    WHERE CASE WHEN d.day = pg_catalog.date_trunc('week', d.day)::date
               THEN NOT EXISTS (SELECT FROM audit_log.partition_bounds('audit_log.event') b WHERE b.lower = d.day AND b.upper >= d.day + 7)
               ELSE NOT EXISTS (SELECT FROM audit_log.partition_bounds('audit_log.event') b WHERE b.lower::date = d.day) END) END;
  SELECT pg_catalog.array_agg(c.relname),
         coalesce(pg_catalog.string_agg(pg_catalog.format('SELECT %L::date AS day, e.* FROM %s e UNION ALL ', b.lower::date, b.partition), ''), '')
  INTO partitions, entries
  FROM audit_log.partition_bounds('audit_log.event') b JOIN pg_catalog.pg_class c ON c.oid = b.partition WHERE b.lower::date = ANY (days);
  FOREACH names IN ARRAY ARRAY['audit_log.named', 'audit_log.named_unplaced']::regclass[] LOOP
    EXECUTE pg_catalog.format('DELETE FROM %s n
      WHERE n.day = ANY ($1) AND NOT EXISTS (
        SELECT FROM (SELECT DISTINCT e.day, e.organization_id, m.is_actor, m.type, m.id, m.name
                     FROM (%s SELECT pg_catalog.date_trunc(''week'', e.occurred_at)::date AS day, e.* FROM audit_log.event_unplaced e) e
                     CROSS JOIN LATERAL audit_log.names_of(e.actor_type, e.actor_id, e.actor_name, e.effective_actor_type, e.effective_actor_id,
                       e.effective_actor_name, e.target_type, e.target_id, e.target_name, e.targets) m) k
        WHERE (k.day, k.organization_id, k.is_actor, k.type) = (n.day, n.organization_id, n.is_actor, n.type)
          AND coalesce(k.id, '''') = coalesce(n.id, '''') AND coalesce(k.name, '''') = coalesce(n.name, ''''))', names, entries) USING days;
  END LOOP;
  UPDATE audit_log.examined x SET names_stale_since = NULL WHERE x.partition = one.partition OR x.partition = ANY (partitions);
  RETURN true;
END
$$;
COMMENT ON FUNCTION audit_log.tidy_next() IS 'Removes idempotency keys whose entries are gone, a batch at a time, then names that no entry of a partition has any more; whether it did. Internal.';

CREATE FUNCTION audit_log.run_task(task text, at timestamptz, is_worker boolean DEFAULT false, ahead integer DEFAULT NULL, OUT removed audit_log.removal[], OUT more boolean, OUT error text)
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
  SET lock_timeout = '2s'
AS $$
#variable_conflict use_variable
DECLARE
  counted integer;
  was audit_log.worker_task;
  is_locked boolean := false;
  is_left boolean := false;
BEGIN
  more := false;
  BEGIN
    CASE task
      WHEN 'partitions' THEN
        -- Each that is made holds up readers of the whole log a little longer.
        more := audit_log.make_partitions(at, ahead, 20) > 0;
      WHEN 'merge' THEN
        PERFORM audit_log.merge_pending(r.relation)
        FROM (SELECT b.partition AS relation FROM audit_log.partition_bounds('audit_log.event') b UNION ALL SELECT 'audit_log.event_unplaced') r;
      WHEN 'counts' THEN PERFORM audit_log.count_entries();
      WHEN 'clear' THEN SELECT c.removed, c.more INTO removed, more FROM audit_log.clear_next(at, 20000) c;
      WHEN 'move' THEN
        more := audit_log.move_unplaced() > 0;
        IF more THEN
          PERFORM audit_log.names_are_stale('event_unplaced');
        END IF;
        -- What must wait for somebody's transaction to end.
        is_left := audit_log.next_to_move() IS NOT NULL;
      WHEN 'drop' THEN
        PERFORM audit_log.lock_for_purge();
        SELECT d.removed, d.dropped INTO removed, counted FROM audit_log.drop_expired(at, 4) d;
        more := counted > 0;
      WHEN 'tidy' THEN more := audit_log.tidy_next();
    END CASE;
  EXCEPTION WHEN OTHERS THEN
    error := SQLERRM;
    is_locked := SQLSTATE = '55P03';
    more := false;
  END;
  SELECT w.* INTO was FROM audit_log.worker_task w WHERE w.task = run_task.task;
  -- A failing step is tried again later and later, at most an hour; told once.
  INSERT INTO audit_log.worker_task AS w (task, last_run_at, last_success_at, next_run_at, clock, is_wanted, failures, last_error)
  VALUES (task, pg_catalog.clock_timestamp(), CASE WHEN error IS NULL THEN pg_catalog.clock_timestamp() END,
          pg_catalog.clock_timestamp() + CASE WHEN error IS NOT NULL THEN least(interval '1 hour', interval '10 seconds' * pg_catalog.power(2, least(coalesce(was.failures, 0), 20)))
                                              WHEN more THEN interval '0' ELSE audit_log.task_interval(task) END,
          CASE WHEN more THEN at END, more OR is_left OR error IS NOT NULL, CASE WHEN error IS NULL THEN 0 ELSE 1 END, error)
  ON CONFLICT ON CONSTRAINT worker_task_pkey DO UPDATE
    SET last_run_at = EXCLUDED.last_run_at, last_success_at = coalesce(EXCLUDED.last_success_at, w.last_success_at),
        next_run_at = EXCLUDED.next_run_at, clock = EXCLUDED.clock, is_wanted = EXCLUDED.is_wanted, last_error = EXCLUDED.last_error,
        failures = CASE WHEN EXCLUDED.last_error IS NULL THEN 0 ELSE w.failures + 1 END;
  -- That the log is in use for a moment is nothing to tell of.
  IF error IS NOT NULL AND (CASE WHEN is_worker AND is_locked THEN was.failures = 1 ELSE error IS DISTINCT FROM was.last_error END) THEN
    RAISE WARNING 'audit_log: task "%" failed in database "%": %', task, pg_catalog.current_database(), error USING HINT = 'It is tried again. SELECT * FROM audit_log.worker_status tells more.';
  END IF;
END
$$;
COMMENT ON FUNCTION audit_log.run_task(text, timestamptz, boolean, integer) IS 'Runs a step of a task by a clock, partitions so many intervals ahead, and notes how it went: what was removed, whether there is more to do at once, and its error, which it does not raise. Internal.';

CREATE FUNCTION audit_log.run_due_task(entries_came boolean, merge boolean, OUT task text, OUT next_run timestamptz)
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  now timestamptz := pg_catalog.clock_timestamp();
  clock timestamptz;
BEGIN
  -- Not beside run_retention(), whose transaction may be open for long.
  BEGIN
    LOCK TABLE audit_log.worker_task IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
  EXCEPTION WHEN lock_not_available THEN
    RETURN;
  END;
  IF entries_came THEN
    UPDATE audit_log.worker_task w SET is_wanted = true WHERE w.task IN ('counts', 'merge', 'move') AND NOT w.is_wanted;
  END IF;
  IF merge THEN
    UPDATE audit_log.worker_task w SET is_wanted = true, next_run_at = now WHERE w.task = 'merge' AND w.failures = 0;
  END IF;
  SELECT t.task, coalesce(w.clock, now) INTO task, clock
  FROM audit_log.worker_tasks() t
  LEFT JOIN audit_log.worker_task w ON w.task = t.task
  WHERE audit_log.task_interval(t.task) IS NOT NULL
    -- An interval made shorter counts at once; a failure's delay stays.
    AND coalesce(CASE WHEN w.failures = 0 THEN least(w.next_run_at, w.last_run_at + audit_log.task_interval(t.task)) ELSE w.next_run_at END, now) <= now
    AND (t.task NOT IN ('counts', 'merge', 'move') OR w.is_wanted IS NOT FALSE OR w.failures > 0)
  -- The longest due first: none that always has something to do keeps others from their turn.
  ORDER BY w.next_run_at NULLS FIRST, t.place LIMIT 1;
  IF task IS NOT NULL THEN
    PERFORM audit_log.run_task(task, clock, true);
  END IF;
  SELECT pg_catalog.min(coalesce(w.next_run_at, now)) INTO next_run
  FROM audit_log.worker_tasks() t
  LEFT JOIN audit_log.worker_task w ON w.task = t.task
  WHERE audit_log.task_interval(t.task) IS NOT NULL AND (t.task NOT IN ('counts', 'merge', 'move') OR w.is_wanted IS NOT FALSE OR w.failures > 0);
END
$$;
COMMENT ON FUNCTION audit_log.run_due_task(boolean, boolean) IS 'What the worker calls, in a transaction each time, until task is NULL: runs a step of the task that is due longest; counting, merging and moving only where entries came since they last ran, merging at once where it is asked for. next_run: when to call again, at the latest; NULL where somebody runs retention meanwhile. Internal.';

CREATE FUNCTION audit_log.expired(at timestamptz) RETURNS SETOF audit_log.removal
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
AS $$
DECLARE
  line timestamptz := (SELECT pg_catalog.max(at - r.keep) FROM audit_log.retention r);
  one record;
  whole boolean;
BEGIN
  FOR one IN SELECT m.* FROM audit_log.may_have_expired(at) m LOOP
    whole := audit_log.all_expired(one.partition, one.lower, one.upper, at) IS NOT NULL;
    RETURN QUERY EXECUTE pg_catalog.format('SELECT e.organization_id, e.category, p.keep, pg_catalog.count(*), pg_catalog.min(e.occurred_at), pg_catalog.max(e.occurred_at), %L, $3
      FROM %2$s e
      JOIN (SELECT d.organization_id, d.category, audit_log.keep_of(d.organization_id, d.category) AS keep
            FROM (SELECT DISTINCT x.organization_id, x.category FROM %2$s x WHERE x.occurred_at < $1) d) p
        ON p.organization_id = e.organization_id AND p.category = e.category
      WHERE e.occurred_at < $1 AND e.occurred_at < $2 - p.keep
        AND (NOT EXISTS (SELECT FROM audit_log.legal_hold) OR NOT audit_log.is_held(e.organization_id, e.target_type, e.target_id, e.targets))
      GROUP BY e.organization_id, e.category, p.keep', (SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid = one.partition), one.partition)
    USING line, at, whole;
  END LOOP;
END
$$;
COMMENT ON FUNCTION audit_log.expired(timestamptz) IS 'What a purge by a clock would remove, however many runs it takes. Reads all that is old enough. Internal.';

CREATE FUNCTION audit_log.run_retention(dry_run boolean DEFAULT false) RETURNS SETOF audit_log.removal
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  at timestamptz := pg_catalog.clock_timestamp();
  step record;
BEGIN
  IF dry_run THEN
    RETURN QUERY SELECT e.* FROM audit_log.expired(at) e;
    RETURN;
  END IF;
  IF pg_catalog.current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'retention cannot run in a % transaction', pg_catalog.current_setting('transaction_isolation')
      USING ERRCODE = '55000', DETAIL = 'code: not_in_prerequisite_state',
            HINT = 'It must see rules and holds of this moment: call it in a READ COMMITTED transaction, best in one of its own.';
  END IF;
  -- The worker's step is waited for, and it does nothing until this transaction ends.
  LOCK TABLE audit_log.worker_task IN SHARE UPDATE EXCLUSIVE MODE;
  PERFORM audit_log.run_task('partitions', at);
  PERFORM audit_log.run_task('merge', at);
  PERFORM audit_log.run_task('counts', at);
  -- A transaction holds what it locks until its end: it does so much and no more,
  FOR i IN 1 .. 10 LOOP
    SELECT t.* INTO step FROM audit_log.run_task('clear', at) t;
    RETURN QUERY SELECT r.* FROM pg_catalog.unnest(step.removed) r;
    EXIT WHEN NOT step.more;
  END LOOP;
  FOR i IN 1 .. 5 LOOP
    EXIT WHEN NOT (SELECT t.more FROM audit_log.run_task('move', at) t);
  END LOOP;
  PERFORM audit_log.run_task('tidy', at);
  -- and comes last to what locks others out.
  SELECT t.* INTO step FROM audit_log.run_task('drop', at) t;
  RETURN QUERY SELECT r.* FROM pg_catalog.unnest(step.removed) r;
END
$$;
COMMENT ON FUNCTION audit_log.run_retention(boolean) IS 'Keeps the log in order where no worker does: makes partitions ahead, counts, removes expired entries that no hold matches (about 200,000 looked at in a call), makes a partition for entries that have none or, in a later call, moves them to it (about 100,000 in a call), and drops up to 4 expired ones. What went, a row an organization, category and partition; with dry_run what would go, in as many calls as it takes. Call it in a transaction of its own, hourly or so: what it drops is locked until that ends. What fails is a WARNING, and in worker_status. 55000 outside READ COMMITTED. Purges are recorded as retention_run.';
