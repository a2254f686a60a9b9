//! Many entries at once, written in parts: each is there once and in order, or none of them is.

use audit_log_tests::{fails, one, run, unique, until_so, Db};
use postgres::Client;

use crate::capture_writing::{complete, insert, sound, watched_job};

/// Entries of row changes, as "operation count", by operation.
pub fn counts(db: &mut Db) -> Vec<String> {
    db.all("SELECT operation || ' ' || count(*) FROM audit_log.entry WHERE operation IS NOT NULL GROUP BY operation ORDER BY 1")
}

/// Jobs n thousand to n thousand and 299.
pub fn jobs(n: i32) -> String {
    insert(n * 1000, n * 1000 + 299)
}

/// Job n thousand.
pub fn job(n: i32) -> String {
    insert(n * 1000, n * 1000)
}

#[test]
fn statements_of_any_size_leave_an_entry_a_row_in_the_order_of_rows() {
    let mut db = watched_job();
    let mut base = 0;
    for n in [1, 2, 255, 256, 257, 511, 512, 513, 1000, 5000] {
        db.run(&format!("INSERT INTO job SELECT {base} + i, 'x' FROM generate_series({n}, 1, -1) i"));
        let expected: Vec<String> = (1..=n).rev().map(|i| (base + i).to_string()).collect();
        for order in ["id", "occurred_at, id"] {
            let mut inserted =
                "SELECT target_id FROM audit_log.entry WHERE operation = 'insert' ORDER BY ".to_string();
            inserted.push_str(order);
            assert!(db.all(&inserted)[base as usize..] == expected, "{n} by {order}");
        }
        // Of a changed key both ids are targets: the second table is written to, too.
        db.run(&format!("UPDATE job SET id = -id WHERE id > {base}; DELETE FROM job WHERE id < 0"));
        base += n;
        assert_eq!(counts(&mut db), ["delete", "insert", "update"].map(|o| format!("{o} {base}")));
        let targets = "SELECT count(*) || ' ' || count(DISTINCT event_id) FROM audit_log.stored_event_target";
        assert_eq!(db.one(targets), format!("{base} {base}"));
        assert_eq!(db.one("SELECT count(*) = count(DISTINCT id) FROM audit_log.stored_event"), "t");
    }
    sound(&mut db);
}

#[test]
fn large_values_are_written_beside_small_ones() {
    let mut db = watched_job();
    db.run(
        "CREATE FUNCTION title(i int) RETURNS text LANGUAGE sql AS $$
           SELECT left(string_agg(md5(i * 7 || '-' || n), ''), bytes)
           FROM (SELECT CASE WHEN i % 150 = 1 THEN 3000000 WHEN i % 10 = 1 THEN 10000 ELSE 40 END) size(bytes), generate_series(0, bytes / 32) n GROUP BY bytes $$;
         INSERT INTO job SELECT i, title(i) FROM generate_series(1, 600) i;
         UPDATE job SET title = title || '!'; DELETE FROM job WHERE id % 10 = 1",
    );
    assert_eq!(counts(&mut db), ["delete 60", "insert 600", "update 600"]);
    let exact = "SELECT count(*) FROM audit_log.entry WHERE CASE operation
        WHEN 'insert' THEN after ->> 'title' = title(target_id::int)
        WHEN 'update' THEN before ->> 'title' = title(target_id::int) AND after ->> 'title' = title(target_id::int) || '!'
        WHEN 'delete' THEN before ->> 'title' = title(target_id::int) || '!' END";
    assert_eq!(db.one(exact), "1260");
    sound(&mut db);
}

#[test]
fn what_was_written_does_not_stay_in_the_sessions_memory() {
    let mut db = watched_job();
    let mut used = |rows: &str| -> i64 {
        db.run(&format!("INSERT INTO job {rows}"));
        db.one("SELECT sum(used_bytes) FROM pg_backend_memory_contexts").parse().expect("a number")
    };
    let before = used("SELECT i FROM generate_series(1, 1000) i");
    for n in (1..=20).rev() {
        let large = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 50000) n)";
        let after = used(&format!(
            "SELECT 1000 * {n} + i, CASE i WHEN {n} THEN {large} END FROM generate_series(1, {n}) i"
        ));
        assert!(after < before + (1 << 20), "{before} bytes before, {after} after");
    }
}

#[test]
fn rows_written_for_an_outer_transaction_are_kept_by_the_batch_only() {
    let mut db = watched_job();
    db.run(
        "CREATE FUNCTION copy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           BEGIN
             INSERT INTO note SELECT i, 'x' FROM generate_series(1, 20000) i;
             NEW.title := (SELECT sum(used_bytes) FROM pg_backend_memory_contexts WHERE name LIKE 'audit_log%');
           EXCEPTION WHEN division_by_zero THEN NULL; END;
           ASSERT NEW.title::bigint < 1 << 21, NEW.title; RETURN NULL; END $$;
         CREATE TRIGGER zz AFTER INSERT ON job FOR EACH ROW EXECUTE FUNCTION copy();
         INSERT INTO job VALUES (1)",
    );
    assert_eq!((complete(&mut db, "job"), complete(&mut db, "note")), (1, 20_000));
}

#[test]
fn foreign_keys_do_not_take_batches_apart() {
    let mut db = watched_job();
    db.run(
        "CREATE TABLE offer (id int PRIMARY KEY, job int REFERENCES job); SELECT audit_log.watch('offer')",
    );
    db.run(
        "INSERT INTO job VALUES (1); BEGIN; INSERT INTO offer SELECT i, 1 FROM generate_series(1, 1000) i",
    );
    // Rows written together are of one command.
    let commands = "SELECT count(DISTINCT e.cmin::text) FROM audit_log.event e WHERE target_type = 'offer' AND operation = 'i'";
    let batches: usize = db.one(commands).parse().expect("a number");
    assert!(batches <= 5, "{batches} batches");
    db.run("COMMIT");
    assert_eq!(complete(&mut db, "offer"), 1000);
}

#[test]
fn nested_exception_blocks_keep_what_did_not_fail() {
    for (insert, each) in [(job as fn(i32) -> String, 1), (jobs, 300)] {
        let mut db = watched_job();
        let [a, b, c, d, e, f, g, h, i, j] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(insert);
        db.run(&format!(
            "DO $$ BEGIN {a};
               BEGIN {b};
                 BEGIN {c};
                   BEGIN {d}; PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN {e}; END;
                   {f}; PERFORM 1 / 0;
                 EXCEPTION WHEN division_by_zero THEN {g}; END;
                 {h};
               EXCEPTION WHEN OTHERS THEN {i}; END;
               {j};
             END $$"
        ));
        assert_eq!(complete(&mut db, "job"), 5 * each);
        assert_eq!(db.all("SELECT DISTINCT id / 1000 FROM job ORDER BY 1"), ["0", "1", "6", "7", "9"]);
    }
}

#[test]
fn blocks_that_fail_in_a_loop_leave_the_others() {
    let mut db = watched_job();
    db.run(
        "ALTER TABLE job ADD CHECK (id % 3 <> 2);
         DO $$ BEGIN FOR i IN 1 .. 300 LOOP
           BEGIN
             INSERT INTO note SELECT i * 10 + n FROM generate_series(0, 4) n;
             INSERT INTO job VALUES (i * 3);
             PERFORM 1 / (i % 3);
           EXCEPTION WHEN division_by_zero THEN
             BEGIN INSERT INTO job VALUES (i * 3 + 1), (i * 3 + 2); EXCEPTION WHEN check_violation THEN INSERT INTO job VALUES (i * 3 + 1); END;
           END;
         END LOOP; END $$",
    );
    assert_eq!((complete(&mut db, "job"), complete(&mut db, "note")), (300, 1000));
    assert_eq!(db.one("SELECT count(*) FROM job WHERE id % 3 = 1"), "100");
    sound(&mut db);
}

#[test]
fn what_is_recorded_by_expressions_in_failing_blocks_is_kept_or_gone() {
    let mut db = watched_job();
    db.run(
        "DO $$ DECLARE made uuid; BEGIN
           FOR i IN 1 .. 3000 LOOP BEGIN
             made := audit_log.record('job_created', i::text, targets => '[{\"type\": \"team\", \"id\": 1}]');
             IF i % 3 = 0 THEN RAISE division_by_zero; END IF;
           EXCEPTION WHEN division_by_zero THEN made := audit_log.record('job_deleted', i::text); END; END LOOP;
         END $$",
    );
    let kept = "SELECT category || ' ' || count(*) || ' ' || count(DISTINCT target_id) || ' ' || bool_and((target_id::int % 3 = 0) = (category = 'job_deleted'))
                FROM audit_log.entry WHERE category LIKE 'job_%' GROUP BY category ORDER BY 1";
    assert_eq!(db.all(kept), ["job_created 2000 2000 true", "job_deleted 1000 1000 true"]);
    assert_eq!(db.one("SELECT count(*) FROM audit_log.stored_event_target"), "2000");
    sound(&mut db);
}

#[test]
fn triggers_that_fail_for_some_rows_in_an_exception_block_leave_the_other_rows_entries() {
    // One that fires before ours and one that fires after it.
    for name in [" a", "zz"] {
        let mut db = watched_job();
        db.run(&format!(
            "ALTER TABLE note ADD CHECK (id % 3 <> 0 OR id < 0);
             CREATE FUNCTION add_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               BEGIN INSERT INTO note VALUES (-NEW.id), (NEW.id); EXCEPTION WHEN check_violation THEN NULL; END;
               RETURN NULL; END $$;
             CREATE TRIGGER \"{name}\" AFTER INSERT ON job FOR EACH ROW EXECUTE FUNCTION add_note()"
        ));
        db.run(&insert(1, 1000));
        assert_eq!((complete(&mut db, "job"), complete(&mut db, "note")), (1000, 1334), "{name}");
        sound(&mut db);
    }
}

#[test]
fn savepoints_undo_what_had_been_written_already() {
    let mut db = watched_job();
    let [a, b, c, d, e, f] = [1, 2, 3, 4, 5, 6].map(jobs);
    let thousand = insert(10_000, 11_000);
    db.run(&format!("BEGIN; {a}; SAVEPOINT a; {thousand}; UPDATE job SET title = 'lost'; SAVEPOINT b; {b}"));
    db.run(&format!("ROLLBACK TO b; {c}; RELEASE b; ROLLBACK TO a; {d}; COMMIT"));
    assert_eq!(complete(&mut db, "job"), 600);
    db.run(&format!("BEGIN; {e}; SAVEPOINT a; {f}"));
    assert_eq!(db.fails(&format!("{thousand}; {thousand}")).sqlstate, "23505");
    db.run("ROLLBACK TO a; COMMIT");
    assert_eq!(complete(&mut db, "job"), 900);
    assert_eq!(counts(&mut db), ["insert 900"]);
    sound(&mut db);
}

#[test]
fn prepared_transactions_keep_or_drop_what_they_wrote() {
    let mut db = watched_job();
    let [kept, dropped] = ["kept", "dropped"].map(unique);
    let told = "DO $$ DECLARE made uuid; BEGIN made := audit_log.record('job_created', 'told'); END $$";
    db.run(&format!("BEGIN; {}; {told}; PREPARE TRANSACTION '{kept}'", insert(1, 1000)));
    db.run(&format!("BEGIN; {}; {told}; PREPARE TRANSACTION '{dropped}'", insert(2001, 3000)));
    db.run(&insert(4001, 5000));
    let mut other = db.session();
    run(&mut other, &format!("ROLLBACK PREPARED '{dropped}'"));
    assert_eq!(complete(&mut db, "job"), 1000);
    run(&mut other, &format!("COMMIT PREPARED '{kept}'"));
    assert_eq!(complete(&mut db, "job"), 2000);
    assert_eq!(db.one("SELECT count(*) FROM audit_log.entry WHERE target_id = 'told'"), "1");
    sound(&mut db);
}

#[test]
fn blocks_that_commit_and_roll_back_between_statements() {
    let mut db = watched_job();
    db.run(
        "CREATE PROCEDURE work(first int) LANGUAGE plpgsql AS $$ DECLARE made uuid; BEGIN FOR i IN first .. first + 9 LOOP
           INSERT INTO job SELECT i * 1000 + n FROM generate_series(1, 300) n;
           made := audit_log.record('job_created', 'r' || i);
           IF i % 3 = 0 THEN ROLLBACK; ELSE COMMIT; END IF;
         END LOOP; made := audit_log.record('job_created', 'last ' || first); END $$",
    );
    db.run("CALL work(1)");
    db.run("DO $$ BEGIN CALL work(11); END $$");
    assert_eq!(complete(&mut db, "job"), 14 * 300);
    let told =
        "SELECT count(*) || ' ' || count(DISTINCT target_id) FROM audit_log.entry WHERE target_id ~ '^[rl]'";
    assert_eq!(db.one(told), "16 16");
    sound(&mut db);
}

#[test]
fn deferred_triggers_write_at_commit_or_when_told() {
    let mut db = watched_job();
    db.run(
        "CREATE FUNCTION add_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO note VALUES (NEW.id); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER zz AFTER INSERT ON job DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION add_note()",
    );
    db.run(&format!("BEGIN; {}; COMMIT", insert(1, 700)));
    db.run(&format!("BEGIN; {}; SET CONSTRAINTS ALL IMMEDIATE", insert(1001, 1700)));
    assert_eq!((complete(&mut db, "job"), complete(&mut db, "note")), (1400, 1400));
    db.run("ROLLBACK");
    assert_eq!((complete(&mut db, "job"), complete(&mut db, "note")), (700, 700));
    sound(&mut db);
}

/// Checks that a session that failed has left nothing and goes on.
#[track_caller]
fn nothing_remains(db: &mut Db, session: &mut Client) {
    let next = db.one("SELECT max(id) + 10000 FROM job").parse().expect("a number");
    run(session, &insert(next, next));
    run(session, &insert(next + 1, next + 300));
    let rows = complete(db, "job") + complete(db, "note");
    assert_eq!(counts(db), [format!("insert {rows}")]);
    sound(db);
}

#[test]
fn a_statement_that_fails_in_the_middle_leaves_nothing() {
    let mut db = watched_job();
    db.run(
        "INSERT INTO note VALUES (1); INSERT INTO job VALUES (-700);
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF NEW.id = 700 AND NEW.title = 'refused' THEN RAISE 'no' USING ERRCODE = 'ZZ999'; END IF; RETURN NULL; END $$;
         CREATE TRIGGER zz AFTER INSERT ON job FOR EACH ROW EXECUTE FUNCTION refuse();
         ALTER TABLE job ADD CHECK (id <> 700 OR title <> 'unchecked')",
    );
    for (statement, code) in [
        ("INSERT INTO job SELECT i, 'unchecked'", "23514"),
        ("INSERT INTO job SELECT i, 'refused'", "ZZ999"),
        ("INSERT INTO job SELECT CASE i WHEN 700 THEN -700 ELSE i END, 'x'", "23505"),
        ("INSERT INTO job SELECT i, 1 / (700 - i)", "22012"),
        ("WITH n AS (UPDATE note SET title = 'x') INSERT INTO job SELECT i, 'refused'", "ZZ999"),
    ] {
        let statement = format!("{statement} FROM generate_series(1, 1000) i");
        let mut session = db.session();
        assert_eq!(fails(&mut session, &statement).sqlstate, code, "{statement}");
        nothing_remains(&mut db, &mut session);
        let caught = format!("BEGIN {statement}; EXCEPTION WHEN OTHERS THEN ASSERT SQLSTATE = '{code}'; END");
        run(&mut session, &format!("DO $$ {caught} $$"));
        nothing_remains(&mut db, &mut session);
    }
}

#[test]
fn entries_that_an_index_of_others_refuses_fail_the_statement() {
    let mut db = watched_job();
    db.run("SELECT audit_log.record('job_created', '700'); INSERT INTO job VALUES (0)");
    let partition = db.one("SELECT tableoid::regclass FROM audit_log.event WHERE target_id = '700'");
    db.run(&format!("CREATE UNIQUE INDEX by_dba ON {partition} (organization_id, target_id)"));
    // A session's first statement fails at once, too, not at commit.
    let mut session = db.session();
    run(&mut session, "BEGIN");
    assert_eq!(fails(&mut session, &insert(700, 700)).sqlstate, "23505");
    run(&mut session, "ROLLBACK");
    for _ in 0..2 {
        assert_eq!(fails(&mut session, &insert(1, 900)).sqlstate, "23505");
        assert_eq!(fails(&mut session, &insert(700, 700)).sqlstate, "23505");
        let caught = format!("BEGIN {}; EXCEPTION WHEN unique_violation THEN NULL; END", insert(1, 900));
        run(&mut session, &format!("DO $$ {caught} $$"));
        nothing_remains(&mut db, &mut session);
    }
}

#[test]
fn a_canceled_statement_leaves_nothing() {
    let mut db = watched_job();
    db.run(&format!(
        "ALTER TABLE job DISABLE TRIGGER ALL; {}; ALTER TABLE job ENABLE ALWAYS TRIGGER \"!audit_log\"",
        insert(1, 200_000)
    ));
    let size = |db: &mut Db| -> i64 {
        let sum = "SELECT sum(pg_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'audit_log.event'::regclass";
        db.one(sum).parse().expect("a number")
    };
    let before = size(&mut db);
    let mut session = db.session();
    let pid = one(&mut session, "SELECT pg_backend_pid()");
    let update = "UPDATE job SET title = 'x'";
    let running = std::thread::spawn(move || (fails(&mut session, update).sqlstate, session));
    until_so("a part is written", || size(&mut db) >= before + 1_000_000);
    assert!(!running.is_finished());
    db.run(&format!("SELECT pg_cancel_backend({pid})"));
    let (code, mut session) = running.join().expect("fails");
    assert_eq!(code, "57014");
    // It does not get to its end: somebody holds a row of it.
    let mut holds = db.session();
    run(&mut holds, "BEGIN; SELECT FROM job WHERE id = 200000 FOR UPDATE");
    assert_eq!(fails(&mut session, &format!("SET statement_timeout = 500; {update}")).sqlstate, "57014");
    run(&mut holds, "COMMIT");
    run(&mut session, "RESET statement_timeout; UPDATE job SET title = 'y' WHERE id <= 300");
    assert_eq!(counts(&mut db), ["update 300"]);
    sound(&mut db);
}
