//! Transactions of twenty thousand entries, read by hundreds among small ones.

use audit_log_tests::{json, one, run, wait_for, Db};

use crate::listing::{guard, partition};
use crate::sync_reading::{ids, record, start, start_at, sync_json, watched, By, Found, Reader};

const MANY: usize = 20_000;

/// The ids of all entries whose target begins like this, in the feed's order.
fn in_order(db: &mut Db, like: &str) -> Vec<String> {
    db.all(&format!("SELECT id FROM audit_log.entry WHERE target_id LIKE '{like}%' ORDER BY position"))
}

fn found(reader: &Reader) -> Vec<String> {
    reader.found.iter().map(|found| found.id.clone()).collect()
}

/// Readers of several sizes, beginning now.
fn readers(db: &mut Db, third: By) -> Vec<Reader> {
    let cursor = start(&mut db.client);
    [(500, By::Rows, None), (640, By::Rows, Some("acme")), (1000, third, None)]
        .into_iter()
        .map(|(limit, by, organization)| Reader { by, organization, ..Reader::new(cursor.clone(), limit) })
        .collect()
}

/// Reads on, a page at a time in turns, while small transactions commit; checks that all came once.
#[track_caller]
fn read_among_small_ones(db: &mut Db, readers: &mut [Reader], what: &str) {
    let mut writer = db.session();
    let mut small = 0;
    loop {
        let took: usize = readers.iter_mut().map(|reader| reader.take(&mut db.client, usize::MAX)).sum();
        if took == 0 {
            break;
        }
        if small < 25 {
            small += 1;
            let past = small * 27;
            run(
                &mut writer,
                &format!(
                    "SELECT audit_log.record('job_created', 'small {small}', occurred_at => now() - interval '{past} days', organization => o)
                     FROM unnest('{{default,acme}}'::text[]) o"
                ),
            );
        }
    }
    let (all, acme) =
        (ids(&mut db.client, "target_id IS NOT NULL"), "organization_id = 'acme' AND target_id IS NOT NULL");
    let acme = ids(&mut db.client, acme);
    for reader in readers {
        let begun: Vec<String> =
            db.all("SELECT id FROM audit_log.entry WHERE target_type NOT IN ('job', 'offer')");
        let wanted = if reader.organization.is_some() { &acme } else { &all };
        let wanted: Vec<String> = wanted.iter().filter(|id| !begun.contains(id)).cloned().collect();
        reader.has_exactly(&wanted, &format!("{what}: {} of {:?}", reader.limit, reader.organization));
    }
}

#[test]
fn a_large_transaction_among_small_ones() {
    let mut db = watched();
    db.run("SELECT audit_log.ensure_partitions(2)");
    let (mut large, mut captured) = (db.session(), db.session());
    let mut readers = readers(&mut db, By::Rows);
    let half = MANY / 2;
    run(&mut large, "BEGIN");
    run(&mut captured, "BEGIN");
    let recorded = |from: usize, to: usize| {
        format!(
            "SELECT count(audit_log.record('job_created', 'large ' || n, organization => (ARRAY['default', 'acme'])[1 + (n % 9 = 0)::int]))
             FROM generate_series({from}, {to}) n"
        )
    };
    run(&mut large, &recorded(1, half));
    record(&mut db.client, &["small a"]);
    run(
        &mut captured,
        &format!("INSERT INTO job SELECT 'captured ' || n, 'acme' FROM generate_series(1, {half}) n"),
    );
    run(&mut large, &format!("SAVEPOINT s; {}; ROLLBACK TO s", recorded(1, 5000)));
    record(&mut db.client, &["small b"]);
    readers.iter_mut().for_each(|reader| _ = reader.take(&mut db.client, usize::MAX));
    run(&mut large, &recorded(half + 1, MANY));
    run(&mut captured, "COMMIT");
    readers.iter_mut().for_each(|reader| _ = reader.take(&mut db.client, usize::MAX));
    run(&mut large, "COMMIT");
    record(&mut db.client, &["small c"]);
    read_among_small_ones(&mut db, &mut readers, "recorded and captured");
    // A reader of all at once has the order of positions from one end to the other.
    for like in ["large", "captured"] {
        let order = in_order(&mut db, like);
        let of_it = |one: &&Found| one.target.starts_with(like);
        let came: Vec<String> = readers[0].found.iter().filter(of_it).map(|one| one.id.clone()).collect();
        assert!(came == order, "{like}: a transaction's entries come in the order of position");
    }
    // No page has more than 10,000.
    let cursor = start_at(&mut db.client, "2020-01-01");
    for limit in [10_000, 10_001, 2_147_483_647] {
        let count = format!("SELECT count(*) FROM audit_log.sync('{cursor}', {limit})");
        assert_eq!(db.one(&count), "10000", "{limit}");
    }
    let answer = sync_json(&mut db.client, &json!({"cursor": cursor, "limit": 5_000_000_000_i64}));
    assert_eq!(answer["results"].as_array().map(Vec::len), Some(10_000));
    assert_eq!(answer["moreDataAvailable"], true);
}

/// Over two years, ten of 104 weeks with a partition of their own; some instants have hundreds.
fn imported(db: &mut Db, name: &str, many: usize) {
    db.run(&format!(
        "SELECT count(*) FROM audit_log.import(ARRAY(
           SELECT jsonb_build_object('category', 'job_created', 'target', jsonb_build_object('type', 'job', 'id', '{name} ' || n),
             'organizationId', (ARRAY['default', 'acme'])[1 + (n % 50 = 0)::int],
             'occurredAt', '2023-01-01Z'::timestamptz + CASE WHEN n % 20 = 0 THEN interval '400 days' WHEN n % 25 = 1 THEN interval '3 years' ELSE n * 7919 % 730 * interval '1 day' + n * interval '1.000001 s' END)
           FROM generate_series(1, {many}) n)) WHERE error IS NULL"
    ));
}

#[test]
fn an_import_over_two_years() {
    let mut db = watched();
    for week in 0..10 {
        let monday = db.one(&format!("SELECT '2023-01-02'::date + {week} * 70"));
        partition(&mut db, "event", &monday);
        partition(&mut db, "event_target", &monday);
    }
    let mut readers = readers(&mut db, By::Json);
    imported(&mut db, "import", MANY / 2);
    let apart = "SELECT count(*) > 1000 AND (SELECT count(DISTINCT tableoid) FROM audit_log.event) > 10 FROM audit_log.event_unplaced";
    assert_eq!(db.one(apart), "t");
    read_among_small_ones(&mut db, &mut readers, "imported");
    let order = in_order(&mut db, "import");
    for reader in readers.iter().filter(|reader| reader.organization.is_none()) {
        let came = reader.found.iter().filter(|one| one.target.starts_with("import"));
        let came: Vec<&String> = came.map(|one| &one.id).collect();
        assert!(
            came.into_iter().eq(&order),
            "by {}: its entries come in the order of position",
            reader.limit
        );
    }
    // From the start, from the middle, and with more of another's in between than are worth looking at.
    db.run("SELECT count(audit_log.record('job_created', 'more ' || n, occurred_at => '2025-06-01Z'::timestamptz + n * interval '1 s')) FROM generate_series(1, 20500) n");
    for since in ["2000-01-01Z", "2024-02-05 00:00:00.000001Z"] {
        let wanted = db
            .all(&format!("SELECT id FROM audit_log.entry WHERE occurred_at >= '{since}' ORDER BY position"));
        let mut reader = Reader::new(start_at(&mut db.client, since), 1000);
        reader.catch_up(&mut db.client);
        assert!(found(&reader) == wanted, "from {since}: {} of {}", reader.found.len(), wanted.len());
    }
}

/// Without the index that tells when, and with rows that are no longer what they were.
#[test]
fn a_large_transaction_in_a_partition_that_was_changed() {
    let mut db = watched();
    let mut readers = readers(&mut db, By::Rows);
    db.run("SELECT count(audit_log.record('job_created', 'one instant ' || n, occurred_at => '2024-05-05Z')) FROM generate_series(1, 5000) n");
    imported(&mut db, "import", 5000);
    let mut begun = Reader { limit: 777, ..readers[0].clone() };
    let taken: Vec<usize> = (0..8).map(|_| begun.take(&mut db.client, usize::MAX)).collect();
    assert_eq!(taken, [777; 8]);
    for (what, change) in [
        ("without the index on occurred_at", "DROP INDEX audit_log.event_unplaced_occurred_at_idx"),
        (
            "rows changed",
            "UPDATE audit_log.event SET actor_name = 'forgotten' WHERE get_byte(uuid_send(id), 15) % 2 = 0",
        ),
        ("vacuumed", "VACUUM audit_log.event_unplaced"),
        ("an index with more", "CREATE INDEX ON audit_log.event_unplaced (occurred_at, actor_id)"),
        ("without any index", "DROP INDEX audit_log.event_unplaced_feed_idx"),
    ] {
        guard(&mut db, false);
        db.run(change);
        guard(&mut db, true);
        let wanted =
            db.all("SELECT id FROM audit_log.entry WHERE target_id ~ '^(one|import)' ORDER BY position");
        for reader in [&begun, &readers[2]] {
            let mut reader = reader.clone();
            reader.catch_up(&mut db.client);
            assert!(found(&reader) == wanted, "{what} by {}: {}", reader.limit, reader.found.len());
        }
    }
    read_among_small_ones(&mut db, &mut readers, "changed");
}

/// The whole of it is one position's range: feed shows all of it at once, in the same order.
#[test]
fn feed_shows_a_large_transaction_as_a_whole() {
    let mut db = watched();
    let mut large = db.session();
    run(
        &mut large,
        "BEGIN; SELECT count(audit_log.record('job_created', 'large ' || n)) FROM generate_series(1, 5000) n",
    );
    record(&mut db.client, &["after"]);
    let count = "SELECT count(*) FROM audit_log.feed WHERE target_id LIKE 'large%' OR target_id = 'after'";
    assert_eq!(one(&mut db.client, count), "0");
    run(&mut large, "COMMIT");
    wait_for(&mut db.client, count, "5001");
    let last = "SELECT target_id FROM audit_log.feed ORDER BY position DESC LIMIT 1";
    assert_eq!(db.one(last), "after");
}
