-- The least a trigger in PL/pgSQL can do: old and new row as jsonb into a table with one index.
CREATE TABLE jobs_log (
  id bigserial PRIMARY KEY,
  operation text NOT NULL,
  relation text NOT NULL,
  old jsonb,
  new jsonb,
  logged_at timestamptz NOT NULL
);

CREATE FUNCTION log_job() RETURNS trigger
  LANGUAGE plpgsql
AS $$
BEGIN
  INSERT INTO jobs_log (operation, relation, old, new, logged_at)
  VALUES (TG_OP, TG_TABLE_NAME, to_jsonb(OLD), to_jsonb(NEW), clock_timestamp());
  RETURN NULL;
END
$$;

CREATE TRIGGER log_job AFTER INSERT OR UPDATE OR DELETE ON jobs FOR EACH ROW EXECUTE FUNCTION log_job();
