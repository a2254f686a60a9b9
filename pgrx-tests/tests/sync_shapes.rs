//! Partitions and indexes that are not as the extension made them: the same comes.

use audit_log_tests::{run, Db};

use crate::listing::{partition, unguarded};
use crate::sync_reading::{ids, of_feed, start, start_at, watched, Reader};

const MONDAYS: [&str; 3] = ["2025-03-03", "2025-03-10", "2025-03-17"];

/// Three weeks, and a reader of each kind, some way into what is there.
struct Weeks {
    db: Db,
    readers: Vec<Reader>,
    written: usize,
}

impl Weeks {
    fn new() -> Weeks {
        let mut db = watched();
        MONDAYS.iter().for_each(|monday| partition(&mut db, "event", monday));
        let cursor = start_at(&mut db.client, "2020-01-01");
        let readers = [1, 7, 1000].map(|limit| Reader::new(cursor.clone(), limit)).into();
        Weeks { db, readers, written: 0 }
    }

    /// Some entries in each week and after them all, by two transactions of which one is still open.
    #[track_caller]
    fn write(&mut self) {
        let mut late = self.db.session();
        run(&mut late, "BEGIN");
        for session in [&mut late, &mut self.db.client] {
            let first = self.written;
            self.written += 24;
            run(
                session,
                &format!(
                    r#"SELECT audit_log.set_context(CASE WHEN n % 3 = 0 THEN '{{"actor": {{"type": "user", "id": "ann"}}}}'::jsonb END),
                         audit_log.record((ARRAY['job_created', 'job_updated', 'offer_sent'])[1 + n % 3], n::text, occurred_at => '2025-03-03Z'::timestamptz + n % 4 * interval '7 days' + n * interval '1 hour')
                       FROM generate_series({first}, {first} + 23) n"#
                ),
            );
        }
        self.readers.iter_mut().for_each(|reader| _ = reader.take(&mut self.db.client, 5));
        run(&mut late, "COMMIT");
    }

    /// Checks that every entry came once to everybody.
    #[track_caller]
    fn are_read(&mut self, after: &str) {
        let wanted = ids(&mut self.db.client, "true");
        for reader in &mut self.readers {
            reader.catch_up(&mut self.db.client);
            reader.has_exactly(&wanted, &format!("by {} after {after}", reader.limit));
        }
        let mut from_the_start = Reader::new(start_at(&mut self.db.session(), "2020-01-01"), 50);
        from_the_start.catch_up(&mut self.db.client);
        from_the_start.has_exactly(&wanted, &format!("all of it after {after}"));
        let positions = self.db.all("SELECT position FROM audit_log.entry ORDER BY position");
        assert!(positions.len() < 1000 || after.contains("many"), "one page's order is seen");
        let mut whole = Reader::new(start_at(&mut self.db.client, "2020-01-01"), 10_000);
        whole.take(&mut self.db.client, usize::MAX);
        assert!(whole.found.iter().map(|found| &found.position).eq(&positions), "after {after}");
    }

    #[track_caller]
    fn changed(&mut self, sql: &str) {
        println!("{sql}");
        self.db.run(sql);
        self.are_read(sql);
        self.write();
        self.are_read(&format!("{sql}, and more was written"));
    }
}

fn drop_index(table: &str) -> String {
    format!(
        "DO $$ DECLARE i regclass; BEGIN
           FOR i IN SELECT indexrelid FROM pg_index WHERE indrelid = 'audit_log.{table}'::regclass AND pg_get_indexdef(indexrelid) ~ '\\((abs\\()?feed'
           LOOP EXECUTE 'DROP INDEX ' || i; END LOOP; END $$"
    )
}

#[test]
fn indexes_on_feed_that_are_gone() {
    let mut weeks = Weeks::new();
    weeks.write();
    weeks.are_read("nothing");
    for table in ["event_p20250310", "event_unplaced", "event_p20250303", "event_p20250317"] {
        weeks.changed(&drop_index(table));
    }
    weeks.changed("DO $$ BEGIN EXECUTE (SELECT string_agg('DROP INDEX ' || indexrelid::regclass, ';') FROM pg_index WHERE indrelid = 'audit_log.event_p20250310'::regclass); END $$");
}

#[test]
fn indexes_on_feed_as_somebody_else_made_them() {
    let mut weeks = Weeks::new();
    weeks.write();
    for index in [
        "(feed, id)",
        "(feed DESC)",
        "(feed NULLS FIRST)",
        "(feed, actor_id)",
        "(feed) INCLUDE (actor_id)",
        "(feed) INCLUDE (id, target_name)",
        "(feed) WHERE actor_id IS NOT NULL",
        "(feed) WHERE category = 'job_created'",
        "(abs(feed))",
        "(category, feed)",
        "USING brin (feed)",
        "USING hash (feed)",
        "(feed, actor_id, occurred_at) WITH (deduplicate_items = off)",
    ] {
        let table = ["event_p20250310", "event_unplaced"][weeks.written / 48 % 2];
        weeks.db.run(&drop_index(table));
        weeks.changed(&format!("CREATE INDEX ON audit_log.{table} {index}"));
    }
}

#[test]
fn indexes_that_are_invalid_or_newer_than_a_snapshot() {
    let mut weeks = Weeks::new();
    weeks.write();
    weeks.db.run(&drop_index("event_p20250310"));
    weeks.db.run("CREATE INDEX left_over ON audit_log.event_p20250310 (feed)");
    for state in ["indisready = false", "indisready = true", "indislive = false, indisready = false"] {
        weeks.changed(&format!(
            "UPDATE pg_index SET indisvalid = false, {state} WHERE indexrelid = 'audit_log.left_over'::regclass;
             ALTER TABLE audit_log.event_p20250310 SET (fillfactor = 90)"
        ));
    }
    weeks
        .db
        .run("DROP INDEX audit_log.left_over; ALTER TABLE audit_log.event_p20250303 SET (fillfactor = 30)");
    weeks.db.run("VACUUM FULL audit_log.event_p20250303");
    weeks.db.run(&drop_index("event_p20250303"));
    let mut old = weeks.db.session();
    run(&mut old, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM audit_log.stored_event LIMIT 1");
    let mut reader = Reader::new(start_at(&mut old, "2020-01-01"), 9);
    let wanted = ids(&mut old, "true");
    // In place, where no index has the column; then in an index that the older snapshot must not use.
    unguarded(
        &mut weeks.db,
        "UPDATE audit_log.event_p20250303 SET actor_name = 'forgotten';
         UPDATE audit_log.event_p20250303 SET feed = feed + 1000000 WHERE category = 'job_updated';
         UPDATE audit_log.event_p20250303 SET feed = feed - 1000000 WHERE category = 'job_updated';
         CREATE INDEX ON audit_log.event_p20250303 (feed)",
    );
    reader.catch_up(&mut old);
    reader.has_exactly(&wanted, "by the older snapshot");
    run(&mut old, "COMMIT");
    weeks.write();
    weeks.are_read("an index was made of rows changed since");
}

/// A table with the columns of event in another order, and one more that was dropped.
fn reversed(table: &str) -> String {
    format!(
        "DO $$ BEGIN EXECUTE (
           SELECT format('CREATE TABLE {table} (gone int, %s)', string_agg(format('%I %s %s %s', attname, atttypid::regtype,
             CASE attcollation WHEN 950 THEN 'COLLATE \"C\"' END, CASE WHEN attnotnull THEN 'NOT NULL' END), ',' ORDER BY attnum DESC))
           FROM pg_attribute WHERE attnum > 0 AND attrelid = 'audit_log.event'::regclass); END $$;
         ALTER TABLE {table} DROP COLUMN gone"
    )
}

#[test]
fn partitions_that_others_made() {
    let mut weeks = Weeks::new();
    weeks.write();
    for (table, create) in [
        ("bare", "CREATE TABLE bare (LIKE audit_log.event)".to_string()),
        ("reversed", reversed("reversed")),
        ("indexed", format!("{}; SELECT audit_log.index_event_partition('indexed')", reversed("indexed"))),
        (
            "subdivided",
            "CREATE TABLE subdivided (LIKE audit_log.event) PARTITION BY LIST (category);
             CREATE TABLE jobs PARTITION OF subdivided FOR VALUES IN ('job_created', 'job_updated');
             CREATE TABLE others PARTITION OF subdivided DEFAULT; SELECT audit_log.index_event_partition('jobs')"
                .to_string(),
        ),
        (
            "in_days",
            "CREATE TABLE in_days (LIKE audit_log.event) PARTITION BY RANGE (occurred_at);
             CREATE TABLE rest_of_week PARTITION OF in_days DEFAULT;
             CREATE TABLE a_day PARTITION OF in_days FOR VALUES FROM ('2025-03-11Z') TO ('2025-03-12Z')"
                .to_string(),
        ),
    ] {
        weeks.db.run(&create);
        // In place of one that is there, with what is in it.
        let old = weeks.db.one(
            "SELECT inhrelid::regclass FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
             WHERE inhparent = 'audit_log.event'::regclass AND pg_get_expr(c.relpartbound, c.oid) LIKE '%FROM (''2025-03-10%'",
        );
        let columns = weeks.db.one("SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute WHERE attrelid = 'audit_log.event'::regclass AND attnum > 0");
        weeks.changed(&format!(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM {old}; ALTER TABLE audit_log.event DETACH PARTITION {old};
             ALTER TABLE audit_log.event ATTACH PARTITION {table} FOR VALUES FROM ('2025-03-10Z') TO ('2025-03-17Z')"
        ));
    }
    weeks.changed("CREATE TABLE audit_log.rest PARTITION OF audit_log.event DEFAULT; SELECT audit_log.index_event_partition('audit_log.rest')");
}

#[test]
fn feed_shows_the_same_of_any_partition() {
    let mut weeks = Weeks::new();
    weeks.write();
    weeks.db.run(&drop_index("event_unplaced"));
    weeks.write();
    let wanted = weeks.db.all("SELECT position FROM audit_log.entry ORDER BY position");
    audit_log_tests::wait_for(
        &mut weeks.db.client,
        "SELECT count(*) FROM audit_log.feed",
        &wanted.len().to_string(),
    );
    let (mut found, mut last) = (Vec::new(), String::new());
    loop {
        let page = of_feed(&mut weeks.db.client, "feed", &last, 9);
        let Some(end) = page.last() else { break };
        last = end.position.clone();
        found.extend(page.into_iter().map(|found| found.position));
    }
    assert_eq!(found, wanted);
    assert_eq!(start(&mut weeks.db.client).len(), start(&mut weeks.db.client).len());
}
