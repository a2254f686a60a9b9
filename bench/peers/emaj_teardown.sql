SELECT emaj.emaj_stop_group('bench');
SELECT emaj.emaj_drop_group('bench');
