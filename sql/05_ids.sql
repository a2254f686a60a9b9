-- How ids are written and stored: the same functions that capture and listings go by.

CREATE FUNCTION audit_log.key_text(parts text[]) RETURNS text
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_key_text';
COMMENT ON FUNCTION audit_log.key_text(text[]) IS 'The id of a row by the parts of its key, as entry.target_id has it: of one column its text; of several, their texts joined by commas, one that is empty or holds a comma or a double quote in double quotes with its own doubled, and nothing for NULL. {"a,b",c} gives "a,b",c.';

CREATE FUNCTION audit_log.stored_id(id text) RETURNS text
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_stored_id';
COMMENT ON FUNCTION audit_log.stored_id(text) IS 'An id of a target or actor as entries have it: itself up to 2,500 bytes; of a longer one its first 2,400 bytes (to the end of a character), then …# and the SHA-256 of the whole in hexadecimal.';

CREATE FUNCTION audit_log.row_id(relation regclass, "row" record) RETURNS text
  LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'audit_log_row_id';
COMMENT ON FUNCTION audit_log.row_id(regclass, record) IS 'The id that capture would give a row of a watched table, as entry.target_id has it. Internal.';

CREATE FUNCTION audit_log.stored_ids(ids text[]) RETURNS text[]
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_stored_ids';
COMMENT ON FUNCTION audit_log.stored_ids(text[]) IS 'stored_id() of each. Internal.';

CREATE FUNCTION audit_log.valid_text(content text) RETURNS text
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_valid_text';
COMMENT ON FUNCTION audit_log.valid_text(text) IS 'A text as it is; bytes that are not UTF-8 (in the name of a role that another database made, say) are written \xff. Internal.';
