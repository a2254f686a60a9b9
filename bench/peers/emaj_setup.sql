-- E-Maj as its guide says: a group that logs the table. Its extension's files must be in the server's directory.
CREATE EXTENSION emaj CASCADE;
SELECT emaj.emaj_create_group('bench');
SELECT emaj.emaj_assign_table('public', 'jobs', 'bench');
SELECT emaj.emaj_start_group('bench', 'begin');
