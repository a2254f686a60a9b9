-- What the log can tell.
SET TimeZone = 'UTC';
\pset null ''
\pset format aligned
\pset border 1

\echo
\echo '-- Who did what lately? (list: newest first)'
SELECT to_char(occurred_at, 'HH24:MI:SS') AS at, actor_name, category, target_type, left(target_name, 20) AS target, changes
FROM audit_log.list("limit" => 8, organization => 'acme', target_types => '{job,api_key,job_user_access}');

\echo '-- The same as an API answers it (list_json), the first of a page of one'
SELECT jsonb_pretty(jsonb_set(r, '{results,0}', (r #> '{results,0}') - '{targets,position,databaseUser,applicationName,transactionId,recordedAt,before,after,accessRoute,userAgent,requestId,target,relation}'::text[])) AS answer
FROM audit_log.list_json('{"limit": 1, "categories": ["offer_sent"], "organization": "acme"}') AS r;

\echo '-- Everything about one candidate, whichever table it happened to'
SELECT category, target_type, actor_type, actor_name
FROM audit_log.list(target_ids => ARRAY[(SELECT candidate_id::text FROM ats.offer o JOIN ats.application a ON a.id = o.application_id ORDER BY o.id LIMIT 1)]);

\echo '-- On a customer''s behalf: who really acted, and for whom'
SELECT category, actor_type, actor_name, effective_actor_name, changes
FROM audit_log.list(actor_ids => ARRAY[(SELECT id::text FROM ats.app_user WHERE role = 'support')]);

\echo '-- One row''s past (history), and the row as it stood before it was opened (row_at)'
SELECT category, actor_name, changes FROM audit_log.history('ats.job', '4') WHERE operation = 'update';
SELECT audit_log.row_at('ats.job', '4', (SELECT min(occurred_at) FROM audit_log.history('ats.job', '4'))) AS row_then;

\echo '-- A day in numbers (activity_daily)'
SELECT organization_id, category, sum(events) AS events FROM audit_log.activity_daily
WHERE day = (now() AT TIME ZONE 'UTC')::date GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 6;

\echo '-- The page people look at (page): one line an entry, an exact total'
SELECT summary, first_row || ' to ' || last_row || ' of ' || total AS rows
FROM audit_log.page(page_size => 10, organization => 'acme', search => 'offer') LIMIT 4;

\echo '-- What is new since a cursor (sync): the first call, and the next'
SELECT audit_log.sync_start() AS "cursor" \gset
UPDATE ats.job SET title = title || ' (remote)' WHERE id = (SELECT min(id) FROM ats.job);
SELECT category, target_id, changes, right("cursor", 12) AS resume_behind FROM audit_log.sync(:'cursor');

\echo '-- Out of the database: CSV for a spreadsheet, and lines of JSON in another product''s shape (export, format)'
COPY (SELECT action, "timestamp", actor FROM audit_log.export(categories => '{offer_sent}', organization => 'acme') LIMIT 2) TO STDOUT (FORMAT csv, HEADER);
SELECT left(audit_log.format(e, 'ocsf')::text, 110) || '…' AS ocsf FROM audit_log.entry e WHERE e.category = 'offer_sent' LIMIT 1;

\echo '-- What a business-intelligence login of one customer sees (bi_audit_log)'
CREATE ROLE globex_bi LOGIN;
SELECT audit_log.grant_read('globex_bi', 'globex');
SET ROLE globex_bi;
SELECT organization_id, performer_type, event_type, event_target_type, count(*) FROM audit_log.bi_audit_log
GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC LIMIT 5;
\set ON_ERROR_STOP 0
\echo '-- … and what it is told when it asks for another''s'
SELECT * FROM audit_log.list(organization => 'acme');
RESET ROLE;
\echo '-- Nobody rewrites the log, superusers included'
DELETE FROM audit_log.event;
\set ON_ERROR_STOP 1

\echo '-- How much there is'
SELECT (SELECT count(*) FROM audit_log.entry) AS entries, (SELECT count(DISTINCT actor_id) FROM audit_log.entry) AS actors,
       (SELECT count(DISTINCT category) FROM audit_log.entry) AS categories, (SELECT count(*) FROM audit_log.watched) AS watched_tables;
