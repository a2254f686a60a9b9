SELECT c.classid, c.objid FROM pg_catalog.pg_event_trigger_ddl_commands() c
