-- The table every solution watches, an applicant tracker's jobs, and the rows it starts with.
-- :rows is how many. Each row is a function of its number.

CREATE TABLE jobs (
  id bigint PRIMARY KEY,
  organization_id text NOT NULL,
  title text NOT NULL,
  department text NOT NULL,
  location text NOT NULL,
  status text NOT NULL,
  employment_type text NOT NULL,
  salary_min numeric(10,2),
  salary_max numeric(10,2),
  description text,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL
);

-- One of a list's items, by the row's number and a number of the use that is made of it.
CREATE FUNCTION pick(items text[], number bigint, use integer) RETURNS text
  LANGUAGE sql IMMUTABLE
AS $$ SELECT items[1 + abs(hashint8extended(number, use)) % cardinality(items)] $$;

-- About 600 characters, each row's its own.
CREATE FUNCTION describe(number bigint) RETURNS text
  LANGUAGE sql IMMUTABLE
AS $$
  SELECT 'Opening ' || number || ': ' || string_agg(pick('{we,are,looking,for,an,engineer,who,will,design,and,
    operate,services,that,customers,depend,on,you,work,closely,with,product,managers,to,plan,releases,write,clear,
    documents,review,changes,mentor,colleagues,improve,reliability,reduce,cost,of,our,platform,every,week,
    experience,in,distributed,systems,databases,or,networking,is,welcome,but,curiosity,matters,more,the,team,
    meets,twice,a,year,offices,remote,first,benefits,include,health,insurance,learning,budget,parental,leave}'::text[],
    number, use), ' ')
  FROM generate_series(1, 92) use
$$;

-- Rows to insert from, so that an INSERT … SELECT has nothing to compute.
CREATE TABLE jobs_seed AS
SELECT n AS id,
       'org-' || n % 500 AS organization_id,
       pick('{Software Engineer,Data Analyst,Account Executive,Recruiter,Product Designer,Support Specialist}', n, 201)
         || ' ' || n AS title,
       pick('{Engineering,Sales,People,Design,Support,Finance}', n, 202) AS department,
       pick('{Berlin,London,New York,Lisbon,Toronto,Remote}', n, 203) AS location,
       pick('{open,closed}', n, 204) AS status,
       pick('{full_time,part_time,contract}', n, 205) AS employment_type,
       (30000 + n % 500 * 100)::numeric(10,2) AS salary_min,
       (60000 + n % 900 * 100)::numeric(10,2) AS salary_max,
       describe(n) AS description,
       timestamptz '2024-01-01 09:00+00' + n * interval '1 minute' AS created_at,
       timestamptz '2024-01-01 09:00+00' + n * interval '2 minutes' AS updated_at
FROM generate_series(1, :rows::bigint) n;

INSERT INTO jobs SELECT * FROM jobs_seed;
CREATE INDEX jobs_organization_status ON jobs (organization_id, status);

-- Single-row inserts take ids from the one, single-row deletes take those rows by the other.
CREATE SEQUENCE new_job START 1000000001;
CREATE SEQUENCE doomed START 1000000001;

VACUUM (FREEZE, ANALYZE) jobs;
VACUUM (FREEZE, ANALYZE) jobs_seed;
