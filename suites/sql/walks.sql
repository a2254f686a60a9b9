-- The ids that each way of reading gives, read to its end, beside those of the view entry.

SELECT audit_log.count_entries() \g /dev/null
CREATE TEMP TABLE entries AS SELECT e.id, e.occurred_at FROM audit_log.entry e;
CREATE UNIQUE INDEX ON entries (id);
CREATE INDEX ON entries (occurred_at, id);
ANALYZE entries;
CREATE TEMP TABLE walked (way text NOT NULL, call integer NOT NULL, number bigint GENERATED ALWAYS AS IDENTITY, id uuid NOT NULL, place text COLLATE "C" NOT NULL);

DO $$
DECLARE
  at text;
  call integer := 0;
  first timestamptz := (SELECT min(e.occurred_at) FROM pg_temp.entries e);
  last timestamptz := (SELECT max(e.occurred_at) + interval '1 second' FROM pg_temp.entries e);
  here timestamptz;
  there timestamptz;
  got bigint;
  number integer;
BEGIN
  -- list: newest first, by the cursor of the page before.
  LOOP
    call := call + 1;
    WITH page AS MATERIALIZED (
      SELECT l.id, l.occurred_at, l.next_cursor FROM audit_log.list(at, 100, first, last) l),
    kept AS (INSERT INTO pg_temp.walked (way, call, id, place)
             SELECT 'list', call, p.id, to_char(p.occurred_at, 'YYYYMMDDHH24MISSUS') || p.id FROM page p)
    SELECT max(p.next_cursor) INTO at FROM page p;
    EXIT WHEN at IS NULL;
  END LOOP;

  -- page: by numbers, in windows of about 2,000 entries, as a page far behind reads all before it.
  call := 0;
  here := first;
  WHILE here < last LOOP
    there := coalesce((SELECT e.occurred_at FROM pg_temp.entries e WHERE e.occurred_at > here ORDER BY e.occurred_at OFFSET 2000 LIMIT 1), last);
    number := 1;
    LOOP
      call := call + 1;
      INSERT INTO pg_temp.walked (way, call, id, place)
      SELECT 'page', call, p.id, '' FROM audit_log.page(number, 100, start_date => here, end_date => there) p;
      GET DIAGNOSTICS got = ROW_COUNT;
      EXIT WHEN got = 0;
      number := number + 1;
    END LOOP;
    here := there;
  END LOOP;

  -- sync: from before the first, until a call gives nothing.
  call := 0;
  at := audit_log.sync_start('2000-01-01');
  LOOP
    call := call + 1;
    WITH page AS MATERIALIZED (SELECT s.id, s.position, s.cursor, s.n FROM audit_log.sync(at, 1000) WITH ORDINALITY AS s(
        id, occurred_at, recorded_at, organization_id, category, operation, actor_type, actor_id, actor_name, actor_email,
        effective_actor_type, effective_actor_id, effective_actor_name, effective_actor_email, target_type, target_id, target_name,
        targets, before, after, changes, metadata, remote_addr, access_route, user_agent, request_id, database_user, application_name,
        relation, transaction_id, position, cursor, n)),
    kept AS (INSERT INTO pg_temp.walked (way, call, id, place) SELECT 'sync', call, p.id, p.position FROM page p ORDER BY p.n)
    SELECT (SELECT p.cursor FROM page p ORDER BY p.n DESC LIMIT 1), (SELECT count(*) FROM page) INTO at, got;
    EXIT WHEN got = 0;
  END LOOP;

  -- feed: as tools do that track one column.
  call := 0;
  at := '';
  LOOP
    call := call + 1;
    WITH page AS MATERIALIZED (SELECT f.id, f.position FROM audit_log.feed f WHERE f.position > at ORDER BY f.position LIMIT 1000),
    kept AS (INSERT INTO pg_temp.walked (way, call, id, place) SELECT 'feed', call, p.id, p.position FROM page p ORDER BY p.position)
    SELECT max(p.position), count(*) INTO at, got FROM page p;
    EXIT WHEN got = 0;
  END LOOP;
END
$$;

SELECT ways.way, max(w.call), count(w.id), count(DISTINCT w.id), (SELECT count(*) FROM pg_temp.entries),
       count(*) FILTER (WHERE w.id IS NOT NULL AND e.id IS NULL),
       (SELECT count(*) FROM pg_temp.entries o WHERE NOT EXISTS (SELECT FROM pg_temp.walked v WHERE v.way = ways.way AND v.id = o.id)),
       count(*) FILTER (WHERE w.disordered)
FROM unnest(ARRAY['list', 'page', 'sync', 'feed']) AS ways(way)
LEFT JOIN (SELECT v.way, v.call, v.id,
                  CASE v.way WHEN 'list' THEN v.place >= lag(v.place) OVER by_way WHEN 'page' THEN false
                             ELSE v.place <= lag(v.place) OVER by_way END AS disordered
           FROM pg_temp.walked v WINDOW by_way AS (PARTITION BY v.way ORDER BY v.number)) w ON w.way = ways.way
LEFT JOIN pg_temp.entries e ON e.id = w.id
GROUP BY ways.way ORDER BY ways.way;
