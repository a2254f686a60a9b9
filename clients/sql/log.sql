-- What the readers read: a watched table, and a function that writes to it and says what it wrote.

CREATE EXTENSION audit_log;
CREATE SCHEMA application;

CREATE TABLE application.job (
  id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, team text NOT NULL, title text, status text DEFAULT 'draft', salary numeric,
  details jsonb, opened_at timestamptz, api_token text);
SELECT audit_log.watch('application.job', organization => 'team', target_name => 'title', redact => '{api_token}');

-- Not from the log: each entry that must be there. id where record() gave it.
CREATE TABLE application.written (category text, target_id text, organization text, id uuid);

CREATE FUNCTION application.write(rows integer, earlier interval DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  made int[];
BEGIN
  PERFORM audit_log.set_context('{"actor": {"type": "user", "id": "7", "name": "Ann \"A\" Samuelson", "email": "ann@example.com"},
    "effective_actor": {"type": "user", "id": "8", "name": "Bo Lind"}, "remote_addr": "2001:db8::7",
    "access_route": ["2001:db8::7", "10.0.0.1"], "user_agent": "=HYPERLINK(\"x\"),\t\\N", "request_id": "r-1",
    "metadata": {"request_type": "jobs#update"}}');
  IF earlier IS NOT NULL THEN
    INSERT INTO application.written
    SELECT 'job_closed', 'e' || n, 'acme',
           audit_log.record('job_closed', 'e' || n, occurred_at => now() - earlier + n * interval '1 millisecond', organization => 'acme')
    FROM generate_series(1, rows) n;
    RETURN;
  END IF;
  WITH new AS (
    INSERT INTO application.job (team, title, salary, details, opened_at, api_token)
    SELECT CASE WHEN n % 3 = 0 THEN 'globex' ELSE 'acme' END,
           (ARRAY['Cook', E'Köchin, "süß"\n2. Zeile', E'\\N; \\x\t''quoted''', '', NULL, '料理人 🍳'])[1 + n % 6],
           12345678901234567890.00120 + n, '{"list": [1, 2.50, null, {"a\\b": "c\"d"}], "ü": 1e20}', now(), 's3cret'
    FROM generate_series(1, rows) n
    RETURNING id)
  SELECT array_agg(id ORDER BY id) INTO made FROM new;
  UPDATE application.job SET status = 'open', salary = salary / 3 WHERE id = ANY (made) AND id % 3 = 0;
  DELETE FROM application.job WHERE id = ANY (made) AND id % 10 = 0;
  INSERT INTO application.written
  SELECT 'job_opened', id::text, 'acme', audit_log.record('job_opened', id::text, 'Cook', organization => 'acme',
    targets => '[{"type": "offer", "id": "3"}]', metadata => '{"note": "at \"noon\"\\", "lines": "a\nb"}')
  FROM unnest(made) id WHERE id % 5 = 0;
  INSERT INTO application.written
  SELECT 'job_created', id::text, CASE WHEN n % 3 = 0 THEN 'globex' ELSE 'acme' END FROM unnest(made) WITH ORDINALITY AS m(id, n)
  UNION ALL
  SELECT 'job_updated', id::text, CASE WHEN n % 3 = 0 THEN 'globex' ELSE 'acme' END FROM unnest(made) WITH ORDINALITY AS m(id, n) WHERE id % 3 = 0
  UNION ALL
  SELECT 'job_deleted', id::text, CASE WHEN n % 3 = 0 THEN 'globex' ELSE 'acme' END FROM unnest(made) WITH ORDINALITY AS m(id, n) WHERE id % 10 = 0;
END
$$;

-- Rows where the log and what was written differ.
CREATE VIEW application.difference AS
WITH logged AS (SELECT category, target_id, organization_id FROM audit_log.entry WHERE target_type = 'job'),
     written AS (SELECT category, target_id, organization FROM application.written)
SELECT 'only in the log' AS found, l.* FROM (TABLE logged EXCEPT ALL TABLE written) l
UNION ALL
SELECT 'not in the log', w.* FROM (TABLE written EXCEPT ALL TABLE logged) w
UNION ALL
SELECT 'another id', w.category, w.target_id, w.id::text FROM application.written w
WHERE w.id IS NOT NULL AND NOT EXISTS (SELECT FROM audit_log.entry e WHERE e.id = w.id AND e.target_id = w.target_id);

-- A login that reads everything and has a schema of its own, and one that reads one organization.
CREATE ROLE reader LOGIN IN ROLE audit_log_reader;
CREATE SCHEMA analytics AUTHORIZATION reader;
CREATE ROLE acme_reader LOGIN;
SELECT audit_log.grant_read('acme_reader', 'acme');

SELECT application.write(60) FROM generate_series(1, 5);
