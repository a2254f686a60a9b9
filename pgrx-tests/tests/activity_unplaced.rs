//! Counts and names of days that have no partition yet, and those of a partition that has just come: nobody waits, and
//! whoever began before finds them all.

use audit_log_tests::{one, patient, run, Db};
use postgres::Client;

use crate::capture_sessions::session_with_notices;
use crate::partitions::forget_partitions;

/// What page(), people(), activity_daily and category_daily count beside what is there.
const COUNTED: &str = "SELECT concat_ws(' ',
    (SELECT coalesce(max(p.total), 0) FROM audit_log.page(page_size => 10) p),
    (SELECT coalesce(sum(a.events), 0) FROM audit_log.activity_daily a),
    (SELECT coalesce(sum(c.events), 0) FROM audit_log.category_daily c),
    (SELECT count(*) FROM audit_log.people('per', 100)))";
const THERE: &str = "SELECT concat_ws(' ', n, n, n, people)
    FROM (SELECT count(*) AS n, count(DISTINCT actor_id) FILTER (WHERE actor_name LIKE 'Per%') AS people FROM audit_log.entry) e";

/// So many entries of this moment, each by a person of their own.
fn write(db: &mut Db, people: std::ops::Range<usize>) {
    for n in people {
        db.run(&format!(
            r#"BEGIN; SELECT audit_log.set_context('{{"actor": {{"type": "user", "id": "{n}", "name": "Person {n}"}}}}'); SELECT audit_log.record('job_created', 'j{n}'); COMMIT"#
        ));
    }
}

#[track_caller]
fn exact(client: &mut Client, when: &str) {
    assert_eq!(one(client, COUNTED), one(client, THERE), "{when}");
}

/// A log whose server slept: nothing of now has a partition, not three entries either.
fn slept() -> Db {
    let mut db = Db::new();
    db.run("SELECT audit_log.set_retention(NULL); SELECT audit_log.run_retention()");
    forget_partitions(&mut db);
    write(&mut db, 0..3);
    db
}

/// Counted entries that are in a table, of the counts of all actors.
fn counted_in(db: &mut Db, table: &str) -> String {
    db.one(&format!("SELECT coalesce(sum(events), 0) FROM audit_log.{table} WHERE actor_type IS NULL"))
}

#[test]
fn who_reads_counts_waits_for_no_partition_and_holds_none_up() {
    let mut db = slept();
    db.run("SELECT audit_log.count_entries()");
    let (mut before, mut since) = (db.session(), db.session());
    patient(&mut before);
    run(&mut before, "BEGIN");
    exact(&mut before, "before");
    let (mut maker, notices) = session_with_notices(&db, "postgres");
    run(&mut maker, "BEGIN");
    assert_ne!(one(&mut maker, "SELECT audit_log.ensure_partitions(2)"), "0");
    assert_eq!(one(&mut maker, "SELECT count(*) FROM audit_log.missing_partitions(now(), 2)"), "0");
    assert!(notices.lock().expect("told").is_empty());
    patient(&mut since);
    exact(&mut before, "meanwhile, began before");
    exact(&mut since, "meanwhile");
    run(&mut since, "SELECT audit_log.count_entries()");
    run(&mut maker, "COMMIT");
    exact(&mut before, "then, began before");
    exact(&mut since, "then");
}

/// A session learns of a partition when it begins a transaction: counts that went there would be missing to one that began
/// before, for which their entries are counted already.
#[test]
fn counts_of_a_new_partition_are_exact_to_who_began_before() {
    let mut db = slept();
    db.run("SELECT audit_log.count_entries()");
    let (mut committed, mut repeatable) = (db.session(), db.session());
    run(&mut committed, "BEGIN");
    run(&mut repeatable, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    exact(&mut committed, "before");
    exact(&mut repeatable, "before");
    // It has its plan and all its locks, so nothing tells it of what changes.
    run(&mut committed, "SET plan_cache_mode = force_generic_plan; PREPARE plain AS SELECT sum(c.events) FROM audit_log.category_daily c");
    let plain = "EXECUTE plain";
    assert_eq!(one(&mut committed, plain), "3");
    assert_ne!(db.one("SELECT audit_log.ensure_partitions(0)"), "0");
    for round in 1..4 {
        write(&mut db, 3 * round..3 * round + 3);
        db.run("SELECT audit_log.count_entries()");
        assert_eq!(one(&mut committed, plain), (3 * round + 3).to_string(), "READ COMMITTED");
        exact(&mut repeatable, "REPEATABLE READ");
        exact(&mut db.client, "one that begins now");
    }
    exact(&mut committed, "READ COMMITTED");
    let all = db.one("SELECT count(*) FROM audit_log.entry");
    assert_eq!(counted_in(&mut db, "activity"), "0", "it is too new");
    assert_eq!(counted_in(&mut db, "activity_unplaced"), all);
    run(&mut committed, "COMMIT");
    run(&mut repeatable, "COMMIT");
    db.run("SELECT audit_log.count_entries()");
    assert_eq!(counted_in(&mut db, "activity"), all);
    for table in ["activity_unplaced", "named_unplaced"] {
        assert_eq!(db.one(&format!("SELECT count(*) FROM audit_log.{table}")), "0", "{table}");
    }
    for client in [&mut committed, &mut repeatable, &mut db.client] {
        exact(client, "moved");
    }
}

/// While counts are moved, whoever reads finds each once, whatever the snapshot.
#[test]
fn counts_are_moved_unnoticed() {
    let mut db = slept();
    let (mut older, mut repeatable, mut reader, mut mover) =
        (db.session(), db.session(), db.session(), db.session());
    run(&mut older, "BEGIN");
    for call in ["count_entries()", "ensure_partitions(0)", "count_entries()"] {
        db.run(&format!("SELECT audit_log.{call}"));
    }
    run(&mut repeatable, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    exact(&mut repeatable, "before");
    run(&mut older, "COMMIT");
    run(&mut reader, &format!("PREPARE counted AS {COUNTED}"));
    exact(&mut reader, "before");
    run(&mut mover, "BEGIN; SELECT audit_log.count_entries()");
    assert_eq!(one(&mut mover, "SELECT count(*) FROM audit_log.activity_unplaced"), "0");
    for end in ["", "COMMIT"] {
        run(&mut mover, end);
        exact(&mut repeatable, "REPEATABLE READ");
        exact(&mut reader, "READ COMMITTED");
        assert_eq!(one(&mut reader, "EXECUTE counted"), one(&mut reader, THERE));
    }
}

/// A run makes partitions before it does anything else, and nobody waits for that until it ends.
#[test]
fn a_run_makes_partitions_first() {
    let mut db = slept();
    let mut other = db.session();
    patient(&mut other);
    db.run("BEGIN; SELECT audit_log.run_retention()");
    assert_eq!(
        db.one(
            "SELECT task FROM audit_log.worker_status WHERE last_run IS NOT NULL ORDER BY last_run LIMIT 1"
        ),
        "partitions"
    );
    assert_eq!(db.one("SELECT count(*) FROM audit_log.missing_partitions(now(), 1)"), "0");
    run(&mut other, "SELECT audit_log.record('job_created', 'meanwhile')");
    exact(&mut other, "meanwhile");
    db.run("COMMIT");
    exact(&mut other, "then");
}
