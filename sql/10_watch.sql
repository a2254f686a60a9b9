-- watch() and unwatch().

CREATE FUNCTION audit_log.column_ref(relation regclass, field text, column_name name) RETURNS jsonb
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  ref jsonb;
BEGIN
  IF column_name IS NULL THEN
    RETURN NULL;
  END IF;
  SELECT pg_catalog.jsonb_build_array(a.attname, a.attnum) INTO ref
  FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = relation AND a.attname = column_name AND a.attnum > 0 AND NOT a.attisdropped;
  IF ref IS NULL THEN
    RAISE EXCEPTION 'column "%" of % does not exist', column_name, relation
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: ' || field,
            HINT = pg_catalog.format('%s names columns of the watched table.', field);
  END IF;
  RETURN ref;
END
$$;
COMMENT ON FUNCTION audit_log.column_ref(regclass, text, name) IS 'A column reference [name, number]; 22023 where the table has no such column. Internal.';

CREATE FUNCTION audit_log.column_refs(relation regclass, field text, names name[]) RETURNS jsonb
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.unnest(names) n WHERE n IS NULL) THEN
    RAISE EXCEPTION '% names a column that is null', field
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: ' || field, HINT = 'Leave null items out.';
  END IF;
  RETURN (SELECT coalesce(pg_catalog.jsonb_agg(audit_log.column_ref(relation, field, c.n) ORDER BY c.i), '[]')
  FROM pg_catalog.unnest(names) WITH ORDINALITY AS c(n, i));
END
$$;
COMMENT ON FUNCTION audit_log.column_refs(regclass, text, name[]) IS 'A list of column references. Internal.';

CREATE FUNCTION audit_log.primary_key(relation regclass) RETURNS name[]
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT pg_catalog.array_agg(a.attname ORDER BY k.n)
  FROM pg_catalog.pg_index i
  CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::smallint[]) WITH ORDINALITY AS k(attnum, n)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
  WHERE i.indrelid = relation AND i.indisprimary AND k.n <= i.indnkeyatts
$$;
COMMENT ON FUNCTION audit_log.primary_key(regclass) IS 'The columns of a table''s primary key in order; NULL where it has none. Internal.';

CREATE FUNCTION audit_log.check_watchable(relation regclass) RETURNS void
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  class pg_catalog.pg_class;
  other regclass;
BEGIN
  SELECT c.* INTO class FROM pg_catalog.pg_class c WHERE c.oid = relation;
  IF class.oid IS NULL THEN
    RAISE EXCEPTION 'relation is null or does not exist'
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: relation', HINT = 'Name a table.';
  ELSIF class.relkind NOT IN ('r', 'p', 'f') THEN
    RAISE EXCEPTION '% is not a table', relation
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: relation',
            HINT = 'Tables, partitioned tables and foreign tables can be watched; of a view, watch the tables it reads.';
  ELSIF class.relpersistence = 't' OR class.relnamespace IN (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname IN ('pg_catalog', 'information_schema', 'pg_toast', 'audit_log')) THEN
    RAISE EXCEPTION '% cannot be watched', relation
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: relation',
            HINT = 'Temporary tables, system catalogs and the audit log''s own tables are not watched.';
  END IF;
  SELECT w.relid INTO other FROM pg_catalog.pg_partition_ancestors(relation) a
  JOIN audit_log.watch_trigger w ON w.relid = a.relid WHERE a.relid <> relation LIMIT 1;
  IF other IS NOT NULL THEN
    RAISE EXCEPTION '% is watched already, as a partition of %', relation, other
      USING ERRCODE = '55000', DETAIL = 'code: not_in_prerequisite_state', HINT = pg_catalog.format('Watch %s again to change its options.', other);
  END IF;
  SELECT w.relid INTO other FROM pg_catalog.pg_partition_tree(relation) a
  JOIN audit_log.watch_trigger w ON w.relid = a.relid WHERE a.relid <> relation LIMIT 1;
  IF other IS NOT NULL THEN
    RAISE EXCEPTION 'partition % of % is watched by itself', other, relation
      USING ERRCODE = '55000', DETAIL = 'code: not_in_prerequisite_state',
            HINT = pg_catalog.format('SELECT audit_log.unwatch(%L) first.', other);
  END IF;
  IF class.relkind <> 'p' AND EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = relation) THEN
    RAISE WARNING 'tables that inherit from % are not watched with it', relation
      USING HINT = 'Watch each of them too; only partitions are watched with their parent.';
  END IF;
END
$$;
COMMENT ON FUNCTION audit_log.check_watchable(regclass) IS 'Fails where a relation is of a kind or in a place that cannot be watched. Internal.';

CREATE FUNCTION audit_log.check_target_type(field text, code text) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF code IS NULL OR code !~ '^[A-Za-z][A-Za-z0-9_.]{0,62}$' THEN
    RAISE EXCEPTION '"%" is not a target type''s code', code
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: ' || field,
            HINT = 'Give target_type: a letter, then letters, digits, "_" and ".", at most 63 characters.';
  END IF;
  IF NOT EXISTS (SELECT FROM audit_log.target_type t WHERE t.code = check_target_type.code) THEN
    PERFORM audit_log.define_target_type(code,
      pg_catalog.upper(pg_catalog.left(code, 1)) || pg_catalog.replace(pg_catalog.substr(code, 2), '_', ' '));
  END IF;
END
$$;
COMMENT ON FUNCTION audit_log.check_target_type(text, text) IS 'Defines a target type that is not there yet; 22023 where it is no code. Internal.';

-- <type>_created and its companions, defined where they are not.
CREATE FUNCTION audit_log.default_categories(target_type text) RETURNS jsonb
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  wanted record;
  owner text;
  defaults jsonb := '{}';
BEGIN
  FOR wanted IN SELECT * FROM (VALUES
    ('insert', 'created', 'green'), ('update', 'updated', 'blue'), ('delete', 'deleted', 'red'), ('truncate', 'truncated', 'red')
  ) AS v(operation, suffix, color) LOOP
    IF pg_catalog.length(target_type || '_' || wanted.suffix) > 63 THEN
      RAISE EXCEPTION 'target type "%" is too long for the category "%_%"', target_type, target_type, wanted.suffix
        USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: target_type', HINT = 'Give a target_type of at most 53 characters.';
    END IF;
    owner := (SELECT c.target_type FROM audit_log.category_definition c WHERE c.category = default_categories.target_type || '_' || wanted.suffix);
    IF owner IS NULL THEN
      PERFORM audit_log.define_category(target_type || '_' || wanted.suffix, target_type,
        (SELECT t.label FROM audit_log.target_type t WHERE t.code = default_categories.target_type) || ' ' || wanted.suffix,
        NULL, wanted.color);
    ELSIF owner <> target_type THEN
      RAISE EXCEPTION 'category "%_%" belongs to target type "%"', target_type, wanted.suffix, owner
        USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: target_type', HINT = 'Give another target_type.';
    END IF;
    defaults := defaults || pg_catalog.jsonb_build_object(wanted.operation, target_type || '_' || wanted.suffix);
  END LOOP;
  RETURN defaults;
END
$$;
COMMENT ON FUNCTION audit_log.default_categories(text) IS 'The categories of a target type''s row changes by operation, defined where they are not. Internal.';

CREATE FUNCTION audit_log.watch_rules(relation regclass, categories jsonb) RETURNS jsonb
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  rule jsonb;
  place text;
  fault text;
  rules jsonb := '[]';
BEGIN
  IF categories IS NULL OR pg_catalog.jsonb_typeof(categories) = 'null' THEN
    RETURN rules;
  END IF;
  IF pg_catalog.jsonb_typeof(categories) <> 'array' THEN
    RAISE EXCEPTION 'categories is not a JSON array of rules'
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: categories',
            HINT = 'Like [{"on": "update", "column": "status", "to": "closed", "category": "job_closed"}].';
  END IF;
  FOR rule, place IN
    SELECT r, 'categories[' || n - 1 || ']' FROM pg_catalog.jsonb_array_elements(categories) WITH ORDINALITY AS c(r, n)
  LOOP
    fault := CASE
      WHEN pg_catalog.jsonb_typeof(rule) <> 'object' THEN 'is not an object'
      WHEN coalesce(rule ->> 'on', '') NOT IN ('insert', 'update', 'delete', 'truncate') THEN 'has no "on": insert, update, delete or truncate'
      WHEN rule ->> 'category' IS NULL THEN 'has no "category"'
      WHEN EXISTS (SELECT FROM pg_catalog.jsonb_object_keys(rule) k WHERE k NOT IN ('on', 'column', 'from', 'to', 'category')) THEN 'has a key other than on, column, from, to, category'
      WHEN (rule ? 'from' OR rule ? 'to') AND rule ->> 'column' IS NULL THEN 'has from or to without a column'
    END;
    IF fault IS NOT NULL THEN
      RAISE EXCEPTION '% %', place, fault
        USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: ' || place,
              HINT = 'Like {"on": "update", "column": "status", "from": "open", "to": "closed", "category": "job_closed"}; from and to may be left out.';
    END IF;
    PERFORM audit_log.check_vocabulary('category', ARRAY[rule ->> 'category']);
    rules := rules || pg_catalog.jsonb_build_array(
      rule || pg_catalog.jsonb_build_object('column', audit_log.column_ref(relation, place, (rule ->> 'column')::name)));
  END LOOP;
  RETURN rules;
END
$$;
COMMENT ON FUNCTION audit_log.watch_rules(regclass, jsonb) IS 'Category rules as the trigger carries them; 22023 names the rule that is wrong. Internal.';

CREATE FUNCTION audit_log.watch_parents(relation regclass, parents jsonb) RETURNS jsonb
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  parent record;
  pairs jsonb := '[]';
BEGIN
  IF parents IS NULL OR pg_catalog.jsonb_typeof(parents) = 'null' THEN
    RETURN pairs;
  END IF;
  IF pg_catalog.jsonb_typeof(parents) <> 'object' THEN
    RAISE EXCEPTION 'parents is not a JSON object'
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: parents', HINT = 'Like {"job": "job_id"}: target type and column.';
  END IF;
  FOR parent IN SELECT p.key, p.value FROM pg_catalog.jsonb_each(parents) p LOOP
    IF pg_catalog.jsonb_typeof(parent.value) <> 'string' THEN
      RAISE EXCEPTION 'parents.% is not the name of a column', parent.key
        USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: parents', HINT = 'Like {"job": "job_id"}: target type and column.';
    END IF;
    PERFORM audit_log.check_target_type('parents', parent.key);
    pairs := pairs || pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_array(
      parent.key, audit_log.column_ref(relation, 'parents', (parent.value #>> '{}')::name)));
  END LOOP;
  RETURN pairs;
END
$$;
COMMENT ON FUNCTION audit_log.watch_parents(regclass, jsonb) IS 'Parents as the trigger carries them: pairs of target type and column. Internal.';

-- A redacted value must not reach an entry by another way.
CREATE FUNCTION audit_log.check_redact(options jsonb) RETURNS void
  LANGUAGE plpgsql IMMUTABLE
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  leak text;
BEGIN
  SELECT r ->> 0 INTO leak
  FROM pg_catalog.jsonb_array_elements(options -> 'redact') r
  WHERE options -> 'target_id' @> pg_catalog.jsonb_build_array(r)
     OR options -> 'target_name' = r OR options -> 'organization' = r
     OR EXISTS (SELECT FROM pg_catalog.jsonb_array_elements(options -> 'parents') p WHERE p -> 1 = r)
     OR EXISTS (SELECT FROM pg_catalog.jsonb_array_elements(options -> 'rules') u WHERE u -> 'column' = r AND (u ? 'from' OR u ? 'to'))
  LIMIT 1;
  IF leak IS NOT NULL THEN
    RAISE EXCEPTION 'column "%" is redacted and also shown as an id, name, organization, parent or value of a rule', leak
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: redact', HINT = 'Redact the column or show it, not both; target_id can name other columns than the primary key.';
  END IF;
END
$$;
COMMENT ON FUNCTION audit_log.check_redact(jsonb) IS 'Fails with 22023 where a redacted column would be shown all the same. Internal.';

-- A column that is ignored is as good as not there; what happened to it meanwhile is not known afterwards.
CREATE FUNCTION audit_log.note_ignored(relation regclass, before jsonb, after jsonb) RETURNS void
  LANGUAGE sql
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT audit_log.note_change(audit_log.relation_label(relation), 'columns', columns => pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
    'ignored', c.ignored, 'added', c.added)))
  FROM (SELECT (SELECT pg_catalog.jsonb_agg(a -> 0) FROM pg_catalog.jsonb_array_elements(after) a WHERE NOT before @> pg_catalog.jsonb_build_array(a)) AS ignored,
               (SELECT pg_catalog.jsonb_object_agg(b ->> 0, 'unknown') FROM pg_catalog.jsonb_array_elements(before) b WHERE NOT after @> pg_catalog.jsonb_build_array(b)) AS added) c
  WHERE c.ignored IS NOT NULL OR c.added IS NOT NULL
$$;
COMMENT ON FUNCTION audit_log.note_ignored(regclass, jsonb, jsonb) IS 'Notes columns that are ignored from now on, or no longer. Internal.';

CREATE FUNCTION audit_log.watch(
  relation regclass, target_type text DEFAULT NULL, target_id name[] DEFAULT NULL, target_name name DEFAULT NULL,
  organization name DEFAULT NULL, parents jsonb DEFAULT NULL, categories jsonb DEFAULT NULL,
  ignore name[] DEFAULT NULL, redact name[] DEFAULT NULL, capture text DEFAULT 'changes') RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  type_code text := coalesce(target_type, (SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid = relation));
  key name[] := target_id;
  before jsonb;
  options jsonb;
BEGIN
  PERFORM audit_log.check_watchable(relation);
  IF coalesce(capture, '') NOT IN ('changes', 'full', 'keys') THEN
    RAISE EXCEPTION 'unknown capture mode "%"', capture
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: capture', HINT = 'The modes are changes, full and keys.';
  END IF;
  IF coalesce(pg_catalog.cardinality(key), 0) = 0 THEN
    key := audit_log.primary_key(relation);
  END IF;
  IF key IS NULL THEN
    RAISE EXCEPTION '% has no primary key', relation
      USING ERRCODE = '55000', DETAIL = 'code: not_in_prerequisite_state',
            HINT = pg_catalog.format('Name the columns that identify a row: audit_log.watch(%L, target_id => ARRAY[…]), or add a primary key.', relation);
  END IF;
  PERFORM audit_log.check_target_type('target_type', type_code);
  SELECT w.options INTO before FROM audit_log.watch_trigger w WHERE w.relid = relation;
  options := pg_catalog.jsonb_build_object(
    'relation', audit_log.relation_label(relation),
    'columns', audit_log.columns_of(relation),
    'target_type', type_code,
    'target_id', audit_log.column_refs(relation, 'target_id', key),
    -- For doctor(): whether the key was the table's own.
    'by_primary_key', key IS NOT DISTINCT FROM audit_log.primary_key(relation),
    'target_name', audit_log.column_ref(relation, 'target_name', target_name),
    'organization', audit_log.column_ref(relation, 'organization', organization),
    'parents', audit_log.watch_parents(relation, parents),
    'rules', audit_log.watch_rules(relation, categories),
    'ignore', audit_log.column_refs(relation, 'ignore', ignore),
    'redact', audit_log.column_refs(relation, 'redact', redact),
    'capture', capture,
    'defaults', audit_log.default_categories(type_code));
  PERFORM audit_log.check_redact(options);
  PERFORM audit_log.write_row_trigger(relation, options);
  PERFORM audit_log.write_member_triggers(relation);
  IF before IS NOT NULL THEN
    PERFORM audit_log.note_ignored(relation, before -> 'ignore', options -> 'ignore');
  END IF;
  PERFORM audit_log.note_captured(relation);
  PERFORM audit_log.record_own('watch_changed', audit_log.relation_label(relation),
    pg_catalog.jsonb_build_object('watched', true, 'replaced', before IS NOT NULL,
      'options', (SELECT pg_catalog.jsonb_strip_nulls(pg_catalog.to_jsonb(w) - 'relation') FROM audit_log.watched w WHERE w.relation = watch.relation)));
END
$$;
COMMENT ON FUNCTION audit_log.watch(regclass, text, name[], name, name, jsonb, jsonb, name[], name[], text) IS 'Records every change of a table''s rows from now on; calling it again replaces the options. target_type: vocabulary type, by default the table''s name; target_id: columns that identify a row, by default the primary key; target_name: column that labels it; organization: column that holds the organization; parents: {"target type": "column"}; categories: rules [{"on", "column"?, "from"?, "to"?, "category"}]; ignore: columns not recorded; redact: columns recorded without their value; capture: changes, full or keys. 22023 for a wrong argument, 55000 where the table has no key. Takes SHARE ROW EXCLUSIVE on the table: readers go on, writers wait. Recorded as watch_changed.';

CREATE FUNCTION audit_log.unwatch(relation regclass) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF NOT EXISTS (SELECT FROM audit_log.watch_trigger w WHERE w.relid = relation) THEN
    RAISE EXCEPTION '% is not watched', relation
      USING ERRCODE = '55000', DETAIL = 'code: not_in_prerequisite_state',
            HINT = 'SELECT relation FROM audit_log.watched lists what is; of a partition, unwatch the parent.';
  END IF;
  PERFORM audit_log.end_watch(relation);
  PERFORM audit_log.note_change(audit_log.relation_label(relation), 'unwatched');
  PERFORM audit_log.record_own('watch_changed', audit_log.relation_label(relation),
    pg_catalog.jsonb_build_object('watched', false));
END
$$;
COMMENT ON FUNCTION audit_log.unwatch(regclass) IS 'Stops recording a table''s changes; what was recorded stays. 55000 where it is not watched. Recorded as watch_changed.';
