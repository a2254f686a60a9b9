WITH found AS MATERIALIZED (
  SELECT n.is_actor, n.id
  FROM audit_log.naming n
  WHERE (n.is_actor AND n.name OPERATOR(audit_log.@~) $1) OR (NOT n.is_actor AND n.id OPERATOR(audit_log.@~) $1)
  LIMIT $3)
SELECT DISTINCT f.is_actor, f.id, (SELECT pg_catalog.count(*) FROM found) OPERATOR(pg_catalog.>=) $3
FROM found f
LIMIT $2
