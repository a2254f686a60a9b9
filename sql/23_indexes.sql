-- The indexes of partitions: those they lack, those of an earlier version, and one call that puts this right.
-- By the catalog only: no lock is waited for.

CREATE VIEW audit_log.log_table WITH (security_invoker = true) AS
WITH RECURSIVE tree (parent, relid, kind) AS (
  SELECT pg_catalog.replace(c.relname, '_unplaced', '')::name, c.oid, c.relkind
  FROM pg_catalog.pg_class c
  WHERE c.oid IN ('audit_log.event'::regclass, 'audit_log.event_unplaced'::regclass, 'audit_log.event_target'::regclass, 'audit_log.event_target_unplaced'::regclass)
  UNION ALL
  SELECT t.parent, c.oid, c.relkind FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.relid JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid)
SELECT t.parent, t.relid::regclass AS relation, t.kind FROM tree t;
COMMENT ON VIEW audit_log.log_table IS 'event, event_target, their partitions and what is beside these. Internal.';

CREATE FUNCTION audit_log.present_indexes() RETURNS TABLE (relation regclass, index regclass, is_valid boolean, columns text, condition text)
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
  SET quote_all_identifiers = off
AS $$
  SELECT i.indrelid, i.indexrelid, i.indisvalid,
         pg_catalog.substring(pg_catalog.pg_get_indexdef(i.indexrelid), 'USING (?:btree )?((?:gin )?\([^)]*\))'),
         coalesce(pg_catalog.pg_get_expr(i.indpred, i.indrelid), '')
  FROM pg_catalog.pg_index i WHERE i.indrelid IN (SELECT l.relation FROM audit_log.log_table l)
$$;
COMMENT ON FUNCTION audit_log.present_indexes() IS 'The indexes of tables that entries are in. Internal.';

CREATE FUNCTION audit_log.missing_indexes() RETURNS TABLE (relation regclass, columns text, definition text)
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT w.relation, w.columns, w.definition
  FROM (SELECT l.relation, d.definition, pg_catalog.substring(d.definition, '^(?:USING )?((?:gin )?\([^)]*\))') AS columns,
               coalesce('(' || pg_catalog.substring(d.definition, ' WHERE (.*)$') || ')', '') AS condition
        FROM audit_log.log_table l CROSS JOIN LATERAL audit_log.partition_indexes(l.parent) d
        WHERE l.kind = 'r') w
  WHERE NOT EXISTS (SELECT FROM audit_log.present_indexes() p WHERE p.relation = w.relation AND p.columns = w.columns AND p.condition = w.condition)
$$;
COMMENT ON FUNCTION audit_log.missing_indexes() IS 'The indexes that tables with entries lack. Internal.';

-- One index a column that is filtered by, each with the instant: what partitions had before there was one for all.
CREATE FUNCTION audit_log.earlier_indexes() RETURNS TABLE (relation regclass, index regclass)
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT p.relation, p.index
  FROM audit_log.present_indexes() p JOIN pg_catalog.pg_class c ON c.oid = p.index JOIN audit_log.log_table l ON l.relation = p.relation
  WHERE l.parent = 'event' AND c.reloptions = '{deduplicate_items=off}'
    AND p.columns ~ '^\((organization_id|target_id|actor_id|effective_actor_id|category|other_type) text_pattern_ops, occurred_at\)$'
$$;
COMMENT ON FUNCTION audit_log.earlier_indexes() IS 'Indexes of partitions as an earlier version of the extension made them. Internal.';

CREATE FUNCTION audit_log.reindex_partitions(running boolean DEFAULT false) RETURNS TABLE (partition regclass, bytes_before bigint, bytes_after bigint)
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET quote_all_identifiers = off
AS $$
#variable_conflict use_column
DECLARE
  one record;
  missing text[];
  earlier regclass[];
  sizes bigint[] := '{}';
  changed regclass[] := '{}';
  gone regclass[] := '{}';
BEGIN
  FOR one IN
    SELECT b.partition, c.relname AS parent FROM pg_catalog.unnest(ARRAY['audit_log.event', 'audit_log.event_target']::regclass[]) p(parent)
    CROSS JOIN LATERAL audit_log.partition_bounds(p.parent) b JOIN pg_catalog.pg_class c ON c.oid = p.parent
    WHERE running OR b.upper <= pg_catalog.now() OR b.lower > pg_catalog.now()
    ORDER BY b.lower, p.parent
  LOOP
    missing := ARRAY(SELECT m.definition FROM audit_log.missing_indexes() m WHERE m.relation = one.partition);
    earlier := ARRAY(SELECT e.index FROM audit_log.earlier_indexes() e WHERE e.relation = one.partition);
    CONTINUE WHEN missing = '{}' AND earlier = '{}';
    changed := changed || one.partition;
    sizes := sizes || pg_catalog.pg_indexes_size(one.partition);
    gone := gone || earlier;
    FOR i IN 1 .. pg_catalog.cardinality(missing) LOOP
      EXECUTE pg_catalog.format('CREATE INDEX ON %s %s', one.partition, missing[i]);
    END LOOP;
  END LOOP;
  IF gone <> '{}' THEN
    IF audit_log.lock_for_drop(changed) THEN
      EXECUTE (SELECT 'DROP INDEX ' || pg_catalog.string_agg(g::text, ', ') FROM pg_catalog.unnest(gone) g);
    ELSE
      RAISE WARNING 'indexes of an earlier version were not dropped: the audit log is in use'
        USING HINT = 'The indexes of today are there. SELECT audit_log.reindex_partitions() again later drops the others.';
    END IF;
  END IF;
  RETURN QUERY SELECT c.partition, c.bytes, pg_catalog.pg_indexes_size(c.partition) FROM ROWS FROM (pg_catalog.unnest(changed), pg_catalog.unnest(sizes)) c(partition, bytes);
END
$$;
COMMENT ON FUNCTION audit_log.reindex_partitions(boolean) IS 'Gives partitions that an earlier version of the extension made the indexes of today, and drops those that these replace; a row a partition that was changed, with the size of its indexes before and after in bytes. Leaves out the partition of this moment unless running is true: who writes entries to it waits while its indexes are built. Others wait only while indexes are dropped at the end, which gives way to whoever is at work: a WARNING then says to call it again.';
