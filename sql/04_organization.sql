-- Organizations: whose events these are, and whether they are logged.

-- What an administrator decided about an organization.
CREATE TABLE audit_log.organization_setting (
  id text COLLATE "C" PRIMARY KEY,
  name text,
  enabled boolean NOT NULL,
  logging_started_at timestamptz
);
COMMENT ON TABLE audit_log.organization_setting IS 'Organizations that were enabled or disabled by hand; read them through audit_log.organization.';

-- Organizations first seen in a write. No unique key: two sessions that see the same new
-- organization at once must not wait for each other; a second row does no harm.
CREATE TABLE audit_log.organization_seen (
  id text COLLATE "C" NOT NULL,
  seen_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX organization_seen_id ON audit_log.organization_seen (id);
COMMENT ON TABLE audit_log.organization_seen IS 'Organizations first seen in a write; read them through audit_log.organization.';

-- What happened to rows while their organization was disabled is not in the log: row_at() must know when that was.
CREATE TABLE audit_log.organization_switch (
  organization_id text COLLATE "C" NOT NULL,
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  enabled boolean NOT NULL
);
COMMENT ON TABLE audit_log.organization_switch IS 'When organizations were disabled, and enabled again.';
CREATE VIEW audit_log.organization_pause WITH (security_invoker = true) AS
SELECT s.organization_id, s.at AS since,
       coalesce((SELECT pg_catalog.min(e.at) FROM audit_log.organization_switch e
                 WHERE e.organization_id = s.organization_id AND e.enabled AND e.at > s.at), 'infinity') AS until
FROM audit_log.organization_switch s WHERE NOT s.enabled;
COMMENT ON VIEW audit_log.organization_pause IS 'From when until when organizations were disabled. Internal.';

-- 'default' is enabled at install. It has no setting yet: a dump's own would collide with it.
INSERT INTO audit_log.organization_seen (id) VALUES ('default');

CREATE VIEW audit_log.organization_state WITH (security_invoker = true) AS
SELECT s.id, s.name, s.enabled, s.logging_started_at
FROM audit_log.organization_setting s
UNION ALL
SELECT n.id, NULL, true, pg_catalog.min(n.seen_at)
FROM audit_log.organization_seen n
WHERE NOT EXISTS (SELECT FROM audit_log.organization_setting s WHERE s.id = n.id)
GROUP BY n.id;
COMMENT ON VIEW audit_log.organization_state IS 'Every known organization once, with what was decided or first seen of it. Internal.';

-- Sessions remember what these tables say. Whoever changes them, by whatever statement, tells all sessions at commit.
CREATE FUNCTION audit_log.announce() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'audit_log_announce';
COMMENT ON FUNCTION audit_log.announce() IS 'Trigger that has every session forget what it knows of a table, at this transaction''s commit. Internal.';

CREATE FUNCTION audit_log.announce_changes_of(relation regclass) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  EXECUTE pg_catalog.format('CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log.announce()', relation);
  EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER announce', relation);
END
$$;
COMMENT ON FUNCTION audit_log.announce_changes_of(regclass) IS 'Has changes of a table announced to every session. Internal.';

SELECT audit_log.announce_changes_of(t) FROM pg_catalog.unnest(ARRAY[
  'audit_log.target_type', 'audit_log.category_definition', 'audit_log.actor_type', 'audit_log.organization_setting']::regclass[]) t;

CREATE FUNCTION audit_log.record_configuration(category text, organization text, target_id text, metadata jsonb) RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'audit_log_record_configuration';
COMMENT ON FUNCTION audit_log.record_configuration(text, text, text, jsonb) IS 'Records a change of this extension''s own configuration, in the organization it concerns or in default; nothing where that one is disabled. Internal.';

CREATE FUNCTION audit_log.check_organization(id text, field text DEFAULT 'id') RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF id IS NULL OR id = '' OR pg_catalog.length(id) > 255 THEN
    RAISE EXCEPTION 'an organization''s id has 1 to 255 characters'
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: ' || field, HINT = 'Give the id the application uses for the organization.';
  END IF;
END
$$;
COMMENT ON FUNCTION audit_log.check_organization(text, text) IS 'Fails with 22023 where the first argument cannot be an organization''s id; the second names it. Internal.';

CREATE FUNCTION audit_log.enable_organization(id text, name text DEFAULT NULL) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  was record;
BEGIN
  PERFORM audit_log.check_organization(id);
  SELECT s.enabled, s.name INTO was FROM audit_log.organization_state s WHERE s.id = enable_organization.id;
  INSERT INTO audit_log.organization_setting AS s (id, name, enabled, logging_started_at)
  VALUES (id, name, true, coalesce((SELECT pg_catalog.min(n.seen_at) FROM audit_log.organization_seen n
                                    WHERE n.id = enable_organization.id), pg_catalog.clock_timestamp()))
  ON CONFLICT ON CONSTRAINT organization_setting_pkey DO UPDATE
    SET enabled = true, name = coalesce(EXCLUDED.name, s.name),
        logging_started_at = coalesce(s.logging_started_at, EXCLUDED.logging_started_at);
  IF NOT was.enabled THEN
    INSERT INTO audit_log.organization_switch (organization_id, enabled) VALUES (id, true);
  END IF;
  IF was.enabled IS DISTINCT FROM true OR (name IS NOT NULL AND was.name IS DISTINCT FROM name) THEN
    PERFORM audit_log.record_configuration('organization_enabled', id, id,
      pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('name', name)));
  END IF;
END
$$;
COMMENT ON FUNCTION audit_log.enable_organization(text, text) IS 'Switches an organization''s audit log on, and names it. Recorded as organization_enabled.';

CREATE FUNCTION audit_log.disable_organization(id text) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM audit_log.check_organization(id);
  PERFORM audit_log.record_configuration('organization_disabled', id, id, NULL);
  INSERT INTO audit_log.organization_setting AS s (id, enabled, logging_started_at)
  VALUES (id, false, (SELECT pg_catalog.min(n.seen_at) FROM audit_log.organization_seen n
                      WHERE n.id = disable_organization.id))
  ON CONFLICT ON CONSTRAINT organization_setting_pkey DO UPDATE SET enabled = false;
  INSERT INTO audit_log.organization_switch (organization_id, enabled) VALUES (id, false);
END
$$;
COMMENT ON FUNCTION audit_log.disable_organization(text) IS 'Switches an organization''s audit log off: writes to watched tables go on and record nothing, listing fails with audit_logs_not_enabled. What was recorded is kept. Recorded as organization_disabled.';
