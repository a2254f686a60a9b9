-- Who and what the entries are about: organizations, actors, categories, pools of targets. All of it is in the
-- schema bench, beside the log. Frequencies fall off by Zipf; of each kind there are rare ones and some without
-- an entry. Each row is a function of its number.

CREATE SCHEMA bench;

-- A number from 0 to 1, the same for the same row and use.
CREATE FUNCTION bench.draw(n bigint, use integer) RETURNS float8
  LANGUAGE sql IMMUTABLE
AS $$ SELECT (hashint8extended(n, use) & 9007199254740991)::float8 / 9007199254740992 $$;

-- Position in a sorted list of weights that add up to 1; what comes after the last that counts is never drawn.
CREATE FUNCTION bench.cumulative(running float8) RETURNS float8
  LANGUAGE sql IMMUTABLE
AS $$ SELECT CASE WHEN running > 1 - 1e-9 THEN 1 ELSE running END $$;

-- The first has half of all entries, the last but one a hundred thousandth, the last none.
CREATE TABLE bench.organization AS
SELECT n, 'org-' || lpad(n::text, 2, '0') AS id, weight, bench.cumulative(sum(weight) OVER (ORDER BY n)) AS cumulative
FROM (SELECT n::integer,
             CASE n WHEN 1 THEN 0.5 WHEN 40 THEN 1e-5 WHEN 41 THEN 0
             ELSE (0.5 - 1e-5) / (n - 1) / (SELECT sum(1.0 / (i - 1)) FROM generate_series(2, 39) i) END::float8 AS weight
      FROM generate_series(1, 41) n) weighed;

-- About 6,000 people and keys, each of one organization, and 50 of support, who act for others.
CREATE TABLE bench.staff AS
SELECT n AS organization, actors, sum(actors) OVER (ORDER BY n) - actors AS before_first
FROM (SELECT n, 5 + (5800 * sqrt(weight) / (SELECT sum(sqrt(weight)) FROM bench.organization))::integer AS actors
      FROM bench.organization) sized;

CREATE TABLE bench.actor AS
SELECT n, (1000 + n)::text AS id, CASE WHEN n % 10 = 9 THEN 'api_key' ELSE 'user' END AS type,
       first_name || ' ' || last_name AS name,
       lower(first_name) || '.' || lower(last_name) || '.' || n || '@example.com' AS email,
       ('10.' || n / 65536 || '.' || n / 256 % 256 || '.' || n % 256)::inet AS address,
       'Mozilla/5.0 ('
         || pick('{Windows NT 10.0; Win64,Macintosh; Intel Mac OS X 10_15_7,X11; Linux x86_64,iPhone; CPU iPhone OS 18_1}', n, 4)
         || ') AppleWebKit/537.36 (KHTML; like Gecko) Chrome/' || 120 + n % 20 || '.0.0.0 Safari/537.36' AS user_agent
FROM (SELECT n::integer,
             pick('{Ann,Bela,Chidi,Dana,Eve,Farid,Grace,Hiro,Ines,Jonas,Kira,Luis,Mona,Nils,Olga,Pia,Quinn,Rosa}', n, 1) AS first_name,
             pick('{Abel,Brandt,Costa,Diallo,Ek,Fischer,Hansen,Ito,Kaya,Lang,Moreau,Novak,Okafor,Petrov}', n, 2) AS last_name
      FROM generate_series(0, (SELECT sum(actors) FROM bench.staff) - 1) n) people;
CREATE TABLE bench.support AS
SELECT n::integer, (900 + n)::text AS id, 'Support ' || n AS name, 'support.' || n || '@example.com' AS email
FROM generate_series(0, 49) n;

-- More target types and categories than every installation has, for a filter that names a hundred of them.
SELECT audit_log.define_target_type('object_' || n, 'Object ' || n) FROM generate_series(10, 99) n;
SELECT audit_log.define_category('object_' || n || '_changed', 'object_' || n, 'Object ' || n || ' changed')
FROM generate_series(10, 99) n;
SELECT audit_log.enable_organization(id) FROM bench.organization;

-- One-column updates are three of four entries; a tenth are inserts, with the row; recorded events have no row.
-- object_98 has a hundred thousandth, object_97 a millionth of all entries, object_99 and the log's own types none.
CREATE TABLE bench.category AS
WITH named AS (
  SELECT category, target_type, CASE WHEN category LIKE '%\_created' THEN 'i' WHEN category LIKE '%\_deleted' THEN 'd'
                                     WHEN category ~* '(updated|changed)$' THEN 'u' END::"char" AS operation,
         target_type IN ('audit_log', 'jobs', 'object_99') AS absent, target_type IN ('object_97', 'object_98') AS rare
  FROM audit_log.vocabulary
), ranked AS (
  SELECT *, row_number() OVER (PARTITION BY absent, rare, operation ORDER BY hashtextextended(category, 3)) AS rank FROM named
), weighed AS (
  SELECT category, target_type, operation,
         CASE WHEN absent THEN 0 WHEN target_type = 'object_97' THEN 1e-6 WHEN target_type = 'object_98' THEN 1e-5
              ELSE (1 - 1.1e-5) * CASE operation WHEN 'u' THEN 0.75 WHEN 'i' THEN 0.1 WHEN 'd' THEN 0.03 ELSE 0.12 END
                   * by_zipf / sum(by_zipf) OVER (PARTITION BY absent, rare, operation) END AS weight
  FROM (SELECT *, rank::float8 ^ -1.3 AS by_zipf FROM ranked) r
), numbered AS (
  SELECT row_number() OVER (ORDER BY weight DESC, category)::integer AS n, * FROM weighed
)
SELECT *, bench.cumulative(sum(weight) OVER (ORDER BY n)) AS cumulative FROM numbered;

-- Targets: a third of a million, by organization and type, the more the more entries these have. Jobs and
-- applications are also further targets of others' entries.
CREATE TABLE bench.pool AS
SELECT organization, target_type, label, size, sum(size) OVER (ORDER BY organization, target_type) - size AS before_first
FROM (SELECT o.n AS organization, c.target_type, t.label,
             3 + (300000 * o.weight * c.weight)::integer AS size
      FROM bench.organization o
      CROSS JOIN (SELECT target_type, sum(weight) + CASE WHEN target_type IN ('job', 'application') THEN 0.1 ELSE 0 END AS weight
                  FROM bench.category GROUP BY 1) c
      JOIN audit_log.target_type t ON t.code = c.target_type) sized;

-- Whole rows, as an insert's or a delete's entry holds them.
CREATE TABLE bench.image AS
SELECT n::integer, to_jsonb(j) - 'id' - 'n' AS image
FROM (SELECT row_number() OVER (ORDER BY id) - 1 AS n, * FROM jobs LIMIT 512) j;

-- Logins bound to one organization each: the largest, and one of a middling size.
DO $$
DECLARE
  organization text;
BEGIN
  FOREACH organization IN ARRAY ARRAY['org-01', 'org-07'] LOOP
    IF to_regrole(quote_ident('bench reader of ' || organization)) IS NULL THEN
      EXECUTE format('CREATE ROLE %I LOGIN', 'bench reader of ' || organization);
    END IF;
    PERFORM audit_log.grant_read(('bench reader of ' || organization)::name, organization);
  END LOOP;
END
$$;

ANALYZE bench.organization, bench.staff, bench.actor, bench.support, bench.category, bench.pool, bench.image;
