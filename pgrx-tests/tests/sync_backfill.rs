//! backfill_start_time: which past entries come, and that what is committed later comes whatever its instant.

use audit_log_tests::{json, run, Db};
use postgres::Client;

use crate::listing::{partition, sequential};
use crate::sync_reading::{ids, record, start, start_at, sync_json, watched, Differences, Reader};

/// Writes an entry at each instant, and sleeps for nobody; the ids.
fn at(client: &mut Client, instants: &[&str]) {
    for instant in instants {
        run(
            client,
            &format!(
                "SELECT audit_log.record('job_created', '{instant}', occurred_at => '{instant}Z',
                   organization => CASE WHEN '{instant}' LIKE '%0' THEN 'acme' ELSE 'default' END)"
            ),
        );
    }
}

/// Four entries in each of three weeks with partitions, and some without one before and after.
const INSTANTS: [&str; 16] = [
    "2025-03-11 10:00",
    "2024-07-01 00:00",
    "2025-03-03 00:00",
    "2025-03-20 12:00",
    "2025-03-09 23:59:59.999999",
    "2025-03-10 00:00",
    "2025-03-11 10:00",
    "2025-03-11 10:00:00.000001",
    "2025-03-16 23:59:59.999999",
    "2025-03-17 00:00",
    "2025-03-23 23:59:59.999999",
    "2025-03-24 00:00",
    "2025-04-01 08:15",
    "2025-03-05 07:30",
    "2023-01-01 00:00",
    "2025-03-11 09:59:59.999999",
];

fn past() -> Db {
    let mut db = watched();
    for monday in ["2025-03-03", "2025-03-10", "2025-03-17"] {
        partition(&mut db, "event", monday);
        partition(&mut db, "event_target", monday);
    }
    at(&mut db.client, &INSTANTS);
    db
}

#[test]
fn past_entries_come_from_the_instant_on() {
    let mut db = past();
    let mut truth = sequential(&db);
    // Before all, at one, between, in the middle of a partition, at its borders, after all but one, after all.
    for since in INSTANTS.iter().chain(&[
        "1970-01-01 00:00",
        "2024-12-31 00:00",
        "2025-03-11 10:00:00.000002",
        "2025-03-13 00:00",
        "2025-03-16 23:59:59.999998",
        "2025-03-30 00:00",
        "2025-05-01 00:00",
        "2200-01-01 00:00",
    ]) {
        let since = format!("{since}Z");
        for organization in [None, Some("acme")] {
            let of = organization.map_or(String::new(), |o| format!(" AND organization_id = '{o}'"));
            let wanted = ids(&mut truth, &format!("occurred_at >= '{since}'{of}"));
            let cursor = start_at(&mut db.client, &since);
            for limit in [1, 3, 1000] {
                let mut reader = Reader { organization, ..Reader::new(cursor.clone(), limit) };
                reader.catch_up(&mut db.client);
                reader.has_exactly(&wanted, &format!("{since} by {limit} of {organization:?}"));
            }
            let request = json!({"backfillStartTime": since.replace(' ', "T"), "organization": organization, "limit": 1000});
            let answer = sync_json(&mut db.client, &request);
            let results = answer["results"].as_array().expect("results");
            let found: Vec<String> =
                results.iter().map(|one| one["id"].as_str().unwrap_or_default().to_string()).collect();
            assert_eq!(Differences::between(&found, &wanted), Differences::default(), "{request}");
        }
    }
}

#[test]
fn without_an_instant_nothing_past_comes() {
    let mut db = past();
    for start in ["sync_start()", "sync_start(NULL)", "sync_start(backfill_start_time => NULL)"] {
        let mut reader = Reader::new(db.one(&format!("SELECT audit_log.{start}")), 100);
        assert_eq!(reader.catch_up(&mut db.client), Vec::<String>::new());
        record(&mut db.client, &["new"]);
        assert_eq!(reader.catch_up(&mut db.client), ["new"]);
    }
    let begun = sync_json(&mut db.client, &json!({}));
    assert_eq!(begun["results"], json!([]));
    at(&mut db.client, &["2024-01-01 00:00"]);
    let answer = sync_json(&mut db.client, &json!({"cursor": begun["nextCursor"]}));
    assert_eq!(answer["results"][0]["target"]["id"], "2024-01-01 00:00");
}

/// What was in progress at the start, or begins later, is not past.
#[test]
fn what_is_committed_later_comes_whatever_its_instant() {
    for since in ["NULL", "'2025-03-11 10:00Z'", "'2025-05-01Z'"] {
        let mut db = past();
        let mut open = db.session();
        run(&mut open, "BEGIN");
        at(&mut open, &["2024-02-02 00:01", "2025-03-11 09:01"]);
        let mut reader = Reader::new(db.one(&format!("SELECT audit_log.sync_start({since})")), 2);
        let wanted = ids(&mut db.client, &format!("occurred_at >= {since}"));
        // In the middle of the past, and behind it.
        reader.take(&mut db.client, usize::MAX);
        at(&mut db.client, &["2023-05-05 00:02", "2025-03-03 00:01"]);
        reader.take(&mut db.client, usize::MAX);
        run(
            &mut db.client,
            r#"SELECT audit_log.import(ARRAY['{"category": "job_created", "occurredAt": "1999-01-01T00:00:00Z"}',
                 '{"category": "job_created", "occurredAt": "2025-03-18T00:00:00Z"}']::jsonb[])"#,
        );
        run(&mut open, "COMMIT");
        reader.catch_up(&mut db.client);
        let later =
            "target_id IN ('2024-02-02 00:01', '2025-03-11 09:01', '2023-05-05 00:02', '2025-03-03 00:01')
                     OR occurred_at IN ('1999-01-01Z', '2025-03-18Z')";
        let wanted = [wanted, ids(&mut db.client, later)].concat();
        reader.has_exactly(&wanted, since);
        // Nothing is past from here on.
        at(&mut db.client, &["2022-01-01 00:01"]);
        assert_eq!(reader.catch_up(&mut db.client), ["2022-01-01 00:01"]);
    }
}

#[test]
fn a_cursor_from_before_everything() {
    let mut db = Db::new();
    let (now, past) = (start(&mut db.client), start_at(&mut db.client, "2020-01-01"));
    let mut readers = [Reader::new(now, 2), Reader::new(past, 2)];
    record(&mut db.client, &["1", "2", "3"]);
    db.run("SELECT audit_log.ensure_partitions(4)");
    record(&mut db.client, &["4", "5"]);
    for reader in &mut readers {
        assert_eq!(reader.catch_up(&mut db.client), ["1", "2", "3", "4", "5"]);
    }
}

/// Partitions that come and go while the past is read.
#[test]
fn partitions_come_and_go_between_pages() {
    let mut db = past();
    let mut reader = Reader::new(start_at(&mut db.client, "2020-01-01"), 3);
    let wanted = ids(&mut db.client, "true");
    reader.take(&mut db.client, usize::MAX);
    partition(&mut db, "event", "2025-05-05");
    at(&mut db.client, &["2025-05-06 00:00"]);
    reader.take(&mut db.client, usize::MAX);
    // Out of the log and into it again: its entries are not new.
    db.run("ALTER TABLE audit_log.event DETACH PARTITION audit_log.event_p20250317");
    let away = db.all("SELECT id FROM audit_log.event_p20250317");
    assert!(away.len() > 2);
    db.run("ALTER TABLE audit_log.event ATTACH PARTITION audit_log.event_p20250317 FOR VALUES FROM ('2025-03-17Z') TO ('2025-03-24Z')");
    reader.catch_up(&mut db.client);
    let wanted = [wanted, ids(&mut db.client, "target_id = '2025-05-06 00:00'")].concat();
    reader.has_exactly(&wanted, "with a partition away and back between pages");
    db.run("DROP TABLE audit_log.event_p20250310");
    let mut rest = Reader::new(start_at(&mut db.client, "2020-01-01"), 3);
    rest.catch_up(&mut db.client);
    rest.has_exactly(&ids(&mut db.client, "true"), "without a partition");
}
