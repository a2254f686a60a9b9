-- What the specs share, in their database. A permutation cannot empty the log, so it sees what came since it began.

CREATE EXTENSION audit_log;

CREATE TABLE spec_run (number int NOT NULL, began timestamptz NOT NULL);
INSERT INTO spec_run VALUES (0, clock_timestamp());

CREATE PROCEDURE spec_begins() LANGUAGE sql AS $$
  UPDATE spec_run SET number = number + 1, began = clock_timestamp();
$$;

-- What a statement gives in one value, or its SQLSTATE.
CREATE FUNCTION spec_try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  given text;
BEGIN
  EXECUTE statement INTO given;
  RETURN coalesce(nullif(given, ''), 'done');
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE;
END
$$;

-- A name that no permutation before had.
CREATE FUNCTION spec_name(prefix text) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT prefix || '_' || number FROM spec_run
$$;

CREATE VIEW spec_changes AS
SELECT category, target_id AS id, target_name AS name, organization_id AS org,
       (SELECT string_agg(concat_ws(' ', t ->> 'relation', t ->> 'type', t ->> 'id'), ', ' ORDER BY n)
        FROM jsonb_array_elements(targets) WITH ORDINALITY AS a(t, n) WHERE t ->> 'relation' <> 'primary') AS also,
       before, after
FROM (SELECT * FROM audit_log.entry
      WHERE occurred_at > (SELECT began FROM spec_run) AND relation = 'public.doc' AND operation IS NOT NULL
      ORDER BY occurred_at, id) e;

CREATE VIEW spec_sights AS
SELECT target_type AS table, target_id AS id,
       CASE organization_id WHEN 'default' THEN 'none' WHEN 'acme' THEN 'known' ELSE regexp_replace(organization_id, '_.*', '') END AS org
FROM (SELECT * FROM audit_log.entry
      WHERE occurred_at > (SELECT began FROM spec_run) AND relation IN ('public.doc', 'public.memo')
      ORDER BY occurred_at, id) e;

-- The vocabulary of the table that specs write to, so that the first permutation finds what the later ones do.
SELECT audit_log.define_target_type('doc', 'Document');
SELECT audit_log.define_target_type('paper', 'Paper');
SELECT audit_log.define_category('doc_filed', 'doc', 'Document filed');
SELECT audit_log.define_category('doc_retitled', 'doc', 'Document renamed');
CREATE TABLE doc (id int PRIMARY KEY);
SELECT audit_log.watch('doc');
SELECT audit_log.watch('doc', target_type => 'paper');
DROP TABLE doc;
SELECT audit_log.enable_organization('acme');

-- A role that is bound to organizations, and ways it can read: what each finds of the rows of doc, or the SQLSTATE.
CREATE ROLE spec_reader;
GRANT SELECT ON spec_run TO PUBLIC;
CREATE FUNCTION spec_read(all_ways boolean DEFAULT false) RETURNS TABLE (way text, ids text) LANGUAGE plpgsql AS $$
BEGIN
  FOR way, ids IN
    SELECT w.way, 'SELECT coalesce((' || replace(w.query, ':ids', 'string_agg(DISTINCT target_id, '','')') || '), ''nothing'')'
    FROM (VALUES
      (1, true, 'list', $q$SELECT :ids FROM audit_log.list(start_date => (SELECT began FROM spec_run), target_types => '{doc}')$q$),
      (2, true, 'list beta', $q$SELECT :ids FROM audit_log.list(start_date => (SELECT began FROM spec_run), target_types => '{doc}', organization => 'beta')$q$),
      (3, true, 'sync', $q$SELECT :ids FROM audit_log.sync(audit_log.sync_start((SELECT began FROM spec_run))) WHERE target_type = 'doc'$q$),
      (4, true, 'entry', $q$SELECT :ids FROM audit_log.entry WHERE occurred_at > (SELECT began FROM spec_run) AND target_type = 'doc'$q$),
      (5, true, 'history of 2', $q$SELECT :ids FROM audit_log.history('doc', '2') WHERE occurred_at > (SELECT began FROM spec_run)$q$),
      (6, false, 'list_json beta', $q$SELECT coalesce(j ->> 'status', (SELECT string_agg(DISTINCT r -> 'target' ->> 'id', ',') FROM jsonb_array_elements(j -> 'results') r))
        FROM audit_log.list_json(jsonb_build_object('startDate', (SELECT began FROM spec_run), 'targetTypes', '["doc"]'::jsonb, 'organization', 'beta')) j$q$),
      (7, false, 'page', $q$SELECT :ids FROM audit_log.page(start_date => (SELECT began FROM spec_run)) WHERE target_type = 'doc'$q$),
      (8, false, 'export', $q$SELECT string_agg(DISTINCT targets -> 0 ->> 'id', ',')
        FROM audit_log.export(start_date => (SELECT began FROM spec_run), target_types => '{doc}')$q$),
      (9, false, 'sync beta', $q$SELECT :ids FROM audit_log.sync(audit_log.sync_start((SELECT began FROM spec_run)), organization => 'beta') WHERE target_type = 'doc'$q$),
      (10, false, 'entry_target', $q$SELECT :ids FROM audit_log.entry_target WHERE occurred_at > (SELECT began FROM spec_run) AND target_type = 'doc'$q$),
      (11, false, 'bi_audit_log', $q$SELECT string_agg(DISTINCT event_target_id, ',') FROM audit_log.bi_audit_log
        WHERE event_time > (SELECT began FROM spec_run) AND event_target_type = 'doc'$q$)
    ) AS w(number, is_usual, way, query) WHERE w.is_usual OR all_ways ORDER BY w.number
  LOOP
    ids := spec_try(ids);
    RETURN NEXT;
  END LOOP;
END
$$;
