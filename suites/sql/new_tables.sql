-- Every permanent table is given to suites.observe() as it is made, in the transaction that makes it. What that
-- function does is another file's: watch.sql, control.sql or shadow.sql.

-- Tables that could not be observed, and why. A table with no row here and no trigger was rolled back.
CREATE TABLE suites.not_observed (relation text NOT NULL, sqlstate text NOT NULL, message text NOT NULL);

CREATE FUNCTION suites.new_tables() RETURNS event_trigger
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET suites.observing = 'on'
AS $$
DECLARE
  made oid;
BEGIN
  FOR made IN
    SELECT DISTINCT k.oid
    FROM pg_event_trigger_ddl_commands() c
    JOIN pg_class k ON k.oid = c.objid
    WHERE c.classid = 'pg_class'::regclass
      AND c.command_tag IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE FOREIGN TABLE', 'IMPORT FOREIGN SCHEMA')
      AND k.relkind IN ('r', 'p', 'f') AND k.relpersistence <> 't'
      AND k.relnamespace NOT IN ('suites'::regnamespace, 'pg_catalog'::regnamespace, 'information_schema'::regnamespace)
      AND k.relnamespace IS DISTINCT FROM to_regnamespace('audit_log')
      AND k.relnamespace IS DISTINCT FROM to_regnamespace('audit_log_internal')
    ORDER BY 1
  LOOP
    INSERT INTO suites.made VALUES (made, coalesce(pg_partition_root(made), made), coalesce(suites.shape(made), ''));
    IF TG_TAG IN ('CREATE TABLE AS', 'SELECT INTO') THEN
      INSERT INTO suites.ddl VALUES (made, 'filled');
    END IF;
    -- A partition has its parent's row trigger already. CREATE TABLE IF NOT EXISTS names one that is there.
    CONTINUE WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = made AND t.tgname LIKE '!audit_log%' AND t.tgtype & 1 = 1);
    BEGIN
      PERFORM suites.observe(made);
    EXCEPTION WHEN OTHERS THEN
      INSERT INTO suites.not_observed VALUES (made::regclass::text, SQLSTATE, SQLERRM);
    END;
  END LOOP;
END
$$;

CREATE EVENT TRIGGER suites_new_tables ON ddl_command_end
  WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE SCHEMA', 'CREATE FOREIGN TABLE', 'IMPORT FOREIGN SCHEMA')
  EXECUTE FUNCTION suites.new_tables();
ALTER EVENT TRIGGER suites_new_tables ENABLE ALWAYS;

-- What the log has of a table's rows is what it holds only while no DDL gave it other values, columns or partitions, or
-- another name. That is told by what it was when it was made, and by these commands.
CREATE TABLE suites.made (relation oid NOT NULL, topmost oid NOT NULL, shape text NOT NULL);
CREATE TABLE suites.ddl (relation oid NOT NULL, command text NOT NULL);

CREATE FUNCTION suites.shape(made oid) RETURNS text
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT format('%s %s ', c.relnamespace, c.relname)
         || (SELECT string_agg(format('%s %s %s %s', a.attnum, a.attname, a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
             FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0)
  FROM pg_class c WHERE c.oid = made
$$;

CREATE FUNCTION suites.note_ddl() RETURNS event_trigger
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF TG_EVENT = 'table_rewrite' THEN
    INSERT INTO suites.ddl VALUES (pg_event_trigger_table_rewrite_oid(), 'rewritten');
  ELSIF TG_EVENT = 'sql_drop' THEN
    INSERT INTO suites.ddl SELECT d.objid, 'dropped' FROM pg_event_trigger_dropped_objects() d
    WHERE d.classid = 'pg_class'::regclass AND d.object_type = 'table' AND NOT d.is_temporary;
  ELSIF coalesce(current_setting('suites.observing', true), '') <> 'on' THEN
    INSERT INTO suites.ddl SELECT DISTINCT c.objid, 'altered' FROM pg_event_trigger_ddl_commands() c
    JOIN pg_class k ON k.oid = c.objid
    WHERE c.classid = 'pg_class'::regclass AND k.relkind = 'p';
  END IF;
END
$$;

CREATE EVENT TRIGGER suites_rewrite ON table_rewrite EXECUTE FUNCTION suites.note_ddl();
CREATE EVENT TRIGGER suites_drop ON sql_drop EXECUTE FUNCTION suites.note_ddl();
CREATE EVENT TRIGGER suites_alter ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION suites.note_ddl();
ALTER EVENT TRIGGER suites_rewrite ENABLE ALWAYS;
ALTER EVENT TRIGGER suites_drop ENABLE ALWAYS;
ALTER EVENT TRIGGER suites_alter ENABLE ALWAYS;
