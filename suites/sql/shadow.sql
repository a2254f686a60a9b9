-- The run that checks the log entry by entry: beside the watch a second trigger writes each row's change down, by
-- PL/pgSQL and row_to_json, in the same transaction. Whole rows are recorded, so that both say the same.

\ir watch.sql

CREATE TABLE suites.shadow (
  number bigint GENERATED ALWAYS AS IDENTITY,
  transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
  relation text NOT NULL,
  operation text NOT NULL,
  old_row text,
  new_row text
);

-- A table has the trigger it was given itself, and as a partition also its parent's: the argument says whose a trigger
-- is, and only that of the topmost table that is watched writes.
CREATE FUNCTION suites.topmost(changed oid) RETURNS oid
  LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(
    (SELECT a.relid FROM pg_partition_ancestors(changed) WITH ORDINALITY AS a(relid, n)
     JOIN pg_trigger t ON t.tgrelid = a.relid AND t.tgname = format('~suites_%s', a.relid::oid)
     ORDER BY a.n DESC LIMIT 1),
    changed)
$$;

CREATE FUNCTION suites.write_down() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
  SET DateStyle = 'ISO, YMD'
  SET IntervalStyle = 'postgres'
  SET bytea_output = 'hex'
  SET extra_float_digits = 1
  SET quote_all_identifiers = off
AS $$
BEGIN
  IF TG_ARGV[0]::oid = suites.topmost(TG_RELID) THEN
    INSERT INTO suites.shadow (relation, operation, old_row, new_row)
    SELECT format('%I.%I', n.nspname, c.relname), lower(TG_OP),
           CASE WHEN TG_OP IN ('UPDATE', 'DELETE') THEN row_to_json(OLD) END::text,
           CASE WHEN TG_OP IN ('UPDATE', 'INSERT') THEN row_to_json(NEW) END::text
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = TG_ARGV[0]::oid;
  END IF;
  RETURN NULL;
END
$$;

ALTER FUNCTION suites.observe(oid) RENAME TO observe_by_watch;

CREATE FUNCTION suites.observe(made oid) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
  SET suites.capture = 'full'
AS $$
BEGIN
  PERFORM suites.observe_by_watch(made);
  EXECUTE format('CREATE TRIGGER "~suites_%s" AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION suites.write_down(%s)',
                 made, made::regclass, made);
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER "~suites_%s"', made::regclass, made);
  -- Foreign tables have none before 16.
  IF (SELECT c.relkind <> 'f' FROM pg_class c WHERE c.oid = made) THEN
    EXECUTE format('CREATE TRIGGER "~suites_truncate_%s" AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION suites.write_down(%s)',
                   made, made::regclass, made);
    EXECUTE format('ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER "~suites_truncate_%s"', made::regclass, made);
  END IF;
END
$$;
