-- The triggers' functions, and the options their triggers carry.
--
-- A watched table has the row trigger "!audit_log" (the name sorts before the application's own)
-- whose one argument is the options as JSON; so the options are dumped, restored and dropped with
-- the table. There is no other state. The table and each partition of it also have statement
-- triggers: "!audit_log_truncate"; and, in a partitioned tree, "!audit_log_truncating" (before, to
-- tell one TRUNCATE of many tables from many) and, on parents, "!audit_log_moved" (after UPDATE,
-- to settle rows that left their partition and arrived nowhere).

CREATE FUNCTION audit_log.capture() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'audit_log_capture';
COMMENT ON FUNCTION audit_log.capture() IS 'Row trigger that records what happened to a row; audit_log.watch() makes it.';

CREATE FUNCTION audit_log.capture_truncate() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'audit_log_capture_truncate';
COMMENT ON FUNCTION audit_log.capture_truncate() IS 'Statement trigger that records TRUNCATE; audit_log.watch() makes it.';

CREATE FUNCTION audit_log.capture_moved() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'audit_log_capture_moved';
COMMENT ON FUNCTION audit_log.capture_moved() IS 'Statement trigger that ends an UPDATE of a partitioned table; audit_log.watch() makes it.';

CREATE VIEW audit_log.member_trigger WITH (security_invoker = true) AS
SELECT t.tgrelid, t.tgname, t.tgenabled
FROM pg_catalog.pg_trigger t
WHERE t.tgfoid IN ('audit_log.capture_truncate()'::regprocedure, 'audit_log.capture_moved()'::regprocedure);
COMMENT ON VIEW audit_log.member_trigger IS 'The statement triggers of watched tables and their partitions. Internal.';

CREATE VIEW audit_log.watch_trigger WITH (security_invoker = true) AS
SELECT t.tgrelid AS relid,
       pg_catalog.convert_from(pg_catalog.substr(t.tgargs, 1, pg_catalog.length(t.tgargs) - 1),
                               pg_catalog.getdatabaseencoding())::jsonb AS options
FROM pg_catalog.pg_trigger t
WHERE t.tgfoid = 'audit_log.capture()'::regprocedure AND t.tgparentid = 0 AND t.tgnargs = 1;
COMMENT ON VIEW audit_log.watch_trigger IS 'Watched tables and the options in their triggers. Internal.';

CREATE FUNCTION audit_log.column_names(refs jsonb) RETURNS name[]
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT pg_catalog.array_agg((r ->> 0)::name ORDER BY n)
  FROM pg_catalog.jsonb_array_elements(refs) WITH ORDINALITY AS c(r, n)
  WHERE r ->> 1 <> '0'  -- a redacted column that is gone
$$;
COMMENT ON FUNCTION audit_log.column_names(jsonb) IS 'The names in an option''s list of columns; NULL where it is empty. Internal.';

CREATE VIEW audit_log.watched WITH (security_invoker = true) AS
SELECT w.relid::regclass AS relation,
       w.options ->> 'target_type' AS target_type,
       audit_log.column_names(w.options -> 'target_id') AS target_id,
       (w.options -> 'target_name' ->> 0)::name AS target_name,
       (w.options -> 'organization' ->> 0)::name AS organization,
       (SELECT pg_catalog.jsonb_object_agg(p ->> 0, p -> 1 -> 0)
        FROM pg_catalog.jsonb_array_elements(w.options -> 'parents') p) AS parents,
       (SELECT pg_catalog.jsonb_agg(CASE WHEN r -> 'column' ->> 0 IS NULL THEN r - 'column'
                                         ELSE pg_catalog.jsonb_set(r, '{column}', r -> 'column' -> 0) END ORDER BY n)
        FROM pg_catalog.jsonb_array_elements(w.options -> 'rules') WITH ORDINALITY AS rules(r, n)) AS categories,
       audit_log.column_names(w.options -> 'ignore') AS ignore,
       audit_log.column_names(w.options -> 'redact') AS redact,
       w.options ->> 'capture' AS capture
FROM audit_log.watch_trigger w;
COMMENT ON VIEW audit_log.watched IS 'Watched tables with their options, as given to watch().';
COMMENT ON COLUMN audit_log.watched.relation IS 'The table; of a partitioned one the parent.';
COMMENT ON COLUMN audit_log.watched.target_type IS 'Target type of its entries.';
COMMENT ON COLUMN audit_log.watched.target_id IS 'Columns that identify a row.';
COMMENT ON COLUMN audit_log.watched.target_name IS 'Column whose value labels the target.';
COMMENT ON COLUMN audit_log.watched.organization IS 'Column that holds the organization.';
COMMENT ON COLUMN audit_log.watched.parents IS '{"target type": "column"}: further targets.';
COMMENT ON COLUMN audit_log.watched.categories IS 'Category rules; the first that matches wins.';
COMMENT ON COLUMN audit_log.watched.ignore IS 'Columns that are not recorded.';
COMMENT ON COLUMN audit_log.watched.redact IS 'Columns whose change is recorded without the value.';
COMMENT ON COLUMN audit_log.watched.capture IS 'changes, full or keys.';

CREATE FUNCTION audit_log.qualified_name(schema text, name text) RETURNS text
  LANGUAGE sql STABLE PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp
  SET quote_all_identifiers = off
AS $$
  SELECT pg_catalog.format('%I.%I', schema, name)
$$;
COMMENT ON FUNCTION audit_log.qualified_name(text, text) IS 'A table''s name as entries carry it, schema.table, the same in every session. Internal.';

CREATE FUNCTION audit_log.relation_label(relation regclass) RETURNS text
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT audit_log.qualified_name(n.nspname, c.relname)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid = relation
$$;
COMMENT ON FUNCTION audit_log.relation_label(regclass) IS 'A table''s name as entries carry it, schema.table. Internal.';

CREATE FUNCTION audit_log.own_ddl(is_running boolean) RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'audit_log_own_ddl';
COMMENT ON FUNCTION audit_log.own_ddl(boolean) IS 'Says that the DDL that follows is the extension''s own, which tells of it itself, or that it is over; may be nested, and an error ends it. Internal.';

CREATE FUNCTION audit_log.write_row_trigger(relation regclass, options jsonb) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM audit_log.own_ddl(true);
  -- Replaced, not dropped: that needs no exclusive lock, and works while checks are deferred.
  EXECUTE pg_catalog.format('CREATE OR REPLACE TRIGGER "!audit_log" AFTER INSERT OR UPDATE OR DELETE ON %s
    FOR EACH ROW EXECUTE FUNCTION audit_log.capture(%L)', relation, options);
  EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER "!audit_log"', relation);
  PERFORM audit_log.own_ddl(false);
END
$$;
COMMENT ON FUNCTION audit_log.write_row_trigger(regclass, jsonb) IS 'Makes or replaces the row trigger of a watched table. Internal.';

CREATE FUNCTION audit_log.member_triggers_of(kind "char", partitioned boolean) RETURNS TABLE (name name, event text, function text)
  LANGUAGE sql STABLE ROWS 3
BEGIN ATOMIC
  SELECT w.name::name, w.event, w.function
  FROM (VALUES ('!audit_log_truncate', 'AFTER TRUNCATE', 'capture_truncate'),
               ('!audit_log_truncating', 'BEFORE TRUNCATE', 'capture_truncate'),
               ('!audit_log_moved', 'AFTER UPDATE', 'capture_moved')) AS w(name, event, function)
  WHERE (kind IN ('r', 'p') OR (kind = 'f' AND pg_catalog.current_setting('server_version_num')::integer >= 160000))
    AND (partitioned OR w.name = '!audit_log_truncate')
    AND (kind = 'p' OR w.name <> '!audit_log_moved');
END;
COMMENT ON FUNCTION audit_log.member_triggers_of("char", boolean) IS 'The statement triggers that a table of a kind has, being watched by itself or in a watched partitioned table. Internal.';

CREATE FUNCTION audit_log.write_member_triggers(relation regclass) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  member record;
  state "char";
  partitioned boolean := (SELECT c.relkind = 'p' FROM pg_catalog.pg_class c WHERE c.oid = relation);
BEGIN
  PERFORM audit_log.own_ddl(true);
  FOR member IN
    SELECT c.oid::regclass AS relid, wanted.*
    FROM (SELECT relation AS relid UNION SELECT p.relid FROM pg_catalog.pg_partition_tree(relation) p) tree
    JOIN pg_catalog.pg_class c ON c.oid = tree.relid
    CROSS JOIN LATERAL audit_log.member_triggers_of(c.relkind, partitioned) wanted
  LOOP
    state := (SELECT t.tgenabled FROM audit_log.member_trigger t WHERE t.tgrelid = member.relid AND t.tgname = member.name);
    CONTINUE WHEN state = 'A';
    IF state IS NULL THEN
      EXECUTE pg_catalog.format('CREATE TRIGGER %I %s ON %s FOR EACH STATEMENT EXECUTE FUNCTION audit_log.%I()',
                                member.name, member.event, member.relid, member.function);
    END IF;
    EXECUTE pg_catalog.format('ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER %I', member.relid, member.name);
  END LOOP;
  PERFORM audit_log.own_ddl(false);
END
$$;
COMMENT ON FUNCTION audit_log.write_member_triggers(regclass) IS 'Makes the statement triggers that a watched table and its partitions lack, and enables those that are disabled. Internal.';

CREATE FUNCTION audit_log.drop_member_triggers(relation regclass) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  member record;
BEGIN
  PERFORM audit_log.own_ddl(true);
  FOR member IN SELECT t.tgname FROM audit_log.member_trigger t WHERE t.tgrelid = relation LOOP
    EXECUTE pg_catalog.format('DROP TRIGGER %I ON %s', member.tgname, relation);
  END LOOP;
  PERFORM audit_log.own_ddl(false);
END
$$;
COMMENT ON FUNCTION audit_log.drop_member_triggers(regclass) IS 'Drops the statement triggers of one table. Internal.';

CREATE FUNCTION audit_log.record_own(category text, target_id text, metadata jsonb) RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'audit_log_record_own';
COMMENT ON FUNCTION audit_log.record_own(text, text, jsonb) IS 'Records what happened to a watched table or its watch, in the organization default, whether that is enabled or not. Internal.';

CREATE FUNCTION audit_log.end_watch(relation regclass) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM audit_log.own_ddl(true);
  -- The parent before its partitions, as writers lock them.
  EXECUTE pg_catalog.format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', relation);
  EXECUTE pg_catalog.format('DROP TRIGGER "!audit_log" ON %s', relation);
  PERFORM audit_log.own_ddl(false);
  PERFORM audit_log.drop_member_triggers(tree.relid)
  FROM (SELECT relation AS relid UNION SELECT p.relid FROM pg_catalog.pg_partition_tree(relation) p) tree;
END
$$;
COMMENT ON FUNCTION audit_log.end_watch(regclass) IS 'Drops the triggers of a watched table. Internal.';
