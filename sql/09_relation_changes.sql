-- What became of watched tables: noted as it happens, and found again by whatever name a table has or had.

-- By number, so that it does not matter by which command it came about.
CREATE FUNCTION audit_log.columns_changed(relation regclass, old jsonb, new jsonb, rewritten text[]) RETURNS jsonb
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  WITH old_column AS (
    SELECT c.name, c.number FROM pg_catalog.jsonb_array_elements_text(old) WITH ORDINALITY AS c(name, number) WHERE c.name IS NOT NULL),
  new_column AS (
    SELECT c.name, c.number FROM pg_catalog.jsonb_array_elements_text(new) WITH ORDINALITY AS c(name, number) WHERE c.name IS NOT NULL)
  SELECT nullif(coalesce(pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
    'renamed', (SELECT pg_catalog.jsonb_object_agg(o.name, n.name) FROM old_column o JOIN new_column n USING (number) WHERE o.name <> n.name),
    'dropped', (SELECT pg_catalog.jsonb_agg(o.name ORDER BY o.number) FROM old_column o WHERE o.number NOT IN (SELECT n.number FROM new_column n)),
    'rewritten', (SELECT pg_catalog.jsonb_agg(r.name ORDER BY r.name) FROM pg_catalog.unnest(rewritten) r(name) WHERE r.name IN (SELECT n.name FROM new_column n)))), '{}')
    || CASE WHEN a.added IS NULL THEN '{}' ELSE pg_catalog.jsonb_build_object('added', a.added) END, '{}')
  FROM (VALUES (true)) one
  LEFT JOIN LATERAL (
    -- What rows that were there have in it: nothing, or what only the table knows.
    SELECT pg_catalog.jsonb_object_agg(n.name, CASE WHEN a.atthasdef OR a.atthasmissing OR a.attidentity <> '' OR a.attgenerated <> '' THEN 'unknown' END) AS added
    FROM new_column n
    JOIN pg_catalog.pg_attribute a ON a.attrelid = relation AND a.attnum = n.number
    WHERE n.number NOT IN (SELECT o.number FROM old_column o)) a ON a.added IS NOT NULL
$$;
COMMENT ON FUNCTION audit_log.columns_changed(regclass, jsonb, jsonb, text[]) IS 'What differs between two lists of a table''s columns by number, as relation_change has it; NULL where nothing does. Internal.';

CREATE FUNCTION audit_log.is_captured(relation regclass) RETURNS boolean
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(pg_catalog.bool_and(t.tgenabled IN ('A', 'O') AND t.tgtype = 29 AND t.tgqual IS NULL AND t.tgattr::text = '')
                  AND pg_catalog.bool_or(t.tgrelid = relation), false)
  FROM (SELECT relation AS relid UNION SELECT p.relid FROM pg_catalog.pg_partition_tree(relation) p) tree
  JOIN pg_catalog.pg_trigger t ON t.tgrelid = tree.relid
  WHERE t.tgfoid = 'audit_log.capture()'::regprocedure
$$;
COMMENT ON FUNCTION audit_log.is_captured(regclass) IS 'Whether every change of a table''s rows is recorded as its triggers are now. Internal.';

-- A name may have been another table's before, and the table may have had other names.
CREATE FUNCTION audit_log.name_periods(label text) RETURNS TABLE (name text, since timestamptz, until timestamptz)
  LANGUAGE sql STABLE ROWS 2
  SET search_path = pg_catalog, pg_temp
AS $$
  WITH RECURSIVE period AS (
    SELECT label COLLATE "C" AS name, 'infinity'::timestamptz AS until, b.at AS since, b.previous
    FROM (VALUES (true)) one LEFT JOIN LATERAL (
      SELECT c.at, CASE WHEN c.relation = label THEN c.previous END AS previous
      FROM audit_log.relation_change c
      WHERE c.kind = 'renamed' AND (c.relation = label OR c.previous = label)
      ORDER BY c.at DESC LIMIT 1) b ON true
    UNION ALL
    SELECT p.previous, p.since, b.at, b.previous
    FROM period p LEFT JOIN LATERAL (
      SELECT c.at, CASE WHEN c.relation = p.previous THEN c.previous END AS previous
      FROM audit_log.relation_change c
      WHERE c.kind = 'renamed' AND (c.relation = p.previous OR c.previous = p.previous) AND c.at < p.since
      ORDER BY c.at DESC LIMIT 1) b ON true
    WHERE p.previous IS NOT NULL)
  SELECT p.name, coalesce(p.since, '-infinity'), p.until FROM period p
$$;
COMMENT ON FUNCTION audit_log.name_periods(text) IS 'The names that the table of a name has had, with the time of each, newest first. Internal.';

CREATE FUNCTION audit_log.relation_changes(label text) RETURNS SETOF audit_log.relation_change
  LANGUAGE sql STABLE ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT c.*
  FROM audit_log.name_periods(label) p
  JOIN audit_log.relation_change c ON c.relation = p.name AND c.at >= p.since AND c.at < p.until
$$;
COMMENT ON FUNCTION audit_log.relation_changes(text) IS 'What became of the table of a name, under whatever names. Internal.';

CREATE FUNCTION audit_log.last_state(label text) RETURNS text
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT c.kind FROM audit_log.relation_changes(label) c
  WHERE c.kind IN ('watched', 'unwatched', 'dropped')
  ORDER BY c.at DESC LIMIT 1
$$;
COMMENT ON FUNCTION audit_log.last_state(text) IS 'Whether the table of a name was last noted as watched, unwatched or dropped; NULL where nothing was. Internal.';

CREATE FUNCTION audit_log.note_change(label text, kind text, previous text DEFAULT NULL, columns jsonb DEFAULT NULL) RETURNS void
  LANGUAGE sql
  SET search_path = pg_catalog, pg_temp
AS $$
  INSERT INTO audit_log.relation_change (relation, kind, previous, columns) VALUES (label, kind, previous, columns)
$$;
COMMENT ON FUNCTION audit_log.note_change(text, text, text, jsonb) IS 'Notes what became of a watched table. Internal.';

CREATE FUNCTION audit_log.note_captured(relation regclass) RETURNS text
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  label text := audit_log.relation_label(relation);
  was text := audit_log.last_state(label);
  is_now text := CASE WHEN audit_log.is_captured(relation) THEN 'watched' ELSE 'unwatched' END;
BEGIN
  IF was IS NOT DISTINCT FROM is_now OR (is_now = 'unwatched' AND was = 'dropped') THEN
    RETURN NULL;
  END IF;
  PERFORM audit_log.note_change(label, is_now);
  RETURN is_now;
END
$$;
COMMENT ON FUNCTION audit_log.note_captured(regclass) IS 'Notes that a table''s changes are recorded from now on, or no longer, where that is new; says which, else NULL. Internal.';

-- A rename that could not be followed at once must not be told twice.
CREATE FUNCTION audit_log.note_altered(relation regclass, old jsonb, new jsonb, rewritten text[]) RETURNS jsonb
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  label text := new ->> 'relation';
  columns jsonb := audit_log.columns_changed(relation, old -> 'columns', new -> 'columns', rewritten);
  told jsonb := '{}';
BEGIN
  IF old ->> 'relation' <> label THEN
    IF (SELECT c.previous FROM audit_log.relation_changes(label) c WHERE c.kind = 'renamed' ORDER BY c.at DESC LIMIT 1) IS DISTINCT FROM old ->> 'relation' THEN
      PERFORM audit_log.note_change(label, 'renamed', old ->> 'relation');
    END IF;
    told := pg_catalog.jsonb_build_object('name', pg_catalog.jsonb_build_array(old ->> 'relation', label));
  END IF;
  IF columns IS NOT NULL THEN
    PERFORM audit_log.note_change(label, 'columns', columns => columns);
    told := told || pg_catalog.jsonb_build_object('columns', columns);
  END IF;
  RETURN told;
END
$$;
COMMENT ON FUNCTION audit_log.note_altered(regclass, jsonb, jsonb, text[]) IS 'Notes what differs between a watch''s options before and after a command: {"name": [old, new], "columns": {…}}. Internal.';
