//! history() and row_at(): one row's past, through key changes, deletes, truncates and renames.

use audit_log_tests::{fails, json, run, unique, Db, Value};

/// A database with table job(id, title, pay), watched with options.
fn watched(options: &str) -> Db {
    let mut db = Db::new();
    db.run("CREATE TABLE job (id int PRIMARY KEY, title text, pay int)");
    db.run(&format!("SELECT audit_log.watch('job'{options})"));
    db
}

/// Runs a statement; an instant after it and before whatever comes next.
#[track_caller]
fn step(db: &mut Db, sql: &str) -> String {
    db.run(sql);
    let now = db.one("SELECT clock_timestamp()");
    // The clock must have moved on before the next change.
    while db.one(&format!("SELECT clock_timestamp() > '{now}'")) != "t" {}
    now
}

#[track_caller]
fn row_at(db: &mut Db, id: &str, at: &str) -> Value {
    db.json(&format!("SELECT coalesce(audit_log.row_at('job', '{id}', '{at}'), 'null')"))
}

#[track_caller]
fn history(db: &mut Db, id: &str) -> Vec<String> {
    db.all(&format!("SELECT operation FROM audit_log.history('job', '{id}')"))
}

fn job(id: i32, title: &str, pay: i32) -> Value {
    json!({"id": id, "title": title, "pay": pay})
}

#[test]
fn newest_first_and_only_of_this_row() {
    let mut db = watched("");
    db.run("INSERT INTO job VALUES (1, 'Cook', 1), (2, 'Clerk', 1); UPDATE job SET pay = pay + 1; UPDATE job SET pay = 9 WHERE id = 1");
    db.run("DELETE FROM job WHERE id = 2; SELECT audit_log.record('job_closed', '1')");
    let operations = "SELECT operation FROM audit_log.history('job', '1')";
    assert_eq!(db.all(operations), ["update", "update", "insert"]);
    assert_eq!(db.all(&operations.replace("'1'", "'2'")), ["delete", "update", "insert"]);
    assert_eq!(
        db.all("SELECT id FROM audit_log.history('job', '1')"),
        db.all("SELECT id FROM audit_log.entry WHERE target_id = '1' AND relation = 'public.job' ORDER BY occurred_at DESC, id DESC")
    );
    assert_eq!(
        db.all("SELECT to_jsonb(h) FROM audit_log.history('job', '1') h WHERE operation = 'insert'"),
        db.all("SELECT to_jsonb(e) FROM audit_log.entry e WHERE target_id = '1' AND operation = 'insert'")
    );
    assert!(history(&mut db, "3").is_empty());
    db.run("CREATE TABLE unwatched (id int PRIMARY KEY)");
    assert!(db.all("SELECT id FROM audit_log.history('unwatched', '1')").is_empty());
}

#[test]
fn before_at_and_after_each_change() {
    for options in ["", ", capture => 'full'"] {
        let mut db = watched(options);
        let t0 = step(&mut db, "SELECT 1");
        let t1 = step(&mut db, "INSERT INTO job VALUES (1, 'Cook', 1)");
        let t2 = step(&mut db, "UPDATE job SET pay = 2");
        let t3 = step(&mut db, "UPDATE job SET title = NULL, pay = 3");
        let t4 = step(&mut db, "DELETE FROM job");
        let t5 = step(&mut db, "INSERT INTO job VALUES (1, 'Chef', 5)");
        let nobody = json!({"id": 1, "title": null, "pay": 3});
        for (at, expected) in [
            (&t0, Value::Null),
            (&t1, job(1, "Cook", 1)),
            (&t2, job(1, "Cook", 2)),
            (&t3, nobody),
            (&t4, Value::Null),
            (&t5, job(1, "Chef", 5)),
            (&"infinity".to_string(), job(1, "Chef", 5)),
            (&"-infinity".to_string(), Value::Null),
        ] {
            assert_eq!(row_at(&mut db, "1", at), expected, "{options} {at}");
        }
        // At the very instant of a change it has happened, a microsecond before it has not.
        let exact = db.one("SELECT occurred_at FROM audit_log.entry WHERE operation = 'delete'");
        assert_eq!(row_at(&mut db, "1", &exact), Value::Null);
        let before = db.one(&format!("SELECT '{exact}'::timestamptz - interval '1 microsecond'"));
        assert_eq!(row_at(&mut db, "1", &before), json!({"id": 1, "title": null, "pay": 3}));
    }
}

#[test]
fn through_key_changes() {
    let mut db = watched("");
    let t1 = step(&mut db, "INSERT INTO job VALUES (1, 'Cook', 1), (2, 'Clerk', 2)");
    let t2 = step(&mut db, "UPDATE job SET id = 3, pay = 7 WHERE id = 1");
    let t3 = step(&mut db, "UPDATE job SET id = 1 WHERE id = 2");
    let t4 = step(&mut db, "UPDATE job SET pay = 8 WHERE id = 3; INSERT INTO job VALUES (2, 'New', 0)");
    for (id, states) in [
        ("1", [job(1, "Cook", 1), Value::Null, job(1, "Clerk", 2), job(1, "Clerk", 2)]),
        ("2", [job(2, "Clerk", 2), job(2, "Clerk", 2), Value::Null, job(2, "New", 0)]),
        ("3", [Value::Null, job(3, "Cook", 7), job(3, "Cook", 7), job(3, "Cook", 8)]),
    ] {
        for (at, state) in [&t1, &t2, &t3, &t4].into_iter().zip(states) {
            assert_eq!(row_at(&mut db, id, at), state, "{id} at {at}");
        }
    }
    assert_eq!(
        db.all("SELECT operation || ' ' || target_id FROM audit_log.history('job', '1')"),
        ["update 1", "update 3", "insert 1"]
    );
    assert_eq!(
        db.all("SELECT operation || ' ' || target_id FROM audit_log.history('job', '3')"),
        ["update 3", "update 3"]
    );
}

#[test]
fn a_table_watched_after_the_row_existed_is_rebuilt_backwards() {
    let mut db = Db::new();
    db.run("CREATE TABLE job (id int PRIMARY KEY, title text, pay int)");
    let t0 = step(&mut db, "INSERT INTO job VALUES (1, 'Cook', 1), (2, 'Clerk', 1), (3, 'Maid', 1), (4, 'Page', 1); SELECT audit_log.watch('job')");
    let t1 = step(&mut db, "UPDATE job SET pay = 2 WHERE id IN (1, 2)");
    let t2 = step(&mut db, "UPDATE job SET pay = 3, title = 'Chef' WHERE id = 1; DELETE FROM job WHERE id = 2; UPDATE job SET id = 30, pay = 4 WHERE id = 3");
    for (id, states) in [
        ("1", [job(1, "Cook", 1), job(1, "Cook", 2), job(1, "Chef", 3)]),
        ("2", [job(2, "Clerk", 1), job(2, "Clerk", 2), Value::Null]),
        ("3", [job(3, "Maid", 1), job(3, "Maid", 1), Value::Null]),
        ("30", [Value::Null, Value::Null, job(30, "Maid", 4)]),
        ("4", [job(4, "Page", 1), job(4, "Page", 1), job(4, "Page", 1)]),
        ("5", [Value::Null, Value::Null, Value::Null]),
    ] {
        for (at, state) in [&t0, &t1, &t2].into_iter().zip(states) {
            assert_eq!(row_at(&mut db, id, at), state, "{id} at {at}");
        }
    }
}

#[test]
fn a_truncate_ends_every_row() {
    let mut db = watched("");
    let t1 = step(&mut db, "INSERT INTO job VALUES (1, 'Cook', 1), (2, 'Clerk', 1)");
    let t2 = step(&mut db, "TRUNCATE job");
    let t3 = step(&mut db, "INSERT INTO job VALUES (1, 'Chef', 2)");
    assert_eq!(row_at(&mut db, "1", &t1), job(1, "Cook", 1));
    assert_eq!(row_at(&mut db, "1", &t2), Value::Null);
    assert_eq!(row_at(&mut db, "1", &t3), job(1, "Chef", 2));
    assert_eq!(row_at(&mut db, "2", &t1), job(2, "Clerk", 1));
    assert_eq!(row_at(&mut db, "2", &t3), Value::Null);
    assert_eq!(db.all("SELECT operation FROM audit_log.history('job', '2')"), ["insert"]);
}

#[test]
fn a_row_lost_to_a_truncate_with_no_beginning_in_the_log_is_not_denied() {
    let mut db = Db::new();
    db.run("CREATE TABLE job (id int PRIMARY KEY, title text, pay int)");
    let t0 = step(&mut db, "INSERT INTO job VALUES (1, 'Cook', 1); SELECT audit_log.watch('job')");
    let t1 = step(&mut db, "UPDATE job SET pay = 2");
    db.run("TRUNCATE job");
    // The row was there; what is known of it or an error, but never "it did not exist".
    for at in [&t0, &t1] {
        match db.client.simple_query(&format!("SELECT audit_log.row_at('job', '1', '{at}') IS NOT NULL")) {
            Ok(_) => assert_ne!(row_at(&mut db, "1", at), Value::Null, "{at}"),
            Err(e) => assert_eq!(e.code().map(|c| c.code()), Some("55000")),
        }
    }
}

#[test]
fn ignored_columns_are_missing_and_redacted_ones_never_shown() {
    let mut db = watched(", ignore => ARRAY['pay'], redact => ARRAY['title']");
    let t1 = step(&mut db, "INSERT INTO job VALUES (1, 'secret one', 1)");
    let t2 = step(&mut db, "UPDATE job SET title = 'secret two', pay = 2");
    let t3 = step(&mut db, "UPDATE job SET pay = 3");
    for at in [&t1, &t2, &t3] {
        let row = row_at(&mut db, "1", at);
        assert_eq!(row["id"], 1);
        assert!(row.get("pay").is_none(), "{row}");
        assert!(!row.to_string().contains("secret"), "{row}");
    }
    assert_eq!(row_at(&mut db, "1", &t2)["title"], "[redacted]");
    assert_eq!(history(&mut db, "1").len(), 2);
}

#[test]
fn without_row_state_it_cannot_be_rebuilt() {
    let mut db = watched(", capture => 'keys'");
    db.run("INSERT INTO job VALUES (1, 'Cook', 1); UPDATE job SET pay = 2");
    let failure = db.fails("SELECT audit_log.row_at('job', '1', clock_timestamp())");
    failure.is("55000", "not_in_prerequisite_state");
    assert_eq!(db.all("SELECT operation FROM audit_log.history('job', '1')"), ["update", "insert"]);
    assert_eq!(db.one("SELECT count(before) + count(after) FROM audit_log.history('job', '1')"), "0");
}

#[test]
fn composite_keys() {
    let mut db = Db::new();
    db.run(
        "CREATE TABLE job (region text, n int, title text, PRIMARY KEY (n, region));
         INSERT INTO job VALUES ('eu', 2, 'Clerk'); SELECT audit_log.watch('job')",
    );
    let t1 =
        step(&mut db, "INSERT INTO job VALUES ('eu', 1, 'Cook'); UPDATE job SET title = 'Temp' WHERE n = 2");
    db.run("UPDATE job SET title = 'Chef' WHERE n = 1; DELETE FROM job WHERE n = 2");
    assert_eq!(row_at(&mut db, "1,eu", &t1), json!({"region": "eu", "n": 1, "title": "Cook"}));
    assert_eq!(row_at(&mut db, "1,eu", "infinity"), json!({"region": "eu", "n": 1, "title": "Chef"}));
    assert_eq!(row_at(&mut db, "2,eu", &t1), json!({"region": "eu", "n": 2, "title": "Temp"}));
    assert_eq!(row_at(&mut db, "2,eu", "infinity"), Value::Null);
    assert_eq!(db.all("SELECT operation FROM audit_log.history('job', '1,eu')"), ["update", "insert"]);
}

#[test]
fn across_renames_of_the_table() {
    let mut db = watched("");
    let t1 = step(&mut db, "INSERT INTO job VALUES (1, 'Cook', 1)");
    db.run("CREATE SCHEMA hr; ALTER TABLE job RENAME TO post; ALTER TABLE post SET SCHEMA hr");
    db.run("UPDATE hr.post SET pay = 2; ALTER TABLE hr.post RENAME COLUMN title TO name; UPDATE hr.post SET name = 'Chef'");
    // Another table of the old name has a past of its own.
    db.run("CREATE TABLE job (id int PRIMARY KEY, other text); SELECT audit_log.watch('job'); INSERT INTO job VALUES (1, 'x')");
    assert_eq!(
        db.all("SELECT operation || ' ' || relation FROM audit_log.history('hr.post', '1')"),
        ["update hr.post", "update hr.post", "insert public.job"]
    );
    // By today's name of the column that was renamed since.
    let row = db.json(&format!("SELECT audit_log.row_at('hr.post', '1', '{t1}')"));
    assert_eq!(row, json!({"id": 1, "name": "Cook", "pay": 1}));
    assert_eq!(db.all("SELECT after FROM audit_log.history('job', '1')"), [r#"{"id": 1, "other": "x"}"#]);
    assert_eq!(row_at(&mut db, "1", &t1), Value::Null);
}

#[test]
fn the_past_stays_readable_after_unwatch() {
    let mut db = watched("");
    let t1 = step(&mut db, "INSERT INTO job VALUES (1, 'Cook', 1)");
    db.run("UPDATE job SET pay = 2; SELECT audit_log.unwatch('job')");
    assert_eq!(db.all("SELECT operation FROM audit_log.history('job', '1')"), ["update", "insert"]);
    assert_eq!(row_at(&mut db, "1", &t1), job(1, "Cook", 1));
}

#[test]
fn in_partitioned_tables() {
    let mut db = Db::new();
    db.run(
        "CREATE TABLE job (id int PRIMARY KEY, title text, pay int) PARTITION BY RANGE (id);
         CREATE TABLE job_low PARTITION OF job FOR VALUES FROM (0) TO (10);
         CREATE TABLE job_high PARTITION OF job FOR VALUES FROM (10) TO (20);
         INSERT INTO job VALUES (5, 'Old', 0); SELECT audit_log.watch('job')",
    );
    let t1 = step(&mut db, "INSERT INTO job_low VALUES (1, 'Cook', 1); UPDATE job SET pay = 1 WHERE id = 5");
    let t2 = step(&mut db, "UPDATE job SET id = 11 WHERE id = 1");
    assert_eq!(row_at(&mut db, "1", &t1), job(1, "Cook", 1));
    assert_eq!(row_at(&mut db, "1", &t2), Value::Null);
    assert_eq!(row_at(&mut db, "11", &t2), job(11, "Cook", 1));
    assert_eq!(row_at(&mut db, "5", &t1), job(5, "Old", 1));
    assert_eq!(db.all("SELECT operation FROM audit_log.history('job_low', '1')"), ["update", "insert"]);
}

#[test]
fn refused_without_the_right_to_read() {
    let mut db = watched("");
    db.run("INSERT INTO job VALUES (1, 'Cook', 1)");
    let mut nobody = db.session_as(&unique("nobody"));
    db.run("GRANT SELECT ON job TO PUBLIC");
    for call in ["history('job', '1')", "row_at('job', '1', now())", "history('job', 'none')"] {
        fails(&mut nobody, &format!("SELECT * FROM audit_log.{call}"))
            .is("42501", "missing_endpoint_permission");
    }
    let reader = unique("reader");
    let mut session = db.session_as(&reader);
    db.run(&format!("GRANT audit_log_reader TO {reader}"));
    run(&mut session, "SELECT * FROM audit_log.history('job', '1')");
    assert_eq!(
        audit_log_tests::one(&mut session, "SELECT audit_log.row_at('job', '1', now()) ->> 'title'"),
        "Cook"
    );
}
