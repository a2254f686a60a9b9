-- Many rows with a short description, to update in one statement. :rows is how many.
CREATE TABLE jobs_large (LIKE jobs INCLUDING ALL);
INSERT INTO jobs_large
SELECT n, 'org-' || n % 500, 'Job ' || n, 'Engineering', 'Remote', CASE n % 2 WHEN 0 THEN 'open' ELSE 'closed' END, 'full_time',
       30000 + n % 500, 60000 + n % 500, 'Opening ' || n, timestamptz '2024-01-01 09:00+00', timestamptz '2024-01-01 09:00+00'
FROM generate_series(1, :rows::bigint) n;
VACUUM (FREEZE, ANALYZE) jobs_large;
