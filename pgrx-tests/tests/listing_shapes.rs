//! Partitions and indexes that are not as the extension made them, or change while pages are read: the same is listed.

use audit_log_tests::{fails, run, Db};

use crate::listing::{expected, pages, requests, same, unguarded, Month};

/// The indexes of a table that begin with a column, or have it in whatever place and are no B-trees.
fn indexes(db: &mut Db, table: &str, column: &str) -> Vec<String> {
    db.all(&format!(
        "SELECT i.indexrelid::regclass FROM pg_index i WHERE i.indrelid = 'audit_log.{table}'::regclass
         AND pg_get_indexdef(i.indexrelid) ~ '([(]{column}|gin [(].*[( ]{column})' ORDER BY i.indexrelid"
    ))
}

fn drop_indexes(db: &mut Db, table: &str, column: &str) {
    let gone = indexes(db, table, column);
    assert!(!gone.is_empty(), "{table} has no index on {column}");
    gone.iter().for_each(|index| db.run(&format!("DROP INDEX {index}")));
}

#[test]
fn indexes_that_are_gone() {
    let mut month = Month::new();
    month.is_listed("nothing");
    for table in ["event_p20250310", "event_target_p20250310", "event_unplaced", "event_target_unplaced"] {
        for index in indexes(&mut month.db, table, "") {
            let mut dba = month.db.session();
            run(&mut dba, &format!("DROP INDEX {index}"));
            month.is_listed(&format!("DROP INDEX {index}"));
        }
        month.write(56);
        month.is_listed("more was written");
    }
}

/// Checks listing with an index of a partition replaced, what is there being in it, and then more.
#[track_caller]
fn replaced(month: &mut Month, table: &str, column: &str, by: &[&str]) {
    for index in by {
        drop_indexes(&mut month.db, table, column);
        // Something with the column in front, for the next to drop.
        let create = format!("CREATE INDEX ON audit_log.{table} {index}");
        month.db.run(&create);
        month.write(28);
        month.is_listed(&create);
    }
}

#[test]
fn indexes_on_targets_as_somebody_else_made_them() {
    let mut month = Month::new();
    let others = [
        "(target_id text_pattern_ops, occurred_at)",
        "(target_id text_pattern_ops, occurred_at) WHERE category = 'job_created'",
        "(target_id, occurred_at)",
        "(target_id text_pattern_ops, occurred_at DESC)",
        "(target_id text_pattern_ops DESC NULLS LAST, occurred_at)",
        "(target_id text_pattern_ops, id, occurred_at)",
        "(target_id text_pattern_ops, occurred_at, id) INCLUDE (category)",
        "((target_id || '') text_pattern_ops, occurred_at)",
        "(target_id text_pattern_ops)",
        "USING gin (target_id audit_log.text_values)",
        "USING gin (category audit_log.text_values, target_id audit_log.text_values) WITH (fastupdate = off)",
        "USING gin (target_id audit_log.text_values) WHERE category = 'job_created'",
        "USING gin (target_id audit_log.text_values, actor_id audit_log.text_values) WHERE actor_id IS NOT NULL",
        "USING gin ((target_id || '') audit_log.text_values)",
        "USING gin (to_tsvector('simple', target_id))",
    ];
    replaced(&mut month, "event_p20250310", "target_id", &others);
    let others = [
        "(target_id text_pattern_ops, occurred_at, event_id)",
        "(target_id text_pattern_ops, occurred_at)",
        "(target_id text_pattern_ops, event_id, occurred_at)",
        "(target_id text_pattern_ops, occurred_at, event_id) WHERE target_type = 'user'",
        "(target_id, occurred_at DESC, event_id DESC)",
    ];
    replaced(&mut month, "event_target_p20250317", "target_id", &others);
}

#[test]
fn other_indexes_as_somebody_else_made_them() {
    let mut month = Month::new();
    let others = [
        "(occurred_at DESC)",
        "(occurred_at DESC, id DESC)",
        "(occurred_at) WHERE category = 'job_created'",
        "(occurred_at, target_id)",
    ];
    replaced(&mut month, "event_p20250310", "occurred_at", &others);
    let others = [
        "(actor_id text_pattern_ops, occurred_at)",
        "(actor_id text_pattern_ops, occurred_at) WHERE actor_id IS NOT NULL AND category = 'job_created'",
        "(actor_id text_pattern_ops, occurred_at) WHERE actor_id > 'b'",
    ];
    replaced(&mut month, "event_p20250317", "actor_id", &others);
    let others = [
        "(effective_actor_id text_pattern_ops, occurred_at) WHERE actor_id IS NOT NULL",
        "(effective_actor_id text_pattern_ops, occurred_at) WHERE effective_actor_type = 'system'",
    ];
    replaced(&mut month, "event_p20250310", "effective_actor_id", &others);
    replaced(
        &mut month,
        "event_unplaced",
        "category",
        &["(category varchar_pattern_ops, occurred_at)", "(category, feed)"],
    );
    replaced(
        &mut month,
        "event_p20250303",
        "organization_id",
        &["(organization_id text_pattern_ops) INCLUDE (occurred_at)"],
    );
    for (table, how) in [
        ("event_p20250303", "hash (target_id)"),
        ("event_p20250310", "brin (occurred_at)"),
        ("event_unplaced", "hash (actor_id)"),
    ] {
        month.db.run(&format!("CREATE INDEX ON audit_log.{table} USING {how}"));
    }
    month.is_listed("other methods");
}

#[test]
fn invalid_indexes_are_not_asked() {
    let mut month = Month::new();
    for (table, column) in [
        ("event_p20250310", "target_id"),
        ("event_p20250317", "category"),
        ("event_target_p20250317", "target_id"),
        ("event_p20250303", "occurred_at"),
    ] {
        drop_indexes(&mut month.db, table, column);
        let columns =
            format!("{column} text_pattern_ops, occurred_at").replace("occurred_at text_pattern_ops, ", "");
        // It fails for what is there twice, and stays as it was by then.
        let mut dba = month.db.session();
        let create =
            format!("CREATE UNIQUE INDEX CONCURRENTLY by_dba_{table} ON audit_log.{table} ({columns})");
        assert_eq!(fails(&mut dba, &create).sqlstate, "23505");
        month.is_listed(&create);
        month.write(28);
        month.is_listed("more was written than is in it");
        // It holds everything by then, and is left over from dropping it: nothing written since is in it.
        drop_indexes(&mut month.db, table, column);
        month.db.run(&format!("CREATE INDEX left_over ON audit_log.{table} ({columns})"));
        for state in ["indisready = false", "indisready = true", "indislive = false, indisready = false"] {
            month.db.run(&format!(
                "UPDATE pg_index SET indisvalid = false, {state} WHERE indexrelid = 'audit_log.left_over'::regclass;
                 ALTER TABLE audit_log.{table} SET (fillfactor = 90)"
            ));
            month.write(28);
            month.is_listed(state);
        }
        month.db.run("DROP INDEX audit_log.left_over");
    }
}

#[test]
fn one_instants_hundreds_in_deduplicated_indexes() {
    let mut month = Month::new();
    month.db.run(
        r#"CREATE TEMP TABLE many AS SELECT (jsonb_populate_record(e, jsonb_build_object('id', gen_random_uuid(), 'targets',
             '[{"type": "job", "id": "t3", "relation": "primary"}, {"type": "user", "id": "t1", "relation": "related"}]'::jsonb))).*
           FROM audit_log.event_p20250310 e, generate_series(1, 700)
           WHERE e.id = (SELECT id FROM audit_log.event_p20250310 WHERE target_id = 't3' AND actor_id = 'ann' LIMIT 1);
         INSERT INTO audit_log.event SELECT * FROM many;
         INSERT INTO audit_log.event_target SELECT occurred_at, id, organization_id, 'user', 't1' FROM many"#,
    );
    drop_indexes(&mut month.db, "event_p20250310", "target_id");
    month.db.run(
        "CREATE INDEX ON audit_log.event_p20250310 (target_id text_pattern_ops, occurred_at);
         CREATE INDEX ON audit_log.event_p20250310 (actor_id text_pattern_ops, occurred_at)",
    );
    for (table, column) in [("event_p20250310", "occurred_at"), ("event_target_p20250310", "target_id")] {
        let ours = indexes(&mut month.db, table, column).remove(0);
        month.db.run(&format!("ALTER INDEX {ours} SET (deduplicate_items = on); REINDEX INDEX {ours}"));
    }
    let third = "get_byte(uuid_send(m.id), 15) % 3 = 0";
    for change in [
        "SELECT 'nothing yet'".to_string(),
        format!(
            "DELETE FROM audit_log.event USING many m WHERE m.id = event.id AND {third};
             DELETE FROM audit_log.event_target USING many m WHERE m.id = event_id AND {third}"
        ),
        "VACUUM audit_log.event_p20250310, audit_log.event_target_p20250310".to_string(),
    ] {
        unguarded(&mut month.db, &change);
        let mut both = requests()[2].clone();
        both.target_ids = Some(vec!["t1".into(), "t3".into()]);
        for request in requests().iter().chain([&both]) {
            let wanted = expected(&mut month.truth, request, None, None);
            same(&pages(&mut month.db.client, request, 99), &wanted, &format!("{request:?} after {change}"));
        }
    }
}

/// As one might do who has to make the log forget somebody.
#[test]
fn rows_changed_where_they_are() {
    let mut month = Month::new();
    for table in ["event_p20250303", "event_p20250310", "event_unplaced"] {
        month.db.run(&format!("ALTER TABLE audit_log.{table} SET (fillfactor = 30)"));
        month.db.run(&format!("VACUUM FULL audit_log.{table}"));
    }
    let forget =
        "UPDATE audit_log.event SET actor_name = 'forgotten' WHERE get_byte(uuid_send(id), 15) % 2 = 0";
    for change in [
        forget,
        "VACUUM audit_log.event_p20250303",
        forget,
        "BEGIN; DELETE FROM audit_log.event; ROLLBACK",
        "VACUUM FREEZE audit_log.event_p20250310",
    ] {
        unguarded(&mut month.db, change);
        month.is_listed(change);
    }
    month.db.run("SELECT pg_stat_force_next_flush()");
    let in_place =
        month.db.one("SELECT sum(n_tup_hot_upd) FROM pg_stat_all_tables WHERE schemaname = 'audit_log'");
    assert_ne!(in_place, "0", "no row was changed where it is");
}

#[test]
fn an_index_newer_than_a_snapshot_does_not_know_what_that_still_sees() {
    let mut month = Month::new();
    month.db.run("ALTER TABLE audit_log.event_p20250310 SET (fillfactor = 30)");
    month.db.run("VACUUM FULL audit_log.event_p20250310");
    drop_indexes(&mut month.db, "event_p20250310", "target_id");
    let mut old = month.db.session();
    run(&mut old, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM audit_log.stored_event LIMIT 1");
    let request = &requests()[2];
    let wanted = expected(&mut old, request, None, None);
    unguarded(&mut month.db, "UPDATE audit_log.event_p20250310 SET target_id = 't8' WHERE target_id = 't1' AND targets IS NULL; SELECT audit_log.index_event_partition('audit_log.event_p20250310')");
    same(&pages(&mut old, request, 33), &wanted, "by the older snapshot");
    month.is_listed("an index was made of rows changed since");
}

/// A statement that creates a table with the columns of another one in the opposite order.
fn reversed(table: &str, like: &str) -> String {
    format!(
        "DO $$ BEGIN EXECUTE (
           SELECT format('CREATE TABLE {table} (%s)', string_agg(format('%I %s %s %s', attname, atttypid::regtype,
             CASE attcollation WHEN 950 THEN 'COLLATE \"C\"' END, CASE WHEN attnotnull THEN 'NOT NULL' END), ',' ORDER BY attnum DESC))
           FROM pg_attribute WHERE attnum > 0 AND attrelid = 'audit_log.{like}'::regclass); END $$"
    )
}

#[test]
fn partitions_that_others_made() {
    let mut month = Month::new();
    month.db.run(&reversed("reversed", "event"));
    month.db.run(
        "CREATE TABLE bare (LIKE audit_log.event);
         CREATE UNLOGGED TABLE narrower (gone int, LIKE audit_log.event); ALTER TABLE narrower DROP COLUMN gone;
         CREATE TABLE subdivided (LIKE audit_log.event) PARTITION BY LIST (category);
         CREATE TABLE jobs PARTITION OF subdivided FOR VALUES IN ('job_created', 'job_updated');
         CREATE TABLE others PARTITION OF subdivided DEFAULT;
         CREATE TABLE in_days (LIKE audit_log.event) PARTITION BY RANGE (occurred_at);
         CREATE TABLE rest_of_week PARTITION OF in_days DEFAULT;
         CREATE TABLE a_day PARTITION OF in_days FOR VALUES FROM ('2025-05-06Z') TO ('2025-05-07Z');
         SELECT audit_log.index_event_partition(t) FROM unnest('{reversed,narrower,jobs,in_days}'::regclass[]) t",
    );
    for (week, table) in ["bare", "narrower", "reversed", "subdivided", "in_days"].into_iter().enumerate() {
        let days = 7 * (week + 5);
        let columns = "feed, organization_id, category, target_type, target_id, actor_type, actor_id, after, database_user";
        let fill = |table: &str| {
            format!(
            "INSERT INTO {table} (occurred_at, id, {columns}) SELECT occurred_at + interval '{days} days', gen_random_uuid(), {columns} FROM audit_log.event_p20250303"
        )
        };
        // The first rows come along, the others by way of the log.
        month.db.run(&fill(table));
        month.db.run(&format!(
            "ALTER TABLE audit_log.event ATTACH PARTITION {table}
             FOR VALUES FROM ('2025-03-03Z'::timestamptz + interval '{days} days') TO ('2025-03-10Z'::timestamptz + interval '{days} days')"
        ));
        month.is_listed(table);
        month.db.run(&fill("audit_log.event"));
        month.is_listed(&format!("more was written to {table}"));
    }
    month.db.run("SELECT audit_log.index_event_partition('bare'); DROP INDEX bare_occurred_at_idx");
    month.is_listed("one was indexed later, in part");
}

#[test]
fn partitions_of_targets_that_others_made() {
    let mut month = Month::new();
    for (from, to, index) in [
        ("2025-03-03", "2025-03-10", ""),
        ("2025-03-17", "2025-03-24", "SELECT audit_log.index_event_target_partition('reversed_20250317')"),
    ] {
        let name = from.replace('-', "");
        month.db.run(&reversed(&format!("reversed_{name}"), "event_target"));
        month.db.run(&format!(
            "INSERT INTO reversed_{name} (occurred_at, event_id, organization_id, target_type, target_id) SELECT * FROM audit_log.event_target_p{name};
             ALTER TABLE audit_log.event_target DETACH PARTITION audit_log.event_target_p{name}; {index};
             ALTER TABLE audit_log.event_target ATTACH PARTITION reversed_{name} FOR VALUES FROM ('{from}Z') TO ('{to}Z')"
        ));
        month.write(28);
        month.is_listed(&name);
    }
    month.db.run(
        "CREATE TABLE targets_rest PARTITION OF audit_log.event_target DEFAULT; CREATE TABLE rest PARTITION OF audit_log.event DEFAULT",
    );
    month.write(29);
    month.is_listed("with default partitions");
}
