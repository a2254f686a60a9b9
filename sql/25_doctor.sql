-- doctor(): what is wrong, and what to do about it. Here what watches tables and who has which rights; the log itself next.

CREATE TYPE audit_log.diagnosis AS (severity text, finding text, object text, fix text);
COMMENT ON TYPE audit_log.diagnosis IS 'A finding of doctor().';
COMMENT ON COLUMN audit_log.diagnosis.severity IS 'error, warning or info.';
COMMENT ON COLUMN audit_log.diagnosis.finding IS 'What is wrong; up to the colon a phrase that does not change.';
COMMENT ON COLUMN audit_log.diagnosis.object IS 'The table, partition, task, setting, role or session.';
COMMENT ON COLUMN audit_log.diagnosis.fix IS 'The statements to run, or what to do.';

CREATE FUNCTION audit_log.unique_key(relation regclass) RETURNS name[]
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT k.columns
  FROM pg_catalog.pg_index i
  CROSS JOIN LATERAL (
    SELECT pg_catalog.array_agg(a.attname ORDER BY c.place) AS columns, pg_catalog.bool_and(a.attnotnull) AS not_null
    FROM pg_catalog.unnest(i.indkey::smallint[]) WITH ORDINALITY AS c(number, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = c.number
    WHERE c.place <= i.indnkeyatts) k
  WHERE i.indrelid = relation AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND k.not_null
  ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid
  LIMIT 1
$$;
COMMENT ON FUNCTION audit_log.unique_key(regclass) IS 'Columns that identify a table''s rows: its primary key, or a unique index without NULLs; NULL where it has neither. Internal.';

CREATE FUNCTION audit_log.watch_call(relation regclass, options jsonb, key name[]) RETURNS text
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT pg_catalog.concat('SELECT audit_log.watch(', pg_catalog.concat_ws(', ',
    pg_catalog.quote_literal(relation::text),
    'target_type => ' || pg_catalog.quote_literal(options ->> 'target_type'),
    'target_id => ' || pg_catalog.quote_literal(key::text),
    'target_name => ' || pg_catalog.quote_literal(audit_log.follow_column(relation, options -> 'target_name', true) ->> 0),
    'organization => ' || pg_catalog.quote_literal(audit_log.follow_column(relation, options -> 'organization', true) ->> 0),
    'parents => ' || pg_catalog.quote_literal((
      SELECT pg_catalog.jsonb_object_agg(p ->> 0, f.ref -> 0)::text
      FROM pg_catalog.jsonb_array_elements(options -> 'parents') p
      CROSS JOIN LATERAL (SELECT audit_log.follow_column(relation, p -> 1, true) AS ref) f WHERE f.ref IS NOT NULL)),
    'categories => ' || pg_catalog.quote_literal((
      SELECT pg_catalog.jsonb_agg(CASE WHEN f.ref IS NULL THEN r - 'column' ELSE r || pg_catalog.jsonb_build_object('column', f.ref -> 0) END ORDER BY n)::text
      FROM pg_catalog.jsonb_array_elements(options -> 'rules') WITH ORDINALITY AS c(r, n)
      CROSS JOIN LATERAL (SELECT audit_log.follow_column(relation, r -> 'column', true) AS ref) f
      WHERE f.ref IS NOT NULL OR r -> 'column' ->> 0 IS NULL)),
    'ignore => ' || pg_catalog.quote_literal(audit_log.column_names(audit_log.follow_columns(relation, options -> 'ignore', true))::text),
    'redact => ' || pg_catalog.quote_literal(audit_log.column_names(audit_log.follow_redacted(relation, options -> 'redact', true))::text),
    'capture => ' || pg_catalog.quote_literal(nullif(options ->> 'capture', 'changes'))), ')')
$$;
COMMENT ON FUNCTION audit_log.watch_call(regclass, jsonb, name[]) IS 'The call that watches a table again as it is watched, without columns that are gone; key NULL: by its primary key. Internal.';

CREATE FUNCTION audit_log.doctor_watch(trigger oid) RETURNS SETOF audit_log.diagnosis
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  watch pg_catalog.pg_trigger := (SELECT t FROM pg_catalog.pg_trigger t WHERE t.oid = trigger);
  relation regclass := watch.tgrelid;
  options jsonb := pg_catalog.convert_from(pg_catalog.substr(watch.tgargs, 1, pg_catalog.length(watch.tgargs) - 1), pg_catalog.getdatabaseencoding())::jsonb;
  by_primary_key boolean := coalesce((options -> 'by_primary_key')::boolean, false);
  key name[];
  wanted integer;
  own_key name[];
  gone record;
  missing text[];
BEGIN
  IF pg_catalog.jsonb_typeof(options -> 'target_id') IS DISTINCT FROM 'array' THEN
    RAISE EXCEPTION 'there is no target_id';
  END IF;
  SELECT coalesce(pg_catalog.array_agg((f.ref ->> 0)::name ORDER BY f.n) FILTER (WHERE f.ref IS NOT NULL), '{}'), pg_catalog.count(*) INTO STRICT key, wanted
  FROM (SELECT audit_log.follow_column(relation, r, true) AS ref, n
        FROM pg_catalog.jsonb_array_elements(options -> 'target_id') WITH ORDINALITY AS c(r, n)) f;
  own_key := CASE WHEN NOT by_primary_key THEN key END;
  IF watch.tgtype <> 29 OR watch.tgqual IS NOT NULL OR watch.tgattr::text <> '' THEN
    RETURN QUERY SELECT 'error', 'capture trigger altered: it does not fire for every change of a row', relation::text, audit_log.watch_call(relation, options, own_key);
  END IF;
  IF pg_catalog.cardinality(key) < wanted OR key = '{}' THEN
    RETURN QUERY SELECT 'error', 'key gone: columns that told its rows apart were dropped, its entries do not say any more which row they are of', relation::text,
      CASE WHEN audit_log.unique_key(relation) IS NOT NULL THEN audit_log.watch_call(relation, options, audit_log.unique_key(relation))
           ELSE audit_log.watch_call(relation, options, '{…}') || ' -- name the columns that identify a row' END;
  ELSIF by_primary_key AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_index i
    WHERE i.indrelid = relation AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
      AND NOT EXISTS (SELECT FROM pg_catalog.unnest(i.indkey::smallint[]) WITH ORDINALITY AS c(number, place)
                      JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = c.number
                      WHERE c.place <= i.indnkeyatts AND a.attname <> ALL (key))) THEN
    RETURN QUERY SELECT 'error', pg_catalog.format('key gone: it is watched by its primary key (%s), which was dropped, so several rows may be recorded as one',
                                                   pg_catalog.array_to_string(key, ', ')), relation::text,
      CASE WHEN audit_log.primary_key(relation) IS NOT NULL THEN audit_log.watch_call(relation, options, NULL)
           ELSE pg_catalog.format('ALTER TABLE %s ADD PRIMARY KEY (%s)', relation, (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(k), ', ') FROM pg_catalog.unnest(key) k)) END;
  END IF;
  FOR gone IN
    SELECT o.ref ->> 0 AS name, pg_catalog.string_agg(DISTINCT o.option, ', ') AS options, pg_catalog.bool_and(o.option = 'redact') AS is_redacted
    FROM (SELECT 'target_name' AS option, options -> 'target_name' AS ref
          UNION ALL SELECT 'organization', options -> 'organization'
          UNION ALL SELECT 'parents', p -> 1 FROM pg_catalog.jsonb_array_elements(options -> 'parents') p
          UNION ALL SELECT 'categories', r -> 'column' FROM pg_catalog.jsonb_array_elements(options -> 'rules') r WHERE r -> 'column' ->> 0 IS NOT NULL
          UNION ALL SELECT 'ignore', i FROM pg_catalog.jsonb_array_elements(options -> 'ignore') i
          UNION ALL SELECT 'redact', r FROM pg_catalog.jsonb_array_elements(options -> 'redact') r) o
    WHERE pg_catalog.jsonb_typeof(o.ref) = 'array' AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_attribute a
      WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
        AND (a.attname = o.ref ->> 0 OR (a.attnum = (o.ref ->> 1)::smallint)))
    GROUP BY 1
  LOOP
    RETURN QUERY SELECT CASE WHEN gone.is_redacted THEN 'info' ELSE 'warning' END,
      pg_catalog.format(CASE WHEN gone.is_redacted THEN 'redacted column gone: "%s" was dropped; a column made anew by this name would be redacted, until the table is watched again'
                             ELSE 'column gone: "%s", which its watch names in %s, was dropped' END, gone.name, gone.options),
      relation::text, audit_log.watch_call(relation, options, own_key);
  END LOOP;
  WITH RECURSIVE tree (relid, kind, partitioned) AS (
    SELECT c.oid, c.relkind, c.relkind = 'p' FROM pg_catalog.pg_class c WHERE c.oid = relation
    UNION ALL
    SELECT c.oid, c.relkind, true FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.relid JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid WHERE t.kind = 'p')
  SELECT pg_catalog.array_agg(pg_catalog.format('"%s" on %s', m.name, t.relid::regclass) ORDER BY t.relid <> relation, t.relid::regclass::text, m.name) INTO missing
  FROM tree t CROSS JOIN LATERAL audit_log.member_triggers_of(t.kind, t.partitioned) m
  WHERE NOT EXISTS (SELECT FROM audit_log.member_trigger x WHERE x.tgrelid = t.relid AND x.tgname = m.name);
  IF missing IS NOT NULL THEN
    RETURN QUERY SELECT 'error', pg_catalog.format('capture trigger missing: %s%s, so TRUNCATE or moves between partitions are not recorded as they should', missing[1],
                                                   ' and ' || nullif(pg_catalog.cardinality(missing) - 1, 0) || ' more'),
      relation::text, audit_log.watch_call(relation, options, own_key);
  END IF;
END
$$;
COMMENT ON FUNCTION audit_log.doctor_watch(oid) IS 'What is wrong with a watched table, by its trigger. Internal.';

CREATE FUNCTION audit_log.doctor_watches() RETURNS SETOF audit_log.diagnosis
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  watch record;
BEGIN
  FOR watch IN
    SELECT t.oid, t.tgname, t.tgrelid::regclass AS relation,
           EXISTS (SELECT FROM pg_catalog.pg_trigger o WHERE o.tgrelid = t.tgrelid AND o.tgname = '!audit_log' AND o.tgfoid = t.tgfoid) AS has_ours
    FROM pg_catalog.pg_trigger t
    WHERE t.tgfoid = 'audit_log.capture()'::regprocedure AND t.tgparentid = 0
  LOOP
    IF watch.tgname <> '!audit_log' THEN
      RETURN QUERY SELECT 'error', pg_catalog.format('capture trigger renamed: "%s" records in another order than it should, or what another one records, too', watch.tgname), watch.relation::text,
        pg_catalog.format(CASE WHEN watch.has_ours THEN 'DROP TRIGGER %I ON %s' ELSE 'ALTER TRIGGER %I ON %s RENAME TO "!audit_log"' END, watch.tgname, watch.relation);
      CONTINUE WHEN watch.has_ours;
    END IF;
    BEGIN
      RETURN QUERY SELECT d.* FROM audit_log.doctor_watch(watch.oid) d;
    EXCEPTION WHEN OTHERS THEN
      RETURN QUERY SELECT 'error', pg_catalog.format('capture trigger unreadable: its options cannot be read (%s)', SQLERRM), watch.relation::text,
        pg_catalog.format('DROP TRIGGER %I ON %s -- and watch the table again, with the options it had', watch.tgname, watch.relation);
    END;
  END LOOP;
  -- Of partitions that are as their parent is, the parent tells.
  RETURN QUERY SELECT CASE t.tgenabled WHEN 'O' THEN 'warning' ELSE 'error' END,
    pg_catalog.format(CASE t.tgenabled WHEN 'O' THEN 'capture trigger not always: "%s" does not fire for logical replication, or where session_replication_role is replica'
                                       ELSE 'capture trigger disabled: "%s" does not fire, changes are not recorded' END, t.tgname),
    t.tgrelid::regclass::text, pg_catalog.format('ALTER TABLE %s%s ENABLE ALWAYS TRIGGER %I', CASE WHEN t.tgtype & 1 = 0 THEN 'ONLY ' END, t.tgrelid::regclass, t.tgname)
  FROM pg_catalog.pg_trigger t
  WHERE t.tgfoid IN ('audit_log.capture()'::regprocedure, 'audit_log.capture_truncate()'::regprocedure, 'audit_log.capture_moved()'::regprocedure)
    AND t.tgenabled <> 'A'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger p WHERE p.oid = t.tgparentid AND p.tgenabled = t.tgenabled);
  RETURN QUERY SELECT 'error', 'event trigger disabled: watches do not follow ALTER TABLE, new partitions lack triggers', e.evtname::text, pg_catalog.format('ALTER EVENT TRIGGER %I ENABLE ALWAYS', e.evtname)
  FROM pg_catalog.pg_event_trigger e WHERE e.evtname IN ('audit_log_available', 'audit_log_before_ddl', 'audit_log_follow_ddl', 'audit_log_follow_drops') AND e.evtenabled <> 'A';
END
$$;
COMMENT ON FUNCTION audit_log.doctor_watches() IS 'What is wrong with watched tables and their triggers. Internal.';

CREATE FUNCTION audit_log.doctor_tables() RETURNS SETOF audit_log.diagnosis
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  WITH watched AS MATERIALIZED (
    SELECT t.tgrelid AS relid, pg_catalog.pg_partition_root(t.tgrelid) AS root
    FROM pg_catalog.pg_trigger t WHERE t.tgfoid = 'audit_log.capture()'::regprocedure AND t.tgparentid = 0),
  unwatched AS (
    SELECT c.oid, c.relname, c.relkind
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE EXISTS (SELECT FROM watched)
      AND c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND NOT c.relispartition
      AND n.nspname NOT IN ('information_schema', 'audit_log') AND n.nspname !~ '^pg_'
      AND c.oid NOT IN (SELECT w.relid FROM watched w)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')),
  proposed AS (
    SELECT u.*, k.is_primary, CASE WHEN NOT k.is_primary THEN audit_log.unique_key(u.oid) END AS key,
           pg_catalog.regexp_replace(pg_catalog.regexp_replace(u.relname, '[^A-Za-z0-9_.]', '_', 'g'), '^(?![A-Za-z])', 't_') AS code
    FROM unwatched u
    CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = u.oid AND i.indisprimary) AS is_primary) k)
  SELECT 'info', 'table not watched: ' || CASE WHEN m.unwatch IS NULL THEN 'what happens to its rows is not recorded' ELSE 'of its partitions only single ones are' END, p.oid::regclass::text,
         pg_catalog.concat(m.unwatch, 'SELECT audit_log.watch(',
           pg_catalog.concat_ws(', ', pg_catalog.quote_literal(p.oid::regclass::text),
             CASE WHEN p.relname !~ '^[A-Za-z][A-Za-z0-9_.]{0,52}$' THEN 'target_type => ' || pg_catalog.quote_literal(pg_catalog.left(p.code, 53)) END,
             CASE WHEN NOT p.is_primary THEN 'target_id => ' || coalesce(pg_catalog.quote_literal(p.key::text), '''{…}''') END), ')',
           CASE WHEN NOT p.is_primary AND p.key IS NULL THEN ' -- name the columns that identify a row' END)
  FROM proposed p
  LEFT JOIN (SELECT w.root, pg_catalog.string_agg(pg_catalog.format('SELECT audit_log.unwatch(%L); ', w.relid::regclass), '' ORDER BY w.relid::regclass::text) AS unwatch
             FROM watched w GROUP BY w.root) m ON m.root = p.oid
$$;
COMMENT ON FUNCTION audit_log.doctor_tables() IS 'Tables that are not watched, where others are. Internal.';

CREATE FUNCTION audit_log.doctor_rights() RETURNS SETOF audit_log.diagnosis
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  WITH owner AS (SELECT e.extowner AS oid, e.extowner::regrole AS name FROM pg_catalog.pg_extension e WHERE e.extname = 'audit_log'),
  home AS (SELECT n.oid, n.nspowner, n.nspacl FROM pg_catalog.pg_namespace n WHERE n.nspname = 'audit_log'),
  granted AS (
    SELECT c.oid::regclass AS relation, c.relowner AS owner, a.grantee, a.privilege_type AS privilege
    FROM home h JOIN pg_catalog.pg_class c ON c.relnamespace = h.oid CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
    WHERE c.relkind IN ('r', 'p', 'f')
    UNION
    SELECT c.oid::regclass, c.relowner, a.grantee, pg_catalog.format('%s (%I)', a.privilege_type, t.attname)
    FROM home h JOIN pg_catalog.pg_class c ON c.relnamespace = h.oid
    JOIN pg_catalog.pg_attribute t ON t.attrelid = c.oid CROSS JOIN LATERAL pg_catalog.aclexplode(t.attacl) a
    WHERE c.relkind IN ('r', 'p', 'f')),
  owned AS (
    SELECT 'SCHEMA' AS kind, 'audit_log' AS name, h.nspowner AS owner FROM home h
    UNION ALL
    SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, c.oid::regclass::text, c.relowner
    FROM home h JOIN pg_catalog.pg_class c ON c.relnamespace = h.oid WHERE c.relkind IN ('r', 'p', 'f', 'v')
    UNION ALL
    SELECT 'ROUTINE', p.oid::regprocedure::text, p.proowner FROM home h JOIN pg_catalog.pg_proc p ON p.pronamespace = h.oid)
  SELECT 'error', pg_catalog.format('write granted: %s has %s, so it can write to the log past what records it', pg_catalog.max(g.who), pg_catalog.string_agg(g.privilege, ', ' ORDER BY g.privilege)),
         g.relation::text, pg_catalog.format('REVOKE %s ON %s FROM %s CASCADE', pg_catalog.string_agg(g.privilege, ', ' ORDER BY g.privilege), g.relation, pg_catalog.max(g.who))
  FROM (SELECT g.*, CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END AS who FROM granted g) g
  WHERE g.grantee <> g.owner AND g.privilege ~ '^(INSERT|UPDATE|DELETE|TRUNCATE|TRIGGER)'
  GROUP BY g.relation, g.grantee
  UNION ALL
  SELECT 'error', pg_catalog.format('create granted: %s can create objects in the schema of the log', w.who), 'audit_log', pg_catalog.format('REVOKE CREATE ON SCHEMA audit_log FROM %s CASCADE', w.who)
  FROM home h CROSS JOIN LATERAL pg_catalog.aclexplode(h.nspacl) a
  CROSS JOIN LATERAL (SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS who) w
  WHERE a.privilege_type = 'CREATE' AND a.grantee <> h.nspowner
  UNION ALL
  SELECT 'error', pg_catalog.format('owner not a superuser: %s owns it, and can change it, the guard of entries included', o.owner::regrole), o.name,
         pg_catalog.format('ALTER %s %s OWNER TO %s', o.kind, o.name, e.name)
  FROM owned o CROSS JOIN owner e
  WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid = o.owner AND r.rolsuper)
$$;
COMMENT ON FUNCTION audit_log.doctor_rights() IS 'Who can do more to the log than it means to allow. Internal.';

CREATE FUNCTION audit_log.doctor_settings() RETURNS SETOF audit_log.diagnosis
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT 'warning', 'context preset: every session begins with this context, so that whoever sets none acts as the same actor', s.object, pg_catalog.format('ALTER %s RESET audit_log.context', s.object)
  FROM (SELECT pg_catalog.concat_ws(' ', CASE WHEN r.setrole <> 0 THEN 'ROLE ' || r.setrole::regrole::text WHEN r.setdatabase = 0 THEN 'ROLE ALL' END,
                                    CASE WHEN r.setdatabase <> 0 THEN CASE WHEN r.setrole <> 0 THEN 'IN ' ELSE '' END || pg_catalog.format('DATABASE %I', d.datname) END) AS object, r.setconfig
        FROM pg_catalog.pg_db_role_setting r
        LEFT JOIN pg_catalog.pg_database d ON d.oid = r.setdatabase
        WHERE r.setdatabase = 0 OR d.datname = pg_catalog.current_database()) s
  WHERE EXISTS (SELECT FROM pg_catalog.unnest(s.setconfig) c WHERE c LIKE 'audit\_log.context=%' AND c <> 'audit_log.context=')
  UNION ALL
  SELECT 'info', 'organization disabled: writes to watched tables go on and are not recorded', s.id, pg_catalog.format('SELECT audit_log.enable_organization(%L)', s.id)
  FROM audit_log.organization_setting s WHERE NOT s.enabled
  UNION ALL
  SELECT 'info', pg_catalog.format('hold in force: since %s, placed by %s; what it holds is never purged', h.placed_at::date, h.placed_by), h.name, pg_catalog.format('SELECT audit_log.release_hold(%L)', h.name)
  FROM audit_log.legal_hold h WHERE h.placed_at < pg_catalog.clock_timestamp() - interval '1 year'
$$;
COMMENT ON FUNCTION audit_log.doctor_settings() IS 'Settings, organizations and holds that one may have forgotten. Internal.';

CREATE FUNCTION audit_log.doctor() RETURNS TABLE (severity text, finding text, object text, fix text)
  LANGUAGE plpgsql STABLE SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET quote_all_identifiers = off
  SET lock_timeout = '2s'
AS $$
DECLARE
  checked text;
  found audit_log.diagnosis[];
  findings audit_log.diagnosis[] := '{}';
BEGIN
  FOREACH checked IN ARRAY ARRAY['doctor_watches()', 'doctor_tables()', 'doctor_rights()', 'doctor_settings()', 'doctor_worker()',
                                 'doctor_partitions(''1 hour'')', 'doctor_guards()', 'doctor_indexes()', 'doctor_writing()', 'doctor_retention()', 'doctor_feed(''5 minutes'')'] LOOP
    BEGIN
      EXECUTE pg_catalog.format('SELECT pg_catalog.array_agg(d) FROM audit_log.%s d', checked) INTO found;
      findings := findings || found;
    EXCEPTION WHEN OTHERS THEN
      findings := findings || ROW ('warning', 'check failed: ' || SQLERRM, 'audit_log.' || checked, 'Remove the cause, or look again when nobody alters what it looks at.')::audit_log.diagnosis;
    END;
  END LOOP;
  RETURN QUERY SELECT f.severity, f.finding, f.object, f.fix FROM pg_catalog.unnest(findings) f
  ORDER BY pg_catalog.array_position(ARRAY['error', 'warning', 'info'], f.severity), pg_catalog.split_part(f.finding, ':', 1), f.object, f.finding;
END
$$;
COMMENT ON FUNCTION audit_log.doctor() IS 'What is wrong with the audit log, the worst first, and what to do: severity is error (something is not recorded, or not safe), warning (it soon will be, or is slow) or info; finding begins with a phrase that does not change; object is the table, partition, task, setting, role or session; fix the statements to run, or what to do. No rows: all is well. Reads no more of the log than it must.';
