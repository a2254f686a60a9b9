SELECT pg_catalog.unnest(audit_log.organizations_of($1::pg_catalog.name))
