//! Entries are written together when their statement ends: whoever looks finds them all the same, in
//! the partition of their instant.

use std::thread;

use audit_log_tests::{one, psql, run, until_so, waits, Db};
use postgres::Client;

const AS_ANN: &str =
    r#"SET audit_log.context = '{"actor": {"type": "user", "id": "ann"}, "metadata": {"ticket": 7}}'"#;

/// Entries are not written straight into an index like this: they are inserted.
pub const INDEX: &str = "CREATE INDEX ON audit_log.event (upper(target_id))";

/// Two watched tables, and a session that will have written.
pub fn watched_job() -> Db {
    let mut db = Db::new();
    db.run(
        "CREATE EXTENSION amcheck;
         CREATE TABLE job (id int PRIMARY KEY, title text);
         CREATE TABLE note (id int PRIMARY KEY, title text);
         SELECT audit_log.watch('job'), audit_log.watch('note')",
    );
    db.run(AS_ANN);
    db
}

/// A statement that inserts the jobs of these ids.
pub fn insert(first: i32, last: i32) -> String {
    format!("INSERT INTO job SELECT i, 'title ' || i FROM generate_series({first}, {last}) i")
}

/// Checks that the log has one insert of each row of a table and of nothing else; how many.
#[track_caller]
pub fn complete(db: &mut Db, table: &str) -> usize {
    let rows = db.all(&format!("SELECT id FROM {table} ORDER BY id"));
    let entries = db.all(&format!(
        "SELECT target_id FROM audit_log.entry WHERE operation = 'insert' AND relation = 'public.{table}' ORDER BY target_id::int"
    ));
    assert!(rows == entries, "{} rows of {table}, {} entries", rows.len(), entries.len());
    rows.len()
}

const PARTITION: &str = "inhparent IN ('audit_log.event'::regclass, 'audit_log.event_target'::regclass)";

/// Checks of every partition that its rows are its own and that its indexes hold them.
#[track_caller]
pub fn sound(db: &mut Db) {
    let strays = db.all(&format!(
        "SELECT inhrelid::regclass || ' WHERE NOT (' || coalesce(pg_get_partition_constraintdef(inhrelid), 'true') || ')'
         FROM pg_inherits WHERE {PARTITION}"
    ));
    for stray in strays {
        assert_eq!(db.one(&format!("SELECT count(*) FROM {stray}")), "0", "{stray}");
    }
    db.run(&format!(
        "SELECT bt_index_check(x.oid, true) FROM pg_inherits JOIN pg_index ON indrelid = inhrelid JOIN pg_class x ON x.oid = indexrelid
         WHERE {PARTITION} AND relam = (SELECT oid FROM pg_am WHERE amname = 'btree')"
    ));
    for column in ["organization_id", "target_id", "actor_id", "category"] {
        same_by_index(db, &format!("{column} = (SELECT max({column}) FROM audit_log.event)"));
    }
}

/// Checks that indexes find as many entries as the tables hold.
#[track_caller]
pub fn same_by_index(db: &mut Db, filter: &str) {
    let count = |off: &str| {
        format!("BEGIN; SET LOCAL enable_{off} = off; SET LOCAL enable_indexonlyscan = off; SELECT count(*) FROM audit_log.event WHERE {filter}; COMMIT")
    };
    let all = db.one(&count("indexscan = off; SET LOCAL enable_bitmapscan"));
    assert_eq!(db.one(&count("seqscan")), all, "{filter}");
}

/// Runs a statement in a session, and something else once that has ended or waits for a lock.
#[track_caller]
pub fn meanwhile(db: &mut Db, mut session: Client, sql: &str, then: impl FnOnce(&mut Db)) -> Client {
    let pid = one(&mut session, "SELECT pg_backend_pid()");
    let sql = sql.to_string();
    let running = thread::spawn(move || {
        run(&mut session, &sql);
        session
    });
    let waits = waits(&pid);
    until_so("the statement ends or waits", || running.is_finished() || db.one(&waits) == "t");
    then(db);
    running.join().expect("the statement succeeds")
}

/// Imports entries of these weeks, counted from this one: of their first and last instant and one between.
pub fn import(first: i32, last: i32) -> String {
    format!(
        r#"SELECT count(id) FROM audit_log.import(ARRAY(
             SELECT jsonb_build_object('category', 'job_created', 'occurredAt', monday + i * interval '1 week' + o,
                                       'targets', '[{{"type": "job", "id": 1}}, {{"type": "team", "id": "t"}}]'::jsonb)
             FROM date_trunc('week', now(), 'UTC') monday, generate_series({first}, {last}) i,
                  unnest('{{0,3 days 5 hours,1 week -1 microsecond}}'::interval[]) o ORDER BY md5(i || o::text)))"#
    )
}

/// How many entries are beside the partitions.
pub fn unplaced(db: &mut Db) -> String {
    db.one("SELECT count(*) FROM audit_log.event_unplaced")
}

/// The name of the partition of a week, counted from this one.
pub fn week(db: &mut Db, week: i32) -> String {
    db.one(&format!(
        "SELECT 'audit_log.event_p' || to_char((date_trunc('week', now(), 'UTC') + {week} * interval '1 week') AT TIME ZONE 'UTC', 'YYYYMMDD')"
    ))
}

/// A database in which a trigger that fires after ours notes how many entries there are: of its row, and of all.
fn looking(body: &str) -> Db {
    let mut db = watched_job();
    let look = "SELECT count(*) FILTER (WHERE target_id = NEW.id::text), count(*) INTO own, every FROM audit_log.entry WHERE relation = 'public.job'";
    db.run(&format!(
        "CREATE TABLE seen (id int, own int, every int);
         CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
         DECLARE own int; every int;
         BEGIN {} INSERT INTO seen VALUES (NEW.id, own, every); RETURN NULL; END $$;
         CREATE TRIGGER zz AFTER INSERT OR UPDATE ON job FOR EACH ROW EXECUTE FUNCTION look()",
        body.replace("look", look)
    ));
    db
}

/// Also where the log has been given an index that entries must be inserted for.
fn sees_each_entry(body: &str) {
    sees_each_entry_after("SELECT 1", body);
    sees_each_entry_after(INDEX, body);
}

fn sees_each_entry_after(dba: &str, body: &str) {
    let mut db = looking(body);
    let this_week = week(&mut db, 0);
    db.run(&dba.replace("this_week", &this_week));
    db.run(&insert(1, 400));
    let right =
        |own, before| format!("SELECT count(*) FROM seen WHERE own = {own} AND every = {before} + id");
    assert_eq!(db.one(&right(1, 0)), "400", "{body} {dba}");
    db.run("UPDATE job SET title = 'Cook'");
    assert_eq!(db.one(&right(2, 400)), "400", "{body} {dba}");
    assert_eq!(complete(&mut db, "job"), 400);
    sound(&mut db);
}

#[test]
fn a_trigger_sees_the_entry_of_the_row_that_fired_it() {
    sees_each_entry("look;");
}

#[test]
fn a_trigger_sees_it_from_an_exception_block() {
    sees_each_entry("BEGIN look; EXCEPTION WHEN OTHERS THEN NULL; END;");
    sees_each_entry("BEGIN look; PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END;");
    sees_each_entry("BEGIN PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN BEGIN look; EXCEPTION WHEN OTHERS THEN NULL; END; END;");
}

#[test]
fn a_trigger_sees_it_in_a_partition_that_was_renamed_or_is_copied() {
    let rename = "ALTER TABLE this_week RENAME TO renamed; ALTER TABLE audit_log.renamed SET SCHEMA public";
    let count = "SELECT count(*) FILTER (WHERE target_id = NEW.id::text), count(*) INTO own, every FROM";
    sees_each_entry_after(rename, &format!("{count} renamed WHERE operation IS NOT NULL;"));
    let copy =
        "EXECUTE format('COPY renamed (target_id) TO %L', current_setting('data_directory') || '/copied');";
    let copied =
        "string_to_table(pg_read_file('copied'), chr(10)) lines(target_id) WHERE target_id ~ '^[0-9]+$';";
    sees_each_entry_after(rename, &format!("{copy} {count} {copied}"));
}

#[test]
fn functions_see_the_entries_of_earlier_statements() {
    let mut db = watched_job();
    let count = "SELECT count(*) FROM audit_log.entry WHERE relation = 'public.job'";
    db.run(&format!(
        "CREATE FUNCTION by_sql() RETURNS bigint LANGUAGE sql AS $$ {count} $$;
         CREATE FUNCTION by_plpgsql() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN ({count}); END $$;
         CREATE FUNCTION stably() RETURNS bigint LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN ({count}); END $$;
         CREATE FUNCTION cautiously() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN ({count}); EXCEPTION WHEN OTHERS THEN RETURN -1; END $$"
    ));
    db.run(&insert(1, 300));
    for (i, f) in ["by_sql()", "by_plpgsql()", "stably()", "cautiously()"].into_iter().enumerate() {
        let (i, before) = (i as i32 * 10 + 1000, 300 + i * 4);
        let returning = format!("INSERT INTO job VALUES ({i}), ({i} + 1) RETURNING {f}");
        assert_eq!(db.all(&returning), vec![before.to_string(); 2]);
        db.run(&format!(
            "DO $$ DECLARE an_expression int; a_query int; BEGIN
               INSERT INTO job VALUES ({i} + 2); an_expression := {f};
               INSERT INTO job VALUES ({i} + 3); SELECT {f} INTO a_query;
               ASSERT an_expression = {before} + 3 AND a_query = {before} + 4, format('{f} %s %s', an_expression, a_query);
             END $$"
        ));
    }
}

#[test]
fn what_record_wrote_is_seen_at_once() {
    let mut db = watched_job();
    let tell = "DO $$ DECLARE made uuid := audit_log.record('job_created', '7 of 9'); n int; BEGIN";
    let count = "SELECT count(*) INTO n FROM audit_log.entry e WHERE e.id = made; ASSERT n = 1, n;";
    for dba in ["SELECT 1", INDEX] {
        db.run(dba);
        for look in [
            count,
            &format!("BEGIN {count} EXCEPTION WHEN division_by_zero THEN NULL; END;"),
            "SELECT count(*) INTO n FROM audit_log.list() l WHERE l.id = made; ASSERT n = 1, n;",
            "ASSERT audit_log.record('job_created', '1', idempotency_key => 'k') = audit_log.record('job_created', '1', idempotency_key => 'k');",
        ] {
            db.run(&format!("BEGIN; {tell} {look} END $$; ROLLBACK"));
        }
    }
}

#[test]
fn copy_and_truncate_are_seen_before_commit_and_behind_a_savepoint() {
    let db = watched_job();
    let count = "SELECT count(*) FROM audit_log.entry WHERE relation = 'public.job';";
    let lines = |first: i32| (first..first + 300).map(|i| format!("{i}\n")).collect::<String>();
    let copy = |first: i32| format!("COPY job (id) FROM STDIN;\n{}\\.\n", lines(first));
    let script = format!(
        "BEGIN; {}{count} {}SAVEPOINT s; {count} {}ROLLBACK TO s; {count} TRUNCATE job; {count} SAVEPOINT t; {count} COMMIT; {count}",
        copy(0), copy(1000), copy(2000)
    );
    assert_eq!(psql(&db.name, &script).replace('\n', " ").trim(), "300 600 600 601 601 601");
}

#[test]
fn a_trigger_sees_the_truncate_that_fired_it() {
    let mut db = watched_job();
    db.run(
        "CREATE TABLE seen (n int);
         CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           INSERT INTO seen SELECT count(*) FROM audit_log.entry WHERE operation = 'truncate'; RETURN NULL; END $$;
         CREATE TRIGGER zz AFTER TRUNCATE ON job EXECUTE FUNCTION look();
         TRUNCATE job; TRUNCATE job, note",
    );
    assert_eq!(db.all("SELECT n FROM seen"), ["1", "2"]);
}

#[test]
fn cursors_on_the_log_see_what_was_there_when_they_were_opened() {
    let mut db = watched_job();
    let entries =
        "SELECT target_id FROM audit_log.entry WHERE relation = 'public.job' ORDER BY target_id::int";
    db.run(&insert(1, 2));
    db.run(&format!("BEGIN; DECLARE before SCROLL CURSOR FOR {entries}"));
    db.run(&insert(3, 300));
    db.run(&format!("DECLARE after CURSOR FOR {entries}"));
    db.run("INSERT INTO job VALUES (301)");
    assert_eq!(db.all("FETCH ALL IN before"), ["1", "2"]);
    assert_eq!(db.all("FETCH ALL IN after").len(), 300);
    // A loop over the log that adds to it comes to its end.
    db.run("DO $$ DECLARE e record; BEGIN FOR e IN SELECT * FROM audit_log.entry WHERE operation = 'insert' LOOP INSERT INTO note VALUES (e.target_id::int); END LOOP; END $$; COMMIT");
    assert_eq!((complete(&mut db, "job"), complete(&mut db, "note")), (301, 301));
}

#[test]
fn entries_are_in_the_partition_of_their_instant_as_partitions_come_and_go() {
    let mut db = watched_job();
    let mut other = db.session();
    // Three instants a week: three weeks before any partition, five with one.
    assert_eq!((db.one(&import(-3, 4)), unplaced(&mut db)), ("24".into(), "9".into()));
    run(&mut other, "SELECT audit_log.ensure_partitions(8)");
    assert_eq!((db.one(&import(-3, 8)), unplaced(&mut db)), ("36".into(), "18".into()));
    let [detached, dropped, kept] = [6, 7, 8].map(|n| week(&mut db, n));
    let detach = "ALTER TABLE audit_log.event DETACH PARTITION";
    run(&mut other, &format!("{detach} {detached}; DROP TABLE {detached}"));
    assert_eq!((db.one(&import(4, 8)), unplaced(&mut db)), ("15".into(), "21".into()));
    run(&mut other, &format!("DROP TABLE {dropped}"));
    assert_eq!((db.one(&import(4, 8)), unplaced(&mut db)), ("15".into(), "27".into()));
    run(&mut other, &format!("{detach} {kept}"));
    assert_eq!((db.one(&import(4, 8)), unplaced(&mut db)), ("15".into(), "36".into()));
    assert_eq!(db.one(&format!("SELECT count(*) FROM {kept}")), "9");
    sound(&mut db);
}

#[test]
fn a_partition_that_is_being_dropped_is_waited_for() {
    let mut db = watched_job();
    db.run("SELECT audit_log.ensure_partitions(8)");
    let mut at = 0;
    for by in ["DROP TABLE", "ALTER TABLE audit_log.event DETACH PARTITION"] {
        for end in ["COMMIT", "ROLLBACK"] {
            for wrote_before in [false, true] {
                at += 1;
                let partition = week(&mut db, at);
                let mut session = db.session();
                if wrote_before {
                    run(&mut session, &import(at, at));
                }
                let before = unplaced(&mut db).parse::<i32>().expect("a number");
                db.run(&format!("BEGIN; {by} {partition}"));
                meanwhile(&mut db, session, &import(at, at), |db| db.run(end));
                let added = if end == "COMMIT" { 3 } else { 0 };
                assert_eq!(unplaced(&mut db), (before + added).to_string(), "{by} {end} {wrote_before}");
                sound(&mut db);
            }
        }
    }
}

#[test]
fn entries_that_waited_for_a_new_partition_are_in_it() {
    for wrote_before in [false, true] {
        let mut db = Db::new();
        let mut session = db.session();
        if wrote_before {
            run(&mut session, "SELECT audit_log.record('job_created', occurred_at => '2020-01-01Z'); SELECT audit_log.record('job_created', occurred_at => now() + interval '5 weeks')");
        }
        db.run("CREATE EXTENSION amcheck; BEGIN; SELECT audit_log.ensure_partitions()");
        meanwhile(&mut db, session, "SELECT audit_log.record('job_created', '1')", |db| db.run("COMMIT"));
        sound(&mut db);
        assert_eq!(db.one("SELECT count(*) FROM audit_log.entry WHERE occurred_at > now() - interval '1 hour' AND target_id = '1'"), "1");
    }
}

#[test]
fn a_session_that_has_written_goes_on_while_others_wait_to_change_the_log() {
    for by in ["DETACH PARTITION week", "ADD COLUMN note text", "ADD CHECK (target_id <> 'x')"] {
        let mut db = watched_job();
        let (mut session, other) = (db.session(), db.session());
        let by = by.replace("week", &week(&mut db, 0));
        run(&mut session, "INSERT INTO note VALUES (1); BEGIN; INSERT INTO job VALUES (1)");
        let count = "SELECT count(*) FROM audit_log.entry WHERE relation = 'public.job'";
        meanwhile(&mut db, other, &format!("ALTER TABLE audit_log.event {by}"), |_| {
            assert_eq!(one(&mut session, count), "1", "{by}");
            run(&mut session, &insert(2, 300));
            run(&mut session, "SELECT audit_log.record('job_created', '1', occurred_at => '2020-01-01Z')");
            assert_eq!(one(&mut session, count), "300", "{by}");
            run(&mut session, "COMMIT");
        });
    }
}
