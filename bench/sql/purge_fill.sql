-- A week's partition, so many :weeks ago, with :entries of 20 organizations, counted; and a plain table that is the same.
SELECT date_trunc('week', now(), 'UTC') - :weeks * interval '1 week' AS first,
       'audit_log.event_p' || to_char(date_trunc('week', now(), 'UTC') - :weeks * interval '1 week', 'YYYYMMDD') AS partition \gset
SELECT audit_log.create_partition(p, :'first', :'first'::timestamptz + interval '7 days')
FROM unnest('{audit_log.event,audit_log.event_target,audit_log.activity,audit_log.named}'::regclass[]) p;
INSERT INTO :partition (occurred_at, feed, id, organization_id, category, target_type, target_id, actor_type, actor_id, actor_name, database_user)
SELECT at, audit_log.feed_now(),
       (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(h, 1, 3) || '8' || substr(h, 4, 15))::uuid,
       'org-' || n % 20, (ARRAY['job_created', 'job_updated', 'offer_sent'])[1 + n % 3], 'job', n % 50000, 'user', n % 200, 'User ' || n % 200, 'app'
FROM generate_series(1, :entries) n, LATERAL (SELECT :'first'::timestamptz + n * interval '7 days' / (:entries + 1), md5(n::text)) v(at, h);
SELECT audit_log.count_entries();
CREATE TABLE twin (LIKE :partition INCLUDING ALL);
INSERT INTO twin SELECT * FROM :partition;
CHECKPOINT;
