//! What others did to the log's own tables, indexes, triggers and constraints, is honoured.

use std::thread;

use audit_log_tests::{run, Db};

use crate::capture_writing::{
    complete, import, insert, meanwhile, same_by_index, sound, unplaced, watched_job, week,
};

/// Writes one row and a thousand, here and in a new session; the next id.
#[track_caller]
fn write_here_and_anew(db: &mut Db, first: i32) -> i32 {
    let mut new = db.session();
    for (session, first) in [(&mut db.client, first), (&mut new, first + 1001)] {
        run(session, &insert(first, first));
        run(session, &insert(first + 1, first + 1000));
    }
    first + 2002
}

#[test]
fn indexes_that_others_made_hold_every_entry() {
    let mut db = watched_job();
    let partition = week(&mut db, 0);
    let mut dba = db.session();
    let mut next = write_here_and_anew(&mut db, 1);
    for (create, filter) in [
        ("INDEX by_dba ON audit_log.event (upper(target_id))", "upper(target_id) = '1'"),
        ("INDEX by_dba ON week ((after ->> 'title'), lower(category))", "after ->> 'title' = 'title 5'"),
        ("INDEX by_dba ON audit_log.event USING gin (after)", r#"after @> '{"id": 5}'"#),
        ("INDEX CONCURRENTLY by_dba ON week USING gin (metadata)", "metadata ? 'ticket'"),
        ("INDEX by_dba ON week USING hash (database_user)", "database_user = 'postgres'"),
        ("INDEX by_dba ON audit_log.event USING brin (feed)", "feed > 0"),
        ("INDEX CONCURRENTLY by_dba ON week (abs(feed))", "abs(feed) > 0"),
        ("INDEX by_dba ON audit_log.event (target_id) WHERE operation = 'i'", ""),
        ("INDEX by_dba ON week (target_id) WHERE target_name IS NULL", ""),
        ("INDEX by_dba ON audit_log.event (feed) WHERE operation IS NOT NULL AND target_id IS NOT NULL", ""),
        ("INDEX by_dba ON audit_log.event (feed, id) WHERE target_name IS NOT NULL", ""),
        ("UNIQUE INDEX by_dba ON audit_log.event (occurred_at, id)", ""),
        ("UNIQUE INDEX by_dba ON week (id) INCLUDE (after, category)", ""),
        ("INDEX by_dba ON audit_log.event (organization_id, target_id) INCLUDE (actor_id, occurred_at)", ""),
        ("INDEX CONCURRENTLY by_dba ON week (target_id text_pattern_ops DESC NULLS FIRST, feed)", ""),
    ] {
        run(&mut dba, &format!("CREATE {}", create.replace("week", &partition)));
        next = write_here_and_anew(&mut db, next);
        sound(&mut db);
        if !filter.is_empty() {
            let explain = format!("EXPLAIN SELECT FROM audit_log.event WHERE {filter}");
            let plan = db.all(&format!("BEGIN; SET LOCAL enable_seqscan = off; {explain}; COMMIT"));
            assert!(plan.join(" ").contains("Index"), "{create}");
            same_by_index(&mut db, filter);
        }
        run(&mut dba, "DROP INDEX audit_log.by_dba");
    }
    // One of ours may go, too.
    let ours = format!("SELECT indexrelid::regclass FROM pg_index WHERE indrelid = '{partition}'::regclass");
    for index in db.all(&ours) {
        run(&mut dba, &format!("DROP INDEX {index}"));
        next = write_here_and_anew(&mut db, next);
    }
    assert_eq!(complete(&mut db, "job"), next as usize - 1);
    sound(&mut db);
}

const FIRE: &str = "CREATE TABLE fired (n int);
    CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO fired VALUES (1); RETURN NEW; END $$;
    CREATE FUNCTION fire_all() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO fired SELECT count(*) FROM n; RETURN NEW; END $$";

#[test]
fn triggers_that_others_put_on_the_log_fire_for_every_entry() {
    let mut db = watched_job();
    let (mut dba, partition) = (db.session(), week(&mut db, 0));
    run(&mut dba, FIRE);
    let mut next = write_here_and_anew(&mut db, 1);
    for (create, expected) in [
        ("AFTER INSERT ON audit_log.event FOR EACH ROW EXECUTE FUNCTION fire()", 2002),
        ("BEFORE INSERT ON audit_log.event FOR EACH ROW EXECUTE FUNCTION fire()", 2002),
        ("AFTER INSERT ON partition FOR EACH ROW EXECUTE FUNCTION fire()", 2002),
        ("AFTER INSERT ON audit_log.event EXECUTE FUNCTION fire()", 4),
        ("BEFORE INSERT ON audit_log.event EXECUTE FUNCTION fire()", 4),
        ("AFTER INSERT ON audit_log.event REFERENCING NEW TABLE AS n EXECUTE FUNCTION fire_all()", 2002),
    ] {
        let create = format!("CREATE TRIGGER by_dba {}", create.replace("partition", &partition));
        let table = if create.contains(&partition) { &partition } else { "audit_log.event" };
        let drop = format!("DROP TRIGGER by_dba ON {table}");
        let fired = |db: &mut Db| -> i32 { db.one("SELECT sum(n) FROM fired").parse().expect("a number") };
        run(&mut dba, &create);
        next = write_here_and_anew(&mut db, next);
        // Of a statement it is not promised how many INSERTs it becomes.
        assert!(fired(&mut db) == expected || expected == 4 && fired(&mut db) >= 4, "{create}");
        run(&mut dba, &format!("{drop}; TRUNCATE fired"));
        let [a, b, c] = [0, 1, 2].map(|i| insert(next + i, next + i));
        db.run(&format!("BEGIN; {a}; {create}; {b}; {drop}; {c}; COMMIT"));
        assert_eq!(fired(&mut db), 1, "{create} in the writer's own transaction");
        db.run("TRUNCATE fired");
        next += 3;
    }
    assert_eq!(complete(&mut db, "job"), next as usize - 1);
    sound(&mut db);
}

#[test]
fn a_trigger_that_another_session_makes_meanwhile_fires_from_then_on() {
    for level in ["ROW", "STATEMENT"] {
        let mut db = watched_job();
        db.run(FIRE);
        let (mut session, other) = (db.session(), db.session());
        run(&mut session, &format!("{}; BEGIN; {}", insert(1, 1), insert(2, 2)));
        let create = format!(
            "CREATE TRIGGER by_dba AFTER INSERT ON audit_log.event FOR EACH {level} EXECUTE FUNCTION fire()"
        );
        let mut expected = 0;
        meanwhile(&mut db, other, &create, |db| {
            // Either it waits for the writer, or the writer heeds it.
            let there = "SELECT count(*) FROM pg_trigger WHERE tgname = 'by_dba'";
            expected = db.one(there).parse().expect("a number");
            run(&mut session, &format!("{}; COMMIT", insert(3, 3)));
        });
        run(&mut session, &insert(4, 4));
        assert_eq!(db.one("SELECT count(*) FROM fired"), (expected + 1).to_string(), "{level}");
    }
}

#[test]
fn a_trigger_on_the_log_may_write_what_is_captured_in_turn() {
    for (body, notes) in [
        ("INSERT INTO note VALUES (NEW.target_id::int)", 1002),
        ("BEGIN INSERT INTO note VALUES (-NEW.target_id::int), (CASE WHEN NEW.target_id::int % 3 > 0 THEN NEW.target_id::int END); EXCEPTION WHEN not_null_violation THEN NULL; END", 1336),
    ] {
        let mut db = watched_job();
        db.run(&format!(
            "CREATE FUNCTION add_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NULL; END $$;
             CREATE TRIGGER zz AFTER INSERT ON audit_log.event FOR EACH ROW WHEN (NEW.target_type = 'job' AND NEW.operation = 'i') EXECUTE FUNCTION add_note()"
        ));
        db.run(&insert(1, 1000));
        db.run(&format!("BEGIN; {}; {}; COMMIT", insert(1001, 1001), insert(1002, 1002)));
        assert_eq!((complete(&mut db, "job"), complete(&mut db, "note")), (1002, notes));
        sound(&mut db);
    }
}

#[test]
fn constraints_that_others_put_on_the_log_are_enforced() {
    let mut db = watched_job();
    let (mut dba, partition) = (db.session(), week(&mut db, 0));
    run(&mut dba, "SELECT audit_log.record('job_created', '5'); CREATE TABLE allowed AS SELECT i::text AS id FROM generate_series(1, 50000) i WHERE i <> 5; ALTER TABLE allowed ADD PRIMARY KEY (id)");
    let mut next = write_here_and_anew(&mut db, 1001);
    let only_five = "EXCLUDE USING btree (target_id WITH =) WHERE (target_id = '5')";
    let mut wrong = Vec::new();
    let not_five = "CHECK (target_id <> '5') NOT VALID";
    for (table, constraint, code) in [
        ("audit_log.event", not_five, "23514"),
        (&partition, not_five, "23514"),
        (&partition, only_five, "23P01"),
        (&partition, &format!("{only_five} DEFERRABLE INITIALLY DEFERRED"), "23P01"),
        (&partition, "FOREIGN KEY (target_id) REFERENCES allowed NOT VALID", "23503"),
    ] {
        run(&mut dba, &format!("ALTER TABLE {table} ADD CONSTRAINT by_dba {constraint}"));
        for anew in [false, true] {
            let refused = format!("INSERT INTO job SELECT CASE i WHEN 700 THEN 5 ELSE {next} + i END FROM generate_series(1, 1000) i");
            for refused in [insert(5, 5), refused] {
                let mut new = db.session();
                let session = if anew { &mut new } else { &mut db.client };
                let error =
                    session.batch_execute(&refused).err().and_then(|e| Some(e.code()?.code().to_string()));
                if error.as_deref() != Some(code) {
                    wrong.push(format!("{constraint}: {error:?}, anew: {anew}, {refused}"));
                }
            }
        }
        run(&mut dba, &format!("ALTER TABLE {table} DROP CONSTRAINT by_dba"));
        db.run(&format!("DELETE FROM job WHERE id = 5; {}", insert(next, next)));
        next += 1;
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(complete(&mut db, "job") as i32, next - 1001);
}

#[test]
fn columns_that_others_added_get_their_defaults() {
    let mut db = watched_job();
    let mut dba = db.session();
    let mut next = write_here_and_anew(&mut db, 1);
    let [add, drop] = ["ADD COLUMN note text, ADD COLUMN made text DEFAULT 'x', ADD COLUMN twice text GENERATED ALWAYS AS (target_id || target_id) STORED",
        "DROP COLUMN note, DROP COLUMN made, DROP COLUMN twice"].map(|how| format!("ALTER TABLE audit_log.event {how}"));
    run(&mut dba, &add);
    let filled = "SELECT count(*) FROM audit_log.event WHERE operation = 'i' AND made = 'x' AND twice = target_id || target_id";
    next = write_here_and_anew(&mut db, next);
    assert_eq!(db.one(filled), "4004");
    run(&mut dba, &drop);
    next = write_here_and_anew(&mut db, next);
    let [a, b, c] = [0, 300, 600].map(|i| insert(next + i, next + i + 299));
    db.run(&format!("BEGIN; {a}; {add}; {b}; {drop}; {c}; COMMIT"));
    assert_eq!(complete(&mut db, "job") as i32, next + 899);
    sound(&mut db);
}

#[test]
fn partitions_that_others_made_take_their_entries() {
    let mut db = watched_job();
    let mut dba = db.session();
    let monday = |n: usize| format!("date_trunc('week', now(), 'UTC') + interval '{n} weeks'");
    run(
        &mut dba,
        "CREATE TABLE narrower (gone int, LIKE audit_log.event INCLUDING CONSTRAINTS); ALTER TABLE narrower DROP COLUMN gone;
         CREATE TABLE subdivided (LIKE audit_log.event INCLUDING CONSTRAINTS) PARTITION BY LIST (category);
         CREATE TABLE subdivided_all PARTITION OF subdivided DEFAULT;
         CREATE UNLOGGED TABLE unlogged (LIKE audit_log.event INCLUDING CONSTRAINTS);
         CREATE TABLE ancient PARTITION OF audit_log.event FOR VALUES FROM (MINVALUE) TO ('2000-01-01');
         DO $$ BEGIN EXECUTE (
           SELECT 'CREATE TABLE reversed (' || string_agg(format('%I %s %s %s', attname, atttypid::regtype, CASE attcollation WHEN 950 THEN 'COLLATE \"C\"' END, CASE WHEN attnotnull THEN 'NOT NULL' END), ',' ORDER BY attnum DESC) || ')'
           FROM pg_attribute WHERE attrelid = 'audit_log.event'::regclass AND attnum > 0); END $$",
    );
    db.run(&import(0, 3));
    for (i, table) in ["narrower", "reversed", "subdivided", "unlogged"].into_iter().enumerate() {
        let bounds = format!("FROM ({}) TO ({})", monday(5 + i), monday(6 + i));
        run(&mut dba, &format!("ALTER TABLE audit_log.event ATTACH PARTITION {table} FOR VALUES {bounds}"));
        db.run(&import(4, 5 + i as i32));
        assert_eq!(db.one(&format!("SELECT count(*) FROM {table}")), "3", "{table}");
    }
    let told = |at: &str| format!("SELECT audit_log.record('job_created', 'old', occurred_at => '{at}')");
    db.run(&format!("{}; {}", told("1999-12-31 23:59:59.999999Z"), told("2000-01-01Z")));
    assert_eq!((db.one("SELECT count(*) FROM ancient"), unplaced(&mut db)), ("1".into(), "1".into()));
    run(&mut dba, "CREATE TABLE rest PARTITION OF audit_log.event DEFAULT");
    db.run(&told("2001-01-01Z"));
    assert_eq!((db.one("SELECT count(*) FROM rest"), unplaced(&mut db)), ("1".into(), "1".into()));
    sound(&mut db);
}

#[test]
fn indexes_may_be_rebuilt_while_entries_are_written() {
    let mut db = watched_job();
    let (mut dba, partition) = (db.session(), week(&mut db, 0));
    let mut next = write_here_and_anew(&mut db, 1);
    for how in ["TABLE", "TABLE CONCURRENTLY"] {
        run(&mut dba, &format!("REINDEX {how} {partition}"));
        next = write_here_and_anew(&mut db, next);
    }
    let rebuilding = thread::spawn(move || {
        for how in ["TABLE", "TABLE CONCURRENTLY", "TABLE", "TABLE CONCURRENTLY"] {
            run(&mut dba, &format!("REINDEX {how} {partition}"));
        }
        run(&mut dba, &format!("CREATE INDEX CONCURRENTLY ON {partition} (feed)"));
        run(&mut dba, &format!("CREATE INDEX ON {partition} (id)"));
    });
    while !rebuilding.is_finished() {
        db.run(&insert(next, next));
        let [many, one] = [insert(next + 1, next + 300), insert(next + 301, next + 301)];
        db.run(&format!("BEGIN; {many}; {one}; COMMIT"));
        next += 302;
    }
    rebuilding.join().expect("rebuilds");
    assert_eq!(complete(&mut db, "job"), next as usize - 1);
    sound(&mut db);
}
