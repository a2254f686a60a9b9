SELECT p.feed, p.is_highest, p.purged_by, p.newest
FROM audit_log.purged_feed p
WHERE p.feed OPERATOR(pg_catalog.>=) $1
  AND ($2::pg_catalog.text[] IS NULL OR p.organization_id OPERATOR(pg_catalog.=) ANY ($2) OR p.organization_id OPERATOR(pg_catalog.=) '')
  AND ($3::pg_catalog.text[] IS NULL OR p.organization_id OPERATOR(pg_catalog.<>) ALL ($3))
