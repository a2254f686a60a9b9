-- The application's context.

CREATE FUNCTION audit_log.set_context(context jsonb, is_local boolean DEFAULT true) RETURNS void
  LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'audit_log_set_context';
COMMENT ON FUNCTION audit_log.set_context(jsonb, boolean) IS 'Says who acts: {"organization", "actor": {"type", "id", "name", "email", "metadata"}, "effective_actor": {…}, "remote_addr", "access_route": […], "user_agent", "request_id", "metadata"}, all optional. Until the end of the transaction, or of the session where is_local is false; NULL clears it. The same as SET LOCAL audit_log.context. 22023 names the field that is wrong.';
