SELECT DISTINCT n.is_actor, n.id
FROM audit_log.naming n
WHERE (n.is_actor AND n.name OPERATOR(audit_log.@~) $1) OR (NOT n.is_actor AND n.id OPERATOR(audit_log.@~) $1)
LIMIT $2
