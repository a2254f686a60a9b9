SELECT DISTINCT n.is_actor, n.id
FROM audit_log.naming n
WHERE audit_log.contains(CASE WHEN n.is_actor THEN n.name ELSE n.id END, $1)
LIMIT $2
