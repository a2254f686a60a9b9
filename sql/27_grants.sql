-- Who may call and read what, and what a dump takes along.

REVOKE ALL ON ALL TABLES IN SCHEMA audit_log FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA audit_log FROM PUBLIC;

-- Reading functions check the caller themselves, so that a refusal says what to do.
GRANT EXECUTE ON FUNCTION
  audit_log.set_context(jsonb, boolean),
  audit_log.list(text, integer, timestamptz, timestamptz, text[], text[], text[], text[], text),
  audit_log.list_json(jsonb),
  audit_log.page(integer, integer, text, text, text, text, text, timestamptz, timestamptz, text),
  audit_log.people(text, integer),
  audit_log.sync_start(timestamptz),
  audit_log.sync(text, integer, text),
  audit_log.sync_json(jsonb),
  audit_log.export(timestamptz, timestamptz, text[], text[], text[], text[], text, boolean),
  audit_log.begin_export(timestamptz, timestamptz, text[], text[], text[], text[], text),
  audit_log.format(audit_log.entry, text),
  audit_log.history(regclass, text),
  audit_log.row_at(regclass, text, timestamptz),
  audit_log.history(text, text),
  audit_log.row_at(text, text, timestamptz),
  audit_log.imported_record(uuid), audit_log.key_text(text[]), audit_log.stored_id(text),
  -- Called by the above as the caller; none tells anything the caller may not know.
  audit_log.require_reader(), audit_log.my_organizations(), audit_log.label_of(text, name[]), audit_log.relation_label(regclass), audit_log.qualified_name(text, text),
  audit_log.history_of(text, text), audit_log.row_at_of(text, text, timestamptz),
  -- PostgreSQL copies the trigger to partitions in the name of whoever makes them.
  audit_log.capture()
TO PUBLIC;

GRANT SELECT ON
  audit_log.entry, audit_log.entry_target, audit_log.entry_change, audit_log.activity_daily, audit_log.category_daily, audit_log.feed, audit_log.feed_rows, audit_log.bi_audit_log,
  audit_log.organization, audit_log.vocabulary, audit_log.target_type, audit_log.actor_type, audit_log.watched,
  -- What these views, being security_invoker, read as the caller; entries by row policy.
  audit_log.stored_event, audit_log.event, audit_log.event_unplaced, audit_log.stored_event_target, audit_log.event_target, audit_log.event_target_unplaced, audit_log.stored_activity, audit_log.activity, audit_log.activity_unplaced, audit_log.stored_named, audit_log.named, audit_log.named_unplaced, audit_log.uncounted, audit_log.counted_until, audit_log.naming, audit_log.relation_change, audit_log.organization_switch, audit_log.organization_pause, audit_log.watch_trigger, audit_log.category_definition, audit_log.category_deprecation
TO audit_log_reader, audit_log_bound;
GRANT EXECUTE ON FUNCTION
  audit_log.readable_organizations(), audit_log.state_bytes(jsonb, jsonb), audit_log.changes(jsonb, jsonb), audit_log.primary_target(text, text, text), audit_log.seen_by(bigint, smallint, pg_snapshot), audit_log.unseen_from(smallint, pg_snapshot), audit_log.contains(text, text), audit_log.settled_below(), audit_log.safe_cell(text), audit_log.stored_ids(text[]), audit_log.row_id(regclass, record), audit_log.id_instant(uuid), audit_log.format_json(jsonb, jsonb, text),
  audit_log.names_of(text, text, text, text, text, text, text, text, text, jsonb), audit_log.entry_json(audit_log.entry), audit_log.column_names(jsonb),
  audit_log.relation_label(regclass), audit_log.named_relation(text), audit_log.root_label(text), audit_log.name_periods(text), audit_log.relation_changes(text),
  audit_log.row_json(regclass, record), audit_log.live_row(regclass, text), audit_log.row_events(text, text), audit_log.place_of(audit_log.row_event[], uuid),
  audit_log.was_paused(text, timestamptz, timestamptz), audit_log.mapped_state(jsonb, jsonb), audit_log.names_today(text, timestamptz), audit_log.names_then(jsonb, text[]),
  audit_log.changed_columns(jsonb, text[]), audit_log.names_across(jsonb, jsonb, boolean), audit_log.refuse_rebuild(text, text, text),
  audit_log.row_before(text, text, timestamptz), audit_log.row_after(text, text, timestamptz)
TO audit_log_reader, audit_log_bound;

GRANT EXECUTE ON FUNCTION
  audit_log.record(text, text, text, jsonb, jsonb, jsonb, jsonb, timestamptz, text, text)
TO audit_log_writer;
GRANT EXECUTE ON FUNCTION audit_log.column_names(jsonb) TO audit_log_writer;
GRANT SELECT ON
  audit_log.vocabulary, audit_log.target_type, audit_log.actor_type, audit_log.watched,
  audit_log.category_definition, audit_log.category_deprecation, audit_log.watch_trigger
TO audit_log_writer;

GRANT EXECUTE ON FUNCTION
  audit_log.define_target_type(text, text), audit_log.define_actor_type(text, text),
  audit_log.define_category(text, text, text, text, text, text, jsonb), audit_log.deprecate_category(text),
  audit_log.enable_organization(text, text), audit_log.disable_organization(text),
  audit_log.grant_read(name, text), audit_log.revoke_read(name, text),
  audit_log.watch(regclass, text, name[], name, name, jsonb, jsonb, name[], name[], text), audit_log.unwatch(regclass),
  audit_log.ensure_partitions(integer), audit_log.count_entries(), audit_log.import(jsonb[], text),
  audit_log.partition_interval(), audit_log.set_partition_interval(text), audit_log.reindex_partitions(boolean),
  audit_log.set_retention(interval, text, text), audit_log.unset_retention(text, text),
  audit_log.hold(text, text, text, text, text), audit_log.release_hold(text), audit_log.run_retention(boolean),
  audit_log.worker_tasks(), audit_log.task_interval(text), audit_log.doctor()
TO audit_log_admin;
GRANT SELECT ON audit_log.retention, audit_log.retention_rule, audit_log.legal_hold, audit_log.worker_status, audit_log.worker_task, audit_log.partition_setting
TO audit_log_admin;

GRANT SELECT ON audit_log.live_binding TO audit_log_admin;
GRANT EXECUTE ON FUNCTION audit_log.system_identifier(), audit_log.current_binding() TO audit_log_admin;

-- Partitions made at run time are dumped as the tables they are; these belong to the extension.
DO $dump$
DECLARE
  t regclass;
BEGIN
  FOREACH t IN ARRAY ARRAY[
    'audit_log.category_deprecation', 'audit_log.organization_setting', 'audit_log.organization_seen', 'audit_log.organization_switch', 'audit_log.relation_change',
    'audit_log.feed_epoch', 'audit_log.log_identity', 'audit_log.event_unplaced', 'audit_log.event_target_unplaced',
    'audit_log.idempotency', 'audit_log.read_binding', 'audit_log.activity_unplaced', 'audit_log.named_unplaced', 'audit_log.counted_until',
    'audit_log.partition_setting', 'audit_log.retention_rule', 'audit_log.legal_hold', 'audit_log.purged_until', 'audit_log.purged_feed', 'audit_log.examined']::regclass[]
  LOOP
    PERFORM pg_catalog.pg_extension_config_dump(t, '');
  END LOOP;
  FOREACH t IN ARRAY ARRAY['audit_log.target_type', 'audit_log.category_definition', 'audit_log.actor_type']::regclass[] LOOP
    PERFORM pg_catalog.pg_extension_config_dump(t, 'WHERE NOT builtin');
  END LOOP;
END
$dump$;
