//! Every statement that changes rows, and what it leaves in the log.

use audit_log_tests::{json, psql, Db};

fn watched_job(options: &str) -> Db {
    let mut db = Db::new();
    db.run("CREATE TABLE job (id int PRIMARY KEY, title text, status text DEFAULT 'open')");
    db.run(&format!("SELECT audit_log.watch('job'{options})"));
    db
}

/// A company watched with its jobs and notes, which refer to it.
fn company_with_jobs_and_notes() -> Db {
    let mut db = Db::new();
    db.run(
        "CREATE TABLE company (id int PRIMARY KEY);
         CREATE TABLE job (id int PRIMARY KEY, company_id int REFERENCES company ON DELETE CASCADE ON UPDATE CASCADE);
         CREATE TABLE note (id int PRIMARY KEY, company_id int REFERENCES company ON DELETE SET NULL ON UPDATE CASCADE);
         INSERT INTO company VALUES (1), (2);
         INSERT INTO job VALUES (10, 1), (20, 2);
         INSERT INTO note VALUES (11, 1), (21, 2);
         SELECT audit_log.watch(t::regclass) FROM unnest(ARRAY['company', 'job', 'note']) t",
    );
    db
}

/// The entries of row changes, oldest first, as "operation target_id changes".
fn changes(db: &mut Db) -> Vec<String> {
    db.all(
        "SELECT concat_ws(' ', operation, target_id, changes) FROM audit_log.entry
         WHERE operation IS NOT NULL ORDER BY occurred_at, id",
    )
}

#[test]
fn insert_update_delete_truncate() {
    let mut db = watched_job("");
    db.run("INSERT INTO job VALUES (1, 'Cook'), (2, 'Clerk')");
    db.run("UPDATE job SET status = 'closed' WHERE id = 1");
    db.run("DELETE FROM job WHERE id = 2");
    db.run("TRUNCATE job");
    assert_eq!(
        db.events().join(", "),
        "insert job_created 1, insert job_created 2, update job_updated 1, delete job_deleted 2, truncate job_truncated -"
    );
    let update = db.json("SELECT jsonb_build_object('b', before, 'a', after, 'c', changes) FROM audit_log.entry WHERE operation = 'update'");
    assert_eq!(
        update,
        json!({"b": {"status": "open"}, "a": {"status": "closed"}, "c": {"status": ["open", "closed"]}})
    );
    let insert = db.json("SELECT after FROM audit_log.entry WHERE operation = 'insert' AND target_id = '1'");
    assert_eq!(insert, json!({"id": 1, "title": "Cook", "status": "open"}));
    let delete = db.json("SELECT before FROM audit_log.entry WHERE operation = 'delete'");
    assert_eq!(delete, json!({"id": 2, "title": "Clerk", "status": "open"}));
    let relations = db.all("SELECT DISTINCT relation FROM audit_log.entry WHERE operation IS NOT NULL");
    assert_eq!(relations, ["public.job"]);
}

#[test]
fn on_conflict_records_the_branch_that_was_taken() {
    let mut db = watched_job("");
    let upsert = "INSERT INTO job VALUES (1, 'Cook') ON CONFLICT (id) DO UPDATE SET title = 'Chef'";
    db.run(upsert);
    db.run(upsert);
    db.run("INSERT INTO job VALUES (1, 'Cook') ON CONFLICT DO NOTHING");
    assert_eq!(db.events(), ["insert job_created 1", "update job_updated 1"]);
    // A third time it changes nothing.
    db.run(upsert);
    assert_eq!(db.events().len(), 2);
}

#[test]
fn merge_records_the_branch_each_row_took() {
    let mut db = watched_job("");
    db.run("INSERT INTO job VALUES (1, 'Cook'), (2, 'Clerk'), (4, 'Guard')");
    db.run(
        "MERGE INTO job USING (VALUES (1, 'Chef'), (2, NULL), (3, 'Pilot'), (4, 'Guard')) AS s (id, title) ON job.id = s.id
         WHEN MATCHED AND s.title IS NULL THEN DELETE
         WHEN MATCHED AND s.id = 4 THEN DO NOTHING
         WHEN MATCHED THEN UPDATE SET title = s.title
         WHEN NOT MATCHED THEN INSERT (id, title) VALUES (s.id, s.title)",
    );
    let mut merged = db.events().split_off(3);
    merged.sort();
    assert_eq!(merged, ["delete job_deleted 2", "insert job_created 3", "update job_updated 1"]);
    let update = db.json("SELECT changes FROM audit_log.entry WHERE operation = 'update'");
    assert_eq!(update, json!({"title": ["Cook", "Chef"]}));
}

#[test]
fn copy_records_every_row() {
    let mut db = watched_job("");
    psql(&db.name, "COPY job (id, title) FROM STDIN;\n3\tCook\n1\tClerk\n2\t\\N\n\\.\n");
    assert_eq!(
        db.all("SELECT after FROM audit_log.entry WHERE operation = 'insert' ORDER BY occurred_at, id"),
        [
            r#"{"id": 3, "title": "Cook", "status": "open"}"#,
            r#"{"id": 1, "title": "Clerk", "status": "open"}"#,
            r#"{"id": 2, "title": null, "status": "open"}"#
        ]
    );
}

#[test]
fn many_rows_of_one_statement_keep_their_order() {
    let mut db = watched_job("");
    db.run("INSERT INTO job SELECT 5001 - i, 'row ' || i FROM generate_series(1, 5000) i");
    assert_eq!(
        db.one(
            "SELECT concat_ws(' ', count(*), count(DISTINCT e.id), count(DISTINCT transaction_id),
                              array_agg(target_id::int ORDER BY e.occurred_at, e.id) = array_agg(5001 - i ORDER BY i),
                              bool_and(after = to_jsonb(j)))
             FROM generate_series(1, 5000) i
             JOIN job j ON j.id = 5001 - i
             JOIN audit_log.entry e ON e.target_id = j.id::text AND operation = 'insert'"
        ),
        "5000 5000 1 t t"
    );
}

#[test]
fn entries_of_a_transaction_are_in_the_order_of_its_writes() {
    let mut db = company_with_jobs_and_notes();
    db.run(
        "DO $$ BEGIN
           FOR i IN 100 .. 299 LOOP
             INSERT INTO note VALUES (i);
             INSERT INTO company VALUES (i);
             UPDATE note SET company_id = i WHERE id = i;
           END LOOP;
         END $$",
    );
    let expected: Vec<String> = (100..300)
        .flat_map(|i| {
            [
                format!("insert public.note {i}"),
                format!("insert public.company {i}"),
                format!("update public.note {i}"),
            ]
        })
        .collect();
    let order = |by: &str| {
        format!("SELECT concat_ws(' ', operation, relation, target_id) FROM audit_log.entry WHERE operation IS NOT NULL ORDER BY {by}")
    };
    assert_eq!(db.all(&order("occurred_at, id")), expected);
    // Ids alone say the same, as UUIDv7 of one session do, and so does the feed.
    assert_eq!(db.all(&order("id")), expected);
    assert_eq!(db.all(&order("position")), expected);
}

#[test]
fn updates_of_one_row_in_one_block_are_each_recorded() {
    let mut db = watched_job("");
    db.run("INSERT INTO job VALUES (1, 'a')");
    db.run(
        "DO $$ BEGIN
           UPDATE job SET title = 'b';
           UPDATE job SET title = 'c';
           UPDATE job SET title = 'b';
         END $$",
    );
    let titles = |pair: &str| format!(r#"update 1 {{"title": [{pair}]}}"#);
    assert_eq!(
        changes(&mut db).split_off(1),
        [titles(r#""a", "b""#), titles(r#""b", "c""#), titles(r#""c", "b""#)]
    );
}

/// What a statement leaves of a cascade: its own entry first, then those it led to, sorted.
fn cascade(statement: &str) -> Vec<String> {
    let mut db = company_with_jobs_and_notes();
    db.run(statement);
    let mut log = changes(&mut db);
    log[1..].sort();
    log
}

#[test]
fn foreign_key_actions_come_after_their_cause() {
    let deleted = [
        r#"delete 1 {"id": [1, null]}"#,
        r#"delete 10 {"id": [10, null], "company_id": [1, null]}"#,
        r#"update 11 {"company_id": [1, null]}"#,
    ];
    assert_eq!(cascade("DELETE FROM company WHERE id = 1"), deleted);
    let updated = [
        r#"update 9 {"id": [1, 9]}"#,
        r#"update 10 {"company_id": [1, 9]}"#,
        r#"update 11 {"company_id": [1, 9]}"#,
    ];
    assert_eq!(cascade("UPDATE company SET id = 9 WHERE id = 1"), updated);
}

#[test]
fn truncate_cascade_is_recorded_for_each_table() {
    let mut db = company_with_jobs_and_notes();
    db.run("TRUNCATE company CASCADE");
    assert_eq!(
        db.all("SELECT concat_ws(' ', relation, category, target_id, before, after) FROM audit_log.entry WHERE operation = 'truncate' ORDER BY relation"),
        ["public.company company_truncated", "public.job job_truncated", "public.note note_truncated"]
    );
}

#[test]
fn update_that_changes_nothing_records_nothing() {
    let mut db = watched_job("");
    // The one long enough to be stored out of line, the other null.
    db.run("INSERT INTO job SELECT 1, string_agg(md5(i::text), '') FROM generate_series(1, 1000) i");
    db.run("INSERT INTO job VALUES (2, NULL, NULL)");
    db.run("UPDATE job SET title = title");
    db.run("UPDATE job SET title = title || '', status = status, id = id");
    assert_eq!(db.events(), ["insert job_created 1", "insert job_created 2"]);
}

#[test]
fn key_change_is_one_update_that_names_both_ids() {
    let mut db = watched_job("");
    db.run("INSERT INTO job VALUES (1, 'Cook')");
    db.run("UPDATE job SET id = 7, title = 'Chef'");
    assert_eq!(db.events(), ["insert job_created 1", "update job_updated 7"]);
    let entry = db.json("SELECT jsonb_build_object('t', targets, 'c', changes) FROM audit_log.entry WHERE operation = 'update'");
    assert_eq!(
        entry,
        json!({"t": [{"type": "job", "id": "7", "relation": "primary"}, {"type": "job", "id": "1", "relation": "related"}],
               "c": {"id": [1, 7], "title": ["Cook", "Chef"]}})
    );
    assert_eq!(db.all("SELECT operation FROM audit_log.history('job', '1')"), ["update", "insert"]);
}

#[test]
fn composite_key_is_joined_in_the_order_of_the_key() {
    let mut db = Db::new();
    db.run(
        "CREATE TABLE seat (row_no int, hall text, guest text, extra int, PRIMARY KEY (hall, row_no) INCLUDE (extra));
         SELECT audit_log.watch('seat');
         INSERT INTO seat VALUES (4, 'north', 'Ann', 1);
         UPDATE seat SET row_no = 5;
         UPDATE seat SET guest = 'Bob'",
    );
    assert_eq!(
        db.events(),
        ["insert seat_created north,4", "update seat_updated north,5", "update seat_updated north,5"]
    );
    let related = db.all("SELECT target_id FROM audit_log.entry_target WHERE relation = 'related'");
    assert_eq!(related, ["north,4"]);
}

#[test]
fn table_without_key_needs_to_be_told_one() {
    let mut db = Db::new();
    db.run("CREATE TABLE reading (sensor text, value int)");
    db.fails("SELECT audit_log.watch('reading')").is("55000", "not_in_prerequisite_state").says("target_id");
    db.run("INSERT INTO reading VALUES ('a', 0)");
    assert_eq!(db.events(), Vec::<String>::new());
    db.run("SELECT audit_log.watch('reading', target_id => '{sensor}')");
    db.run("INSERT INTO reading VALUES ('a', 1); UPDATE reading SET value = 2 WHERE value = 1; DELETE FROM reading WHERE value = 2");
    assert_eq!(
        db.events(),
        ["insert reading_created a", "update reading_updated a", "delete reading_deleted a"]
    );
}

#[test]
fn what_triggers_write_comes_after_its_cause() {
    for name in ["AAA", "000", "zz"] {
        let mut db = watched_job("");
        db.run(&format!(
            "CREATE TABLE task (id int PRIMARY KEY, job int);
             SELECT audit_log.watch('task');
             CREATE FUNCTION add_task() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               INSERT INTO task VALUES (coalesce(NEW.id, OLD.id) * 10 + (SELECT count(*) FROM task), coalesce(NEW.id, OLD.id));
               RETURN NULL;
             END $$;
             CREATE TRIGGER \"{name}\" AFTER INSERT OR UPDATE OR DELETE ON job FOR EACH ROW EXECUTE FUNCTION add_task();
             INSERT INTO job VALUES (1, 'Cook');
             UPDATE job SET title = 'Chef';
             DELETE FROM job"
        ));
        assert_eq!(
            db.events().join(", "),
            "insert job_created 1, insert task_created 10, update job_updated 1, insert task_created 11, \
             delete job_deleted 1, insert task_created 12",
            "with a trigger named {name}"
        );
    }
}

#[test]
fn trigger_that_updates_the_same_row_is_a_second_entry() {
    let mut db = watched_job("");
    db.run(
        "CREATE FUNCTION number() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           UPDATE job SET title = NEW.title || ' 2' WHERE id = NEW.id;
           RETURN NULL;
         END $$;
         CREATE TRIGGER a_number AFTER INSERT ON job FOR EACH ROW EXECUTE FUNCTION number();
         INSERT INTO job VALUES (1, 'Cook')",
    );
    assert_eq!(
        changes(&mut db),
        [
            r#"insert 1 {"id": [null, 1], "title": [null, "Cook"], "status": [null, "open"]}"#,
            r#"update 1 {"title": ["Cook", "Cook 2"]}"#
        ]
    );
}

#[test]
fn the_row_is_recorded_as_before_triggers_left_it() {
    let mut db = watched_job("");
    db.run(
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           NEW.title := upper(NEW.title);
           RETURN CASE WHEN NEW.id > 0 THEN NEW END;
         END $$;
         CREATE TRIGGER zz BEFORE INSERT OR UPDATE ON job FOR EACH ROW EXECUTE FUNCTION shout();
         INSERT INTO job VALUES (1, 'Cook'), (-1, 'Clerk');
         UPDATE job SET title = 'cook' WHERE id = 1",
    );
    assert_eq!(
        changes(&mut db),
        [r#"insert 1 {"id": [null, 1], "title": [null, "COOK"], "status": [null, "open"]}"#]
    );
}

#[test]
fn savepoints_keep_what_was_released_only() {
    let mut db = watched_job("");
    db.run(
        "BEGIN;
         INSERT INTO job VALUES (1);
         SAVEPOINT a; INSERT INTO job VALUES (2); ROLLBACK TO a;
         INSERT INTO job VALUES (3);
         SAVEPOINT b; INSERT INTO job VALUES (4); SAVEPOINT c; INSERT INTO job VALUES (5); RELEASE c; RELEASE b;
         SAVEPOINT d; SAVEPOINT e; DELETE FROM job; RELEASE e; ROLLBACK TO d;
         DO $$ BEGIN
           UPDATE job SET status = 'closed';
           RAISE EXCEPTION 'no';
         EXCEPTION WHEN raise_exception THEN
           UPDATE job SET status = 'paused' WHERE id = 5;
         END $$;
         COMMIT",
    );
    assert_eq!(
        db.events().join(", "),
        "insert job_created 1, insert job_created 3, insert job_created 4, insert job_created 5, update job_updated 5"
    );
}

#[test]
fn rolled_back_and_failed_statements_leave_nothing() {
    let mut db = watched_job("");
    db.run(
        "BEGIN; INSERT INTO job VALUES (1), (2); UPDATE job SET status = 'closed'; TRUNCATE job; ROLLBACK",
    );
    db.fails("INSERT INTO job VALUES (1), (2), (1)");
    assert_eq!(db.events(), Vec::<String>::new());
    // Nor do they spoil what the session records next.
    db.run("INSERT INTO job VALUES (1)");
    assert_eq!(db.events(), ["insert job_created 1"]);
}

#[test]
fn returning_and_cte_writes_are_recorded_per_table() {
    let mut db = watched_job("");
    db.run("CREATE TABLE archive (LIKE job INCLUDING ALL); SELECT audit_log.watch('archive')");
    db.run("INSERT INTO job VALUES (1, 'Cook'), (2, 'Clerk')");
    assert_eq!(db.one("UPDATE job SET status = 'closed' WHERE id = 1 RETURNING status"), "closed");
    let moved = "WITH gone AS (DELETE FROM job WHERE status = 'closed' RETURNING *) INSERT INTO archive SELECT * FROM gone RETURNING id";
    assert_eq!(db.all(moved), ["1"]);
    db.run("CREATE VIEW open_job AS SELECT * FROM job; UPDATE open_job SET title = 'Guard'");
    assert_eq!(
        db.events().split_off(2),
        ["update job_updated 1", "delete job_deleted 1", "insert archive_created 1", "update job_updated 2"]
    );
}
