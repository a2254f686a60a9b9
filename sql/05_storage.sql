-- Where entries are kept: two tables partitioned by time, which nobody updates or deletes from.
-- (What counts them is in 14_activity.sql, in partitions of the same days.)

-- What became of watched tables, as far as their rows' past is read by it. Tables are told apart by their names, which
-- mean the same in any log; a number would mean another table in another one. No key: a restored log has its own rows
-- and the dump's, in whatever order they arrive.
CREATE TABLE audit_log.relation_change (
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  relation text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL CHECK (kind IN ('watched', 'unwatched', 'renamed', 'columns', 'partition_added', 'partition_removed', 'dropped')),
  previous text COLLATE "C",
  columns jsonb
);
COMMENT ON TABLE audit_log.relation_change IS 'What became of watched tables: history() and row_at() go by it. Append-only.';
COMMENT ON COLUMN audit_log.relation_change.at IS 'When it was done; no row of the table changes between then and the commit.';
COMMENT ON COLUMN audit_log.relation_change.relation IS 'The table, schema.table, by its name after the change.';
COMMENT ON COLUMN audit_log.relation_change.kind IS 'watched: from now on changes are recorded; unwatched: no longer; renamed; columns; partition_added, partition_removed: rows came or left without an entry; dropped.';
COMMENT ON COLUMN audit_log.relation_change.previous IS 'Of renamed: the name before.';
COMMENT ON COLUMN audit_log.relation_change.columns IS 'Of columns: {"renamed": {"old": "new"}, "dropped": [], "added": {"name": null where it has no value at first, else "unknown"}, "rewritten": [], "ignored": [from now on]}.';

-- A feed position is (epoch, transaction, id). Another cluster counts transactions anew, so a
-- restored log begins another epoch with its first write. No unique key: see organization_seen.
CREATE TABLE audit_log.feed_epoch (
  epoch smallint NOT NULL,
  system_identifier bigint NOT NULL,
  database_oid oid NOT NULL,
  started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE audit_log.feed_epoch IS 'One row a cluster and database this log has lived in: keeps feed positions growing across dump and restore.';

-- A restored log has its own row and the dump's: the older one says which log it is.
CREATE TABLE audit_log.log_identity (
  id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
  created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE audit_log.log_identity IS 'Tells this log from others, so that no cursor of theirs is taken for one of its own. The oldest row counts.';
INSERT INTO audit_log.log_identity DEFAULT VALUES;

CREATE TABLE audit_log.event (
  occurred_at timestamptz NOT NULL,
  feed bigint NOT NULL,
  recorded_at timestamptz,
  command integer,
  operation "char",
  id uuid NOT NULL,
  organization_id text COLLATE "C" NOT NULL,
  category text COLLATE "C" NOT NULL,
  relation text COLLATE "C",
  target_type text COLLATE "C" NOT NULL,
  target_id text COLLATE "C",
  target_name text,
  actor_type text COLLATE "C" NOT NULL,
  actor_id text COLLATE "C",
  actor_name text,
  actor_email text,
  effective_actor_type text COLLATE "C",
  effective_actor_id text COLLATE "C",
  effective_actor_name text,
  effective_actor_email text,
  targets jsonb,
  before jsonb,
  after jsonb,
  metadata jsonb,
  remote_addr inet,
  access_route inet[],
  user_agent text,
  request_id text,
  database_user text NOT NULL,
  application_name text,
  source jsonb,
  other_type text COLLATE "C"
) PARTITION BY RANGE (occurred_at);
COMMENT ON TABLE audit_log.event IS 'Entries as stored; read them through audit_log.entry. Append-only.';
COMMENT ON COLUMN audit_log.event.feed IS 'Epoch (high 16 bits) and top-level transaction (low 48 bits): the feed''s order, with id.';
COMMENT ON COLUMN audit_log.event.recorded_at IS 'NULL where it equals occurred_at.';
COMMENT ON COLUMN audit_log.event.command IS 'Of a change of a row''s key, the command of the transaction that made it: keys can be exchanged within one.';
COMMENT ON COLUMN audit_log.event.operation IS 'i, u, d, t: insert, update, delete, truncate; l, e: an update that took the row to a disabled organization, or from one; p: a truncate of one partition. NULL for recorded events.';
COMMENT ON COLUMN audit_log.event.relation IS 'The watched table, schema.table, by its name at the time.';
COMMENT ON COLUMN audit_log.event.effective_actor_type IS 'NULL, like its three companions, where nobody is impersonated.';
COMMENT ON COLUMN audit_log.event.targets IS 'NULL where target_type, target_id and target_name say everything.';
COMMENT ON COLUMN audit_log.event.source IS 'Of an imported entry: {"format", "record"}, the record as it came.';
COMMENT ON COLUMN audit_log.event.other_type IS 'target_type where it is not the one its category belongs to: what a filter by type does not find by category.';

CREATE TABLE audit_log.event_target (
  occurred_at timestamptz NOT NULL,
  event_id uuid NOT NULL,
  organization_id text COLLATE "C" NOT NULL,
  target_type text COLLATE "C" NOT NULL,
  target_id text COLLATE "C" NOT NULL
) PARTITION BY RANGE (occurred_at);
COMMENT ON TABLE audit_log.event_target IS 'Targets after the primary one, to find entries by; read them through audit_log.entry_target. Append-only.';

CREATE TABLE audit_log.idempotency (
  organization_id text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  event_id uuid NOT NULL,
  occurred_at timestamptz NOT NULL,
  payload bytea NOT NULL,
  PRIMARY KEY (organization_id, key)
);
COMMENT ON TABLE audit_log.idempotency IS 'Idempotency keys given to record(): the entry each made and the SHA-256 of its payload.';

-- Retention clears these by the instant; record() looks them up by their key.
CREATE INDEX idempotency_occurred_at ON audit_log.idempotency (occurred_at);

-- One row an organization that something was purged of.
CREATE TABLE audit_log.purged_until (
  organization_id text COLLATE "C" PRIMARY KEY,
  until timestamptz NOT NULL
);
COMMENT ON TABLE audit_log.purged_until IS 'Since when nothing of an organization was purged; read it as organization.earliest_available_at.';

CREATE FUNCTION audit_log.refuse_change() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'audit_log_refuse_change';
COMMENT ON FUNCTION audit_log.refuse_change() IS 'Trigger that refuses UPDATE, DELETE and TRUNCATE of entries with 42501, for everybody.';

CREATE FUNCTION audit_log.guard(relation regclass) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  EXECUTE pg_catalog.format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %s
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log.refuse_change()', relation);
  EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only', relation);
END
$$;
COMMENT ON FUNCTION audit_log.guard(regclass) IS 'Makes a table append-only. Internal.';

-- Equality of texts in a GIN index. PostgreSQL has it for scalars in the contrib module btree_gin only, which would
-- have to be installed before; three functions of a line each spare that.
CREATE FUNCTION audit_log.text_values_extract(text, internal, internal) RETURNS internal
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_text_values_extract';
COMMENT ON FUNCTION audit_log.text_values_extract(text, internal, internal) IS 'The key of a value in an index of text_values: itself. Internal.';
CREATE FUNCTION audit_log.text_values_query(text, internal, smallint, internal, internal, internal, internal) RETURNS internal
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_text_values_extract';
COMMENT ON FUNCTION audit_log.text_values_query(text, internal, smallint, internal, internal, internal, internal) IS 'The key to look for in an index of text_values. Internal.';
CREATE FUNCTION audit_log.text_values_consistent(internal, smallint, text, integer, internal, internal, internal, internal) RETURNS boolean
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_text_values_consistent';
COMMENT ON FUNCTION audit_log.text_values_consistent(internal, smallint, text, integer, internal, internal, internal, internal) IS 'Whether a row found in an index of text_values has the value. Internal.';
CREATE OPERATOR CLASS audit_log.text_values FOR TYPE text USING gin AS
  OPERATOR 1 pg_catalog.= (text, text),
  FUNCTION 1 pg_catalog.bttextcmp(text, text),
  FUNCTION 2 audit_log.text_values_extract(text, internal, internal),
  FUNCTION 3 audit_log.text_values_query(text, internal, smallint, internal, internal, internal, internal),
  FUNCTION 4 audit_log.text_values_consistent(internal, smallint, text, integer, internal, internal, internal, internal);
COMMENT ON OPERATOR CLASS audit_log.text_values USING gin IS 'Texts by equality: what entries are filtered by.';

-- The same of the targets behind the first, of which there can be any number. They are compared by their bytes.
CREATE FUNCTION audit_log.has_other_target(targets jsonb, id text) RETURNS boolean
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN EXISTS (SELECT FROM pg_catalog.jsonb_array_elements(targets) WITH ORDINALITY t(value, n) WHERE t.n > 1 AND (t.value -> 'id') = pg_catalog.to_jsonb(id));
COMMENT ON FUNCTION audit_log.has_other_target(jsonb, text) IS 'Whether a target behind the first has an id. Internal.';
CREATE OPERATOR audit_log.@+ (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = audit_log.has_other_target, RESTRICT = pg_catalog.contsel, JOIN = pg_catalog.contjoinsel);
COMMENT ON OPERATOR audit_log.@+ (jsonb, text) IS 'has_other_target()';
CREATE FUNCTION audit_log.other_targets_extract(jsonb, internal) RETURNS internal
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'audit_log_other_targets_extract';
COMMENT ON FUNCTION audit_log.other_targets_extract(jsonb, internal) IS 'The keys of a list of targets in an index of other_targets: the ids behind the first. Internal.';
CREATE OPERATOR CLASS audit_log.other_targets FOR TYPE jsonb USING gin AS
  OPERATOR 1 audit_log.@+ (jsonb, text),
  FUNCTION 1 pg_catalog.bttext_pattern_cmp(text, text),
  FUNCTION 2 audit_log.other_targets_extract(jsonb, internal),
  FUNCTION 3 audit_log.text_values_query(text, internal, smallint, internal, internal, internal, internal),
  FUNCTION 4 audit_log.text_values_consistent(internal, smallint, text, integer, internal, internal, internal, internal),
  STORAGE text;
COMMENT ON OPERATOR CLASS audit_log.other_targets USING gin IS 'Lists of targets by the ids behind the first.';

-- Indexes belong to the partitions, not to the parents: so a partition can be dumped and restored
-- as the plain table it is, and older ones may have others than the newest. Each is one more write
-- an entry: what entries are filtered by is in one index, to which rows are added in a list that is merged later.
-- Entries rarely share an instant: there is next to nothing to deduplicate.
CREATE FUNCTION audit_log.partition_indexes(table_name text) RETURNS TABLE (definition text)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 5
BEGIN ATOMIC
  SELECT d.definition
  FROM (VALUES
    ('event', '(occurred_at) WITH (deduplicate_items = off, fillfactor = 100)'),
    -- In the order of the feed, which is mostly that of writing; a transaction's entries share one number.
    ('event', '(feed) WITH (fillfactor = 100)'),
    ('event', 'USING gin (organization_id audit_log.text_values, category audit_log.text_values, actor_id audit_log.text_values, effective_actor_id audit_log.text_values, target_id audit_log.text_values, targets audit_log.other_targets, other_type audit_log.text_values)'),
    -- What empties a table has no target: row_at() looks for it by the table.
    ('event', '(relation text_pattern_ops, occurred_at) WHERE target_id IS NULL'),
    ('event_target', '(target_id text_pattern_ops, occurred_at, event_id) WITH (deduplicate_items = off)')
  ) AS d(table_name, definition)
  WHERE d.table_name = partition_indexes.table_name;
END;
COMMENT ON FUNCTION audit_log.partition_indexes(text) IS 'The indexes that partitions of event or event_target have. Internal.';

CREATE FUNCTION audit_log.index_event_partition(partition regclass) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  definition text;
BEGIN
  FOR definition IN SELECT i.definition FROM audit_log.partition_indexes('event') i LOOP
    EXECUTE pg_catalog.format('CREATE INDEX ON %s %s', partition, definition);
  END LOOP;
END
$$;
COMMENT ON FUNCTION audit_log.index_event_partition(regclass) IS 'Gives a partition of event its indexes. Internal.';

CREATE FUNCTION audit_log.index_event_target_partition(partition regclass) RETURNS void
  LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  definition text;
BEGIN
  FOR definition IN SELECT i.definition FROM audit_log.partition_indexes('event_target') i LOOP
    EXECUTE pg_catalog.format('CREATE INDEX ON %s %s', partition, definition);
  END LOOP;
END
$$;
COMMENT ON FUNCTION audit_log.index_event_target_partition(regclass) IS 'Gives a partition of event_target its indexes. Internal.';

CREATE FUNCTION audit_log.merge_pending(relation regclass) RETURNS void
  LANGUAGE sql
  SET search_path = pg_catalog, pg_temp
AS $$
  -- Of an index that nothing was added to, a page is read.
  SELECT pg_catalog.gin_clean_pending_list(i.indexrelid)
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = c.relam AND m.amname = 'gin'
  WHERE i.indrelid = merge_pending.relation AND i.indisready
$$;
COMMENT ON FUNCTION audit_log.merge_pending(regclass) IS 'Merges what waits in the GIN indexes of a table. Internal.';

-- An entry whose time has no partition yet lands here: a write never fails for want of one. Not DEFAULT partitions:
-- beside one, attaching reads it all and locks it, and what is moved out of it is hidden from older snapshots.
CREATE TABLE audit_log.event_unplaced (LIKE audit_log.event INCLUDING DEFAULTS);
COMMENT ON TABLE audit_log.event_unplaced IS 'Entries whose time had no partition when they were written, until they are moved to one. Append-only.';
CREATE TABLE audit_log.event_target_unplaced (LIKE audit_log.event_target INCLUDING DEFAULTS);
COMMENT ON TABLE audit_log.event_target_unplaced IS 'Targets of entries whose time had no partition when they were written. Append-only.';

CREATE VIEW audit_log.stored_event WITH (security_invoker = true) AS
SELECT p.* FROM audit_log.event p UNION ALL SELECT u.* FROM audit_log.event_unplaced u;
COMMENT ON VIEW audit_log.stored_event IS 'Entries as stored, wherever they are; read them through audit_log.entry. Internal.';
CREATE VIEW audit_log.stored_event_target WITH (security_invoker = true) AS
SELECT p.* FROM audit_log.event_target p UNION ALL SELECT u.* FROM audit_log.event_target_unplaced u;
COMMENT ON VIEW audit_log.stored_event_target IS 'Targets of entries, wherever they are; read them through audit_log.entry_target. Internal.';

-- What is told of tables decides what is told of their rows.
SELECT audit_log.guard('audit_log.relation_change');
SELECT audit_log.guard(t) FROM pg_catalog.unnest(ARRAY[
  'audit_log.event', 'audit_log.event_unplaced', 'audit_log.event_target', 'audit_log.event_target_unplaced']::regclass[]) t;
SELECT audit_log.index_event_partition('audit_log.event_unplaced');
SELECT audit_log.index_event_target_partition('audit_log.event_target_unplaced');

-- A partition somebody attaches by hand is guarded by these.
CREATE TRIGGER append_only_row BEFORE UPDATE OR DELETE ON audit_log.event
  FOR EACH ROW EXECUTE FUNCTION audit_log.refuse_change();
ALTER TABLE audit_log.event ENABLE ALWAYS TRIGGER append_only_row;
CREATE TRIGGER append_only_row BEFORE UPDATE OR DELETE ON audit_log.event_target
  FOR EACH ROW EXECUTE FUNCTION audit_log.refuse_change();
ALTER TABLE audit_log.event_target ENABLE ALWAYS TRIGGER append_only_row;
