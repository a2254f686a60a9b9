//! The extension's server has its own foreign table and no other: whatever else is put there is refused, and the
//! feed is read through whatever plans and transactions there are.

use audit_log_tests::{all, fails, one, run, unique, wait_for, Db};

/// The extension, and a few entries.
fn log() -> Db {
    let mut db = Db::new();
    db.run(
        "SELECT audit_log.record('job_updated', g::text, 'Job ' || g, organization => 'acme',
           after => jsonb_build_object('n', g)) FROM generate_series(1, 250) g",
    );
    settled(&mut db.client, "250");
    db
}

/// Other tests' transactions hold the feed back.
fn settled(client: &mut postgres::Client, count: &str) {
    wait_for(client, "SELECT count(*) FROM audit_log.feed", count);
}

/// A server's definition is checked once more where it is read: here the check at its making is taken out.
fn unchecked(db: &mut Db) {
    db.run("UPDATE pg_foreign_data_wrapper SET fdwvalidator = 0 WHERE fdwname = 'audit_log_feed'");
}

#[test]
fn others_are_refused_when_they_are_made() {
    let mut db = log();
    let role = unique("maker");
    let mut maker = db.session_as(&role);
    db.run(&format!(
        "GRANT USAGE ON FOREIGN SERVER audit_log_feed TO {role}; GRANT CREATE ON SCHEMA public TO {role};
         SELECT audit_log.grant_read('{role}', 'acme')"
    ));
    let table = "(a text, b text, c text, position text COLLATE \"C\")";
    fails(&mut maker, &format!("CREATE FOREIGN TABLE f {table} SERVER audit_log_feed"))
        .is("42809", "wrong_object_type")
        .says("audit_log.feed");
    fails(&mut maker, "IMPORT FOREIGN SCHEMA any_schema FROM SERVER audit_log_feed INTO public")
        .is("42809", "wrong_object_type");
    run(&mut maker, "CREATE TABLE tree (a text) PARTITION BY LIST (a)");
    fails(&mut maker, "CREATE FOREIGN TABLE f PARTITION OF tree FOR VALUES IN ('x') SERVER audit_log_feed")
        .is("42809", "wrong_object_type");
    db.fails("CREATE SERVER other FOREIGN DATA WRAPPER audit_log_feed").is("42809", "wrong_object_type");
    for statement in [
        "ALTER SERVER audit_log_feed OPTIONS (host 'x')",
        "ALTER FOREIGN DATA WRAPPER audit_log_feed OPTIONS (a 'x')",
        "CREATE USER MAPPING FOR postgres SERVER audit_log_feed OPTIONS (password 'x')",
        "ALTER FOREIGN TABLE audit_log.feed_rows ALTER COLUMN id OPTIONS (column_name 'x')",
        "ALTER FOREIGN TABLE audit_log.feed_rows OPTIONS (a 'x')",
    ] {
        db.fails(statement).is("22023", "invalid_input").says("OPTIONS");
    }
    // That the role may read is an entry itself, settled or not.
    let recorded = "SELECT count(*) FROM audit_log.feed WHERE category = 'job_updated'";
    assert_eq!(one(&mut maker, recorded), "250");
}

#[test]
fn others_are_refused_when_they_are_read() {
    let mut db = log();
    unchecked(&mut db);
    let all_columns = db.one(
        "SELECT string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
         FROM pg_attribute WHERE attrelid = 'audit_log.feed_rows'::regclass AND attnum > 0",
    );
    db.run(&format!(
        "CREATE FOREIGN TABLE narrow (a text) SERVER audit_log_feed;
         CREATE FOREIGN TABLE wrong (a text, b text, c text, position text COLLATE \"C\") SERVER audit_log_feed;
         CREATE FOREIGN TABLE alike ({all_columns}) SERVER audit_log_feed;
         CREATE FOREIGN TABLE empty () SERVER audit_log_feed;
         CREATE SERVER other FOREIGN DATA WRAPPER audit_log_feed;
         CREATE FOREIGN TABLE elsewhere ({all_columns}) SERVER other;
         CREATE TABLE tree (a text) PARTITION BY LIST (a);
         CREATE FOREIGN TABLE leaf PARTITION OF tree FOR VALUES IN ('x') SERVER audit_log_feed;
         CREATE SCHEMA aside; CREATE FOREIGN TABLE aside.feed_rows ({all_columns}) SERVER audit_log_feed"
    ));
    for table in ["narrow", "wrong", "alike", "empty", "elsewhere", "tree", "leaf", "aside.feed_rows"] {
        for query in [
            format!("SELECT * FROM {table} LIMIT 1"),
            format!("SELECT count(*) FROM {table}"),
            format!("EXPLAIN SELECT * FROM {table}"),
            format!("EXPLAIN ANALYZE SELECT * FROM {table}"),
            format!("DECLARE c CURSOR WITH HOLD FOR SELECT * FROM {table}"),
            format!("PREPARE p AS SELECT * FROM {table}; EXECUTE p"),
            format!("CREATE TABLE copied AS SELECT * FROM {table}"),
            format!("COPY (SELECT * FROM {table}) TO STDOUT"),
        ] {
            let failure = db.fails(&query);
            failure.is("42809", "wrong_object_type").says("DROP FOREIGN TABLE");
            db.run("DEALLOCATE ALL");
        }
    }
    // Statistics are not taken of it; nothing of it can be written.
    db.run("ANALYZE wrong, narrow, audit_log.feed_rows");
    for write in
        ["INSERT INTO wrong VALUES ('x')", "DELETE FROM wrong", "UPDATE wrong SET a = ''", "TRUNCATE wrong"]
    {
        db.fails(write);
    }
    db.run("DROP FOREIGN TABLE wrong; DROP TABLE tree");
    assert_eq!(db.one("SELECT count(*) FROM audit_log.feed"), "250");
}

#[test]
fn its_own_with_other_columns_is_refused_until_these_are_gone() {
    let mut db = log();
    let read = "SELECT count(*), count(id), max(after ->> 'n') FROM audit_log.feed";
    db.run(&format!("PREPARE kept AS {read}; EXECUTE kept"));
    db.run("ALTER FOREIGN TABLE audit_log.feed_rows ADD COLUMN more text, ADD COLUMN most int DEFAULT 7");
    for query in [read, "EXECUTE kept", "EXPLAIN SELECT * FROM audit_log.feed_rows"] {
        db.fails(query).is("42809", "wrong_object_type").says("\"more\"");
    }
    let other_session = &mut db.session();
    fails(other_session, "SELECT id FROM audit_log.feed").is("42809", "wrong_object_type");
    db.run("ALTER FOREIGN TABLE audit_log.feed_rows DROP COLUMN more, DROP COLUMN most");
    for query in [read, "EXECUTE kept"] {
        assert_eq!(db.one(query), "250");
    }
    assert_eq!(db.one("SELECT count(*) FROM audit_log.feed_rows f WHERE f.* IS NOT NULL OR true"), "250");
    // Its own columns cannot go: the view and the extension hang on them.
    db.fails("ALTER FOREIGN TABLE audit_log.feed_rows DROP COLUMN relation");
    db.fails("ALTER FOREIGN TABLE audit_log.feed_rows DROP COLUMN relation CASCADE");
    db.fails("ALTER FOREIGN TABLE audit_log.feed_rows ALTER COLUMN relation TYPE int USING 1");
    assert_eq!(db.one(read), "250");
}

#[test]
fn the_feed_is_read_through_whatever_plans_and_transactions() {
    let mut db = log();
    let c = &mut db.client;
    let wanted: Vec<String> = (1..=250).map(|n| n.to_string()).collect();
    let targets = "SELECT target_id FROM audit_log.feed ORDER BY position";
    assert_eq!(all(c, targets), wanted);
    // A parallel plan around it, and in PL/pgSQL with a handler that catches.
    run(c, "CREATE TABLE big AS SELECT g::text AS id FROM generate_series(1, 20000) g; ANALYZE big");
    run(
        c,
        "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
         SET max_parallel_workers_per_gather = 2",
    );
    let join = "SELECT count(*) FROM big JOIN audit_log.feed f ON f.target_id = big.id";
    assert!(all(c, &format!("EXPLAIN {join}")).iter().any(|line| line.contains("Gather")), "no worker");
    assert_eq!(one(c, join), "250");
    // Held, and read on when its transaction is over.
    run(c, &format!("BEGIN; DECLARE held CURSOR WITH HOLD FOR {targets}"));
    assert_eq!(all(c, "FETCH 2 FROM held"), wanted[..2]);
    run(c, "COMMIT; SELECT audit_log.record('job_updated', 'later')");
    assert_eq!(all(c, "FETCH ALL FROM held"), wanted[2..]);
    settled(c, "251");
    run(c, "CLOSE held; BEGIN");
    // Across savepoints, one of which is rolled back while it reads on.
    run(c, &format!("DECLARE c CURSOR FOR {targets}; SAVEPOINT s"));
    let mut read = all(c, "FETCH 120 FROM c");
    run(c, "ROLLBACK TO s");
    // What was read in it is read: the cursor goes on behind it.
    read.extend(all(c, "FETCH 130 FROM c"));
    assert_eq!(read, wanted);
    run(c, "ROLLBACK");
    // Rescans by a parameter, of one query and of several bounds; a bound that is NULL has nothing behind it.
    let per_bound = "SELECT f.target_id FROM (SELECT position p FROM audit_log.feed WHERE target_id IN ('3', '100', '249')
        UNION ALL SELECT NULL ORDER BY p) b CROSS JOIN LATERAL
        (SELECT target_id FROM audit_log.feed WHERE position > b.p AND position >= b.p ORDER BY position LIMIT 2) f";
    assert_eq!(all(c, per_bound), ["4", "5", "101", "102", "250", "later"]);
    // Aborted in the middle: by an error of a row, of the bound, by a cancelled query, by the end of a session.
    for query in [
        "SELECT 1 / (target_id::int - 150) FROM audit_log.feed WHERE target_id <> 'later' ORDER BY position",
        "SELECT id FROM audit_log.feed WHERE position > (1 / (SELECT count(*) - count(*) FROM big))::text COLLATE \"C\"",
        "DO $$ BEGIN PERFORM 1 / (target_id::int - 150) FROM audit_log.feed; END $$",
    ] {
        fails(c, query);
        assert_eq!(one(c, "SELECT count(*) FROM audit_log.feed"), "251");
    }
    run(
        c,
        "DO $$ DECLARE r record; BEGIN
           FOR i IN 1..20 LOOP
             BEGIN
               FOR r IN SELECT target_id FROM audit_log.feed WHERE target_id <> 'later' LOOP
                 PERFORM 1 / (r.target_id::int - 110);
               END LOOP;
             EXCEPTION WHEN division_by_zero THEN NULL;
             END;
           END LOOP; END $$",
    );
    run(c, "BEGIN; DECLARE c CURSOR FOR SELECT * FROM audit_log.feed; FETCH 3 FROM c; ROLLBACK");
    assert_eq!(one(c, "SELECT count(*) FROM audit_log.feed"), "251");
    run(c, &format!("SET cursor_tuple_fraction = 1; BEGIN; DECLARE c SCROLL CURSOR FOR {targets}"));
    assert_eq!(all(c, "FETCH LAST FROM c"), ["later"]);
    assert_eq!(all(c, "FETCH FIRST FROM c"), ["1"]);
    assert_eq!(all(c, "FETCH ABSOLUTE 200 FROM c"), ["200"]);
    run(c, "COMMIT");
}

/// What the server makes of a table that inherits, of whole rows, and of locks on rows.
#[test]
fn rows_as_a_whole_and_by_inheritance() {
    let mut db = log();
    assert_eq!(db.one("SELECT count(DISTINCT f) FROM audit_log.feed_rows f"), "250");
    assert_eq!(db.one("SELECT count(*) FROM (SELECT f.id FROM audit_log.feed_rows f FOR UPDATE) l"), "250");
    let table = "SELECT DISTINCT tableoid::regclass FROM audit_log.feed_rows";
    assert_eq!(db.one(table), "audit_log.feed_rows");
    db.run("CREATE TABLE parent (id uuid); ALTER FOREIGN TABLE audit_log.feed_rows INHERIT parent");
    assert_eq!(db.one("SELECT count(DISTINCT id) FROM parent"), "250");
    assert_eq!(db.one("SELECT count(ctid) FROM audit_log.feed_rows"), "250");
    db.run(
        "CREATE TABLE mine (id uuid, seen int); INSERT INTO mine SELECT id, 0 FROM audit_log.feed;
         UPDATE mine SET seen = seen + 1 FROM audit_log.feed f WHERE f.id = mine.id",
    );
    assert_eq!(db.one("SELECT count(*) FROM mine WHERE seen = 1"), "250");
}
