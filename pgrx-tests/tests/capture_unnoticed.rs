//! Errors, privileges and the life of a session are the application's: capture changes none of them.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use audit_log_tests::{run, unique, Db};
use postgres::error::DbError;

use crate::capture_batches::{job, jobs};
use crate::capture_writing::{complete, watched_job, INDEX};

/// What a statement's error says, every field of it.
fn error_of(db: &mut Db, sql: &str) -> DbError {
    let error = if sql.starts_with("COPY") {
        let mut copy = db.client.copy_in(sql).expect("begins");
        (1..=900).for_each(|i| writeln!(copy, "{}", i % 700).expect("takes the row"));
        copy.finish().err()
    } else {
        db.client.batch_execute(sql).err()
    };
    error
        .as_ref()
        .and_then(|e| e.as_db_error())
        .unwrap_or_else(|| panic!("no error of the server: {sql}"))
        .clone()
}

#[test]
fn errors_of_the_applications_own_come_through_unaltered() {
    let raise = "RAISE EXCEPTION USING ERRCODE = 'ZZ999', MESSAGE = 'a message', DETAIL = 'a detail', HINT = 'a hint',
                 CONSTRAINT = 'c', TABLE = 't', COLUMN = 'f', SCHEMA = 's', DATATYPE = 'd'";
    let [mut with, mut without] = [Db::new(), Db::without_extension()];
    for db in [&mut with, &mut without] {
        db.run(&format!(
            "CREATE DOMAIN short AS text CONSTRAINT short CHECK (length(VALUE) < 5);
             CREATE TABLE company (id int PRIMARY KEY, name text);
             CREATE TABLE job (id int PRIMARY KEY, title text CONSTRAINT no_x CHECK (title <> 'x'), kind short, company int REFERENCES company,
                               later int CONSTRAINT once UNIQUE DEFERRABLE INITIALLY DEFERRED, must int NOT NULL DEFAULT 1);
             INSERT INTO company SELECT i, i % 100 FROM generate_series(1, 1000) i; INSERT INTO job (id, company) VALUES (-1, 1);
             CREATE PROCEDURE refuse() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO job (id) VALUES (-9); {raise}; END $$;
             CREATE FUNCTION refuse_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {raise}; END $$;
             CREATE FUNCTION add_job() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO job (id, company) VALUES (NEW.id, NEW.id); RETURN NULL; END $$;
             CREATE TABLE refused (id int PRIMARY KEY); CREATE TABLE adding (id int PRIMARY KEY); CREATE TABLE later (id int PRIMARY KEY);
             CREATE TRIGGER zz AFTER INSERT ON refused FOR EACH ROW EXECUTE FUNCTION refuse_row();
             CREATE TRIGGER zz AFTER INSERT ON adding FOR EACH ROW EXECUTE FUNCTION add_job();
             CREATE CONSTRAINT TRIGGER zz AFTER INSERT ON later DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse_row()"
        ));
    }
    with.run("SELECT audit_log.watch(t::regclass) FROM unnest('{company,job,refused,adding,later}'::text[]) t; UPDATE company SET name = 'x'; UPDATE company SET name = id % 100");
    for statement in [
        "INSERT INTO job (id, company) SELECT i, 1001 - i FROM generate_series(0, 700) i",
        "DELETE FROM company WHERE id < 700",
        "INSERT INTO adding SELECT i FROM generate_series(1, 2000) i",
        "COPY job (id) FROM STDIN",
        "ALTER TABLE company ADD CONSTRAINT one UNIQUE (name)",
        "ALTER TABLE company ADD CONSTRAINT few CHECK (id < 10)",
        "CREATE UNIQUE INDEX one ON company (name)",
        "ALTER TABLE job ALTER company SET NOT NULL, ALTER title SET NOT NULL",
        "INSERT INTO job (id, must) VALUES (1, 1), (2, NULL)",
        "UPDATE job SET title = 'x'",
        "UPDATE job SET kind = 'too long'",
        "INSERT INTO job (id, later) SELECT i, i % 300 FROM generate_series(1, 400) i",
        "CREATE DOMAIN shorter AS short CHECK (VALUE <> 'x'); SELECT 'x'::shorter",
        "CALL refuse()",
        "DO $$ BEGIN CALL refuse(); END $$",
        "DO $$ BEGIN BEGIN CALL refuse(); EXCEPTION WHEN OTHERS THEN UPDATE job SET title = 'x'; END; END $$",
        "DO $$ BEGIN BEGIN CALL refuse(); EXCEPTION WHEN OTHERS THEN RAISE; END; END $$",
        "INSERT INTO refused VALUES (1)",
        "INSERT INTO later VALUES (1)",
        "SELECT 1 / 0 FROM company",
        "SELECT nothing FROM company",
    ] {
        assert_eq!(error_of(&mut with, statement), error_of(&mut without, statement), "{statement}");
    }
    let e = error_of(&mut with, "DO $$ BEGIN CALL refuse(); END $$");
    let fields = [e.detail(), e.hint(), e.constraint(), e.table(), e.column(), e.schema(), e.datatype()];
    assert_eq!(fields, ["a detail", "a hint", "c", "t", "f", "s", "d"].map(Some));
    assert_eq!(with.one("SELECT count(*) FROM audit_log.entry WHERE operation IS NOT NULL"), "2000");
}

#[test]
fn nothing_is_recorded_where_nothing_may_be_written() {
    let mut db = watched_job();
    db.run("CREATE TEMP TABLE own (id int PRIMARY KEY)");
    db.fails("SELECT audit_log.watch('own')").is("22023", "invalid_input");
    db.run(
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE made uuid; BEGIN made := audit_log.record('job_created', 'told'); RETURN NULL; END $$;
         CREATE TRIGGER zz AFTER INSERT ON own FOR EACH ROW EXECUTE FUNCTION tell()",
    );
    for begin in [
        "BEGIN READ ONLY",
        "BEGIN; SET TRANSACTION READ ONLY",
        "BEGIN; INSERT INTO note VALUES (1); SET transaction_read_only = on",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; COMMIT; BEGIN",
    ] {
        for write in [
            "SELECT audit_log.record('job_created', 'told')",
            "DO $$ DECLARE made uuid := audit_log.record('job_created', 'told'); BEGIN END $$",
            "INSERT INTO own VALUES (1)",
            "INSERT INTO job VALUES (1)",
        ] {
            assert_eq!(db.fails(&format!("{begin}; {write}")).sqlstate, "25006", "{begin}; {write}");
            db.run("ROLLBACK");
            db.run("RESET default_transaction_read_only");
        }
    }
    // What was written before stays, also where the log has been given an index it must be inserted for.
    for (i, dba) in ["SELECT 1", INDEX].into_iter().enumerate() {
        db.run(dba);
        db.run("DO $$ DECLARE made uuid := audit_log.record('job_created', 'kept'); BEGIN SET LOCAL transaction_read_only = on; END $$");
        db.run(&format!("BEGIN; {}; SET TRANSACTION READ ONLY; COMMIT", jobs(i as i32)));
    }
    assert_eq!(db.all("SELECT count(*) FROM audit_log.entry WHERE target_id IN ('told', 'kept')"), ["2"]);
    assert_eq!((complete(&mut db, "job"), complete(&mut db, "note")), (600, 0));
}

#[test]
fn one_session_outlives_the_extension() {
    let mut db = Db::without_extension();
    db.run("CREATE TABLE job (id int PRIMARY KEY, title text)");
    let begin = "CREATE EXTENSION audit_log; SELECT audit_log.watch('job')";
    let told = "DECLARE made uuid := audit_log.record('job_created', 'told');";
    for end in [
        "DROP EXTENSION audit_log CASCADE",
        &format!("DO $$ {told} BEGIN DROP EXTENSION audit_log CASCADE; END $$"),
    ] {
        db.run(&format!("BEGIN; {begin}; {}; DO $$ {told} BEGIN END $$; ROLLBACK", jobs(0)));
        db.run(&jobs(0));
        db.run(&format!("TRUNCATE job; {begin}"));
        db.run(&format!("{}; {}", jobs(1), job(2)));
        db.run(&format!("BEGIN; {}; {end}; {begin}; {}; ROLLBACK", jobs(3), jobs(4)));
        db.run(&format!("{}; {}", jobs(5), job(6)));
        assert_eq!(complete(&mut db, "job"), 602);
        db.run(&format!("BEGIN; {end}; {}; {begin}; {}; COMMIT", jobs(7), jobs(8)));
        db.run(&job(9));
        let since =
            "SELECT count(*) FROM audit_log.entry WHERE operation = 'insert' AND target_id ~ '^[89]...$'";
        assert_eq!(db.one(since), "301");
        db.run(&format!("{end}; TRUNCATE job"));
    }
}

#[test]
fn the_library_does_no_harm_in_a_database_without_the_extension() {
    let mut db = Db::without_extension();
    db.run("LOAD '$libdir/audit_log'; CREATE TABLE job (id int PRIMARY KEY, title text); CREATE SCHEMA audit_log; CREATE TABLE audit_log.event (id int)");
    let [a, b] = [0, 1].map(jobs);
    db.run(&format!("BEGIN; {a}; SAVEPOINT a; {b}; ROLLBACK TO a; COMMIT; TRUNCATE audit_log.event"));
    db.run("DO $$ BEGIN INSERT INTO job VALUES (-1); PERFORM 1 / 0; EXCEPTION WHEN OTHERS THEN INSERT INTO audit_log.event VALUES (1); END $$");
    assert_eq!(db.one("SELECT count(*) + (SELECT count(*) FROM audit_log.event) FROM job"), "301");
    // Nor does it take another database's session for one's own.
    let (mut one, mut other) = (watched_job(), watched_job());
    one.run(&jobs(0));
    other.run(&jobs(1));
    assert_eq!((complete(&mut one, "job"), complete(&mut other, "job")), (300, 300));
}

#[test]
fn entries_name_login_role_and_program_as_they_were_at_the_row() {
    let mut db = watched_job();
    let [ann, bea, staff, crew] = ["ann", "bea", "staff", "crew"].map(unique);
    let make = "CREATE ROLE ann LOGIN; CREATE ROLE staff; GRANT staff TO ann; GRANT ALL ON job TO PUBLIC";
    db.run(&make.replace("ann", &ann).replace("staff", &staff));
    let who = "SELECT concat_ws(' ', database_user, application_name, count(*)) FROM audit_log.entry WHERE relation = 'public.job'
               GROUP BY database_user, application_name ORDER BY min(target_id::int)";
    let [a, b, c, d, e, f] = [jobs(1), jobs(2), job(3), jobs(4), jobs(5), job(6)];
    db.run(&format!(
        "BEGIN; {a}; SET application_name = 'a'; {b}; SET application_name = 'b'; {c}; SET ROLE {staff}; {d}; RESET ROLE;
         SET SESSION AUTHORIZATION {ann}; {e}; SET ROLE {staff}; {f}; RESET SESSION AUTHORIZATION; SET application_name = ''; COMMIT"
    ));
    let [staff_b, ann_b, ann_staff_b] =
        [format!("postgres/{staff} b 300"), format!("{ann} b 300"), format!("{ann}/{staff} b 1")];
    assert_eq!(
        db.all(who),
        ["postgres 300", "postgres a 300", "postgres b 1", &staff_b, &ann_b, &ann_staff_b]
    );
    // Renamed by another session.
    let mut session = db.session_as(&ann);
    run(&mut session, &format!("SET application_name = 'c'; {}; SET ROLE {staff}; {}", jobs(7), job(8)));
    db.run(&format!("ALTER ROLE {ann} RENAME TO {bea}"));
    run(&mut session, &jobs(9));
    db.run(&format!("ALTER ROLE {staff} RENAME TO {crew}"));
    run(&mut session, &job(10));
    run(&mut session, &format!("RESET ROLE; {}", jobs(11)));
    let expected = ["ann c 300", "ann/staff c 1", "bea/staff c 300", "bea/crew c 1", "bea c 300"];
    let renamed = [("ann", &ann), ("bea", &bea), ("staff", &staff), ("crew", &crew)];
    let expected =
        expected.map(|e| renamed.iter().fold(e.to_string(), |e, (short, name)| e.replace(short, name)));
    assert_eq!(db.all(who).split_off(6), expected);
    // Renamed in one's own transaction, and that undone.
    let [g, h, i] = [job(12), job(13), job(14)];
    let rename = format!(
        "RESET SESSION AUTHORIZATION; ALTER ROLE {bea} RENAME TO {ann}; SET SESSION AUTHORIZATION {ann}"
    );
    db.run(&format!(
        "BEGIN; SET SESSION AUTHORIZATION {bea}; {g}; {rename}; {h}; RESET SESSION AUTHORIZATION"
    ));
    let named = "SELECT database_user FROM audit_log.entry WHERE target_id IN ('12000', '13000', '14000') ORDER BY target_id";
    assert_eq!(db.all(named), [&*bea, &*ann]);
    db.run(&format!("ROLLBACK; SET SESSION AUTHORIZATION {bea}; {i}; RESET SESSION AUTHORIZATION"));
    assert_eq!(db.all(named), [&*bea]);
    drop(session);
    db.run(&format!("DROP OWNED BY {bea}, {crew}; DROP ROLE {bea}, {crew}"));
}

#[test]
fn roles_renamed_elsewhere_disturb_no_writer() {
    let mut db = watched_job();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let (mut other, role, done) = (db.session(), unique("role"), &done);
            let rename =
                format!("ALTER ROLE {role} RENAME TO {role}_x; ALTER ROLE {role}_x RENAME TO {role}");
            run(&mut other, &format!("CREATE ROLE {role}"));
            scope.spawn(move || {
                while !done.load(Relaxed) {
                    run(&mut other, &rename);
                }
                run(&mut other, &format!("DROP ROLE {role}"));
            });
        }
        let write = |i: i32| {
            db.client.batch_execute(&format!("SET application_name = 'a{i}'; INSERT INTO job VALUES ({i})"))
        };
        let failed = (0..2000).map(write).find(Result::is_err);
        done.store(true, Relaxed);
        assert!(failed.is_none(), "{failed:?}");
    });
    let named = "SELECT count(*) FROM audit_log.entry WHERE relation = 'public.job' AND application_name = 'a' || target_id";
    assert_eq!(db.one(named), "2000");
}
