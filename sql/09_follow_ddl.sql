-- Keeps what the triggers carry true under ALTER TABLE, ATTACH PARTITION, ALTER SCHEMA and restore; what was altered
-- is noted in relation_change and recorded.

CREATE FUNCTION audit_log.columns_of(relation regclass) RETURNS jsonb
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(pg_catalog.jsonb_agg(CASE WHEN NOT a.attisdropped THEN a.attname END ORDER BY a.attnum), '[]')
  FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = relation AND a.attnum > 0
$$;
COMMENT ON FUNCTION audit_log.columns_of(regclass) IS 'A table''s columns by number: a list of names, null for dropped ones. Internal.';

-- A trigger that a dump brings was written in another table of the same columns: there numbers mean nothing. In every
-- other case, a copy of the database or its upgrade included, a column keeps its number whatever it is called.
CREATE FUNCTION audit_log.follow_column(relation regclass, ref jsonb, by_number boolean) RETURNS jsonb
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  -- By name; where the name is gone, by where the column stood when the trigger was written.
  SELECT pg_catalog.jsonb_build_array(a.attname, a.attnum)
  FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = relation AND NOT a.attisdropped AND a.attnum > 0
    AND (a.attname = ref ->> 0 OR (by_number AND a.attnum = (ref ->> 1)::smallint))
  ORDER BY a.attname = ref ->> 0 DESC
  LIMIT 1
$$;
COMMENT ON FUNCTION audit_log.follow_column(regclass, jsonb, boolean) IS 'A column reference [name, number] as it is now; NULL where the column was dropped. Internal.';

CREATE FUNCTION audit_log.follow_columns(relation regclass, refs jsonb, by_number boolean) RETURNS jsonb
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(pg_catalog.jsonb_agg(f.ref ORDER BY f.n) FILTER (WHERE f.ref IS NOT NULL), '[]')
  FROM (SELECT audit_log.follow_column(relation, r, by_number) AS ref, n
        FROM pg_catalog.jsonb_array_elements(refs) WITH ORDINALITY AS c(r, n)) f
$$;
COMMENT ON FUNCTION audit_log.follow_columns(regclass, jsonb, boolean) IS 'A list of column references as they are now, without dropped ones. Internal.';

CREATE FUNCTION audit_log.follow_redacted(relation regclass, refs jsonb, by_number boolean) RETURNS jsonb
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
                      WHERE a.attname = r ->> 0 OR (by_number AND a.attnum = (r ->> 1)::smallint))
        UNION
        SELECT r ->> 0, 0
        FROM pg_catalog.jsonb_array_elements(refs) r
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
                          WHERE a.attrelid = relation AND a.attname = r ->> 0 AND NOT a.attisdropped)) f
$$;
COMMENT ON FUNCTION audit_log.follow_redacted(regclass, jsonb, boolean) IS 'The redacted columns as they are now; rather one too many than one too few. Internal.';

CREATE FUNCTION audit_log.follow_options(relation regclass, options jsonb, by_number boolean) RETURNS jsonb
  LANGUAGE sql
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT options || pg_catalog.jsonb_build_object(
    'relation', audit_log.relation_label(relation),
    'columns', audit_log.columns_of(relation),
    'target_id', audit_log.follow_columns(relation, options -> 'target_id', by_number),
    'target_name', audit_log.follow_column(relation, options -> 'target_name', by_number),
    'organization', audit_log.follow_column(relation, options -> 'organization', by_number),
    'ignore', audit_log.follow_columns(relation, options -> 'ignore', by_number),
    'redact', audit_log.follow_redacted(relation, options -> 'redact', by_number),
    'parents', (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(f.p -> 0, f.ref) ORDER BY f.n), '[]')
                FROM (SELECT p, n, audit_log.follow_column(relation, p -> 1, by_number) AS ref
                      FROM pg_catalog.jsonb_array_elements(options -> 'parents') WITH ORDINALITY AS c(p, n)) f
                WHERE f.ref IS NOT NULL),
    'rules', (SELECT coalesce(pg_catalog.jsonb_agg(
                       CASE WHEN f.ref IS NULL THEN f.r ELSE f.r || pg_catalog.jsonb_build_object('column', f.ref) END ORDER BY f.n), '[]')
              FROM (SELECT r, n, audit_log.follow_column(relation, r -> 'column', by_number) AS ref
                    FROM pg_catalog.jsonb_array_elements(options -> 'rules') WITH ORDINALITY AS c(r, n)) f
              -- A rule about a dropped column goes with it; one about no column stays.
              WHERE f.ref IS NOT NULL OR f.r -> 'column' ->> 0 IS NULL))
$$;
COMMENT ON FUNCTION audit_log.follow_options(regclass, jsonb, boolean) IS 'A watch''s options brought in line with the table as it is now. Internal.';

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

CREATE FUNCTION audit_log.may_watch(role name) RETURNS boolean
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT u.rolsuper OR coalesce((SELECT pg_catalog.pg_has_role(u.oid, a.oid, 'USAGE') FROM pg_catalog.pg_roles a WHERE a.rolname = 'audit_log_admin'), false)
  FROM pg_catalog.pg_roles u WHERE u.rolname = role
$$;
COMMENT ON FUNCTION audit_log.may_watch(name) IS 'Whether a role has the rights of audit_log_admin. Internal.';

-- TRIGGER on a table is enough to make a trigger, and to replace one of the same name. That everybody may execute
-- capture() is for those who make a partition of a watched table, to which PostgreSQL copies the trigger.
CREATE FUNCTION audit_log.check_triggers(caller name) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  made record;
BEGIN
  FOR made IN
    SELECT t.tgname, t.tgfoid IN ('audit_log.capture()'::regprocedure, 'audit_log.capture_truncate()'::regprocedure,
                                  'audit_log.capture_moved()'::regprocedure) AS is_ours
    FROM pg_catalog.pg_event_trigger_ddl_commands() c
    JOIN pg_catalog.pg_trigger t ON t.oid = c.objid
    WHERE c.classid = 'pg_catalog.pg_trigger'::regclass
  LOOP
    IF made.tgname LIKE '!audit_log%' AND NOT made.is_ours THEN
      RAISE EXCEPTION 'triggers named "!audit_log…" are the audit log''s'
        USING ERRCODE = '42501', DETAIL = 'code: reserved_trigger_name',
              HINT = 'Give the trigger another name; an audit_log_admin ends a watch with audit_log.unwatch().';
    ELSIF made.is_ours AND NOT audit_log.may_watch(caller) THEN
      RAISE EXCEPTION 'permission denied for triggers of the audit log'
        USING ERRCODE = '42501', DETAIL = 'code: missing_endpoint_permission',
              HINT = 'An audit_log_admin watches a table with audit_log.watch().';
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION audit_log.check_triggers(name) IS 'Fails with 42501 where the command of the event trigger that is running made a trigger under a name of ours, or one of ours in the name of somebody who may not watch. Internal.';

CREATE VIEW audit_log.commanded_relation AS
SELECT DISTINCT coalesce(t.tgrelid, r.ev_class, p.polrelid, s.oid, c.objid) AS relid, c.command_tag, c.object_type, c.object_identity,
       coalesce(t.tgfoid = 'audit_log.capture()'::regprocedure AND c.command_tag = 'CREATE TRIGGER', false) AS is_capture,
       coalesce(t.tgname LIKE '!audit_log%', false) AS is_ours
FROM pg_catalog.pg_event_trigger_ddl_commands() c
LEFT JOIN pg_catalog.pg_trigger t ON c.classid = 'pg_catalog.pg_trigger'::regclass AND t.oid = c.objid
LEFT JOIN pg_catalog.pg_rewrite r ON c.classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = c.objid
LEFT JOIN pg_catalog.pg_policy p ON c.classid = 'pg_catalog.pg_policy'::regclass AND p.oid = c.objid
LEFT JOIN pg_catalog.pg_class s ON c.classid = 'pg_catalog.pg_namespace'::regclass AND s.relnamespace = c.objid
WHERE c.classid IN ('pg_catalog.pg_class'::regclass, 'pg_catalog.pg_trigger'::regclass, 'pg_catalog.pg_rewrite'::regclass,
                    'pg_catalog.pg_policy'::regclass, 'pg_catalog.pg_namespace'::regclass);
COMMENT ON VIEW audit_log.commanded_relation IS 'The tables that the command of the event trigger that is running is about. Internal.';

-- Each part by itself: DDL is the application's, and none of it fails for what cannot be followed.
CREATE FUNCTION audit_log.follow_relation(relation regclass, altered regclass, change jsonb, is_capture boolean) RETURNS jsonb
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  options jsonb := (SELECT w.options FROM audit_log.watch_trigger w WHERE w.relid = follow_relation.relation);
  by_number boolean := NOT is_capture AND options ? 'columns';
  rewritten text[];
  now_is jsonb;
  told jsonb := '{}';
BEGIN
  IF altered = relation THEN
    rewritten := ARRAY(SELECT pg_catalog.jsonb_array_elements_text(change -> 'rewritten'));
  END IF;
  now_is := audit_log.follow_options(relation, options, by_number);
  IF by_number THEN
    told := audit_log.note_altered(relation, options, now_is, rewritten);
  END IF;
  BEGIN
    IF now_is <> options THEN
      PERFORM audit_log.write_row_trigger(relation, now_is);
    END IF;
    IF change ->> 'partition' = 'added' THEN
      PERFORM audit_log.write_member_triggers(relation);
    ELSIF change ->> 'partition' = 'removed' THEN
      PERFORM audit_log.drop_member_triggers(t.tgrelid)
      FROM (SELECT DISTINCT m.tgrelid FROM audit_log.member_trigger m) t
      WHERE NOT EXISTS (SELECT FROM audit_log.watch_trigger w
                        WHERE w.relid = t.tgrelid OR w.relid IN (SELECT a.relid FROM pg_catalog.pg_partition_ancestors(t.tgrelid) a));
    END IF;
  EXCEPTION WHEN OTHERS THEN
    -- Capture itself still understands what was not followed here.
    RAISE WARNING 'audit_log could not follow a change of %: %', relation, SQLERRM
      USING HINT = 'Call audit_log.watch() for the table again.';
  END;
  IF change ->> 'partition' = 'removed' OR change ->> 'attached' = 'true' THEN
    PERFORM audit_log.note_change(now_is ->> 'relation', 'partition_' || (change ->> 'partition'));
  END IF;
  RETURN told;
END
$$;
COMMENT ON FUNCTION audit_log.follow_relation(regclass, regclass, jsonb, boolean) IS 'Brings the triggers of a watched table in line with it after a command on it or a partition of it, and notes what changed. Internal.';

-- A dump's script, told by the settings it begins with, says nothing new but what it changes.
CREATE FUNCTION audit_log.follow_commands(change jsonb, restoring boolean) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  affected record;
  told jsonb;
  state text;
BEGIN
  FOR affected IN
    SELECT w.relid::regclass AS relation, c.relid::regclass AS altered, c.command_tag, c.object_type, c.object_identity, c.is_capture,
           c.is_ours OR coalesce((change -> 'ours')::boolean, false) AS is_ours
    FROM audit_log.commanded_relation c
    JOIN audit_log.watch_trigger w ON w.relid = c.relid OR w.relid IN (SELECT a.relid FROM pg_catalog.pg_partition_ancestors(c.relid) a)
  LOOP
    BEGIN
      told := audit_log.follow_relation(affected.relation, affected.altered, change, affected.is_capture);
      state := audit_log.note_captured(affected.relation);
      CONTINUE WHEN restoring AND told = '{}' AND state IS DISTINCT FROM 'unwatched';
      PERFORM audit_log.record_own(CASE WHEN affected.is_ours OR state IS NOT NULL THEN 'watch_changed' ELSE 'schema_changed' END,
        audit_log.relation_label(affected.relation),
        pg_catalog.jsonb_build_object('command', affected.command_tag, 'object_type', affected.object_type, 'object', affected.object_identity)
          || CASE WHEN change ? 'actions' THEN pg_catalog.jsonb_build_object('actions', change -> 'actions') ELSE '{}' END
          || CASE WHEN told <> '{}' THEN pg_catalog.jsonb_build_object('changes', told) ELSE '{}' END
          || CASE WHEN state IS NOT NULL THEN pg_catalog.jsonb_build_object('watched', state = 'watched') ELSE '{}' END);
    EXCEPTION WHEN OTHERS THEN
      RAISE WARNING 'audit_log could not record a change of %: %', affected.relation, SQLERRM
        USING HINT = 'Call audit_log.watch() for the table again.';
    END;
  END LOOP;
END
$$;
COMMENT ON FUNCTION audit_log.follow_commands(jsonb, boolean) IS 'Follows the DDL commands of the event trigger that is running: {"partition": "added" or "removed", "attached", "rewritten": [columns], "actions": [of ALTER TABLE], "ours": whether triggers of ours are meant}, and whether they are a dump''s. Internal.';

-- A table that is watched by itself is about to become a partition of a watched one: one watch has to go.
CREATE FUNCTION audit_log.before_attach(parent regclass, partition regclass) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  own regclass;
  label text;
BEGIN
  IF NOT EXISTS (SELECT FROM audit_log.watch_trigger w
                 WHERE w.relid = parent OR w.relid IN (SELECT a.relid FROM pg_catalog.pg_partition_ancestors(parent) a)) THEN
    RETURN;
  END IF;
  -- In the order of the command itself.
  EXECUTE pg_catalog.format('LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE', parent);
  FOR own IN
    SELECT w.relid FROM audit_log.watch_trigger w
    WHERE w.relid = partition OR w.relid IN (SELECT t.relid FROM pg_catalog.pg_partition_tree(partition) t)
  LOOP
    label := audit_log.relation_label(own);
    PERFORM audit_log.end_watch(own);
    PERFORM audit_log.note_change(label, 'unwatched');
    PERFORM audit_log.record_own('watch_changed', label,
      pg_catalog.jsonb_build_object('watched', false, 'attached_to', audit_log.relation_label(parent)));
  END LOOP;
END
$$;
COMMENT ON FUNCTION audit_log.before_attach(regclass, regclass) IS 'Ends the watch of a table that ALTER TABLE … ATTACH PARTITION is about to make a partition of a watched one. Internal.';

CREATE FUNCTION audit_log.follow_drops(command text, is_own boolean) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  gone record;
  label text;
  was text;
BEGIN
  FOR gone IN
    SELECT d.object_type, d.object_identity, audit_log.qualified_name(d.address_names[1], d.address_names[2]) AS label,
           pg_catalog.to_regclass(audit_log.qualified_name(d.address_names[1], d.address_names[2])) AS relation,
           d.object_type = 'trigger' AND d.address_names[3] LIKE '!audit_log%' AS is_ours
    FROM pg_catalog.pg_event_trigger_dropped_objects() d
    WHERE d.object_type IN ('trigger', 'rule', 'policy', 'table column')
       OR (d.object_type IN ('table', 'foreign table') AND EXISTS (
             SELECT FROM pg_catalog.pg_event_trigger_dropped_objects() t
             WHERE t.object_type = 'trigger' AND t.address_names[3] = '!audit_log' AND t.address_names[1:2] = d.address_names))
  LOOP
    BEGIN
      IF gone.object_type IN ('table', 'foreign table') THEN
        was := audit_log.last_state(gone.label);
        IF was IN ('watched', 'unwatched') THEN
          PERFORM audit_log.note_change(gone.label, 'dropped');
        END IF;
        IF was IS DISTINCT FROM 'watched' THEN
          -- A partition, also one that was watched by itself before: which table's is not told any more.
          PERFORM audit_log.note_change(audit_log.relation_label(w.relid), 'partition_removed')
          FROM audit_log.watch_trigger w JOIN pg_catalog.pg_class c ON c.oid = w.relid WHERE c.relkind = 'p';
        END IF;
        PERFORM audit_log.record_own('schema_changed', gone.label,
          pg_catalog.jsonb_build_object('command', command, 'object_type', gone.object_type, 'object', gone.object_identity));
        CONTINUE;
      END IF;
      -- What goes with its table is told with it; what this extension drops itself it tells itself.
      CONTINUE WHEN gone.relation IS NULL OR (is_own AND gone.is_ours);
      SELECT audit_log.relation_label(w.relid) INTO label FROM audit_log.watch_trigger w
      WHERE w.relid = gone.relation OR w.relid IN (SELECT a.relid FROM pg_catalog.pg_partition_ancestors(gone.relation) a);
      IF gone.is_ours AND gone.object_identity LIKE '"!audit_log" on %' AND label IS NULL THEN
        PERFORM audit_log.note_change(gone.label, 'unwatched');
        label := gone.label;
      ELSIF label IS NULL OR (gone.object_type = 'table column' AND command IN ('ALTER TABLE', 'ALTER FOREIGN TABLE')) THEN
        CONTINUE;
      ELSIF gone.object_type = 'table column' THEN
        PERFORM audit_log.follow_relation(gone.relation, gone.relation, '{}', false);
      END IF;
      PERFORM audit_log.record_own(CASE WHEN gone.is_ours THEN 'watch_changed' ELSE 'schema_changed' END, label,
        pg_catalog.jsonb_build_object('command', command, 'object_type', gone.object_type, 'object', gone.object_identity));
    EXCEPTION WHEN OTHERS THEN
      RAISE WARNING 'audit_log could not follow that % was dropped: %', gone.object_identity, SQLERRM;
    END;
  END LOOP;
END
$$;
COMMENT ON FUNCTION audit_log.follow_drops(text, boolean) IS 'Notes and records what the command of the event trigger that is running dropped of watched tables. Internal.';

CREATE FUNCTION audit_log.follow_ddl() RETURNS event_trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'audit_log_follow_ddl';
COMMENT ON FUNCTION audit_log.follow_ddl() IS 'Event trigger: keeps watches true when tables are altered, attached, renamed, dropped or restored, and records that. Fails no DDL but a trigger of ours, or under a name of ours, by somebody who may not watch.';

CREATE EVENT TRIGGER audit_log_before_ddl ON ddl_command_start
  WHEN TAG IN ('ALTER TABLE')
  EXECUTE FUNCTION audit_log.follow_ddl();
ALTER EVENT TRIGGER audit_log_before_ddl ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER audit_log_before_ddl IS 'Ends the watch of a table that becomes a partition of a watched one.';

CREATE EVENT TRIGGER audit_log_follow_ddl ON ddl_command_end
  -- ALTER INDEX and its like rename tables, too.
  WHEN TAG IN ('ALTER TABLE', 'ALTER FOREIGN TABLE', 'ALTER INDEX', 'ALTER SEQUENCE', 'ALTER VIEW', 'ALTER MATERIALIZED VIEW', 'ALTER SCHEMA', 'CREATE SCHEMA', 'CREATE TABLE', 'CREATE FOREIGN TABLE', 'CREATE TRIGGER', 'ALTER TRIGGER', 'CREATE RULE', 'ALTER RULE', 'CREATE POLICY', 'ALTER POLICY')
  EXECUTE FUNCTION audit_log.follow_ddl();
ALTER EVENT TRIGGER audit_log_follow_ddl ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER audit_log_follow_ddl IS 'Keeps the audit log''s triggers true when tables are renamed, altered, attached or restored, and records that.';

CREATE EVENT TRIGGER audit_log_follow_drops ON sql_drop
  EXECUTE FUNCTION audit_log.follow_ddl();
ALTER EVENT TRIGGER audit_log_follow_drops ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER audit_log_follow_drops IS 'Records what is dropped of watched tables.';
