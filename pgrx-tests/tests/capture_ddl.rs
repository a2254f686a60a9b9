//! A watched table is altered, renamed and moved; the log follows.

use audit_log_tests::{all, one, run, unique, Db};

/// A watched table with every kind of option on a column of its own.
fn job() -> Db {
    let mut db = Db::new();
    db.run(
        r#"CREATE TABLE job (id int PRIMARY KEY, title text, note text, secret text, status text, org text, label text, team_id int);
           SELECT audit_log.watch('job', target_name => 'label', organization => 'org', parents => '{"team": "team_id"}',
             ignore => '{note}', redact => '{secret}',
             categories => '[{"on": "update", "column": "status", "to": "closed", "category": "job_closed"}]');
           INSERT INTO job VALUES (1, 'Cook', 'n1', 's1', 'open', 'acme', 'L1', 7)"#,
    );
    db
}

/// A plain watched table with a row.
fn plain() -> Db {
    let mut db = Db::new();
    db.run("CREATE TABLE job (id int PRIMARY KEY, title text); SELECT audit_log.watch('job'); INSERT INTO job VALUES (1, 'Cook')");
    db
}

/// The last entry of a row change, by id.
fn last(db: &mut Db, columns: &str) -> String {
    db.one(&format!(
        "SELECT concat_ws(' ', {columns}) FROM audit_log.entry WHERE operation IS NOT NULL ORDER BY occurred_at DESC, id DESC LIMIT 1"
    ))
}

/// The relation each entry of a row names, oldest first.
fn relations(db: &mut Db, table: &str, id: &str) -> Vec<String> {
    db.all(&format!("SELECT relation FROM audit_log.history('{table}', '{id}') ORDER BY occurred_at, id"))
}

/// How many entries or stored rows hold a text.
fn holding(db: &mut Db, text: &str) -> String {
    db.one(&format!(
        "SELECT (SELECT count(*) FROM audit_log.entry e WHERE to_jsonb(e)::text LIKE '%{text}%')
              + (SELECT count(*) FROM audit_log.stored_event e WHERE e::text LIKE '%{text}%')
              + (SELECT count(*) FROM audit_log.stored_event_target e WHERE e::text LIKE '%{text}%')"
    ))
}

#[test]
fn added_columns_are_recorded_also_of_rows_that_were_there() {
    let mut db = plain();
    db.run("ALTER TABLE job ADD COLUMN city text, ADD COLUMN grade int DEFAULT 3");
    assert_eq!(db.events().len(), 1);
    db.run("UPDATE job SET title = 'Chef'");
    assert_eq!(last(&mut db, "changes"), r#"{"title": ["Cook", "Chef"]}"#);
    db.run("UPDATE job SET grade = 4, city = 'Rome'");
    assert_eq!(last(&mut db, "changes"), r#"{"city": [null, "Rome"], "grade": [3, 4]}"#);
    db.run("INSERT INTO job VALUES (2, 'Clerk', 'Oslo')");
    assert_eq!(last(&mut db, "after"), r#"{"id": 2, "city": "Oslo", "grade": 3, "title": "Clerk"}"#);
    // Rows written before the column, first seen after: its default is in both images.
    db.run(
        "SELECT audit_log.watch('job', capture => 'full'); ALTER TABLE job ADD COLUMN more text DEFAULT 'm'",
    );
    db.run("UPDATE job SET city = NULL WHERE id = 2");
    assert_eq!(
        last(&mut db, "before, after"),
        r#"{"id": 2, "city": "Oslo", "more": "m", "grade": 3, "title": "Clerk"} {"id": 2, "city": null, "more": "m", "grade": 3, "title": "Clerk"}"#
    );
    db.run("DELETE FROM job WHERE id = 1");
    assert_eq!(
        last(&mut db, "before"),
        r#"{"id": 1, "city": "Rome", "more": "m", "grade": 4, "title": "Chef"}"#
    );
}

#[test]
fn rewriting_the_table_is_no_event() {
    let mut db = plain();
    db.run("ALTER TABLE job ADD COLUMN at timestamptz DEFAULT clock_timestamp(), ADD COLUMN n int DEFAULT 5");
    db.run("ALTER TABLE job ALTER COLUMN n TYPE text, ALTER COLUMN title TYPE varchar(40)");
    db.run("VACUUM FULL job");
    db.run("CLUSTER job USING job_pkey");
    assert_eq!(db.events(), ["insert job_created 1"]);
    db.run("UPDATE job SET n = 'six', title = 'Chef'");
    assert_eq!(last(&mut db, "changes"), r#"{"n": ["5", "six"], "title": ["Cook", "Chef"]}"#);
    db.run("ALTER TABLE job ALTER COLUMN n TYPE numeric USING 6.50");
    db.run("UPDATE job SET n = 7");
    assert_eq!(last(&mut db, "changes"), r#"{"n": [6.50, 7]}"#);
}

#[test]
fn dropped_column_is_no_longer_recorded() {
    let mut db = plain();
    db.run("ALTER TABLE job ADD COLUMN city text; ALTER TABLE job DROP COLUMN title");
    db.run("UPDATE job SET city = 'Rome'");
    db.run("DELETE FROM job");
    assert_eq!(last(&mut db, "before"), r#"{"id": 1, "city": "Rome"}"#);
}

#[test]
fn dropping_a_column_drops_the_options_about_it() {
    let mut db = job();
    for column in ["note", "secret", "team_id", "label", "status", "org"] {
        db.run(&format!("ALTER TABLE job DROP COLUMN {column}"));
        db.run("UPDATE job SET title = title || '.'");
        assert_eq!(last(&mut db, "operation, target_id"), "update 1", "without {column}");
    }
    assert_eq!(
        last(&mut db, "category, organization_id, target_name, targets"),
        r#"job_updated default [{"id": "1", "type": "job", "relation": "primary"}]"#
    );
    let left = db.one(
        "SELECT concat_ws(' ', relation, target_type, target_id, target_name, organization, parents, categories, ignore, redact, capture)
         FROM audit_log.watched",
    );
    assert_eq!(left, "job job {id} changes");
    // A later column is a new one, whatever its name.
    db.run("ALTER TABLE job ADD COLUMN note text; UPDATE job SET note = 'n2'");
    assert_eq!(last(&mut db, "changes"), r#"{"note": [null, "n2"]}"#);
}

#[test]
fn dropping_the_key_leaves_writes_working() {
    let mut db = plain();
    db.run("ALTER TABLE job DROP COLUMN id");
    db.run("UPDATE job SET title = 'Chef'");
    assert_eq!(last(&mut db, "operation, category, coalesce(target_id, '-')"), "update job_updated -");
}

#[test]
fn renamed_columns_keep_what_was_said_of_them() {
    let mut db = job();
    let mut other = db.session();
    run(&mut other, "UPDATE job SET title = 'Chef', secret = 's2', note = 'n2'");
    for column in ["id", "title", "note", "secret", "status", "org", "label", "team_id"] {
        db.run(&format!("ALTER TABLE job RENAME COLUMN {column} TO new_{column}"));
    }
    let update =
        "UPDATE job SET new_title = 'Boss', new_note = 'n3', new_secret = 's3', new_status = 'closed'";
    run(&mut other, update);
    assert_eq!(
        last(&mut db, "category, organization_id, target_id, target_name, changes"),
        r#"job_closed acme 1 L1 {"new_title": ["Chef", "Boss"], "new_secret": ["[redacted]", "[redacted]"], "new_status": ["open", "closed"]}"#
    );
    assert_eq!(last(&mut db, "targets #>> '{1,id}'"), "7");
    run(&mut other, "UPDATE job SET new_note = 'n4'");
    run(&mut other, "DELETE FROM job");
    assert_eq!(
        last(&mut db, "before"),
        r#"{"new_id": 1, "new_org": "acme", "new_label": "L1", "new_title": "Boss", "new_secret": "[redacted]", "new_status": "closed", "new_team_id": 7}"#
    );
    assert_eq!(
        db.events(),
        ["insert job_created 1", "update job_updated 1", "update job_closed 1", "delete job_deleted 1"]
    );
    for hidden in ["s_", "n_"] {
        assert_eq!(holding(&mut db, &format!("\"{hidden}\"")), "0", "{hidden}");
    }
    let watched = db.one("SELECT concat_ws(' ', target_id, target_name, organization, parents, categories, ignore, redact) FROM audit_log.watched");
    assert_eq!(
        watched,
        r#"{new_id} new_label new_org {"team": "new_team_id"} [{"on": "update", "to": "closed", "column": "new_status", "category": "job_closed"}] {new_note} {new_secret}"#
    );
}

#[test]
fn columns_that_swap_names_take_their_options_along() {
    let mut db = job();
    db.run(
        "BEGIN;
         ALTER TABLE job RENAME secret TO tmp; ALTER TABLE job RENAME title TO secret; ALTER TABLE job RENAME tmp TO title;
         UPDATE job SET title = 's2', secret = 'Chef';
         COMMIT",
    );
    assert_eq!(
        last(&mut db, "changes"),
        // A name that was redacted once stays so, whatever column has it: rather one too many.
        r#"{"title": ["[redacted]", "[redacted]"], "secret": ["[redacted]", "[redacted]"]}"#
    );
    assert_eq!(holding(&mut db, "s2"), "0");
}

#[test]
fn rename_inside_a_transaction_counts_from_there_and_may_be_rolled_back() {
    let mut db = job();
    let mut other = db.session();
    run(&mut other, "UPDATE job SET secret = 's2'");
    run(
        &mut other,
        "BEGIN;
         UPDATE job SET secret = 's3';
         ALTER TABLE job RENAME COLUMN secret TO hush; ALTER TABLE job RENAME TO task;
         UPDATE task SET hush = 's4';
         SAVEPOINT a; ALTER TABLE task RENAME COLUMN hush TO loud; ALTER TABLE task RENAME TO work; ROLLBACK TO a;
         UPDATE task SET hush = 's5';
         COMMIT",
    );
    run(
        &mut other,
        "BEGIN; ALTER TABLE task RENAME COLUMN hush TO loud; ALTER TABLE task RENAME TO work; ROLLBACK",
    );
    run(&mut other, "UPDATE task SET hush = 's6'");
    assert_eq!(
        relations(&mut db, "task", "1"),
        ["public.job", "public.job", "public.job", "public.task", "public.task", "public.task"]
    );
    assert_eq!(holding(&mut db, "\"s_\""), "0");
}

/// The redacted column gets another name while deferred checks are pending, so that triggers cannot be rewritten.
fn redacted_column_renamed_in_use() -> Db {
    let mut db = job();
    db.run(
        "CREATE TABLE part (job int REFERENCES job DEFERRABLE INITIALLY DEFERRED);
         BEGIN;
         DELETE FROM job; INSERT INTO job (id, title, secret) VALUES (1, 'Cook', 's2');
         ALTER TABLE job RENAME COLUMN secret TO hush;
         UPDATE job SET hush = 's3';
         COMMIT",
    );
    db
}

#[test]
fn redacted_column_renamed_in_use_stays_redacted() {
    let mut db = redacted_column_renamed_in_use();
    db.run("UPDATE job SET hush = 's4'; ALTER TABLE job ADD COLUMN more text; UPDATE job SET hush = 's5'");
    assert_eq!(last(&mut db, "changes"), r#"{"hush": ["[redacted]", "[redacted]"]}"#);
    assert_eq!(db.one("SELECT redact FROM audit_log.watched"), "{hush}");
    assert_eq!(holding(&mut db, "\"s_\""), "0");
}

#[test]
fn redacted_column_renamed_in_use_is_not_taken_for_another() {
    let mut db = redacted_column_renamed_in_use();
    db.run("ALTER TABLE job ADD COLUMN secret text; UPDATE job SET hush = 's4'");
    assert_eq!(last(&mut db, "changes"), r#"{"hush": ["[redacted]", "[redacted]"]}"#);
    assert_eq!(holding(&mut db, "\"s_\""), "0");
}

#[test]
fn history_goes_on_under_new_names() {
    let mut db = plain();
    let mut other = db.session();
    run(&mut other, "PREPARE touch AS UPDATE job SET title = title || '.'; EXECUTE touch; EXECUTE touch");
    let moves = [
        ("ALTER TABLE job RENAME TO task", "public.task"),
        ("CREATE SCHEMA hr; ALTER TABLE task SET SCHEMA hr", "hr.task"),
        ("ALTER SCHEMA hr RENAME TO \"H R\"", "\"H R\".task"),
        ("ALTER TABLE \"H R\".task RENAME TO \"Wörk\"", "\"H R\".\"Wörk\""),
        ("ALTER TABLE \"H R\".\"Wörk\" SET SCHEMA public", "public.\"Wörk\""),
        ("ALTER TABLE \"Wörk\" RENAME TO job", "public.job"),
    ];
    let mut expected = vec!["public.job"; 3];
    for (ddl, name) in moves {
        db.run(ddl);
        run(&mut other, &format!("UPDATE {name} SET title = title || '!'"));
        expected.push(name);
        assert_eq!(relations(&mut db, name, "1"), expected, "after {ddl}");
        assert_eq!(db.all("SELECT audit_log.relation_label(relation) FROM audit_log.watched"), [name]);
        assert_eq!(db.one("SELECT DISTINCT target_type FROM audit_log.watched"), "job");
    }
    run(&mut other, "EXECUTE touch");
    expected.push("public.job");
    assert_eq!(relations(&mut db, "job", "1"), expected);
}

#[test]
fn rename_by_alter_index_is_followed() {
    let mut db = plain();
    // PostgreSQL takes a table here, too.
    db.run("ALTER INDEX job RENAME TO task; UPDATE task SET title = 'Chef'");
    assert_eq!(relations(&mut db, "task", "1"), ["public.job", "public.task"]);
}

#[test]
fn prepared_writes_of_another_session_go_on_after_a_rename() {
    let mut db = plain();
    let mut other = db.session();
    run(&mut other, "PREPARE add AS INSERT INTO job VALUES ($1, $2)");
    for i in 2..10 {
        run(&mut other, &format!("EXECUTE add({i}, 'x')"));
    }
    db.run("ALTER TABLE job ADD COLUMN city text DEFAULT 'Rome'; ALTER TABLE job RENAME title TO name");
    run(&mut other, "EXECUTE add(10, 'y')");
    assert_eq!(last(&mut db, "relation, after"), r#"public.job {"id": 10, "city": "Rome", "name": "y"}"#);
}

#[test]
fn tables_that_swap_names_keep_their_own_histories() {
    let mut db = plain();
    db.run("CREATE TABLE task (id int PRIMARY KEY, title text); SELECT audit_log.watch('task'); INSERT INTO task VALUES (1, 'Mow')");
    db.run("BEGIN; ALTER TABLE job RENAME TO x; ALTER TABLE task RENAME TO job; ALTER TABLE x RENAME TO task; COMMIT");
    db.run("UPDATE job SET title = 'Mown'; UPDATE task SET title = 'Cooked'");
    let titles = |db: &mut Db, table: &str| {
        db.all(&format!("SELECT relation || ' ' || (after ->> 'title') FROM audit_log.history('{table}', '1') ORDER BY occurred_at, id"))
    };
    assert_eq!(titles(&mut db, "job"), ["public.task Mow", "public.job Mown"]);
    assert_eq!(titles(&mut db, "task"), ["public.job Cook", "public.task Cooked"]);
}

#[test]
fn new_table_under_an_old_name_has_a_history_of_its_own() {
    let mut db = plain();
    db.run("ALTER TABLE job RENAME TO task; CREATE TABLE job (id int PRIMARY KEY, title text); SELECT audit_log.watch('job')");
    db.run("INSERT INTO job VALUES (1, 'Guard'); UPDATE task SET title = 'Chef'");
    let titles = |db: &mut Db, table: &str| {
        db.all(&format!(
            "SELECT after ->> 'title' FROM audit_log.history('{table}', '1') ORDER BY occurred_at, id"
        ))
    };
    assert_eq!(titles(&mut db, "task"), ["Cook", "Chef"]);
    assert_eq!(titles(&mut db, "job"), ["Guard"]);
}

#[test]
fn watched_tables_can_be_dropped_and_made_again() {
    let mut db = plain();
    let mut other = db.session();
    run(&mut other, "UPDATE job SET title = 'Chef'");
    db.run("DROP TABLE job");
    assert_eq!(db.all("SELECT relation FROM audit_log.watched"), Vec::<String>::new());
    db.run("CREATE TABLE job (id int PRIMARY KEY, title text)");
    run(&mut other, "INSERT INTO job VALUES (1, 'Unseen')");
    db.run("CREATE SCHEMA hr; CREATE TABLE hr.task (id int PRIMARY KEY); SELECT audit_log.watch('hr.task'), audit_log.watch('job'); DROP SCHEMA hr CASCADE");
    run(&mut other, "UPDATE job SET title = 'Seen'");
    assert_eq!(db.events(), ["insert job_created 1", "update job_updated 1", "update job_updated 1"]);
    assert_eq!(all(&mut other, "SELECT relation FROM audit_log.watched"), ["job"]);
}

#[test]
fn an_owner_without_audit_rights_may_alter_a_watched_table() {
    let mut db = job();
    let owner = unique("owner");
    let mut session = db.session_as(&owner);
    db.run(&format!("ALTER TABLE job OWNER TO {owner}; GRANT CREATE, USAGE ON SCHEMA public TO {owner}; REVOKE ALL ON SCHEMA audit_log FROM PUBLIC"));
    run(
        &mut session,
        "ALTER TABLE job RENAME COLUMN secret TO hush; ALTER TABLE job RENAME TO task;
         UPDATE task SET hush = 's2';
         CREATE TABLE job (id int); DROP TABLE job",
    );
    assert_eq!(one(&mut session, "SELECT hush FROM task"), "s2");
    assert_eq!(last(&mut db, "relation, changes"), r#"public.task {"hush": ["[redacted]", "[redacted]"]}"#);
    run(&mut session, "DROP TABLE task");
    db.run(&format!("DROP OWNED BY {owner}; DROP ROLE {owner}"));
}
