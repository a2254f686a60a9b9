//! Cursors over dump and restore, into a cluster whose transaction counter is lower and back again; and those of
//! a log that has nothing to do with this one.

use std::sync::OnceLock;

use audit_log_tests::{all, cluster, connect, fails, one, run, unique, wait_for, Cluster, Db, Failure};
use postgres::Client;

use crate::dump::restore;
use crate::sync_reading::{ids, of_feed, record, start, start_at, watched, Reader};

/// A cluster that has had few transactions; each test has databases of its own there.
fn other() -> &'static Cluster {
    static OTHER: OnceLock<Cluster> = OnceLock::new();
    OTHER.get_or_init(|| Cluster::start(&["max_prepared_transactions=5", "autovacuum=off"], None))
}

/// A database of the other cluster.
fn there() -> String {
    let name = unique("there");
    run(&mut other().connect("postgres"), &format!("CREATE DATABASE {name}"));
    name
}

/// A database as it is, in the other cluster.
fn copied(db: &Db) -> String {
    let name = there();
    restore(&db.name, other(), &name);
    name
}

fn counter(client: &mut Client) -> u64 {
    one(client, "SELECT pg_snapshot_xmax(pg_current_snapshot())").parse().expect("a number")
}

/// A watched table in the shared cluster, whose counter is well above a new one's.
fn with_high_counter() -> Db {
    let mut db = watched();
    db.run("DO $$ BEGIN FOR i IN 1 .. 5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$");
    db
}

/// Checks that a cursor is refused as one that would leave something out.
#[track_caller]
pub fn expired(client: &mut Client, cursor: &str) {
    for call in [
        format!("sync('{cursor}')"),
        format!("sync('{cursor}', 1)"),
        format!("sync_json('{{\"cursor\": \"{cursor}\"}}')"),
    ] {
        let failure = fails(client, &format!("SELECT * FROM audit_log.{call}"));
        failure.is("55000", "cursor_expired").says("sync_start");
    }
}

/// Readers at every stage: begun, in the middle of a page, at the end of one, in the past's middle.
fn readers(db: &mut Db) -> Vec<Reader> {
    let (now, past) = (start(&mut db.client), start_at(&mut db.client, "2020-01-01"));
    let mut open = db.session();
    run(&mut open, "BEGIN; SELECT audit_log.record('job_created', 'late')");
    record(&mut db.client, &["1", "2", "3", "4", "5"]);
    let mut readers = Vec::new();
    for cursor in [&now, &past] {
        for (limit, calls) in [(3, 0), (1, 2), (3, 1), (100, 1)] {
            let mut reader = Reader::new(cursor.clone(), limit);
            (0..calls).for_each(|_| _ = reader.take(&mut db.client, usize::MAX));
            readers.push(reader);
        }
    }
    run(&mut open, "COMMIT");
    record(&mut db.client, &["6", "7"]);
    readers
}

#[test]
fn cursors_go_on_in_a_cluster_whose_transaction_counter_is_lower() {
    let mut db = with_high_counter();
    let setup = ids(&mut db.client, "true");
    let mut readers = readers(&mut db);
    wait_for(&mut db.client, "SELECT count(*) > 7 FROM audit_log.feed WHERE target_id <> 'job'", "t");
    let seen = of_feed(&mut db.client, "feed", "", 1000);
    // What is open while it is dumped stays behind.
    let mut open = db.session();
    run(&mut open, "BEGIN; SELECT audit_log.record('job_created', 'never there')");
    let name = copied(&db);
    let mut copy = other().connect(&name);
    assert!(counter(&mut copy) < counter(&mut db.client), "the premise of this test");
    // Readers of the copy before anything is written there, and after.
    readers.iter_mut().step_by(2).for_each(|reader| _ = reader.catch_up(&mut copy));
    let mut begun_there = Reader::new(start(&mut copy), 2);
    let mut prepared = other().connect(&name);
    run(&mut prepared, "BEGIN; INSERT INTO job VALUES ('prepared'); PREPARE TRANSACTION 'p'");
    record(&mut copy, &["8", "9"]);
    readers.iter_mut().for_each(|reader| _ = reader.take(&mut copy, 2));
    run(&mut prepared, "COMMIT PREPARED 'p'");
    run(&mut copy, "INSERT INTO job VALUES ('row')");
    assert_eq!(begun_there.catch_up(&mut copy), ["prepared", "8", "9", "row"]);
    let all = ids(&mut copy, "true");
    let new: Vec<String> = all.iter().filter(|id| !setup.contains(id)).cloned().collect();
    for (i, reader) in readers.iter_mut().enumerate() {
        reader.catch_up(&mut copy);
        reader.has_exactly(if i < 4 { &new } else { &all }, &format!("reader {i}"));
    }
    let mut from_the_start = Reader::new(start_at(&mut copy, "2020-01-01"), 4);
    from_the_start.catch_up(&mut copy);
    from_the_start.has_exactly(&all, "all of the copy");
    // feed goes on behind what was seen.
    wait_for(&mut copy, "SELECT count(*) FROM audit_log.feed", &all.len().to_string());
    let last = &seen.last().expect("something was seen").position;
    let mut tracked = Reader { found: seen.clone(), ..Reader::new(String::new(), 1) };
    tracked.found.extend(of_feed(&mut copy, "feed", last, 1000));
    tracked.has_exactly(&all, "feed");
    back_again(&mut db, &name, &mut readers, &all);
}

/// Back into the first cluster, whose counter is above that of the copy: a third epoch.
#[track_caller]
fn back_again(db: &mut Db, copy: &str, readers: &mut [Reader], all: &[String]) {
    let back = unique("back");
    db.run(&format!("CREATE DATABASE {back}"));
    let dump = other().program("pg_dump").args(["-d", copy]).output().expect("pg_dump runs");
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    audit_log_tests::psql(&back, &String::from_utf8_lossy(&dump.stdout));
    let mut client = connect(&back, "postgres");
    record(&mut client, &["back", "again"]);
    for reader in readers {
        assert_eq!(reader.catch_up(&mut client), ["back", "again"]);
    }
    let mut whole = Reader::new(start_at(&mut client, "2020-01-01"), 3);
    whole.catch_up(&mut client);
    whole
        .has_exactly(&[all, &ids(&mut client, "target_id IN ('back', 'again')")].concat(), "of three epochs");
    drop(client);
    db.run(&format!("DROP DATABASE {back} WITH (FORCE)"));
}

/// An older dump in another database, while the first goes on: a cursor may be refused, but it loses nothing.
#[test]
fn what_was_restored_and_what_went_on() {
    for same_cluster in [false, true] {
        let mut db = with_high_counter();
        record(&mut db.client, &["1", "2"]);
        let before = Reader::new(start(&mut db.client), 2);
        let (name, mut copy) = if same_cluster {
            let name = unique("copy");
            db.run(&format!("CREATE DATABASE {name}"));
            restore(&db.name, cluster(), &name);
            let copy = connect(&name, "postgres");
            (name, copy)
        } else {
            let name = copied(&db);
            let copy = other().connect(&name);
            (name, copy)
        };
        let what = if same_cluster { "in the same cluster" } else { "in another cluster" };
        let mut from_before = before.clone();
        record(&mut copy, &["of the copy"]);
        record(&mut db.client, &["elsewhere", "elsewhere"]);
        for calls in 1..3 {
            let mut of_the_future = Reader { limit: 1, ..before.clone() };
            (0..calls).for_each(|_| _ = of_the_future.take(&mut db.client, usize::MAX));
            let on = format!("SELECT target_id FROM audit_log.sync('{}')", of_the_future.cursor);
            match copy.simple_query(&on) {
                Err(error) => _ = Failure::of(error).is("55000", "cursor_expired"),
                Ok(_) => assert_eq!(all(&mut copy, &on), ["of the copy"], "{what}, after {calls} calls"),
            }
        }
        assert_eq!(from_before.catch_up(&mut copy), ["of the copy"], "{what}");
        drop(copy);
        if same_cluster {
            db.run(&format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

/// The log of another database of the cluster counts the same transactions, but is another one.
#[test]
fn cursors_of_another_database() {
    let (mut db, mut other) = (watched(), watched());
    for cursor in [start(&mut other.client), start_at(&mut other.client, "2020-01-01")] {
        let call = format!("SELECT * FROM audit_log.sync('{cursor}')");
        db.fails(&call).is("34000", "cursor_invalid").says("another database");
        other.run(&call);
    }
}

/// A first write that is rolled back, or still open, begins no epoch for others.
#[test]
fn the_first_writes_after_a_restore_come_all() {
    let mut db = with_high_counter();
    record(&mut db.client, &["1"]);
    let mut reader = Reader::new(start(&mut db.client), 2);
    let name = copied(&db);
    let sessions = || other().connect(&name);
    let (mut a, mut b, mut c) = (sessions(), sessions(), sessions());
    run(&mut a, "BEGIN; SELECT audit_log.record('job_created', 'rolled back'); ROLLBACK");
    run(&mut a, "BEGIN; SAVEPOINT s; SELECT audit_log.record('job_created', 'rolled back'); ROLLBACK TO s");
    run(&mut b, "BEGIN; SELECT audit_log.record('job_created', 'open')");
    record(&mut c, &["2"]);
    assert_eq!(reader.catch_up(&mut c), ["2"]);
    run(&mut a, "SELECT audit_log.record('job_created', '3'); COMMIT");
    assert_eq!(reader.catch_up(&mut c), ["3"]);
    run(&mut b, "COMMIT");
    record(&mut a, &["4"]);
    assert_eq!(reader.catch_up(&mut c), ["open", "4"]);
    let epochs = "SELECT string_agg(DISTINCT left(position, 4), ' ') FROM audit_log.entry";
    assert_eq!(one(&mut c, epochs), "0001 0002");
    let recorded = "SELECT string_agg(DISTINCT epoch::text, ' ') FROM audit_log.feed_epoch";
    assert_eq!(one(&mut c, recorded), "1 2");
}

/// An extension that goes and comes again in a session begins anew, too.
#[test]
fn an_extension_that_was_dropped_and_created_again() {
    let mut db = Db::new();
    record(&mut db.client, &["gone"]);
    db.run("DROP EXTENSION audit_log CASCADE; CREATE EXTENSION audit_log");
    let mut reader = Reader::new(start(&mut db.client), 2);
    record(&mut db.client, &["1", "2", "3"]);
    assert_eq!(reader.catch_up(&mut db.client), ["1", "2", "3"]);
    assert_eq!(db.one("SELECT count(*) FROM audit_log.feed_epoch"), "1");
}

#[test]
fn cursors_of_a_log_that_has_nothing_to_do_with_this_one() {
    let mut db = with_high_counter();
    let mut stranger = other().connect(&there());
    run(&mut stranger, "CREATE EXTENSION audit_log");
    record(&mut stranger, &["1", "2", "3"]);
    record(&mut db.client, &["1", "2", "3"]);
    let of_all_stages = |client: &mut Client| {
        let (now, past) = (start(client), start_at(client, "2020-01-01"));
        let mut middle = Reader::new(past.clone(), 1);
        middle.take(client, usize::MAX);
        let mut end = Reader::new(past.clone(), 100);
        end.take(client, usize::MAX);
        [now, past, middle.cursor, end.cursor]
    };
    let (ours, theirs) = (of_all_stages(&mut db.client), of_all_stages(&mut stranger));
    for (client, cursors) in [(&mut db.client, &theirs), (&mut stranger, &ours)] {
        for cursor in cursors {
            expired(client, cursor);
        }
    }
    // Nor where this log is of several epochs: restored into the stranger's cluster.
    let mut copy = other().connect(&copied(&db));
    record(&mut copy, &["4"]);
    for cursor in &theirs {
        let failure = fails(&mut copy, &format!("SELECT * FROM audit_log.sync('{cursor}')"));
        assert_eq!(failure.sqlstate, "34000", "another database's: {failure}");
    }
    // The copy's own, made there, is nothing that the first knows.
    for cursor in of_all_stages(&mut copy) {
        expired(&mut db.client, &cursor);
    }
}
