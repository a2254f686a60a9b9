-- Retention rules and legal holds: what administrators decide about how long entries are kept.

-- No row at install: a dump's own would collide with it. Without one for everything, 30 days.
CREATE TABLE audit_log.retention_rule (
  organization_id text COLLATE "C",
  category text COLLATE "C",
  keep interval,
  changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  CONSTRAINT retention_rule_key UNIQUE NULLS NOT DISTINCT (organization_id, category)
);
COMMENT ON TABLE audit_log.retention_rule IS 'Rules that set_retention() made; read them through audit_log.retention.';

CREATE VIEW audit_log.retention WITH (security_invoker = true) AS
SELECT r.organization_id, r.category, r.keep FROM audit_log.retention_rule r
UNION ALL
SELECT NULL, NULL, interval '30 days'
WHERE NOT EXISTS (SELECT FROM audit_log.retention_rule r WHERE r.organization_id IS NULL AND r.category IS NULL);
COMMENT ON VIEW audit_log.retention IS 'How long entries are kept: of an organization''s category, of an organization, of a category, of everything, whichever is first in this order.';
COMMENT ON COLUMN audit_log.retention.organization_id IS 'Whose entries; NULL: everybody''s.';
COMMENT ON COLUMN audit_log.retention.category IS 'Which category; NULL: all.';
COMMENT ON COLUMN audit_log.retention.keep IS 'So long after occurred_at an entry may be purged; NULL: never.';

CREATE FUNCTION audit_log.keep_of(organization text, category text) RETURNS interval
  LANGUAGE sql STABLE
RETURN (SELECT r.keep FROM audit_log.retention r
        WHERE (r.organization_id = keep_of.organization OR r.organization_id IS NULL)
          AND (r.category = keep_of.category OR r.category IS NULL)
        ORDER BY r.organization_id IS NULL, r.category IS NULL
        LIMIT 1);
COMMENT ON FUNCTION audit_log.keep_of(text, text) IS 'How long entries of an organization and category are kept, by the most specific rule; NULL for ever. Category NULL: by the rules for all categories. Internal.';

CREATE TABLE audit_log.legal_hold (
  name text COLLATE "C" PRIMARY KEY,
  organization_id text COLLATE "C",
  target_type text COLLATE "C",
  target_id text COLLATE "C",
  reason text,
  placed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  placed_by text NOT NULL
);
COMMENT ON TABLE audit_log.legal_hold IS 'Holds in force, placed by hold(): entries that they match are not purged, whatever the rules say.';
COMMENT ON COLUMN audit_log.legal_hold.name IS 'The name to release it by.';
COMMENT ON COLUMN audit_log.legal_hold.organization_id IS 'Whose entries it holds; NULL: everybody''s.';
COMMENT ON COLUMN audit_log.legal_hold.target_type IS 'Only those with a target of this type; NULL: of any.';
COMMENT ON COLUMN audit_log.legal_hold.target_id IS 'Only those with this target, primary or other; NULL: with any.';
COMMENT ON COLUMN audit_log.legal_hold.reason IS 'Why, as given.';
COMMENT ON COLUMN audit_log.legal_hold.placed_at IS 'When.';
COMMENT ON COLUMN audit_log.legal_hold.placed_by IS 'By which login.';

CREATE FUNCTION audit_log.is_held(organization text, target_type text, target_id text, targets jsonb) RETURNS boolean
  LANGUAGE sql STABLE
RETURN EXISTS (
  SELECT FROM audit_log.legal_hold h
  WHERE (h.organization_id IS NULL OR h.organization_id = is_held.organization)
    AND ((h.target_type IS NULL OR h.target_type = is_held.target_type) AND (h.target_id IS NULL OR h.target_id = is_held.target_id)
         OR EXISTS (SELECT FROM pg_catalog.jsonb_array_elements(is_held.targets) t
                    WHERE (h.target_type IS NULL OR h.target_type = t.value ->> 'type') AND (h.target_id IS NULL OR h.target_id = t.value ->> 'id'))));
COMMENT ON FUNCTION audit_log.is_held(text, text, text, jsonb) IS 'Whether a hold in force matches an entry as stored. Internal.';

CREATE FUNCTION audit_log.set_retention(keep interval, organization text DEFAULT NULL, category text DEFAULT NULL) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET IntervalStyle = 'postgres'
AS $$
#variable_conflict use_variable
DECLARE
  was audit_log.retention_rule;
BEGIN
  IF organization IS NOT NULL THEN
    PERFORM audit_log.check_organization(organization, 'organization');
  END IF;
  IF category IS NOT NULL THEN
    PERFORM audit_log.check_vocabulary('category', ARRAY[category]);
  END IF;
  -- No part of it may be negative: a month less 29 days is now and then nothing at all.
  IF keep::text LIKE '%-%' OR keep > interval '1000 years' THEN
    RAISE EXCEPTION 'entries cannot be kept for %', keep
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: keep', HINT = 'Give an interval such as ''90 days'', or NULL to keep them for ever.';
  END IF;
  -- A purge at work is waited for, a short time: what this rule keeps must not go after it is set.
  LOCK TABLE audit_log.retention_rule IN SHARE ROW EXCLUSIVE MODE;
  SELECT r.* INTO was FROM audit_log.retention_rule r
  WHERE r.organization_id IS NOT DISTINCT FROM organization AND r.category IS NOT DISTINCT FROM category;
  INSERT INTO audit_log.retention_rule AS r (organization_id, category, keep) VALUES (organization, category, keep)
  ON CONFLICT ON CONSTRAINT retention_rule_key DO UPDATE SET keep = EXCLUDED.keep, changed_at = EXCLUDED.changed_at;
  IF was.changed_at IS NULL OR was.keep::text IS DISTINCT FROM keep::text THEN
    PERFORM audit_log.record_configuration('retention_changed', organization, coalesce(category, organization, 'everything'),
      pg_catalog.jsonb_build_object('keep', keep, 'category', category)
      || CASE WHEN was.changed_at IS NULL THEN '{}'::jsonb ELSE pg_catalog.jsonb_build_object('was', was.keep) END);
  END IF;
END
$$;
COMMENT ON FUNCTION audit_log.set_retention(interval, text, text) IS 'Keeps entries so long after occurred_at, of an organization, a category, both, or everything; the most specific rule wins. NULL keeps them for ever. 22023 where the interval or a part of it is negative, or it is over 1000 years, or the category unknown. Recorded as retention_changed.';

CREATE FUNCTION audit_log.unset_retention(organization text DEFAULT NULL, category text DEFAULT NULL) RETURNS boolean
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
  SET IntervalStyle = 'postgres'
AS $$
#variable_conflict use_variable
DECLARE
  was audit_log.retention_rule;
BEGIN
  LOCK TABLE audit_log.retention_rule IN SHARE ROW EXCLUSIVE MODE;
  DELETE FROM audit_log.retention_rule r
  WHERE r.organization_id IS NOT DISTINCT FROM organization AND r.category IS NOT DISTINCT FROM category
  RETURNING r.* INTO was;
  IF was.changed_at IS NULL THEN
    RETURN false;
  END IF;
  PERFORM audit_log.record_configuration('retention_changed', organization, coalesce(category, organization, 'everything'),
    pg_catalog.jsonb_build_object('removed', true, 'category', category, 'was', was.keep));
  RETURN true;
END
$$;
COMMENT ON FUNCTION audit_log.unset_retention(text, text) IS 'Takes back what set_retention() set for just this organization and category, so that the next less specific rule counts again (for everything: 30 days). False where there is no such rule. Recorded as retention_changed.';

CREATE FUNCTION audit_log.hold(name text, organization text DEFAULT NULL, target_type text DEFAULT NULL, target_id text DEFAULT NULL, reason text DEFAULT NULL)
  RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF name IS NULL OR name = '' OR pg_catalog.length(name) > 255 THEN
    RAISE EXCEPTION 'a hold''s name has 1 to 255 characters'
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: name', HINT = 'Give a name to release the hold by, such as that of the case.';
  END IF;
  IF organization IS NOT NULL THEN
    PERFORM audit_log.check_organization(organization, 'organization');
  END IF;
  IF target_type IS NOT NULL THEN
    PERFORM audit_log.check_vocabulary('target_type', ARRAY[target_type]);
  END IF;
  -- A purge at work is waited for, a short time: what is held must not go after this returns.
  LOCK TABLE audit_log.legal_hold IN SHARE ROW EXCLUSIVE MODE;
  IF EXISTS (SELECT FROM audit_log.legal_hold h WHERE h.name = hold.name) THEN
    RAISE EXCEPTION 'there is a hold "%" already', name
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: name', HINT = 'Choose another name, or SELECT audit_log.release_hold() first.';
  END IF;
  INSERT INTO audit_log.legal_hold (name, organization_id, target_type, target_id, reason, placed_by)
  VALUES (name, organization, target_type, audit_log.stored_id(target_id), audit_log.valid_text(reason), audit_log.valid_text(session_user::text));
  PERFORM audit_log.record_configuration('hold_placed', organization, name,
    pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('organization', organization, 'target_type', target_type, 'target_id', target_id, 'reason', reason)));
END
$$;
COMMENT ON FUNCTION audit_log.hold(text, text, text, text, text) IS 'Keeps entries from every purge until release_hold(): those of an organization, with a target of a type, with a target (primary or other), or all that fit what is given. 22023 where the name is taken or the type unknown. Recorded as hold_placed.';

CREATE FUNCTION audit_log.release_hold(name text) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  was audit_log.legal_hold;
BEGIN
  DELETE FROM audit_log.legal_hold h WHERE h.name = release_hold.name RETURNING h.* INTO was;
  IF was.name IS NULL THEN
    RAISE EXCEPTION 'there is no hold %', coalesce('"' || name || '"', 'null')
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: name', HINT = 'SELECT name FROM audit_log.legal_hold shows those in force.';
  END IF;
  PERFORM audit_log.record_configuration('hold_released', was.organization_id, name,
    pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('organization', was.organization_id, 'target_type', was.target_type,
      'target_id', was.target_id, 'reason', was.reason, 'placed_at', was.placed_at)));
END
$$;
COMMENT ON FUNCTION audit_log.release_hold(text) IS 'Ends a hold: the rules count again for what it held. 22023 where there is none of the name. Recorded as hold_released.';
