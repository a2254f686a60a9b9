//! A sync cursor and the purge: what was delivered may go, what was not expires the cursor.

use audit_log_tests::{all, fails, one, run, Db};
use postgres::Client;

use crate::retention_truth::move_all;

/// Entries of a day long ago, and one of now, of an organization.
fn record(db: &mut Db, organization: &str, ids: &str) {
    db.run(&format!(
        "SELECT audit_log.import(ARRAY(SELECT jsonb_build_object('category', 'job_updated', 'target_id', id, 'organization', '{organization}',
           'occurred_at', now() - interval '40 days') FROM unnest('{{{ids}}}'::text[]) id));
         SELECT audit_log.record('job_updated', 'now', organization => '{organization}')"
    ));
}

/// Purges until there is nothing to do, and checks that something went.
fn purge(db: &mut Db) {
    let mut gone = 0;
    loop {
        let now: usize =
            db.one("SELECT coalesce(sum(entries), 0) FROM audit_log.run_retention()").parse().expect("a sum");
        gone += now;
        if now == 0 && db.one("SELECT count(*) FROM audit_log.run_retention(true)") == "0" {
            break;
        }
    }
    assert!(gone > 0, "nothing was purged");
}

/// Reads on: the targets, and the cursor behind them.
fn read(client: &mut Client, cursor: &str, limit: usize, organization: &str) -> (Vec<String>, String) {
    let call = format!("audit_log.sync('{cursor}', {limit}, {organization})");
    let rows = all(client, &format!("SELECT coalesce(target_id, '-') || ' ' || cursor FROM {call}"));
    let last = rows.last().map_or(cursor, |row| row.split_once(' ').expect("two").1).to_string();
    (rows.iter().map(|row| row.split_once(' ').expect("two").0.to_string()).collect(), last)
}

#[test]
fn what_was_delivered_may_go() {
    let mut db = Db::new();
    let start = db.one("SELECT audit_log.sync_start()");
    record(&mut db, "acme", "a,b,c");
    let (targets, cursor) = read(&mut db.client, &start, 100, "NULL");
    assert_eq!(targets, ["a", "b", "c", "now"]);
    purge(&mut db);
    let (targets, cursor) = read(&mut db.client, &cursor, 100, "NULL");
    assert_eq!(
        targets.iter().filter(|t| ["a", "b", "c", "now"].contains(&t.as_str())).count(),
        0,
        "{targets:?}"
    );
    record(&mut db, "acme", "d");
    assert!(read(&mut db.client, &cursor, 100, "NULL").0.contains(&"d".to_string()));
}

#[test]
fn what_was_not_delivered_expires_the_cursor() {
    let mut db = Db::new();
    let (start, past) =
        (db.one("SELECT audit_log.sync_start()"), db.one("SELECT audit_log.sync_start('2000-01-01Z')"));
    record(&mut db, "acme", "a,b,c");
    // In the middle of them, at their end, and before them.
    let (_, middle) = read(&mut db.client, &start, 2, "NULL");
    let (_, end) = read(&mut db.client, &start, 100, "NULL");
    purge(&mut db);
    for cursor in [&start, &past, &middle] {
        let call = format!("SELECT count(*) FROM audit_log.sync('{cursor}')");
        fails(&mut db.client, &call).is("55000", "cursor_expired").says("sync_start");
    }
    read(&mut db.client, &end, 100, "NULL");
    // One that begins now knows that they are gone, however far back it goes.
    let anew = db.one("SELECT audit_log.sync_start('2000-01-01Z')");
    assert!(read(&mut db.client, &anew, 100, "NULL").0.contains(&"now".to_string()));
}

#[test]
fn another_organization_s_purge_does_not_matter() {
    let mut db = Db::new();
    db.run("SELECT audit_log.set_retention(NULL, organization => 'bolt')");
    let start = db.one("SELECT audit_log.sync_start()");
    record(&mut db, "acme", "a");
    record(&mut db, "bolt", "b");
    purge(&mut db);
    assert_eq!(read(&mut db.client, &start, 100, "'bolt'").0, ["b", "now"]);
    let call = format!("SELECT count(*) FROM audit_log.sync('{start}', 100, 'acme')");
    fails(&mut db.client, &call).is("55000", "cursor_expired");
    // Bound to one organization, a reader's scope is that one.
    let mut bound = db.session_as("purged_reader");
    db.run("SELECT audit_log.grant_read('purged_reader', 'bolt')");
    assert_eq!(read(&mut bound, &start, 2, "NULL").0, ["b", "now"]);
}

#[test]
fn dropped_partitions_count_too() {
    let mut db = Db::new();
    db.run("SELECT audit_log.set_retention(NULL)");
    let start = db.one("SELECT audit_log.sync_start()");
    record(&mut db, "acme", "a,b");
    let (_, end) = read(&mut db.client, &start, 100, "NULL");
    // To a partition of their own, which then goes whole.
    move_all(&mut db.client);
    assert_eq!(db.one("SELECT count(*) FROM audit_log.event_unplaced"), "0");
    db.run("SELECT audit_log.set_retention('10 days')");
    assert_eq!(db.one("SELECT bool_and(dropped) FROM audit_log.run_retention()"), "t");
    fails(&mut db.client, &format!("SELECT count(*) FROM audit_log.sync('{start}')"))
        .is("55000", "cursor_expired");
    read(&mut db.client, &end, 100, "NULL");
}

/// Whoever has much before whom, in one transaction or in several: each organization's own are noted, no others.
#[test]
fn a_dropped_partition_s_transactions_are_noted_by_organization() {
    let mut db = Db::new();
    db.run("SELECT audit_log.set_retention(NULL)");
    let organizations = ["acme", "bolt", "cork"];
    let write = |counts: [usize; 3]| {
        let records = organizations.iter().zip(counts).map(|(organization, count)| {
            format!(
                "SELECT count(audit_log.record('job_updated', 't', organization => '{organization}', occurred_at => now() - interval '40 days'))
                 FROM generate_series(1, {count});"
            )
        });
        format!("BEGIN; {} COMMIT", records.collect::<String>())
    };
    for counts in [[2_500, 1, 0], [0, 0, 1], [1, 1, 1], [10, 2_100, 2_100], [0, 3_000, 0]] {
        db.run(&write(counts));
    }
    move_all(&mut db.client);
    let pairs = "SELECT DISTINCT feed || ' ' || organization_id FROM audit_log.stored_event WHERE occurred_at < now() - interval '30 days' ORDER BY 1";
    let written = db.all(pairs);
    assert_eq!(written.len(), 2 + 1 + 3 + 3 + 1);
    db.run("SELECT audit_log.set_retention('10 days')");
    assert_eq!(db.one("SELECT bool_and(dropped) FROM audit_log.run_retention()"), "t");
    let noted =
        "SELECT feed || ' ' || organization_id FROM audit_log.purged_feed WHERE NOT is_highest ORDER BY 1";
    assert_eq!(db.all(noted), written);
    assert_eq!(db.one("SELECT count(*) FROM audit_log.purged_feed WHERE is_highest"), "0", "all are of late");
}

/// A purge that commits while a reader's snapshot is older: the reader must not take what is gone for never there.
#[test]
fn a_purge_beside_the_reader_is_noticed() {
    let mut db = Db::new();
    let start = db.one("SELECT audit_log.sync_start()");
    record(&mut db, "acme", "a,b");
    let mut reader = db.session();
    run(&mut reader, "BEGIN ISOLATION LEVEL REPEATABLE READ");
    assert_eq!(one(&mut reader, "SELECT count(*) FROM audit_log.entry WHERE target_id = 'a'"), "1");
    // Row by row: the reader's transaction does not hold that up.
    db.run("SELECT audit_log.run_retention()");
    assert_eq!(db.one("SELECT count(*) FROM audit_log.entry WHERE target_id = 'a'"), "0");
    let call = format!("SELECT count(*) FROM audit_log.sync('{start}')");
    fails(&mut reader, &call).is("55000", "cursor_expired");
    run(&mut reader, "ROLLBACK");
}
