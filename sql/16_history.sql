-- One row's past: the entries of it, and by which names its table is found.

-- By the caller's search_path where the name has no schema. A table that is gone is known by the log.
CREATE FUNCTION audit_log.label_of(relation text, path name[]) RETURNS text
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  parts text[];
  found text;
BEGIN
  PERFORM audit_log.require_reader();
  BEGIN
    parts := pg_catalog.parse_ident(relation);
  EXCEPTION WHEN invalid_parameter_value THEN
    parts := '{}';
  END;
  IF pg_catalog.cardinality(parts) = 3 AND parts[1] = pg_catalog.current_database() THEN
    parts := parts[2:];
  END IF;
  IF pg_catalog.cardinality(parts) = 2 THEN
    RETURN audit_log.qualified_name(parts[1], parts[2]);
  ELSIF pg_catalog.cardinality(parts) <> 1 THEN
    RAISE EXCEPTION '"%" is not the name of a table', relation
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: relation', HINT = 'Give it as schema.table.';
  END IF;
  SELECT audit_log.qualified_name(n.nspname, c.relname) INTO found
  FROM pg_catalog.unnest(path) WITH ORDINALITY AS p(schema, place)
  JOIN pg_catalog.pg_namespace n ON n.nspname = p.schema
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = parts[1]
  ORDER BY p.place LIMIT 1;
  IF found IS NULL THEN
    SELECT l.label INTO found
    FROM pg_catalog.unnest(path) WITH ORDINALITY AS p(schema, place)
    CROSS JOIN LATERAL (SELECT audit_log.qualified_name(p.schema, parts[1]) AS label) l
    WHERE EXISTS (SELECT FROM audit_log.relation_change c WHERE c.relation = l.label OR c.previous = l.label)
    ORDER BY p.place LIMIT 1;
  END IF;
  IF found IS NULL THEN
    RAISE EXCEPTION 'relation "%" does not exist, and the audit log knows none of that name', relation
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: relation',
            HINT = 'Give a dropped table as schema.table; SELECT DISTINCT relation FROM audit_log.entry lists those that have entries.';
  END IF;
  RETURN found;
END
$$;
COMMENT ON FUNCTION audit_log.label_of(text, name[]) IS 'The name schema.table of a table, found in some schemas where it is given without one, even if it was dropped. 22023 where nobody knows it. Internal.';

CREATE FUNCTION audit_log.named_relation(label text) RETURNS oid
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT c.oid
  FROM (SELECT pg_catalog.parse_ident(label) AS parts) l
  JOIN pg_catalog.pg_namespace n ON n.nspname = l.parts[1]
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = l.parts[2]
$$;
COMMENT ON FUNCTION audit_log.named_relation(text) IS 'The table of a name schema.table, whoever may use its schema; NULL where there is none. Internal.';

-- A partition's rows are its parent's; a name that a table has left is that table's, until another has it.
CREATE FUNCTION audit_log.root_label(label text) RETURNS text
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  relation oid := audit_log.named_relation(label);
  name text := label;
  since timestamptz := '-infinity';
  moved record;
BEGIN
  IF relation IS NOT NULL THEN
    RETURN coalesce((SELECT audit_log.relation_label(w.relid) FROM audit_log.watch_trigger w
                     WHERE w.relid = relation OR w.relid IN (SELECT a.relid FROM pg_catalog.pg_partition_ancestors(relation) a) LIMIT 1), label);
  END IF;
  LOOP
    SELECT c.relation, c.at INTO moved FROM audit_log.relation_change c
    WHERE c.kind = 'renamed' AND c.previous = name AND c.at > since
      AND NOT EXISTS (SELECT FROM audit_log.relation_change d WHERE d.relation = name AND d.at > c.at)
    ORDER BY c.at DESC LIMIT 1;
    EXIT WHEN NOT FOUND;
    name := moved.relation;
    since := moved.at;
  END LOOP;
  RETURN name;
END
$$;
COMMENT ON FUNCTION audit_log.root_label(text) IS 'The name, of today, of the watched table that a name means. Internal.';

CREATE FUNCTION audit_log.history_of(label text, target_id text) RETURNS SETOF audit_log.entry
  LANGUAGE plpgsql STABLE ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  wanted text := audit_log.stored_id(history_of.target_id);
  root text;
BEGIN
  PERFORM audit_log.require_reader();
  root := audit_log.root_label(history_of.label);
  RETURN QUERY
    WITH period AS MATERIALIZED (SELECT * FROM audit_log.name_periods(root))
    SELECT e.* FROM audit_log.entry e
    JOIN (SELECT v.occurred_at, v.id, v.relation FROM audit_log.stored_event v
          WHERE v.target_id = wanted AND v.relation IN (SELECT p.name FROM period p)
          UNION
          -- The update that gave the row another key names this one as a related target.
          SELECT v.occurred_at, v.id, v.relation FROM audit_log.stored_event_target t
          JOIN audit_log.stored_event v ON v.occurred_at = t.occurred_at AND v.id = t.event_id
          WHERE t.target_id = wanted AND t.target_type = v.target_type
            AND v.operation IN ('u', 'l', 'e') AND v.relation IN (SELECT p.name FROM period p)
            AND v.targets @> pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object('id', wanted, 'relation', 'related'))) h
      ON h.occurred_at = e.occurred_at AND h.id = e.id
    WHERE EXISTS (SELECT FROM period p WHERE p.name = h.relation AND h.occurred_at > p.since AND h.occurred_at <= p.until)
    ORDER BY e.occurred_at DESC, e.id DESC;
END
$$;
COMMENT ON FUNCTION audit_log.history_of(text, text) IS 'The entries of one row of the table of a name. Internal.';

CREATE FUNCTION audit_log.history(relation regclass, target_id text) RETURNS SETOF audit_log.entry
  LANGUAGE sql STABLE ROWS 100
BEGIN ATOMIC
  SELECT h.* FROM audit_log.history_of(audit_log.relation_label(relation), target_id) h;
END;
COMMENT ON FUNCTION audit_log.history(regclass, text) IS 'The entries of one row, newest first, across renames of its table. target_id as in entry.target_id: of several columns joined by commas, a part that is empty or holds a comma or a double quote in double quotes. Empty where the table was never watched; 42501 where the caller may read nothing.';

-- The table's name is looked up by the caller's search_path: these two have none of their own.
CREATE FUNCTION audit_log.history(relation text, target_id text) RETURNS SETOF audit_log.entry
  LANGUAGE sql STABLE ROWS 100
BEGIN ATOMIC
  SELECT h.* FROM audit_log.history_of(audit_log.label_of(relation, pg_catalog.current_schemas(true)), target_id) h;
END;
COMMENT ON FUNCTION audit_log.history(text, text) IS 'The same by the table''s name, also where it was dropped or renamed since, or is in a schema that the caller may not use: schema.table, or a name in search_path. 22023 where nobody knows the name.';
