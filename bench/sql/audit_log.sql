-- Every session acts as this person, as an application's would.
CREATE EXTENSION audit_log;
SELECT audit_log.watch('jobs');
DO $$
BEGIN
  EXECUTE format('ALTER DATABASE %I SET audit_log.context = %L', current_database(),
    '{"actor": {"type": "user", "id": "1042", "name": "Ann Example", "email": "ann@example.com"}, "organization": "acme"}');
END
$$;
