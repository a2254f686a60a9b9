//! Nobody changes or removes entries: not the owner, not a superuser, by no statement and in no partition.

use audit_log_tests::{unique, Db};

/// A database with entries now and of years without a partition.
fn recorded() -> Db {
    let mut db = Db::new();
    db.run(
        r#"SELECT audit_log.ensure_partitions();
        SELECT audit_log.record('job_created', '1', targets => '[{"type": "team", "id": "t"}]');
        SELECT audit_log.record('job_created', '2', targets => '[{"type": "team", "id": "t"}]', occurred_at => '1999-01-01Z')"#,
    );
    db
}

/// Everything that is stored of entries.
fn stored(db: &mut Db) -> Vec<String> {
    db.all("SELECT md5(string_agg(e::text, '' ORDER BY id)) FROM audit_log.stored_event e UNION ALL
            SELECT md5(string_agg(t::text, '' ORDER BY event_id, target_id)) FROM audit_log.stored_event_target t UNION ALL
            SELECT md5(string_agg(e::text, '' ORDER BY id)) FROM audit_log.entry e")
}

fn partitions(db: &mut Db) -> Vec<String> {
    db.all("SELECT p.relid FROM unnest(ARRAY['audit_log.event', 'audit_log.event_target']::regclass[]) t, pg_partition_tree(t) p ORDER BY 1")
}

/// Statements that would change a table's rows, some without a row to change.
fn changes(table: &str) -> Vec<String> {
    vec![
        format!("UPDATE {table} SET organization_id = 'x'"),
        format!("UPDATE {table} SET organization_id = organization_id WHERE false"),
        format!("UPDATE {table} SET occurred_at = occurred_at + interval '1000 years'"),
        format!("DELETE FROM {table}"),
        format!("DELETE FROM {table} WHERE false"),
        format!("DELETE FROM ONLY {table}"),
        format!("TRUNCATE {table}"),
        format!("MERGE INTO {table} t USING (VALUES (1)) v ON true WHEN MATCHED THEN DELETE"),
        format!("MERGE INTO {table} t USING (VALUES (1)) v ON true WHEN MATCHED THEN UPDATE SET organization_id = 'x'"),
        format!("MERGE INTO {table} t USING (VALUES (1)) v ON false WHEN MATCHED THEN DELETE"),
        format!("WITH gone AS (DELETE FROM {table} RETURNING *) SELECT count(*) FROM gone"),
    ]
}

#[track_caller]
fn refused(db: &mut Db, statements: &[String]) {
    let before = stored(db);
    for sql in statements {
        db.fails(sql).is("42501", "entries_are_append_only");
    }
    assert_eq!(stored(db), before);
}

#[test]
fn by_no_statement_on_the_tables_and_their_partitions() {
    let mut db = recorded();
    let partitions = partitions(&mut db);
    assert!(partitions.iter().filter(|p| p.contains("_p20")).count() > 1, "{partitions:?}");
    for table in partitions {
        refused(&mut db, &changes(&table));
    }
    refused(&mut db, &["TRUNCATE audit_log.event, audit_log.event_target CASCADE".into()]);
}

#[test]
fn on_conflict_does_not_update() {
    let mut db = recorded();
    db.run("CREATE UNIQUE INDEX ON audit_log.event_unplaced (occurred_at, id)");
    let upsert = "INSERT INTO audit_log.event_unplaced SELECT * FROM audit_log.event_unplaced
        ON CONFLICT (occurred_at, id) DO UPDATE SET organization_id = 'x'";
    refused(&mut db, &[upsert.into()]);
}

#[test]
fn not_in_replica_mode() {
    let mut db = recorded();
    for mode in ["replica", "local"] {
        db.run(&format!("SET session_replication_role = {mode}"));
        for table in partitions(&mut db) {
            refused(&mut db, &changes(&table));
        }
    }
}

#[test]
fn not_by_whoever_owns_the_tables() {
    let mut db = recorded();
    let owner = unique("owner");
    db.run(&format!("CREATE ROLE {owner}; GRANT CREATE ON SCHEMA audit_log TO {owner}"));
    for table in partitions(&mut db) {
        db.run(&format!("ALTER TABLE {table} OWNER TO {owner}; GRANT ALL ON {table} TO {owner}"));
    }
    db.run(&format!("GRANT audit_log_reader TO {owner}; SET ROLE {owner}"));
    for table in partitions(&mut db) {
        refused(&mut db, &changes(&table));
    }
}

#[test]
fn not_by_cascades() {
    let mut db = recorded();
    db.run("CREATE TABLE org (id text PRIMARY KEY); INSERT INTO org VALUES ('default'), ('x')");
    for table in ["event", "event_target"] {
        for action in ["CASCADE", "SET DEFAULT", "SET NULL"] {
            db.run(&format!(
                "ALTER TABLE audit_log.{table} ADD CONSTRAINT by_cascade FOREIGN KEY (organization_id) REFERENCES org
                 ON DELETE {action} ON UPDATE {action}"
            ));
            refused(
                &mut db,
                &[
                    "DELETE FROM org WHERE id = 'default'",
                    "UPDATE org SET id = 'y' WHERE id = 'default'",
                    "TRUNCATE org CASCADE",
                ]
                .map(str::to_string),
            );
            db.run(&format!("ALTER TABLE audit_log.{table} DROP CONSTRAINT by_cascade"));
        }
    }
}

#[test]
fn not_in_a_partition_attached_by_hand() {
    let mut db = recorded();
    db.run(
        "CREATE TABLE audit_log.event_2001 (LIKE audit_log.event INCLUDING CONSTRAINTS);
         ALTER TABLE audit_log.event ATTACH PARTITION audit_log.event_2001 FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
         CREATE TABLE public.targets_2001 PARTITION OF audit_log.event_target FOR VALUES FROM ('2001-01-01') TO ('2002-01-01')",
    );
    db.run(r#"SELECT audit_log.record('job_created', '3', targets => '[{"type": "team", "id": "t"}]', occurred_at => '2001-06-01Z')"#);
    for table in ["audit_log.event_2001", "public.targets_2001"] {
        assert_eq!(db.one(&format!("SELECT count(*) FROM {table}")), "1");
        for mode in ["origin", "replica"] {
            db.run(&format!("SET session_replication_role = {mode}"));
            let statements = changes(table).into_iter().filter(|s| !s.contains("false")).collect::<Vec<_>>();
            refused(&mut db, &statements);
        }
    }
    refused(&mut db, &changes("audit_log.event"));
}

#[test]
fn not_through_the_views() {
    let mut db = recorded();
    let before = stored(&mut db);
    for view in ["entry", "entry_target", "entry_change", "activity_daily", "bi_audit_log"] {
        for sql in [
            format!("UPDATE audit_log.{view} SET organization_id = 'x'"),
            format!("DELETE FROM audit_log.{view}"),
            format!("TRUNCATE audit_log.{view}"),
            format!("MERGE INTO audit_log.{view} t USING (VALUES (1)) v ON true WHEN MATCHED THEN DELETE"),
        ] {
            db.fails(&sql);
        }
    }
    assert_eq!(stored(&mut db), before);
}

#[test]
fn not_by_the_names_of_watched_tables_that_entries_show() {
    let mut db = recorded();
    db.run(
        "CREATE TABLE job (id int PRIMARY KEY); SELECT audit_log.watch('job'); INSERT INTO job VALUES (1)",
    );
    refused(
        &mut db,
        &[
            "UPDATE audit_log.relation_change SET relation = 'public.other'",
            "DELETE FROM audit_log.relation_change",
            "TRUNCATE audit_log.relation_change",
        ]
        .map(str::to_string),
    );
}

#[test]
fn a_failed_change_leaves_the_transaction_to_its_savepoint() {
    let mut db = recorded();
    db.run("BEGIN; SELECT audit_log.record('job_created', '4'); SAVEPOINT s");
    db.fails("DELETE FROM audit_log.event").is("42501", "entries_are_append_only");
    db.run("ROLLBACK TO s; COMMIT");
    assert_eq!(db.all("SELECT target_id FROM audit_log.entry ORDER BY id"), ["2", "1", "4"]);
}
