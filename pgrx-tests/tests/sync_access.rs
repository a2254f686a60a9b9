//! Who gets what of sync() and feed, and what of it a transaction's own snapshot shows.

use audit_log_tests::{fails, json, one, query, run, unique, wait_for, Db, Value};
use postgres::Client;

use crate::sync_reading::{ids, of_feed, record, start, start_at, sync_json, watched, By, Reader};

/// Reads all there is by each way: rows, JSON, feed.
#[track_caller]
fn gets(client: &mut Client, organization: Option<&'static str>, wanted: &[String], who: &str) {
    let cursor = start_at(client, "2020-01-01");
    for by in [By::Rows, By::Json] {
        let mut reader = Reader { by, organization, ..Reader::new(cursor.clone(), 3) };
        reader.catch_up(client);
        reader.has_exactly(wanted, &format!("{who}, {by:?}"));
    }
}

/// A role, bound to organizations where some are given.
fn role(db: &mut Db, organizations: &[&str]) -> (String, Client) {
    let name = unique("role");
    let session = db.session_as(&name);
    for organization in organizations {
        db.run(&format!("SELECT audit_log.grant_read('{name}', '{organization}')"));
    }
    (name, session)
}

/// Entries of three organizations that are enabled and of one that is not, in turns.
fn organizations() -> Db {
    let mut db = watched();
    db.run("SELECT audit_log.enable_organization(o) FROM unnest('{globex,shut}'::text[]) o");
    db.run("INSERT INTO job SELECT o || n, o FROM generate_series(1, 5) n, unnest('{acme,globex,shut,default}'::text[]) o");
    db.run("SELECT audit_log.disable_organization('shut')");
    db
}

fn code(client: &mut Client, request: Value) -> Value {
    let rows = query(client, "SELECT audit_log.sync_json($1)", &[&request]);
    let answer: Value = rows[0].get(0);
    json!([answer["success"], answer["status"], answer["errorInfo"]["code"]])
}

#[test]
fn everybody_gets_the_organizations_that_are_theirs() {
    let mut db = organizations();
    let (_, mut of_acme) = role(&mut db, &["acme"]);
    let (_, mut of_two) = role(&mut db, &["globex", "acme", "shut"]);
    let (reader, mut of_all) = role(&mut db, &[]);
    db.run(&format!("GRANT audit_log_reader TO {reader}"));
    for (session, organization, which) in [
        (&mut of_acme, "acme", ["organization_id = 'acme'"; 2]),
        (&mut of_two, "globex", ["organization_id IN ('acme', 'globex')", "organization_id = 'globex'"]),
        (&mut of_all, "default", ["organization_id <> 'shut'", "organization_id = 'default'"]),
    ] {
        for (organization, which) in [None, Some(organization)].into_iter().zip(which) {
            let wanted = ids(&mut db.client, which);
            assert!(wanted.len() > 4, "{which}");
            gets(session, organization, &wanted, which);
        }
    }
    for (session, which) in [(&mut of_acme, "organization_id = 'acme'"), (&mut of_all, "true")] {
        let wanted = ids(&mut db.client, which).len();
        wait_for(session, "SELECT count(*) FROM audit_log.feed", &wanted.to_string());
        let others = format!("SELECT count(*) FROM audit_log.feed WHERE NOT ({which})");
        assert_eq!(one(session, &others), "0", "{which}");
    }
    let closed = start(&mut of_two);
    let call = |organization: &str| format!("SELECT * FROM audit_log.sync('{closed}', 5, '{organization}')");
    for session in [&mut of_two, &mut of_all] {
        fails(session, &call("shut")).is("55000", "audit_logs_not_enabled");
        let answer = code(session, json!({"cursor": closed, "organization": "shut"}));
        assert_eq!(answer, json!([false, 403, "audit_logs_not_enabled"]));
    }
    fails(&mut of_all, &call("unheard of")).is("55000", "audit_logs_not_enabled");
    for other in ["globex", "shut", "default", "unheard of"] {
        fails(&mut of_acme, &call(other)).is("42501", "missing_endpoint_permission").says(other);
    }
}

#[test]
fn without_the_right_nothing_comes() {
    let mut db = organizations();
    let cursor = start_at(&mut db.client, "2020-01-01");
    let (name, mut nobody) = role(&mut db, &[]);
    let (writer, mut writing) = role(&mut db, &[]);
    db.run(&format!("GRANT audit_log_writer TO {writer}"));
    for (session, name) in [(&mut nobody, &name), (&mut writing, &writer)] {
        for call in [
            "sync_start()".to_string(),
            "sync_start('2020-01-01')".into(),
            format!("sync('{cursor}')"),
            format!("sync('{cursor}', 5, 'acme')"),
        ] {
            let failure = fails(session, &format!("SELECT * FROM audit_log.{call}"));
            failure.is("42501", "missing_endpoint_permission").says(name);
        }
        for request in [json!({}), json!({"cursor": cursor}), json!({"organization": "acme"})] {
            assert_eq!(code(session, request), json!([false, 403, "missing_endpoint_permission"]));
        }
        assert_eq!(fails(session, "SELECT * FROM audit_log.feed").sqlstate, "42501");
    }
    // A right that ends, ends in the middle of a sync, too.
    let (name, mut session) = role(&mut db, &["acme"]);
    let mut reader = Reader::new(start_at(&mut session, "2020-01-01"), 2);
    assert_eq!(reader.take(&mut session, usize::MAX), 2);
    db.run(&format!("SELECT audit_log.revoke_read('{name}', 'acme')"));
    let on = format!("SELECT * FROM audit_log.sync('{}')", reader.cursor);
    fails(&mut session, &on).is("42501", "missing_endpoint_permission");
    db.run(&format!("SELECT audit_log.grant_read('{name}', 'acme')"));
    reader.catch_up(&mut session);
    reader.has_exactly(&ids(&mut db.client, "organization_id = 'acme'"), "with a right again");
}

#[test]
fn the_callers_own_uncommitted_entries_are_not_delivered() {
    let mut db = watched();
    let mut reader = Reader::new(start(&mut db.client), 1000);
    let feed = "SELECT string_agg(target_id, '' ORDER BY position) FROM audit_log.feed WHERE target_id IN ('1', '2', '3')";
    for end in ["ROLLBACK", "COMMIT"] {
        db.run("BEGIN; INSERT INTO job VALUES ('1')");
        assert_eq!(reader.take(&mut db.client, usize::MAX), 0);
        db.run("SAVEPOINT s; SELECT audit_log.record('job_created', '2'); RELEASE s; SAVEPOINT s; INSERT INTO job VALUES ('3')");
        assert_eq!(reader.take(&mut db.client, usize::MAX), 0);
        reader.by = By::Json;
        assert_eq!(reader.take(&mut db.client, usize::MAX), 0);
        reader.by = By::Rows;
        assert_eq!(db.one(feed), "∅");
        assert_eq!(db.one("SELECT count(*) FROM audit_log.entry WHERE target_id IN ('1', '2', '3')"), "3");
        db.run(end);
    }
    assert_eq!(reader.catch_up(&mut db.client), ["1", "2", "3"]);
    wait_for(&mut db.client, feed, "123");
    // What others committed meanwhile is: also behind what this one wrote.
    let mut other = db.session();
    record(&mut other, &["4"]);
    db.run("BEGIN; INSERT INTO job VALUES ('5')");
    record(&mut other, &["6"]);
    assert_eq!(reader.catch_up(&mut db.client), ["4", "6"]);
    db.run("COMMIT");
    assert_eq!(reader.catch_up(&mut db.client), ["5"]);
}

#[test]
fn nothing_is_written_and_no_transaction_taken() {
    let mut db = watched();
    let mut reader = Reader::new(start(&mut db.client), 1);
    record(&mut db.client, &["1", "2"]);
    db.run("BEGIN READ ONLY");
    assert_eq!(reader.take(&mut db.client, usize::MAX), 1);
    let answer = sync_json(&mut db.client, &json!({"cursor": reader.cursor, "limit": 1}));
    assert_eq!(answer["results"][0]["target"]["id"], "2");
    start_at(&mut db.client, "2020-01-01");
    of_feed(&mut db.client, "feed", "", 5);
    assert_eq!(db.one("SELECT pg_current_xact_id_if_assigned() IS NULL"), "t");
    db.run("COMMIT; BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE");
    assert_eq!(reader.take(&mut db.client, usize::MAX), 1);
    db.run("COMMIT");
}

#[test]
fn a_repeatable_read_transaction_reads_by_its_snapshot() {
    let mut db = watched();
    let mut other = db.session();
    let mut reader = Reader::new(start(&mut db.client), 2);
    record(&mut db.client, &["1", "2", "3"]);
    for (level, committed) in [("REPEATABLE READ", ["4", "5"]), ("SERIALIZABLE", ["6", "7"])] {
        run(&mut other, &format!("BEGIN ISOLATION LEVEL {level}; SELECT FROM audit_log.entry LIMIT 1"));
        record(&mut db.client, &committed);
        let before = reader.catch_up(&mut other);
        assert!(committed.iter().all(|one| !before.contains(&one.to_string())), "{level}: {before:?}");
        // It may begin there as well.
        let begun = start(&mut other);
        run(&mut other, "COMMIT");
        assert_eq!(Reader::new(begun, 5).catch_up(&mut other), committed, "{level}");
        assert_eq!(reader.catch_up(&mut other), committed, "{level}");
    }
    assert_eq!(reader.found.len(), 7);
}

/// A cursor that knows more than the transaction's snapshot must not fall back to it, nor skip what it lacks.
#[test]
fn a_cursor_newer_than_the_snapshot_loses_nothing_and_gives_nothing_twice() {
    let mut db = watched();
    let (mut old, mut open) = (db.session(), db.session());
    for by in [By::Rows, By::Json] {
        for taken_before in 0..3 {
            let setup = ids(&mut db.client, "true");
            let mut reader = Reader::new(start(&mut db.client), 1);
            run(&mut open, "BEGIN; SELECT audit_log.record('job_created', 'late')");
            record(&mut db.client, &["1", "2"]);
            run(&mut old, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM audit_log.entry LIMIT 1");
            run(&mut open, "COMMIT");
            record(&mut db.client, &["3", "4"]);
            (0..taken_before).for_each(|_| assert_eq!(reader.take(&mut db.client, usize::MAX), 1));
            reader.by = by;
            reader.limit = 1000;
            (0..3).for_each(|_| _ = reader.take(&mut old, usize::MAX));
            run(&mut old, "COMMIT");
            reader.catch_up(&mut old);
            let wanted = ids(&mut db.client, &format!("id <> ALL ('{{{}}}')", setup.join(",")));
            assert_eq!(wanted.len(), 5);
            reader.has_exactly(&wanted, &format!("{by:?}, {taken_before} taken before"));
        }
    }
}

/// What a transaction has written when it takes a cursor is not past, and comes once it is committed.
#[test]
fn a_cursor_taken_among_own_writes() {
    let mut db = watched();
    for (end, expected) in [("COMMIT", vec!["1", "2", "3"]), ("ROLLBACK", vec![])] {
        let past = ids(&mut db.client, "true");
        db.run("BEGIN; INSERT INTO job VALUES ('1'); SAVEPOINT s; INSERT INTO job VALUES ('2')");
        let mut readers = [start(&mut db.client), start_at(&mut db.client, "2020-01-01")]
            .map(|cursor| Reader::new(cursor, 2));
        assert_eq!(readers[0].catch_up(&mut db.client), Vec::<String>::new());
        readers[1].catch_up(&mut db.client);
        readers[1].has_exactly(&past, end);
        db.run(&format!("RELEASE s; INSERT INTO job VALUES ('3'); {end}"));
        for reader in &mut readers {
            assert_eq!(reader.catch_up(&mut db.client), expected, "{end}");
        }
        db.run("TRUNCATE job");
    }
}
