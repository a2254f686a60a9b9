-- What waits in the indexes of entries is not merged by who writes.
DO $$
DECLARE
  index regclass;
BEGIN
  FOR index IN
    SELECT i.indexrelid FROM pg_inherits p JOIN pg_index i ON i.indrelid = p.inhrelid
    JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam AND a.amname = 'gin'
    WHERE p.inhparent = 'audit_log.event'::regclass
  LOOP
    EXECUTE format('ALTER INDEX %s SET (gin_pending_list_limit = 1000000)', index);
  END LOOP;
END
$$;
