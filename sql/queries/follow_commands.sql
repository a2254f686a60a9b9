SELECT audit_log.follow_commands($1,
  pg_catalog.current_setting('check_function_bodies') OPERATOR(pg_catalog.=) 'off'
  AND pg_catalog.current_setting('search_path') OPERATOR(pg_catalog.=) '')
