-- What fails, and how, where the shared library is not there.

CREATE FUNCTION audit_log.check_library() RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'audit_log_check_library';
COMMENT ON FUNCTION audit_log.check_library() IS 'Does nothing, which takes the library. Internal.';

CREATE FUNCTION audit_log.require_library() RETURNS event_trigger
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  -- So that installing it again, or doing without, is not refused.
  IF tg_tag NOT LIKE '% EXTENSION' THEN
    PERFORM audit_log.check_library();
  END IF;
EXCEPTION WHEN undefined_file OR undefined_function THEN
  RAISE EXCEPTION '% is refused, as the library of the extension audit_log cannot be loaded: %', tg_tag, SQLERRM
    USING ERRCODE = '58P01', DETAIL = 'code: internal',
          HINT = 'Install audit_log again for this server. To do without it: DROP EXTENSION audit_log CASCADE, which drops the log. To alter tables meanwhile: ALTER EVENT TRIGGER audit_log_available DISABLE, and the same for audit_log_before_ddl, audit_log_follow_ddl and audit_log_follow_drops; ENABLE ALWAYS them afterwards.';
END
$$;
COMMENT ON FUNCTION audit_log.require_library() IS 'Event trigger: says what to do where the library is not there. Internal.';

-- Its name sorts first: the others would fail with a riddle.
CREATE EVENT TRIGGER audit_log_available ON ddl_command_start
  EXECUTE FUNCTION audit_log.require_library();
ALTER EVENT TRIGGER audit_log_available ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER audit_log_available IS 'Says what to do where the library of audit_log is not there.';
