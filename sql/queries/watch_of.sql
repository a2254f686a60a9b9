WITH RECURSIVE up (relid, height) AS (
  SELECT $1, 0
  UNION ALL
  SELECT i.inhparent, u.height OPERATOR(pg_catalog.+) 1
  FROM up u
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) u.relid AND c.relispartition
  JOIN pg_catalog.pg_inherits i ON i.inhrelid OPERATOR(pg_catalog.=) u.relid
)
SELECT w.relid, w.options::pg_catalog.text, w.options OPERATOR(pg_catalog.->>) 'home' OPERATOR(pg_catalog.=) audit_log.home(w.relid),
       EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) w.relid AND c.relispartition)
FROM up u JOIN audit_log.watch_trigger w ON w.relid OPERATOR(pg_catalog.=) u.relid
ORDER BY u.height LIMIT 1
