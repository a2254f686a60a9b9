-- The run with the audit log. A table with a primary key is watched as it is; of another one the whole rows are
-- recorded, so that they can be told apart when the log is replayed.

CREATE EXTENSION audit_log;
-- Once, so that sessions which make tables at the same time do not wait for each other's vocabulary.
SELECT audit_log.define_target_type('suite_table', 'Table of a suite');
SELECT audit_log.define_category('suite_table_' || o, 'suite_table', 'Table of a suite ' || o)
FROM unnest(ARRAY['created', 'updated', 'deleted', 'truncated']) o;
SELECT audit_log.ensure_partitions();

CREATE FUNCTION suites.observe(made oid) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  key name;
  number smallint;
  is_short boolean;
  definition text;
BEGIN
  IF EXISTS (SELECT FROM pg_index i WHERE i.indrelid = made AND i.indisprimary) THEN
    PERFORM audit_log.watch(made, 'suite_table', capture => coalesce(nullif(current_setting('suites.capture', true), ''), 'changes'));
    RETURN;
  END IF;
  SELECT a.attname, a.attnum, a.attlen > 0 INTO key, number, is_short
  FROM pg_attribute a
  WHERE a.attrelid = made AND a.attnum > 0 AND NOT a.attisdropped
  ORDER BY a.attlen < 0, a.attnum
  LIMIT 1;
  IF key IS NULL THEN
    RAISE EXCEPTION 'it has no columns';
  END IF;
  PERFORM audit_log.watch(made, 'suite_table', ARRAY[key], capture => 'full');
  IF is_short THEN
    RETURN;
  END IF;
  -- An id holds at most 2,500 bytes, and the suites write longer values: the watch is made one whose key column
  -- is gone, as it is after ALTER TABLE … DROP COLUMN.
  SELECT replace(pg_get_triggerdef(t.oid), format('"target_id": [[%s, %s]]', to_json(key::text), number), '"target_id": []')
  INTO definition
  FROM pg_trigger t WHERE t.tgrelid = made AND t.tgname = '!audit_log';
  IF definition NOT LIKE '%"target_id": []%' THEN
    RAISE EXCEPTION 'the watch''s key is not where it was looked for';
  END IF;
  EXECUTE regexp_replace(definition, '^CREATE TRIGGER', 'CREATE OR REPLACE TRIGGER');
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER "!audit_log"', made::regclass);
END
$$;
