-- Keeps what the triggers carry true under ALTER TABLE, ATTACH PARTITION, ALTER SCHEMA and restore.

CREATE FUNCTION audit_log.home(relation regclass) RETURNS text
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT pg_catalog.format('%s/%s/%s', audit_log.system_identifier(), d.oid, relation::oid)
  FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
$$;
COMMENT ON FUNCTION audit_log.home(regclass) IS 'Where a table is: a watch written elsewhere (before a restore) knows its columns by name only. Internal.';

CREATE FUNCTION audit_log.follow_column(relation regclass, ref jsonb, at_home boolean) RETURNS jsonb
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  -- By name; where the name is gone, by where the column stood when the trigger was written.
  SELECT pg_catalog.jsonb_build_array(a.attname, a.attnum)
  FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = relation AND NOT a.attisdropped AND a.attnum > 0
    AND (a.attname = ref ->> 0 OR (at_home AND a.attnum = (ref ->> 1)::smallint))
  ORDER BY a.attname = ref ->> 0 DESC
  LIMIT 1
$$;
COMMENT ON FUNCTION audit_log.follow_column(regclass, jsonb, boolean) IS 'A column reference [name, number] as it is now; NULL where the column was dropped. Internal.';

CREATE FUNCTION audit_log.follow_columns(relation regclass, refs jsonb, at_home boolean) RETURNS jsonb
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(pg_catalog.jsonb_agg(f.ref ORDER BY f.n) FILTER (WHERE f.ref IS NOT NULL), '[]')
  FROM (SELECT audit_log.follow_column(relation, r, at_home) AS ref, n
        FROM pg_catalog.jsonb_array_elements(refs) WITH ORDINALITY AS c(r, n)) f
$$;
COMMENT ON FUNCTION audit_log.follow_columns(regclass, jsonb, boolean) IS 'A list of column references as they are now, without dropped ones. Internal.';

CREATE FUNCTION audit_log.follow_redacted(relation regclass, refs jsonb, at_home boolean) RETURNS jsonb
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  -- Where name and number disagree nobody followed a rename: either may be the secret. A name that
  -- is gone is kept, without a number: the column may be made anew, as migrations do.
  SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(f.name, f.number) ORDER BY f.number, f.name), '[]')
  FROM (SELECT a.attname::text AS name, a.attnum AS number
        FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = relation AND NOT a.attisdropped AND a.attnum > 0
          AND EXISTS (SELECT FROM pg_catalog.jsonb_array_elements(refs) r
                      WHERE a.attname = r ->> 0 OR (at_home AND a.attnum = (r ->> 1)::smallint))
        UNION
        SELECT r ->> 0, 0
        FROM pg_catalog.jsonb_array_elements(refs) r
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
                          WHERE a.attrelid = relation AND a.attname = r ->> 0 AND NOT a.attisdropped)) f
$$;
COMMENT ON FUNCTION audit_log.follow_redacted(regclass, jsonb, boolean) IS 'The redacted columns as they are now; rather one too many than one too few. Internal.';

CREATE FUNCTION audit_log.follow_options(relation regclass, options jsonb, at_home boolean) RETURNS jsonb
  LANGUAGE sql
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT options || pg_catalog.jsonb_build_object(
    'home', audit_log.home(relation),
    'relation_id', audit_log.relation_id(audit_log.relation_label(relation), (options ->> 'relation_id')::integer),
    'target_id', audit_log.follow_columns(relation, options -> 'target_id', at_home),
    'target_name', audit_log.follow_column(relation, options -> 'target_name', at_home),
    'organization', audit_log.follow_column(relation, options -> 'organization', at_home),
    'ignore', audit_log.follow_columns(relation, options -> 'ignore', at_home),
    'redact', audit_log.follow_redacted(relation, options -> 'redact', at_home),
    'parents', (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(f.p -> 0, f.ref) ORDER BY f.n), '[]')
                FROM (SELECT p, n, audit_log.follow_column(relation, p -> 1, at_home) AS ref
                      FROM pg_catalog.jsonb_array_elements(options -> 'parents') WITH ORDINALITY AS c(p, n)) f
                WHERE f.ref IS NOT NULL),
    'rules', (SELECT coalesce(pg_catalog.jsonb_agg(
                       CASE WHEN f.ref IS NULL THEN f.r ELSE f.r || pg_catalog.jsonb_build_object('column', f.ref) END ORDER BY f.n), '[]')
              FROM (SELECT r, n, audit_log.follow_column(relation, r -> 'column', at_home) AS ref
                    FROM pg_catalog.jsonb_array_elements(options -> 'rules') WITH ORDINALITY AS c(r, n)) f
              -- A rule about a dropped column goes with it; one about no column stays.
              WHERE f.ref IS NOT NULL OR f.r -> 'column' ->> 0 IS NULL))
$$;
COMMENT ON FUNCTION audit_log.follow_options(regclass, jsonb, boolean) IS 'A watch''s options brought in line with the table as it is now. Internal.';

CREATE FUNCTION audit_log.follow_relation(changed oid, adds_partition boolean) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  watch record;
  now_is jsonb;
BEGIN
  FOR watch IN
    SELECT w.relid::regclass AS relid, w.options
    FROM audit_log.watch_trigger w
    WHERE w.relid = changed
       OR w.relid IN (SELECT a.relid FROM pg_catalog.pg_partition_ancestors(changed) a)
  LOOP
    now_is := audit_log.follow_options(watch.relid, watch.options, watch.options ->> 'home' = audit_log.home(watch.relid));
    IF now_is <> watch.options THEN
      PERFORM audit_log.write_row_trigger(watch.relid, now_is);
    END IF;
    IF adds_partition THEN
      PERFORM audit_log.write_member_triggers(watch.relid);
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION audit_log.follow_relation(oid, boolean) IS 'Brings the triggers on a table, or on the watched parent of a partition, in line with it. Internal.';

CREATE FUNCTION audit_log.guard_partitions() RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM audit_log.guard(i.inhrelid)
  FROM pg_catalog.pg_inherits i
  WHERE i.inhparent IN ('audit_log.event'::regclass, 'audit_log.event_target'::regclass)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = i.inhrelid AND t.tgname = 'append_only');
END
$$;
COMMENT ON FUNCTION audit_log.guard_partitions() IS 'Makes partitions of the log append-only that somebody attached by hand. Internal.';

CREATE FUNCTION audit_log.follow_commands(adds_partition boolean, removes_partition boolean, restoring boolean) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  affected oid;
BEGIN
  -- A dump's script, told by the settings it begins with, brings the partitions' own triggers.
  IF adds_partition AND NOT restoring THEN
    PERFORM audit_log.guard_partitions();
  END IF;
  -- TRIGGER on a table is enough to replace a trigger of the same name: not ours, in silence.
  IF EXISTS (SELECT FROM pg_catalog.pg_event_trigger_ddl_commands() c
             JOIN pg_catalog.pg_trigger t ON t.oid = c.objid
             WHERE c.classid = 'pg_catalog.pg_trigger'::regclass AND t.tgname LIKE '!audit_log%'
               AND t.tgfoid NOT IN ('audit_log.capture()'::regprocedure, 'audit_log.capture_truncate()'::regprocedure,
                                    'audit_log.capture_moved()'::regprocedure)) THEN
    RAISE EXCEPTION 'triggers named "!audit_log…" are the audit log''s'
      USING ERRCODE = '42501', DETAIL = 'code: reserved_trigger_name',
            HINT = 'Give the trigger another name; an audit_log_admin ends a watch with audit_log.unwatch().';
  END IF;
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgfoid = 'audit_log.capture()'::regprocedure) THEN
    RETURN;
  END IF;
  FOR affected IN
    SELECT c.objid FROM pg_catalog.pg_event_trigger_ddl_commands() c
    WHERE c.classid = 'pg_catalog.pg_class'::regclass
    UNION
    SELECT t.tgrelid FROM pg_catalog.pg_event_trigger_ddl_commands() c
    JOIN pg_catalog.pg_trigger t ON t.oid = c.objid
    WHERE c.classid = 'pg_catalog.pg_trigger'::regclass AND t.tgfoid = 'audit_log.capture()'::regprocedure
    UNION
    SELECT w.relid FROM pg_catalog.pg_event_trigger_ddl_commands() c
    JOIN pg_catalog.pg_class r ON r.relnamespace = c.objid
    JOIN audit_log.watch_trigger w ON w.relid = r.oid
    WHERE c.classid = 'pg_catalog.pg_namespace'::regclass
  LOOP
    BEGIN
      PERFORM audit_log.follow_relation(affected, adds_partition);
      IF removes_partition THEN
        PERFORM audit_log.drop_member_triggers(t.tgrelid)
        FROM (SELECT DISTINCT m.tgrelid FROM audit_log.member_trigger m) t
        WHERE NOT EXISTS (SELECT FROM audit_log.watch_trigger w
                          WHERE w.relid = t.tgrelid OR w.relid IN (SELECT a.relid FROM pg_catalog.pg_partition_ancestors(t.tgrelid) a));
      END IF;
    EXCEPTION WHEN OTHERS THEN
      -- DDL is the application's; capture itself still understands what was not followed here.
      RAISE WARNING 'audit_log could not follow a change of %: %', affected::regclass, SQLERRM
        USING HINT = 'Call audit_log.watch() for the table again.';
    END;
  END LOOP;
END
$$;
COMMENT ON FUNCTION audit_log.follow_commands(boolean, boolean, boolean) IS 'Follows the DDL commands of the event trigger that is running; the arguments say whether they put a table into a partitioned one, or take it out, and whether they are a dump''s. Internal.';

CREATE FUNCTION audit_log.follow_ddl() RETURNS event_trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'audit_log_follow_ddl';
COMMENT ON FUNCTION audit_log.follow_ddl() IS 'Event trigger: keeps watches true when tables are altered, attached, renamed or restored. Fails no DDL but a trigger under a name of ours.';

CREATE EVENT TRIGGER audit_log_follow_ddl ON ddl_command_end
  -- ALTER INDEX and its like rename tables, too.
  WHEN TAG IN ('ALTER TABLE', 'ALTER FOREIGN TABLE', 'ALTER INDEX', 'ALTER SEQUENCE', 'ALTER VIEW', 'ALTER MATERIALIZED VIEW', 'ALTER SCHEMA', 'CREATE SCHEMA', 'CREATE TABLE', 'CREATE FOREIGN TABLE', 'CREATE TRIGGER')
  EXECUTE FUNCTION audit_log.follow_ddl();
ALTER EVENT TRIGGER audit_log_follow_ddl ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER audit_log_follow_ddl IS 'Keeps the audit log''s triggers true when tables are renamed, altered, attached or restored.';
