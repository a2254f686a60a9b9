-- Every fault that amcheck finds in the log's tables and indexes, and last how many it looked at.
CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA suites;

CREATE TEMP TABLE part AS
SELECT c.oid::regclass AS relation, c.relkind AS kind, a.amname AS method
FROM pg_class c LEFT JOIN pg_am a ON a.oid = c.relam
WHERE c.relkind IN ('r', 't', 'i') AND c.relpersistence <> 't'
  AND (c.relnamespace IN (SELECT n.oid FROM pg_namespace n WHERE n.nspname IN ('audit_log', 'audit_log_internal'))
       OR c.oid IN (SELECT t.reltoastrelid FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
                    WHERE n.nspname IN ('audit_log', 'audit_log_internal'))
       OR c.oid IN (SELECT i.indexrelid FROM pg_index i JOIN pg_class t ON t.reltoastrelid = i.indrelid
                    JOIN pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname IN ('audit_log', 'audit_log_internal')));

CREATE TEMP TABLE fault (relation regclass, message text);
DO $$
DECLARE
  part record;
BEGIN
  FOR part IN SELECT p.* FROM pg_temp.part p LOOP
    BEGIN
      IF part.method = 'gin' THEN
        -- From PostgreSQL 18 on.
        IF to_regproc('suites.gin_index_check') IS NOT NULL THEN
          EXECUTE format('SELECT suites.gin_index_check(%L)', part.relation);
        END IF;
      ELSIF part.kind = 'i' THEN
        PERFORM suites.bt_index_check(part.relation, true);
      ELSE
        INSERT INTO pg_temp.fault SELECT part.relation, format('block %s, offset %s, attribute %s: %s', h.blkno, h.offnum, h.attnum, h.msg)
        FROM suites.verify_heapam(part.relation) h;
      END IF;
    EXCEPTION WHEN OTHERS THEN
      INSERT INTO pg_temp.fault VALUES (part.relation, SQLERRM);
    END;
  END LOOP;
END
$$;
SELECT f.relation, to_json(f.message) FROM pg_temp.fault f;
SELECT count(*) FILTER (WHERE p.kind <> 'i'), count(*) FILTER (WHERE p.kind = 'i') FROM pg_temp.part p;
