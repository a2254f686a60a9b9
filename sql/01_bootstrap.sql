-- Roles and the schema's owner. Roles are cluster-wide and NOLOGIN; DROP EXTENSION leaves them.

-- From here on every name is qualified or PostgreSQL's own.
SET LOCAL search_path = pg_catalog, pg_temp;

DO $bootstrap$
DECLARE
  wanted record;
BEGIN
  IF pg_catalog.getdatabaseencoding() <> 'UTF8' THEN
    RAISE EXCEPTION 'audit_log needs a database encoded in UTF8, not %', pg_catalog.getdatabaseencoding()
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'code: not_in_prerequisite_state',
            HINT = 'CREATE DATABASE … ENCODING ''UTF8'' TEMPLATE template0, and move the data there.';
  END IF;

  -- Whoever owns the schema could replace what is in it, so it must be whoever installs this.
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace n
                 WHERE n.nspname OPERATOR(pg_catalog.=) 'audit_log'
                   AND pg_catalog.pg_has_role(current_user, n.nspowner, 'USAGE')
                   AND (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) n.nspowner))
  THEN
    RAISE EXCEPTION 'schema "audit_log" belongs to a role that is not a superuser'
      USING ERRCODE = 'insufficient_privilege',
            DETAIL = 'code: not_in_prerequisite_state',
            HINT = 'Drop the schema or give it to a superuser, then run CREATE EXTENSION again.';
  END IF;

  -- Another database's CREATE EXTENSION may be making the same roles: one at a time.
  LOCK TABLE pg_catalog.pg_authid IN SHARE UPDATE EXCLUSIVE MODE;
  FOR wanted IN
    SELECT * FROM (VALUES
      ('audit_log_reader', 'audit_log: reads every organization''s entries'),
      ('audit_log_writer', 'audit_log: may call audit_log.record()'),
      ('audit_log_admin', 'audit_log: watches tables, defines vocabulary, organizations, retention and holds'),
      ('audit_log_bound', 'audit_log: given and taken by grant_read() and revoke_read(); reads the organizations bound to a role and nothing else')
    ) AS r(name, about)
  LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) wanted.name) THEN
      EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted.name);
      EXECUTE pg_catalog.format('COMMENT ON ROLE %I IS %L', wanted.name, wanted.about);
    END IF;
  END LOOP;
END
$bootstrap$;

GRANT audit_log_reader, audit_log_writer TO audit_log_admin;
GRANT USAGE ON SCHEMA audit_log TO PUBLIC;
COMMENT ON SCHEMA audit_log IS 'Audit log: who did what, to what, when, from where, with the state before and after. Start with audit_log.watch() and audit_log.list().';
