-- Only what the rules have expired by the clock $1, which never runs ahead, within [$2, $3); $4 is this transaction's feed number.
WITH pair AS MATERIALIZED (
  SELECT d.organization_id, d.category, audit_log.keep_of(d.organization_id, d.category) AS keep
  FROM (SELECT DISTINCT e.organization_id, e.category FROM {partition} e WHERE e.occurred_at >= $2 AND e.occurred_at < $3) d
), gone AS MATERIALIZED (
  DELETE FROM {partition} e
  WHERE e.ctid = ANY (ARRAY(
    SELECT k.ctid
    FROM {partition} k
    JOIN pair p ON p.organization_id = k.organization_id AND p.category = k.category
    WHERE k.occurred_at >= $2 AND k.occurred_at < $3 AND k.occurred_at < least($1, pg_catalog.clock_timestamp()) - p.keep
      AND (NOT EXISTS (SELECT FROM audit_log.legal_hold) OR NOT audit_log.is_held(k.organization_id, k.target_type, k.target_id, k.targets))))
  RETURNING e.occurred_at, e.feed, e.id, e.organization_id, e.category, e.actor_type, e.actor_id, e.targets
), targets AS (
  DELETE FROM audit_log.event_target t
  USING gone g CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(g.targets) o
  WHERE t.occurred_at >= $2 AND t.occurred_at < $3
    AND t.target_id = o.value ->> 'id' AND t.occurred_at = g.occurred_at AND t.event_id = g.id
), unplaced AS (
  DELETE FROM audit_log.event_target_unplaced t
  USING gone g CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(g.targets) o
  WHERE t.occurred_at >= $2 AND t.occurred_at < $3
    AND t.target_id = o.value ->> 'id' AND t.occurred_at = g.occurred_at AND t.event_id = g.id
), until AS (
  INSERT INTO audit_log.purged_until AS p (organization_id, until)
  SELECT g.organization_id, pg_catalog.max(g.occurred_at) + interval '1 microsecond' FROM gone g GROUP BY g.organization_id
  ON CONFLICT (organization_id) DO UPDATE SET until = greatest(p.until, EXCLUDED.until)
), feeds AS (
  INSERT INTO audit_log.purged_feed AS p (organization_id, feed, is_highest, purged_by, newest)
  SELECT g.organization_id, g.feed, false, $4, pg_catalog.max(g.occurred_at) FROM gone g WHERE g.feed >= audit_log.recent_from($4) GROUP BY g.organization_id, g.feed
  ON CONFLICT (feed, organization_id) WHERE NOT is_highest DO UPDATE SET purged_by = EXCLUDED.purged_by, newest = greatest(p.newest, EXCLUDED.newest)
), highest AS (
  INSERT INTO audit_log.purged_feed AS p (organization_id, feed, is_highest, purged_by, newest)
  SELECT g.organization_id, pg_catalog.max(g.feed), true, $4, pg_catalog.max(g.occurred_at) FROM gone g WHERE g.feed < audit_log.recent_from($4) GROUP BY g.organization_id
  ON CONFLICT (organization_id) WHERE is_highest DO UPDATE
    SET feed = greatest(p.feed, EXCLUDED.feed), purged_by = EXCLUDED.purged_by, newest = greatest(p.newest, EXCLUDED.newest)
), counted AS (
  SELECT audit_log.uncount(pg_catalog.array_agg(ROW (c.day, c.organization_id, c.category, c.actor_type, c.actor_id, c.events)::audit_log.activity)) AS done
  FROM (SELECT (g.occurred_at AT TIME ZONE 'UTC')::date AS day, g.organization_id, g.category, g.actor_type, g.actor_id, pg_catalog.count(*) AS events
        FROM gone g CROSS JOIN audit_log.counted_until u
        WHERE audit_log.seen_by(g.feed, u.epoch, u.snapshot)
        GROUP BY GROUPING SETS ((1, 2, 3), (1, 2, 3, 4, 5))) c
)
SELECT g.organization_id, g.category, p.keep, pg_catalog.count(*), pg_catalog.min(g.occurred_at), pg_catalog.max(g.occurred_at)
FROM gone g
JOIN pair p ON p.organization_id = g.organization_id AND p.category = g.category
WHERE EXISTS (SELECT FROM counted c WHERE c.done IS NOT NULL OR c.done IS NULL)
GROUP BY g.organization_id, g.category, p.keep
