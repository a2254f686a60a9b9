-- The people's page: labels, search, exact totals, and names to type ahead.

CREATE VIEW audit_log.naming WITH (security_invoker = true) AS
SELECT n.is_actor, n.organization_id, n.type, n.id, n.name
FROM audit_log.stored_named n
UNION ALL
SELECT m.is_actor, u.organization_id, m.type, m.id, m.name
FROM audit_log.uncounted u
CROSS JOIN LATERAL audit_log.names_of(u.actor_type, u.actor_id, u.actor_name,
  u.effective_actor_type, u.effective_actor_id, u.effective_actor_name, u.target_type, u.target_id, u.target_name, u.targets) m;
COMMENT ON VIEW audit_log.naming IS 'Whom and what entries name, counted or not; a name may come several times. Internal.';

CREATE FUNCTION audit_log.count_between(
  start_date timestamptz, end_date timestamptz, among text[], disabled text[], categories text[]) RETURNS bigint
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp
  SET TimeZone = 'UTC'
  -- What is NULL filters nothing, and is no part of the plan.
  SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
  -- Days that are in the window as a whole are counted already, but for what came since.
  first_day timestamptz := CASE WHEN start_date = pg_catalog.date_trunc('day', start_date) THEN start_date
                                -- There is no next day to count from.
                                WHEN start_date >= '294276-12-31Z' THEN end_date
                                ELSE pg_catalog.date_trunc('day', start_date) + interval '1 day' END;
  last_day timestamptz := pg_catalog.date_trunc('day', end_date);
BEGIN
  IF first_day >= last_day THEN
    first_day := end_date;
    last_day := end_date;
  END IF;
  RETURN
    (SELECT coalesce(pg_catalog.sum(a.events), 0) FROM audit_log.stored_activity a
     WHERE a.actor_type IS NULL AND a.day >= first_day::date AND a.day < last_day::date
       AND (among IS NULL OR a.organization_id = ANY (among)) AND (disabled IS NULL OR a.organization_id <> ALL (disabled))
       AND (categories IS NULL OR a.category = ANY (categories)))
    + (SELECT pg_catalog.count(*) FROM audit_log.uncounted e
       WHERE e.occurred_at >= first_day AND e.occurred_at < last_day
         AND (among IS NULL OR e.organization_id = ANY (among)) AND (disabled IS NULL OR e.organization_id <> ALL (disabled))
         AND (categories IS NULL OR e.category = ANY (categories)))
    + (SELECT pg_catalog.count(*) FROM audit_log.stored_event e
       WHERE e.occurred_at >= start_date AND e.occurred_at < first_day
         AND (among IS NULL OR e.organization_id = ANY (among)) AND (disabled IS NULL OR e.organization_id <> ALL (disabled))
         AND (categories IS NULL OR e.category = ANY (categories)))
    + (SELECT pg_catalog.count(*) FROM audit_log.stored_event e
       WHERE e.occurred_at >= last_day AND e.occurred_at < end_date
         AND (among IS NULL OR e.organization_id = ANY (among)) AND (disabled IS NULL OR e.organization_id <> ALL (disabled))
         AND (categories IS NULL OR e.category = ANY (categories)));
END
$$;
COMMENT ON FUNCTION audit_log.count_between(timestamptz, timestamptz, text[], text[], text[]) IS 'How many entries a window has, exactly: of these organizations, of none of those, of these categories; NULL filters nothing. Internal.';

CREATE FUNCTION audit_log.page(
  page integer DEFAULT 1, page_size integer DEFAULT 50, tab text DEFAULT NULL, search text DEFAULT NULL, action text DEFAULT NULL,
  actor text DEFAULT NULL, candidate text DEFAULT NULL, start_date timestamptz DEFAULT NULL, end_date timestamptz DEFAULT NULL,
  organization text DEFAULT NULL)
  RETURNS TABLE (
    id uuid, occurred_at timestamptz, recorded_at timestamptz, organization_id text, category text, operation text,
    actor_type text, actor_id text, actor_name text, actor_email text,
    effective_actor_type text, effective_actor_id text, effective_actor_name text, effective_actor_email text,
    target_type text, target_id text, target_name text, targets jsonb, before jsonb, after jsonb, changes jsonb, metadata jsonb,
    remote_addr inet, access_route inet[], user_agent text, request_id text, database_user text, application_name text,
    relation text, transaction_id xid8, "position" text,
    label text, color text, target_label text, summary text, total bigint, first_row bigint, last_row bigint)
  LANGUAGE c VOLATILE ROWS 50 AS 'MODULE_PATHNAME', 'audit_log_page';
COMMENT ON FUNCTION audit_log.page(integer, integer, text, text, text, text, text, timestamptz, timestamptz, text) IS 'A page for people, newest first. page_size: 10, 20, 50 or 100. tab: interviews or team. search: part of the actor''s name, the target''s type or its id, in any case. action: a category or its label. actor: the id or name of who did it or on whose behalf; candidate: the id or name of a candidate it was done to; not both. No dates: all time. total is exact; first_row and last_row count from 1. No rows behind the last page. 22023 invalid_input, 55000 audit_logs_not_enabled, 42501 missing_endpoint_permission.';

CREATE FUNCTION audit_log.people(search text, "limit" integer DEFAULT 20)
  RETURNS TABLE (type text, id text, name text)
  LANGUAGE plpgsql STABLE ROWS 20
  SET search_path = pg_catalog, pg_temp
  -- The way depends on what is looked for.
  SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
BEGIN
  PERFORM audit_log.require_reader();
  IF people.search IS NULL OR "limit" IS NULL OR "limit" NOT BETWEEN 1 AND 100 THEN
    RAISE EXCEPTION '%', CASE WHEN people.search IS NULL THEN 'search is null' ELSE pg_catalog.format('limit %s is not between 1 and 100', "limit") END
      USING ERRCODE = '22023', DETAIL = E'code: invalid_input\nfield: ' || CASE WHEN people.search IS NULL THEN 'search' ELSE 'limit' END,
            HINT = 'Give a part of a name or an id, and how many people to name at most: 1 to 100.';
  END IF;
  RETURN QUERY
    SELECT DISTINCT n.type, n.id, n.name
    FROM audit_log.naming n
    WHERE (n.is_actor OR n.type = 'candidate')
      AND (n.name OPERATOR(audit_log.@~) people.search OR n.id OPERATOR(audit_log.@~) people.search)
      AND n.organization_id NOT IN (SELECT o.id FROM audit_log.readable_organizations() o WHERE NOT o.enabled)
    ORDER BY n.name, n.type, n.id
    LIMIT "limit";
END
$$;
COMMENT ON FUNCTION audit_log.people(text, integer) IS 'People entries name, to type ahead: actors, and candidates among the targets, whose name or id contains a text, in any case. limit: 1 to 100. 42501 where the caller may read nothing.';
