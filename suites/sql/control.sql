-- The run to compare with: a row trigger that does nothing, of the kind, place and state that ours is.

CREATE FUNCTION suites.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';

CREATE FUNCTION suites.observe(made oid) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  -- The oid in its name lets the table be attached to another one that has its own.
  EXECUTE format('CREATE TRIGGER "!audit_log_%s" AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION suites.nothing()',
                 made, made::regclass);
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER "!audit_log_%s"', made::regclass, made);
END
$$;
