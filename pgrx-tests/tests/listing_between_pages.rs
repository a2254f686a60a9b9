//! What happens to tables between two pages: the next one has what SQL says then, from where the last one ended.

use audit_log_tests::run;

use crate::listing::{expected, ids, page, requests, same, unguarded, Entry, Month, Request};

const LIMIT: usize = 9;

/// Lists with something done after each page, in turn: told the last entry so far.
#[track_caller]
fn while_paging(month: &mut Month, asked: &[Request], mut change: impl FnMut(&mut Month, usize, &Entry)) {
    let mut reader = month.db.session();
    let mut changes = 0;
    for request in asked {
        let mut read = page(&mut reader, request, None, LIMIT);
        while let Some(cursor) = &read.next {
            let last = read.entries.last().expect("a cursor comes with entries");
            change(month, changes, last);
            let mut wanted = expected(&mut month.truth, request, Some(last), None);
            let more = wanted.len() > LIMIT;
            wanted.truncate(LIMIT);
            read = page(&mut reader, request, Some(cursor), LIMIT);
            let found: Vec<String> = read.entries.iter().map(|e| e.id.clone()).collect();
            same(&found, &wanted, &format!("after change {changes}, {request:?}"));
            assert_eq!(read.next.is_some(), more, "after change {changes}, {request:?}");
            changes += 1;
        }
    }
    assert!(changes > 20, "too few changes: {changes}");
}

/// Statements, one after each page, over and over.
#[track_caller]
fn with(statements: &[&str]) {
    let mut month = Month::new();
    let mut dba = month.db.session();
    run(
        &mut dba,
        "CREATE TABLE other (LIKE audit_log.event); SELECT audit_log.index_event_partition('other')",
    );
    run(
        &mut dba,
        "INSERT INTO other SELECT * FROM audit_log.event_p20250310 WHERE get_byte(uuid_send(id), 15) < 128",
    );
    run(&mut dba, "UPDATE other SET id = gen_random_uuid(), targets = NULL");
    while_paging(&mut month, &requests(), |_, n, _| run(&mut dba, statements[n % statements.len()]));
}

#[test]
fn partitions_are_detached_and_attached() {
    with(&[
        "ALTER TABLE audit_log.event DETACH PARTITION audit_log.event_p20250310",
        "BEGIN; ALTER TABLE audit_log.event DETACH PARTITION audit_log.event_p20250303;
         ALTER TABLE audit_log.event_target DETACH PARTITION audit_log.event_target_p20250303; COMMIT",
        "ALTER TABLE audit_log.event ATTACH PARTITION audit_log.event_p20250310 FOR VALUES FROM ('2025-03-10Z') TO ('2025-03-17Z')",
        "BEGIN; ALTER TABLE audit_log.event_target ATTACH PARTITION audit_log.event_target_p20250303 FOR VALUES FROM ('2025-03-03Z') TO ('2025-03-10Z');
         ALTER TABLE audit_log.event ATTACH PARTITION audit_log.event_p20250303 FOR VALUES FROM ('2025-03-03Z') TO ('2025-03-10Z'); COMMIT",
        "CREATE TABLE audit_log.rest PARTITION OF audit_log.event DEFAULT; SELECT audit_log.index_event_partition('audit_log.rest')",
        "DROP TABLE audit_log.rest",
    ]);
}

#[test]
fn a_partition_takes_anothers_place() {
    with(&[
        "BEGIN; ALTER TABLE audit_log.event DETACH PARTITION audit_log.event_p20250310;
         ALTER TABLE audit_log.event ATTACH PARTITION other FOR VALUES FROM ('2025-03-10Z') TO ('2025-03-17Z'); COMMIT",
        "BEGIN; ALTER TABLE audit_log.event DETACH PARTITION other;
         ALTER TABLE audit_log.event ATTACH PARTITION audit_log.event_p20250310 FOR VALUES FROM ('2025-03-10Z') TO ('2025-03-17Z'); COMMIT",
        "SELECT audit_log.ensure_partitions(5)",
        "SELECT audit_log.create_partition('audit_log.event', '2025-02-24Z', '2025-03-03Z')",
        "DROP TABLE audit_log.event_p20250224",
    ]);
}

#[test]
fn partitions_and_indexes_are_rewritten() {
    with(&[
        "VACUUM FULL audit_log.event_p20250310",
        "CLUSTER audit_log.event_p20250303 USING event_p20250303_occurred_at_idx",
        "REINDEX TABLE audit_log.event_p20250317",
        "VACUUM (FREEZE, ANALYZE) audit_log.event_p20250303, audit_log.event_target_p20250303, audit_log.event_unplaced",
        "DROP INDEX audit_log.event_p20250310_occurred_at_idx",
        "ALTER TABLE audit_log.event_p20250303 SET UNLOGGED",
        "REINDEX INDEX CONCURRENTLY audit_log.event_p20250310_organization_id_category_actor_id_effective_idx",
        "CREATE INDEX CONCURRENTLY event_p20250310_occurred_at_idx ON audit_log.event_p20250310 (occurred_at)",
        "VACUUM FULL audit_log.event_target_p20250310",
        "ALTER TABLE audit_log.event_p20250303 SET LOGGED",
    ]);
}

#[test]
fn entries_come_and_go_where_a_page_ended() {
    let mut month = Month::new();
    while_paging(&mut month, &requests(), |month, n, last| {
        match n % 4 {
        // As much of this instant before it as behind it, and of the neighbouring ones.
        0 | 2 => {
            for micros in [-1, 0, 0, 0, 0, 1] {
                let table = month.db.one(&format!(
                    "SELECT coalesce((SELECT partition::text FROM audit_log.partition_bounds('audit_log.event') b
                                      WHERE lower <= at AND upper > at), 'audit_log.event_unplaced')
                     FROM (SELECT timestamptz '{}' + interval '{micros} us' AS at) v",
                    last.occurred_at
                ));
                month.db.run(&format!(
                    "INSERT INTO {table} SELECT (jsonb_populate_record(e, jsonb_build_object(
                       'id', gen_random_uuid(), 'targets', NULL, 'occurred_at', occurred_at + interval '{micros} us'))).*
                     FROM audit_log.stored_event e WHERE occurred_at = '{}' AND id = '{}'",
                    last.occurred_at, last.id
                ));
            }
        }
        1 => {
            for table in ["event", "event_unplaced"] {
                unguarded(&mut month.db, &format!("DELETE FROM audit_log.{table} WHERE occurred_at = '{}' AND id >= '{}'", last.occurred_at, last.id));
            }
        }
        _ => unguarded(&mut month.db, &format!("DELETE FROM audit_log.event WHERE occurred_at = '{0}'; DELETE FROM audit_log.event_unplaced WHERE occurred_at = '{0}'; VACUUM audit_log.event_p20250310, audit_log.event_unplaced", last.occurred_at)),
    }
    });
}

#[test]
fn an_organization_is_disabled_and_enabled() {
    let mut month = Month::new();
    let open: Vec<Request> = requests().into_iter().filter(|r| r.organization.is_none()).collect();
    while_paging(&mut month, &open, |month, n, _| {
        let how = ["disable", "enable"][n % 2];
        month.db.run(&format!("SELECT audit_log.{how}_organization('acme')"));
    });
    let first = page(&mut month.db.client, &open[0], None, LIMIT);
    assert_eq!(ids(first.entries), expected(&mut month.truth, &open[0], None, None)[..LIMIT]);
}
