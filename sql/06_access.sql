-- Who may read what.

CREATE TABLE audit_log.read_binding (
  role_oid oid NOT NULL,
  role_name name NOT NULL,
  system_identifier bigint NOT NULL,
  organization_id text COLLATE "C" NOT NULL,
  PRIMARY KEY (role_oid, organization_id)
);
COMMENT ON TABLE audit_log.read_binding IS 'Roles bound to single organizations by grant_read().';
COMMENT ON COLUMN audit_log.read_binding.system_identifier IS 'The cluster the role''s oid is of; in another one oid and name must both agree.';

CREATE FUNCTION audit_log.system_identifier() RETURNS bigint
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'system_identifier_wrapper';
COMMENT ON FUNCTION audit_log.system_identifier() IS 'The cluster''s system identifier. Internal.';

-- In C, to be read by a snapshot of now: neither a transaction's first snapshot nor a query's decides who may read.
CREATE FUNCTION audit_log.current_binding() RETURNS SETOF audit_log.read_binding
  LANGUAGE c VOLATILE ROWS 100 AS 'MODULE_PATHNAME', 'audit_log_current_binding';
COMMENT ON FUNCTION audit_log.current_binding() IS 'The rows of read_binding as they are now, whatever snapshot the transaction has. Internal.';

-- A plan has the row policies of the role it was made for, and stays when that one joins or leaves audit_log_bound.
CREATE FUNCTION audit_log.forget_plans() RETURNS trigger
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM audit_log.invalidate(c.oid)
  FROM pg_catalog.pg_class c
  WHERE c.relnamespace = 'audit_log'::pg_catalog.regnamespace AND c.relrowsecurity;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION audit_log.forget_plans() IS 'Trigger that has every session plan its queries of entries anew, at this transaction''s commit. Internal.';
CREATE FUNCTION audit_log.invalidate(relation regclass) RETURNS void
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'audit_log_invalidate';
COMMENT ON FUNCTION audit_log.invalidate(regclass) IS 'Has every session forget what it knows of a table, at this transaction''s commit. Internal.';
CREATE TRIGGER forget_plans AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON audit_log.read_binding
  FOR EACH STATEMENT EXECUTE FUNCTION audit_log.forget_plans();
ALTER TABLE audit_log.read_binding ENABLE ALWAYS TRIGGER forget_plans;

-- Not security_invoker: who is bound is an administrator's to see, the table nobody's.
CREATE VIEW audit_log.live_binding AS
SELECT b.role_oid, r.rolname AS role_name, b.organization_id
FROM audit_log.current_binding() b
JOIN pg_catalog.pg_roles r ON r.oid = b.role_oid
 AND (b.system_identifier = audit_log.system_identifier() OR r.rolname = b.role_name)
-- An oid that came back for another role has not got the membership.
WHERE pg_catalog.pg_has_role(b.role_oid, 'audit_log_bound', 'MEMBER');
COMMENT ON VIEW audit_log.live_binding IS 'Roles bound to single organizations by grant_read(), as long as the role is the one it was given to.';
COMMENT ON COLUMN audit_log.live_binding.role_oid IS 'The role.';
COMMENT ON COLUMN audit_log.live_binding.role_name IS 'Its name now.';
COMMENT ON COLUMN audit_log.live_binding.organization_id IS 'The organization it may read.';

-- In C, so that it can tell the caller from the extension, and nobody can ask for another's.
CREATE FUNCTION audit_log.my_organizations() RETURNS text[]
  LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'my_organizations_wrapper';
COMMENT ON FUNCTION audit_log.my_organizations() IS 'The organizations the caller is bound to.';

CREATE FUNCTION audit_log.require_reader() RETURNS boolean
  LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'require_reader_wrapper';
COMMENT ON FUNCTION audit_log.require_reader() IS 'True where the caller may read anything at all, else 42501. Internal.';

CREATE FUNCTION audit_log.check_role(role name) RETURNS oid
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  found oid := (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = role);
BEGIN
  IF found IS NULL THEN
    RAISE EXCEPTION 'role "%" does not exist', role
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: role', HINT = 'Create the role first; quote its name as a string.';
  END IF;
  IF role IN ('audit_log_reader', 'audit_log_writer', 'audit_log_admin', 'audit_log_bound') THEN
    RAISE EXCEPTION 'role "%" is the audit log''s own', role
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: role', HINT = 'Bind a role of yours, or GRANT audit_log_reader to it.';
  END IF;
  RETURN found;
END
$$;
COMMENT ON FUNCTION audit_log.check_role(name) IS 'The oid of a role; 22023 where there is none. Internal.';

CREATE FUNCTION audit_log.grant_read(role name, organization text) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  bound oid := audit_log.check_role(role);
BEGIN
  PERFORM audit_log.check_organization(organization, 'organization');
  -- A role's oid can come back for another role once it was dropped.
  DELETE FROM audit_log.read_binding b
  WHERE b.role_oid = bound AND NOT EXISTS (SELECT FROM audit_log.live_binding l WHERE l.role_oid = b.role_oid AND l.organization_id = b.organization_id);
  INSERT INTO audit_log.read_binding (role_oid, role_name, system_identifier, organization_id)
  VALUES (bound, role, audit_log.system_identifier(), organization)
  ON CONFLICT ON CONSTRAINT read_binding_pkey DO NOTHING;
  IF FOUND THEN
    EXECUTE pg_catalog.format('GRANT audit_log_bound TO %I', role);
    PERFORM audit_log.record_configuration('read_access_changed', organization, role::text,
      pg_catalog.jsonb_build_object('role', role, 'granted', true));
  END IF;
END
$$;
COMMENT ON FUNCTION audit_log.grant_read(name, text) IS 'Lets a role read one organization''s entries. Ends with the role. 22023 where there is no such role. Recorded as read_access_changed.';

CREATE FUNCTION audit_log.revoke_read(role name, organization text) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  bound oid := audit_log.check_role(role);
BEGIN
  DELETE FROM audit_log.read_binding b WHERE b.role_oid = bound AND b.organization_id = organization;
  IF FOUND THEN
    IF NOT EXISTS (SELECT FROM audit_log.live_binding b WHERE b.role_oid = bound) THEN
      EXECUTE pg_catalog.format('REVOKE audit_log_bound FROM %I', role);
    END IF;
    PERFORM audit_log.record_configuration('read_access_changed', organization, role::text,
      pg_catalog.jsonb_build_object('role', role, 'granted', false));
  END IF;
END
$$;
COMMENT ON FUNCTION audit_log.revoke_read(name, text) IS 'Takes back what grant_read() gave. Recorded as read_access_changed.';

ALTER TABLE audit_log.event ENABLE ROW LEVEL SECURITY;
CREATE POLICY reader ON audit_log.event FOR SELECT TO audit_log_reader USING (true);
CREATE POLICY bound ON audit_log.event FOR SELECT TO audit_log_bound
  USING (organization_id = ANY ((SELECT audit_log.my_organizations())::text[]));
ALTER TABLE audit_log.event_target ENABLE ROW LEVEL SECURITY;
CREATE POLICY reader ON audit_log.event_target FOR SELECT TO audit_log_reader USING (true);
CREATE POLICY bound ON audit_log.event_target FOR SELECT TO audit_log_bound
  USING (organization_id = ANY ((SELECT audit_log.my_organizations())::text[]));
ALTER TABLE audit_log.event_unplaced ENABLE ROW LEVEL SECURITY;
CREATE POLICY reader ON audit_log.event_unplaced FOR SELECT TO audit_log_reader USING (true);
CREATE POLICY bound ON audit_log.event_unplaced FOR SELECT TO audit_log_bound
  USING (organization_id = ANY ((SELECT audit_log.my_organizations())::text[]));
ALTER TABLE audit_log.organization_switch ENABLE ROW LEVEL SECURITY;
CREATE POLICY reader ON audit_log.organization_switch FOR SELECT TO audit_log_reader USING (true);
CREATE POLICY bound ON audit_log.organization_switch FOR SELECT TO audit_log_bound
  USING (organization_id = ANY ((SELECT audit_log.my_organizations())::text[]));
ALTER TABLE audit_log.event_target_unplaced ENABLE ROW LEVEL SECURITY;
CREATE POLICY reader ON audit_log.event_target_unplaced FOR SELECT TO audit_log_reader USING (true);
CREATE POLICY bound ON audit_log.event_target_unplaced FOR SELECT TO audit_log_bound
  USING (organization_id = ANY ((SELECT audit_log.my_organizations())::text[]));
