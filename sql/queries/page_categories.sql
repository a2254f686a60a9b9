SELECT c.category
FROM audit_log.category_definition c
WHERE ($1 IS NULL OR c.tab OPERATOR(pg_catalog.=) $1)
  AND ($2 IS NULL OR c.category OPERATOR(pg_catalog.=) $2 OR c.label OPERATOR(pg_catalog.=) $2)
ORDER BY c.category
