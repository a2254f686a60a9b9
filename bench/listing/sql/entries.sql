-- Entries number %(first)s to %(last)s of a log in which each takes %(slot)s microseconds: a function of their numbers.
-- draw(n, use) are numbers from 0 to 1; floor((size + 1) ^ draw) - 1 is a rank from 0 by Zipf's law.
WITH drawn AS (
  SELECT n,
         -- One in a hundred shares the instant of the one before.
         %(starts_us)s::bigint + (n - shared) * %(slot)s
           + (hashint8extended(n - shared, 1) & 9223372036854775807) %% %(slot)s AS us, shared,
         1 + width_bucket(bench.draw(n, 2), (SELECT array_agg(cumulative ORDER BY n) FROM bench.organization)) AS organization,
         1 + width_bucket(bench.draw(n, 3), (SELECT array_agg(cumulative ORDER BY n) FROM bench.category)) AS category,
         1 + width_bucket(bench.draw(n, 4), (SELECT array_agg(cumulative ORDER BY n) FROM bench.category)) AS other_category,
         bench.draw(n, 5) AS own_type, bench.draw(n, 6) AS own_actor,
         bench.draw(n, 7) AS actor_rank, bench.draw(n, 8) AS target_rank,
         bench.draw(n, 9) AS further, bench.draw(n, 10) AS job_rank, bench.draw(n, 11) AS application_rank,
         bench.draw(n, 12) AS impersonated, bench.draw(n, 13) AS by_request,
         hashint8extended(n, 14) AS random, hashint8extended(n, 15) AS other_random
  FROM (SELECT n, (n %% 100 = 99)::integer AS shared FROM generate_series(%(first)s::bigint, %(last)s::bigint) n) numbered
), related AS (
  SELECT d.*, o.id AS organization_id, c.category AS category_code, c.operation, c.target_type AS category_type,
         CASE WHEN d.own_type < 0.97 THEN c.target_type ELSE other.target_type END AS target_type,
         CASE WHEN d.own_actor < 0.95 THEN s.before_first + floor((s.actors + 1) ^ d.actor_rank)::integer - 1
              WHEN d.own_actor < 0.97 THEN floor(((SELECT count(*) FROM bench.actor) + 1) ^ d.actor_rank)::integer - 1
         END AS actor
  FROM drawn d
  JOIN bench.organization o ON o.n = d.organization
  JOIN bench.staff s ON s.organization = d.organization
  JOIN bench.category c ON c.n = d.category
  JOIN bench.category other ON other.n = d.other_category
), whole AS (
  SELECT r.*, a.id AS actor_id, a.name AS actor_name, a.email AS actor_email, coalesce(a.type, 'system') AS actor_type,
         a.address, a.user_agent,
         CASE WHEN r.impersonated < 0.05 AND a.id IS NOT NULL THEN u.id END AS support_id,
         u.name AS support_name, u.email AS support_email,
         100000 + p.before_first + floor((p.size + 1) ^ r.target_rank)::integer - 1 AS target, p.label, i.image,
         CASE WHEN r.further < 0.2
              THEN 100000 + jobs.before_first + floor((jobs.size + 1) ^ r.job_rank)::integer - 1 END AS job,
         CASE WHEN r.further < 0.06
              THEN 100000 + applied.before_first + floor((applied.size + 1) ^ r.application_rank)::integer - 1 END AS application
  FROM related r
  LEFT JOIN bench.actor a ON a.n = r.actor
  JOIN bench.support u ON u.n = abs(r.random %% 50)
  JOIN bench.pool p ON p.organization = r.organization AND p.target_type = r.target_type
  JOIN bench.pool jobs ON jobs.organization = r.organization AND jobs.target_type = 'job'
  JOIN bench.pool applied ON applied.organization = r.organization AND applied.target_type = 'application'
  LEFT JOIN bench.image i ON r.operation IN ('i', 'd') AND i.n = r.random & 511
  -- In the order of time, as logs are written.
  ORDER BY r.n OFFSET 0
)
INSERT INTO audit_log.event (
  occurred_at, feed, operation, id, organization_id, category, relation, target_type, target_id, target_name,
  actor_type, actor_id, actor_name, actor_email,
  effective_actor_type, effective_actor_id, effective_actor_name, effective_actor_email,
  targets, before, after, metadata, remote_addr, user_agent, request_id, database_user, application_name, other_type)
SELECT timestamptz 'epoch' + w.us * interval '1 microsecond',
       %(feed)s::bigint + w.n / %(per_transaction)s,
       w.operation,
       -- A UUIDv7 as the extension makes it: milliseconds, version and microseconds, variant, counter, 50 random bits.
       ('0' || to_hex(w.us / 1000) || to_hex(28672 + w.us %% 1000 * 4)
         || to_hex((-9223372036854775808) + (w.shared::bigint << 50) + (w.random & 1125899906842623)))::uuid,
       w.organization_id, w.category_code, CASE WHEN w.operation IS NOT NULL THEN 'public.' || w.target_type END, w.target_type, w.target::text,
       CASE WHEN w.target %% 5 > 0 THEN w.label || ' ' || w.target END,
       -- Who is impersonated is the effective actor, support the one who really acted.
       CASE WHEN w.support_id IS NULL THEN w.actor_type ELSE 'support' END,
       CASE WHEN w.support_id IS NULL THEN w.actor_id ELSE w.support_id END,
       CASE WHEN w.support_id IS NULL THEN w.actor_name ELSE w.support_name END,
       CASE WHEN w.support_id IS NULL THEN w.actor_email ELSE w.support_email END,
       CASE WHEN w.support_id IS NOT NULL THEN w.actor_type END,
       CASE WHEN w.support_id IS NOT NULL THEN w.actor_id END,
       CASE WHEN w.support_id IS NOT NULL THEN w.actor_name END,
       CASE WHEN w.support_id IS NOT NULL THEN w.actor_email END,
       CASE WHEN w.job IS NOT NULL THEN
         jsonb_build_array(
           jsonb_build_object('type', w.target_type, 'id', w.target::text, 'relation', 'primary')
             || CASE WHEN w.target %% 5 > 0 THEN jsonb_build_object('name', w.label || ' ' || w.target) ELSE '{}' END,
           jsonb_build_object('type', 'job', 'id', w.job::text, 'relation', 'parent'))
         || CASE WHEN w.application IS NULL THEN '[]' ELSE jsonb_build_array(
              jsonb_build_object('type', 'application', 'id', w.application::text, 'relation', 'parent')) END END,
       CASE w.operation
         WHEN 'u' THEN (ARRAY['{"status": "open"}', '{"status": "closed"}', '{"status": "draft"}',
                              '{"status": "on_hold"}']::jsonb[])[1 + (w.random & 3)]
         WHEN 'd' THEN w.image || jsonb_build_object('id', w.target) END,
       CASE w.operation
         WHEN 'u' THEN (ARRAY['{"status": "archived"}', '{"status": "approved"}', '{"status": "published"}',
                              '{"status": "filled"}']::jsonb[])[1 + (w.other_random & 3)]
         WHEN 'i' THEN w.image || jsonb_build_object('id', w.target) END,
       CASE WHEN w.operation IS NULL THEN '{"request_type": "web", "result": "success"}'::jsonb END,
       CASE WHEN w.by_request < 0.8 THEN w.address END,
       CASE WHEN w.by_request < 0.8 THEN w.user_agent END,
       CASE WHEN w.by_request < 0.8 THEN to_hex(w.random) || to_hex(w.other_random) END,
       'app', 'web',
       -- A target type that is not the one the category belongs to is kept once more.
       nullif(w.target_type, w.category_type)
FROM whole w
