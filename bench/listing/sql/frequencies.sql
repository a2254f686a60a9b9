-- How many entries each value has that a filter may name: in all, and of all but targets by day.
CREATE TABLE bench.frequency (dimension text NOT NULL, value text NOT NULL, day date, entries bigint NOT NULL);

WITH counted AS MATERIALIZED (
  SELECT (occurred_at AT TIME ZONE 'UTC')::date AS day, organization_id, category, target_type, count(*) AS entries
  FROM audit_log.event WHERE occurred_at < :'ends' GROUP BY 1, 2, 3, 4
)
INSERT INTO bench.frequency
SELECT v.dimension, v.value, c.day, sum(c.entries)
FROM counted c
CROSS JOIN LATERAL (VALUES ('organization', c.organization_id), ('categories', c.category),
                           ('target_types', c.target_type)) v(dimension, value)
GROUP BY 1, 2, 3;

INSERT INTO bench.frequency
SELECT 'actor_ids', actor, day, sum(entries)
FROM (SELECT actor_id AS actor, (occurred_at AT TIME ZONE 'UTC')::date AS day, count(*) AS entries
      FROM audit_log.event WHERE occurred_at < :'ends' AND actor_id IS NOT NULL GROUP BY 1, 2
      UNION ALL
      SELECT effective_actor_id, (occurred_at AT TIME ZONE 'UTC')::date, count(*)
      FROM audit_log.event WHERE occurred_at < :'ends' AND effective_actor_id IS NOT NULL GROUP BY 1, 2) counted
GROUP BY 2, 3;

INSERT INTO bench.frequency
SELECT dimension, value, NULL, sum(entries) FROM bench.frequency GROUP BY 1, 2;

INSERT INTO bench.frequency
SELECT 'target_ids', target, NULL, sum(entries)
FROM (SELECT target_id AS target, count(*) AS entries
      FROM audit_log.event WHERE occurred_at < :'ends' AND target_id IS NOT NULL GROUP BY 1
      UNION ALL
      SELECT target_id, count(*) FROM audit_log.event_target WHERE occurred_at < :'ends' GROUP BY 1) counted
GROUP BY 2;

-- What the vocabulary has and no entry: a filter may name it all the same.
INSERT INTO bench.frequency
SELECT v.dimension, v.value, NULL, 0
FROM (SELECT 'categories' AS dimension, category AS value FROM audit_log.vocabulary
      UNION ALL SELECT 'target_types', code FROM audit_log.target_type
      UNION ALL SELECT 'organization', id FROM bench.organization) v
WHERE NOT EXISTS (SELECT FROM bench.frequency f WHERE f.dimension = v.dimension AND f.value = v.value);

CREATE INDEX ON bench.frequency (dimension, value);
ANALYZE bench.frequency;
