//! Foreign tables, and what a subscription applies.

use audit_log_tests::{cluster, connect, json, unique, until, wait_for, Db, Value};

/// A foreign table "away" of a table "home" in a database of its own.
fn with_foreign_table() -> (Db, Db) {
    let mut home = Db::without_extension();
    home.run("CREATE TABLE home (id int PRIMARY KEY, title text, note text DEFAULT 'from home')");
    let mut db = Db::new();
    db.run(&format!(
        "CREATE EXTENSION postgres_fdw;
         CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{}', dbname '{}');
         CREATE USER MAPPING FOR postgres SERVER loop OPTIONS (user 'postgres');
         CREATE FOREIGN TABLE away (id int, title text, note text) SERVER loop OPTIONS (table_name 'home')",
        cluster().dir.display(),
        home.name
    ));
    (db, home)
}

#[test]
fn foreign_table_needs_to_be_told_its_key() {
    let (mut db, _home) = with_foreign_table();
    db.fails("SELECT audit_log.watch('away')").is("55000", "not_in_prerequisite_state").says("target_id");
    db.run("SELECT audit_log.watch('away', target_id => '{id}')");
    assert_eq!(db.one("SELECT target_id FROM audit_log.watched"), "{id}");
}

#[test]
fn foreign_rows_are_captured() {
    let (mut db, mut home) = with_foreign_table();
    db.run("SELECT audit_log.watch('away', target_id => '{id}')");
    db.run("INSERT INTO away VALUES (1, 'Cook', 'n'), (2, 'Clerk', 'n'), (3, 'Guard', 'n')");
    db.run("UPDATE away SET title = 'Chef' WHERE id = 1; UPDATE away SET title = title");
    db.run("DELETE FROM away WHERE id = 2; UPDATE away SET id = 9 WHERE id = 3");
    let log = "SELECT jsonb_agg(jsonb_build_array(operation, target_id, changes) ORDER BY occurred_at, id)
               FROM audit_log.entry WHERE operation IS NOT NULL";
    let row = |id: i32, title: &str| json!({"id": [null, id], "title": [null, title], "note": [null, "n"]});
    assert_eq!(
        db.json(log),
        json!([
            ["insert", "1", row(1, "Cook")],
            ["insert", "2", row(2, "Clerk")],
            ["insert", "3", row(3, "Guard")],
            ["update", "1", {"title": ["Cook", "Chef"]}],
            ["delete", "2", {"id": [2, null], "title": ["Clerk", null], "note": ["n", null]}],
            ["update", "9", {"id": [3, 9]}]
        ])
    );
    assert_eq!(db.one("SELECT string_agg(DISTINCT relation, ' ') FROM audit_log.entry"), "public.away");
    assert_eq!(home.all("SELECT title FROM home ORDER BY id"), ["Chef", "Guard"]);
}

#[test]
fn foreign_write_that_fails_there_is_not_recorded_here() {
    let (mut db, mut home) = with_foreign_table();
    db.run("SELECT audit_log.watch('away', target_id => '{id}'); INSERT INTO away VALUES (1)");
    assert_eq!(db.fails("INSERT INTO away VALUES (5), (1)").sqlstate, "23505");
    db.run("BEGIN; INSERT INTO away VALUES (6); ROLLBACK");
    assert_eq!(db.events(), ["insert away_created 1"]);
    // And one that cannot be recorded here does not stay there.
    db.run("ALTER TABLE audit_log.event ADD CONSTRAINT no CHECK (target_id <> '7') NOT VALID");
    assert_eq!(db.fails("INSERT INTO away VALUES (7)").sqlstate, "23514");
    assert_eq!(home.all("SELECT id FROM home"), ["1"]);
}

#[test]
fn foreign_partition_is_captured_by_its_parent() {
    let (mut db, _home) = with_foreign_table();
    db.run(
        "CREATE TABLE whole (id int, title text, note text) PARTITION BY RANGE (id);
         CREATE TABLE near PARTITION OF whole FOR VALUES FROM (0) TO (100);
         ALTER TABLE whole ATTACH PARTITION away FOR VALUES FROM (100) TO (200);
         SELECT audit_log.watch('whole', target_id => '{id}', target_type => 'job');
         INSERT INTO whole VALUES (1, 'Cook'), (101, 'Clerk');
         INSERT INTO away VALUES (102, 'Guard');
         UPDATE whole SET title = 'Chef' WHERE id < 102;
         UPDATE whole SET id = 103 WHERE id = 1;
         DELETE FROM whole WHERE id = 101",
    );
    let mut events = db.events();
    events[3..5].sort();
    assert_eq!(
        events,
        [
            "insert job_created 1",
            "insert job_created 101",
            "insert job_created 102",
            "update job_updated 1",
            "update job_updated 101",
            "update job_updated 103",
            "delete job_deleted 101"
        ]
    );
}

/// A publisher, a subscriber in the same cluster, and their subscription, which ends with this.
struct Replicated {
    publisher: Db,
    subscriber: Db,
    subscription: String,
}

impl Replicated {
    /// Both sides have the tables; those of the subscriber are watched.
    fn new(tables: &str, prepare: &str, copy: bool) -> Replicated {
        let (mut publisher, mut subscriber) = (Db::without_extension(), Db::new());
        let subscription = unique("subscription");
        publisher.run(tables);
        publisher.run("CREATE PUBLICATION everything FOR ALL TABLES");
        publisher.run(prepare);
        subscriber.run(tables);
        subscriber.run("SELECT audit_log.watch(oid::regclass) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace");
        // Made by hand: within one cluster CREATE SUBSCRIPTION would wait for itself.
        publisher.run(&format!("SELECT pg_create_logical_replication_slot('{subscription}', 'pgoutput')"));
        subscriber.run(&format!(
            "CREATE SUBSCRIPTION {subscription} CONNECTION 'host={} user=postgres dbname={}' PUBLICATION everything
             WITH (create_slot = false, slot_name = '{subscription}', copy_data = {copy})",
            cluster().dir.display(),
            publisher.name
        ));
        Replicated { publisher, subscriber, subscription }
    }

    fn origin(&mut self) -> String {
        self.subscriber.one("SELECT 'pg_' || oid FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())")
    }

    #[track_caller]
    fn wait_for_entries(&mut self, count: usize) {
        wait_for(
            &mut self.subscriber.client,
            "SELECT count(*) FROM audit_log.entry WHERE operation IS NOT NULL",
            &count.to_string(),
        );
    }

    /// What arrived, by table and row; each entry's origin and user were as they should be.
    fn changes(&mut self) -> Value {
        let origin = self.origin();
        let strange = format!(
            "SELECT concat_ws(' ', operation, metadata, database_user) FROM audit_log.entry
             WHERE operation IS NOT NULL AND (metadata IS DISTINCT FROM '{{\"origin\": \"{origin}\"}}' OR database_user <> 'postgres' OR actor_type <> 'system')"
        );
        assert_eq!(self.subscriber.all(&strange), Vec::<String>::new());
        self.subscriber.json(
            "SELECT jsonb_agg(jsonb_build_array(operation, target_id, changes) ORDER BY occurred_at, id)
             FROM audit_log.entry WHERE operation IS NOT NULL",
        )
    }
}

impl Drop for Replicated {
    fn drop(&mut self) {
        let name = &self.subscription;
        let end = [
            format!("ALTER SUBSCRIPTION {name} DISABLE"),
            format!("ALTER SUBSCRIPTION {name} SET (slot_name = NONE)"),
            format!("DROP SUBSCRIPTION {name}"),
        ];
        let mut session = connect(&self.subscriber.name, "postgres");
        let ended = end.iter().all(|sql| session.batch_execute(sql).is_ok());
        let mut session = connect(&self.publisher.name, "postgres");
        if std::thread::panicking() {
            _ = session.batch_execute(&format!("SELECT pg_drop_replication_slot('{name}')"));
        } else {
            // Its sender goes a little later than the subscription.
            until("the slot can be dropped", || {
                let drop = format!("SELECT pg_drop_replication_slot('{name}')");
                session.batch_execute(&drop).map_err(|e| e.to_string())
            });
        }
        assert!(ended || std::thread::panicking(), "the subscription does not end");
    }
}

const JOB: &str =
    "CREATE TABLE job (id int PRIMARY KEY, title text, at timestamptz DEFAULT '2024-01-01 00:00+00')";

#[test]
fn applied_changes_are_captured_with_their_origin() {
    let mut r = Replicated::new(JOB, "", false);
    r.publisher.run("SET TimeZone = 'Asia/Kathmandu'; INSERT INTO job VALUES (1, 'Cook'), (2, 'Clerk')");
    r.publisher.run("UPDATE job SET title = 'Chef' WHERE id = 1; UPDATE job SET id = 9 WHERE id = 1; DELETE FROM job WHERE id = 2");
    r.publisher.run(
        "BEGIN; INSERT INTO job VALUES (3); ROLLBACK; TRUNCATE job; INSERT INTO job VALUES (4, 'Guard')",
    );
    r.wait_for_entries(7);
    let at = "2024-01-01T00:00:00+00:00";
    assert_eq!(
        r.changes(),
        json!([
            ["insert", "1", {"id": [null, 1], "title": [null, "Cook"], "at": [null, at]}],
            ["insert", "2", {"id": [null, 2], "title": [null, "Clerk"], "at": [null, at]}],
            ["update", "1", {"title": ["Cook", "Chef"]}],
            ["update", "9", {"id": [1, 9]}],
            ["delete", "2", {"id": [2, null], "title": ["Clerk", null], "at": [at, null]}],
            ["truncate", null, null],
            ["insert", "4", {"id": [null, 4], "title": [null, "Guard"], "at": [null, at]}]
        ])
    );
    // One transaction there is one here.
    let transactions = "SELECT count(DISTINCT transaction_id) FROM audit_log.entry WHERE operation IS NOT NULL AND target_id IN ('1', '2')";
    assert_eq!(r.subscriber.one(transactions), "2");
}

#[test]
fn replica_identity_full_gives_the_same_changes() {
    let large = "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 500) i)";
    let full = "ALTER TABLE job REPLICA IDENTITY FULL";
    for prepare in [full, "ALTER TABLE job REPLICA IDENTITY DEFAULT"] {
        let mut r = Replicated::new(JOB, prepare, false);
        r.publisher.run(&format!("INSERT INTO job VALUES (1, {large})"));
        // An unchanged large value does not travel, and has not changed.
        r.publisher
            .run("UPDATE job SET at = '2025-01-01 00:00+00'; UPDATE job SET title = title; DELETE FROM job");
        r.wait_for_entries(3);
        let changes = r.changes();
        assert_eq!(
            changes[1],
            json!(["update", "1", {"at": ["2024-01-01T00:00:00+00:00", "2025-01-01T00:00:00+00:00"]}]),
            "{prepare}"
        );
        assert_eq!(changes[2][2]["title"][0], changes[0][2]["title"][1], "{prepare}");
    }
}

#[test]
fn the_initial_copy_is_captured() {
    let mut r = Replicated::new(JOB, "INSERT INTO job VALUES (1, 'Cook'), (2, 'Clerk')", true);
    r.wait_for_entries(2);
    wait_for(
        &mut r.subscriber.client,
        "SELECT string_agg(srsubstate::text, '') FROM pg_subscription_rel",
        "r",
    );
    r.publisher.run("INSERT INTO job VALUES (3, 'Guard')");
    r.wait_for_entries(3);
    assert_eq!(
        r.subscriber.events(),
        ["insert job_created 1", "insert job_created 2", "insert job_created 3"]
    );
    let origin = r.origin();
    let origins = format!("SELECT DISTINCT starts_with(metadata ->> 'origin', '{origin}') FROM audit_log.entry WHERE operation IS NOT NULL");
    assert_eq!(r.subscriber.all(&origins), ["t"]);
}

#[test]
fn a_subscription_whose_entries_cannot_be_written_waits_and_loses_nothing() {
    let mut r = Replicated::new(JOB, "", false);
    r.subscriber.run("ALTER TABLE audit_log.event ADD CONSTRAINT no CHECK (false) NOT VALID");
    r.publisher.run("INSERT INTO job VALUES (1, 'Cook')");
    let subscription = r.subscription.clone();
    wait_for(
        &mut r.subscriber.client,
        &format!(
            "SELECT apply_error_count > 0 FROM pg_stat_subscription_stats WHERE subname = '{subscription}'"
        ),
        "t",
    );
    assert_eq!(r.subscriber.one("SELECT count(*) FROM job"), "0");
    r.subscriber.run("ALTER TABLE audit_log.event DROP CONSTRAINT no");
    r.wait_for_entries(1);
    assert_eq!(r.subscriber.one("SELECT count(*) FROM job"), "1");
}
