-- The vocabulary: target types, categories, actor types. Built-in rows are in 03_vocabulary_data.sql.

CREATE TABLE audit_log.target_type (
  code text COLLATE "C" PRIMARY KEY CHECK (code ~ '^[A-Za-z][A-Za-z0-9_.]{0,62}$'),
  label text NOT NULL,
  builtin boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE audit_log.target_type IS 'Kinds of things that events are done to; define_target_type() adds one.';
COMMENT ON COLUMN audit_log.target_type.code IS 'The code entries and filters use.';
COMMENT ON COLUMN audit_log.target_type.label IS 'The name people see.';
COMMENT ON COLUMN audit_log.target_type.builtin IS 'True for the types every installation has.';

CREATE TABLE audit_log.category_definition (
  category text COLLATE "C" PRIMARY KEY CHECK (category ~ '^[A-Za-z][A-Za-z0-9_.]{0,62}$'),
  -- No foreign key: it would ask the transaction's own snapshot, which may be from before the type.
  target_type text COLLATE "C" NOT NULL,
  label text NOT NULL,
  description text,
  color text,
  tab text NOT NULL DEFAULT 'team' CHECK (tab IN ('interviews', 'team')),
  builtin boolean NOT NULL DEFAULT false,
  metadata_schema jsonb
);
COMMENT ON TABLE audit_log.category_definition IS 'Categories of events; read them through audit_log.vocabulary, add one with define_category().';

-- Apart from the definitions, so that a deprecated built-in category survives dump and restore.
CREATE TABLE audit_log.category_deprecation (
  category text COLLATE "C" PRIMARY KEY,
  deprecated_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE audit_log.category_deprecation IS 'Categories that should no longer be used; they can still be written and read.';

CREATE TABLE audit_log.actor_type (
  code text COLLATE "C" PRIMARY KEY CHECK (code ~ '^[A-Za-z][A-Za-z0-9_.]{0,62}$'),
  label text NOT NULL,
  builtin boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE audit_log.actor_type IS 'Kinds of actors; define_actor_type() adds one.';
COMMENT ON COLUMN audit_log.actor_type.code IS 'The code contexts and entries use.';
COMMENT ON COLUMN audit_log.actor_type.label IS 'The name people see.';
COMMENT ON COLUMN audit_log.actor_type.builtin IS 'True for the types every installation has.';

CREATE VIEW audit_log.vocabulary WITH (security_invoker = true) AS
SELECT c.category, c.target_type, c.label, c.description, c.color, c.tab, c.builtin,
       d.category IS NOT NULL AS deprecated, c.metadata_schema
FROM audit_log.category_definition c
LEFT JOIN audit_log.category_deprecation d ON d.category = c.category;
COMMENT ON VIEW audit_log.vocabulary IS 'Every category an entry can have, one row each. Filters and writes accept these only.';
COMMENT ON COLUMN audit_log.vocabulary.category IS 'The code, e.g. job_updated.';
COMMENT ON COLUMN audit_log.vocabulary.target_type IS 'The one target type the category belongs to.';
COMMENT ON COLUMN audit_log.vocabulary.label IS 'The name people see.';
COMMENT ON COLUMN audit_log.vocabulary.description IS 'What happened, in a sentence.';
COMMENT ON COLUMN audit_log.vocabulary.color IS 'The colour of its badge.';
COMMENT ON COLUMN audit_log.vocabulary.tab IS 'interviews or team: the tab of the people''s page.';
COMMENT ON COLUMN audit_log.vocabulary.builtin IS 'True for the categories every installation has.';
COMMENT ON COLUMN audit_log.vocabulary.deprecated IS 'True once deprecate_category() was called; still accepted.';
COMMENT ON COLUMN audit_log.vocabulary.metadata_schema IS 'JSON Schema that record() checks metadata against, if any.';

CREATE FUNCTION audit_log.check_metadata_schema(metadata_schema jsonb) RETURNS void
  LANGUAGE c STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_check_metadata_schema';
COMMENT ON FUNCTION audit_log.check_metadata_schema(jsonb) IS 'Fails with 22023 where the argument is not a JSON Schema. Internal.';

CREATE FUNCTION audit_log.check_code(field text, code text) RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF code IS NULL OR code !~ '^[A-Za-z][A-Za-z0-9_.]{0,62}$' THEN
    RAISE EXCEPTION '% "%" is not a code', field, code
      USING ERRCODE = '22023', DETAIL = 'code: invalid_input' || E'\nfield: ' || field,
            HINT = 'A code starts with a letter and goes on with letters, digits, "_" and ".", at most 63 characters.';
  END IF;
END
$$;
COMMENT ON FUNCTION audit_log.check_code(text, text) IS 'Fails with 22023 where the second argument is not a vocabulary code. Internal.';

CREATE FUNCTION audit_log.define_target_type(code text, label text) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  known audit_log.target_type;
BEGIN
  PERFORM audit_log.check_code('code', define_target_type.code);
  IF label IS NULL THEN
    RAISE EXCEPTION 'target type "%" has no label', code
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: label', HINT = 'Give the name people see.';
  END IF;
  SELECT t.* INTO known FROM audit_log.target_type t WHERE t.code = define_target_type.code;
  IF known.code IS NOT NULL AND known.label = define_target_type.label THEN
    RETURN;
  END IF;
  IF known.builtin THEN
    RAISE EXCEPTION 'target type "%" is built in', code
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: code', HINT = 'Define a type under another code.';
  END IF;
  INSERT INTO audit_log.target_type AS t (code, label)
  VALUES (define_target_type.code, define_target_type.label)
  ON CONFLICT ON CONSTRAINT target_type_pkey DO UPDATE SET label = EXCLUDED.label;
  PERFORM audit_log.record_configuration('vocabulary_changed', NULL, define_target_type.code,
    pg_catalog.jsonb_build_object('target_type', define_target_type.code, 'label', define_target_type.label));
END
$$;
COMMENT ON FUNCTION audit_log.define_target_type(text, text) IS 'Adds a target type, or relabels one of your own. 22023 where the code is no code or is built in.';

CREATE FUNCTION audit_log.define_actor_type(code text, label text DEFAULT NULL) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM audit_log.check_code('code', define_actor_type.code);
  IF EXISTS (SELECT FROM audit_log.actor_type t
             WHERE t.code = define_actor_type.code
               AND (t.builtin OR t.label = coalesce(define_actor_type.label, define_actor_type.code))) THEN
    RETURN;
  END IF;
  INSERT INTO audit_log.actor_type AS t (code, label)
  VALUES (define_actor_type.code, coalesce(define_actor_type.label, define_actor_type.code))
  ON CONFLICT ON CONSTRAINT actor_type_pkey DO UPDATE SET label = EXCLUDED.label;
  PERFORM audit_log.record_configuration('vocabulary_changed', NULL, define_actor_type.code,
    pg_catalog.jsonb_build_object('actor_type', define_actor_type.code));
END
$$;
COMMENT ON FUNCTION audit_log.define_actor_type(text, text) IS 'Adds an actor type that contexts may then name; a built-in one is left as it is. 22023 where the code is no code.';

CREATE FUNCTION audit_log.define_category(
  category text, target_type text, label text, description text DEFAULT NULL, color text DEFAULT NULL,
  tab text DEFAULT 'team', metadata_schema jsonb DEFAULT NULL) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  known audit_log.category_definition;
BEGIN
  PERFORM audit_log.check_code('category', category);
  IF label IS NULL THEN
    RAISE EXCEPTION 'category "%" has no label', category
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: label', HINT = 'Give the name people see.';
  END IF;
  IF tab IS NULL OR tab NOT IN ('interviews', 'team') THEN
    RAISE EXCEPTION 'unknown tab "%"', tab
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: tab', HINT = 'The tabs are interviews and team.';
  END IF;
  PERFORM audit_log.check_vocabulary('target_type', ARRAY[target_type]);
  PERFORM audit_log.check_metadata_schema(metadata_schema);
  SELECT c.* INTO known FROM audit_log.category_definition c WHERE c.category = define_category.category;
  IF known.builtin THEN
    RAISE EXCEPTION 'category "%" is built in', category
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: category', HINT = 'Define a category under another code.';
  ELSIF known.category IS NOT NULL AND known.target_type <> define_category.target_type THEN
    RAISE EXCEPTION 'category "%" belongs to target type "%"', category, known.target_type
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: target_type',
            HINT = 'A category belongs to exactly one target type; define another category.';
  END IF;
  INSERT INTO audit_log.category_definition (category, target_type, label, description, color, tab, metadata_schema)
  VALUES (category, target_type, label, description, color, tab, metadata_schema)
  ON CONFLICT ON CONSTRAINT category_definition_pkey DO UPDATE
    SET label = EXCLUDED.label, description = EXCLUDED.description, color = EXCLUDED.color,
        tab = EXCLUDED.tab, metadata_schema = EXCLUDED.metadata_schema;
  PERFORM audit_log.record_configuration('vocabulary_changed', NULL, category,
    pg_catalog.jsonb_build_object('category', category, 'target_type', target_type, 'label', label));
END
$$;
COMMENT ON FUNCTION audit_log.define_category(text, text, text, text, text, text, jsonb) IS 'Adds a category, or redefines one of your own (not its target type). metadata_schema is a JSON Schema that record() then checks metadata against. 22023 where a code is no code, the target type is unknown, the category is built in, or the schema is none.';

CREATE FUNCTION audit_log.deprecate_category(category text) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM audit_log.check_vocabulary('category', ARRAY[category]);
  INSERT INTO audit_log.category_deprecation (category) VALUES (category)
  ON CONFLICT ON CONSTRAINT category_deprecation_pkey DO NOTHING;
  IF FOUND THEN
    PERFORM audit_log.record_configuration('vocabulary_changed', NULL, category,
      pg_catalog.jsonb_build_object('category', category, 'deprecated', true));
  END IF;
END
$$;
COMMENT ON FUNCTION audit_log.deprecate_category(text) IS 'Marks a category as no longer to be used. It is never deleted, and entries that have it stay readable. 22023 where it is unknown.';

CREATE FUNCTION audit_log.check_vocabulary(field text, codes text[]) RETURNS void
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'check_vocabulary_wrapper';
COMMENT ON FUNCTION audit_log.check_vocabulary(text, text[]) IS 'Fails with 22023 and the nearest match where a code is not in the vocabulary; field is category, target_type or actor_type. Internal.';
