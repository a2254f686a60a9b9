-- A dump's script, told by the settings it begins with, brings the partitions' own triggers.
SELECT audit_log.guard_partitions()
WHERE pg_catalog.current_setting('check_function_bodies') OPERATOR(pg_catalog.=) 'on'
   OR pg_catalog.current_setting('search_path') OPERATOR(pg_catalog.<>) ''
