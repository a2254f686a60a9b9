//! Entries that had no partition are moved to one: everything that shows them shows the same, before and after, and goes on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use audit_log_tests::{all, one, patient, run, until, wait_for, Db};
use chrono::{TimeDelta, Utc};
use postgres::{Client, Statement};

use crate::listing::{page, pages, rest, Random, Request};
use crate::page_truth::{self, expected, import, some_event, week, with_weeks};
use crate::partitions::{forget_partitions, UNITS};
use crate::retention_truth::{is_sound, is_tidy, move_all, purge};
use crate::sync_reading::{of_feed, start_at, By, Found, Reader};
use crate::sync_writers::AtEnd;

/// Everything that shows entries, by name.
type Shown = Vec<(String, Vec<String>)>;

const VIEWS: [(&str, &str); 7] = [
    ("entry", "SELECT to_jsonb(e)::text FROM audit_log.entry e ORDER BY e.occurred_at, e.id"),
    ("entry_target", "SELECT to_jsonb(t)::text FROM audit_log.entry_target t ORDER BY 1"),
    ("entry_change", "SELECT to_jsonb(c)::text FROM audit_log.entry_change c ORDER BY 1"),
    ("activity_daily", "SELECT a::text FROM audit_log.activity_daily a ORDER BY 1"),
    ("history", "SELECT to_jsonb(h)::text FROM audit_log.history('job', '1') h"),
    ("export", "BEGIN; CREATE TEMP TABLE x ON COMMIT DROP AS SELECT * FROM audit_log.export(end_date => '2100-01-01Z', target_types => '{job,candidate}'); SELECT x::text FROM x ORDER BY 1; ROLLBACK"),
    ("imported", "SELECT audit_log.imported_record(e.id)::text FROM audit_log.entry e ORDER BY e.occurred_at, e.id"),
];

/// Of these: not those that are several statements.
const PREPARED: [usize; 6] = [0, 1, 2, 3, 4, 6];

fn these(values: &[&str]) -> Option<Vec<String>> {
    Some(values.iter().map(|v| v.to_string()).collect())
}

/// From so many days from now on, for 20 days.
fn around(days: i64) -> Request {
    let at = |days| Some((Utc::now() + TimeDelta::days(days)).format("%Y-%m-%dZ").to_string());
    Request { start: at(days), end: at(days + 20), ..Request::default() }
}

fn requests() -> Vec<Request> {
    let window = |start: &str, end: &str| Request {
        start: Some(start.into()),
        end: Some(end.into()),
        ..Request::default()
    };
    let spring = window("2025-03-01Z", "2025-09-01Z");
    vec![
        spring.clone(),
        window("2025-03-16 12:00Z", "2025-03-24 00:00Z"),
        around(-2 * 365 - 2),
        around(364),
        around(-1),
        Request { target_ids: these(&["c1", "100%"]), ..spring.clone() },
        Request { target_ids: these(&["c1"]), ..around(364) },
        Request { actor_ids: these(&["7", "s_1"]), ..spring.clone() },
        Request { target_types: these(&["candidate"]), organization: Some("acme".into()), ..spring.clone() },
        Request { categories: these(&["job_created"]), ..around(-2 * 365 - 2) },
    ]
}

fn shown(client: &mut Client) -> Shown {
    let mut shown: Shown =
        VIEWS.iter().map(|(name, select)| (name.to_string(), all(client, select))).collect();
    for request in requests() {
        let listed = pages(client, &request, 37);
        assert!(!listed.is_empty(), "nothing for {request:?}");
        shown.push((format!("{request:?}"), listed));
    }
    let (default, some) = (page_truth::Request::default, |text: &str| Some(text.to_string()));
    for request in [
        default(),
        page_truth::Request { search: some("ann"), ..default() },
        page_truth::Request { actor: some("Ann Miller"), ..default() },
        page_truth::Request { candidate: some("Zoë Qin"), ..default() },
        page_truth::Request { start: some("2025-03-16 12:00Z"), end: some("2025-03-30 06:00Z"), ..default() },
    ] {
        let page = page_truth::page(client, &request);
        assert_eq!(page.total(), expected(client, &request, None).len() as i64, "{request:?}");
        shown.push((format!("{request:?}"), page.rows.iter().map(|row| format!("{row:?}")).collect()));
    }
    let people = page_truth::people(client, "a", 100);
    assert_eq!(people, page_truth::expected_people(client, "a", None));
    let mut reader = Reader::new(start_at(client, "1970-01-01Z"), 90);
    reader.catch_up(client);
    shown.push(("sync".into(), reader.found.iter().map(|found| format!("{found:?}")).collect()));
    shown
}

#[track_caller]
fn shows_the_same(client: &mut Client, before: &Shown, when: &str) {
    for ((name, now), (_, then)) in shown(client).iter().zip(before) {
        crate::listing::same(now, then, &format!("{when}: {name}"));
    }
}

/// A log whose server slept: no partitions but two, entries of five weeks of 2025, of now, of two years ago and of a
/// year ahead, half of them counted; nothing is ever purged.
fn slept(random: &mut Random, many: usize) -> Db {
    let mut db = with_weeks();
    db.run("SELECT audit_log.set_retention(NULL); CREATE TABLE job (id int PRIMARY KEY, title text, pay int); SELECT audit_log.watch('job')");
    forget_partitions(&mut db);
    ["2025-03-03", "2025-03-24"].iter().for_each(|monday| week(&mut db, monday));
    for half in 0..2 {
        let events: Vec<_> = (0..many).map(|_| some_event(random)).collect();
        import(&mut db.client, &events);
        db.run("INSERT INTO job SELECT coalesce(max(id), 0) + 1, 'Cook', 1 FROM job; UPDATE job SET pay = pay + 1");
        db.run(
            &format!(r#"SELECT audit_log.record('job_created', 'n' || n, targets => '[{{"type": "candidate", "id": "c1", "name": "Zoë Qin"}}]', idempotency_key => o || ' ' || n || clock_timestamp(),
                 occurred_at => date_trunc('day', now()) + o + n * interval '7 hours')
               FROM generate_series(1, {many} / 4) n, unnest('{{-2 years,1 year}}'::interval[]) o"#),
        );
        if half == 0 {
            db.run("SELECT audit_log.count_entries()");
        }
    }
    db.run("DELETE FROM job WHERE id = 1");
    assert_ne!(db.one("SELECT count(*) FROM audit_log.event_unplaced"), "0");
    db
}

#[test]
fn everything_is_shown_as_before_and_readers_go_on() {
    for (n, unit) in UNITS.into_iter().enumerate() {
        let mut random = Random(70 + n as u64);
        let mut db = slept(&mut random, if unit == "hour" { 32 } else { 100 });
        db.run(&format!("INSERT INTO audit_log.partition_setting VALUES (true, '{unit}')"));
        let (mut other, mut feed_reader) = (db.session(), db.session());
        let before = shown(&mut other);
        is_sound(&mut other, unit);
        let everyone: Vec<String> = all(&mut other, "SELECT id FROM audit_log.entry");
        // Readers that are under way: each has had some.
        let request = &requests()[0];
        let listed = page(&mut other, request, None, 33);
        let mut readers = [(By::Rows, 25), (By::Json, 40), (By::Rows, 1000)].map(|(by, limit)| {
            let mut reader = Reader { by, ..Reader::new(start_at(&mut other, "1970-01-01Z"), limit) };
            reader.take(&mut other, if by == By::Rows { 17 } else { 1000 });
            reader
        });
        wait_for(&mut other, "SELECT count(*) FROM audit_log.feed", &everyone.len().to_string());
        let mut followed: Vec<Found> = of_feed(&mut feed_reader, "feed", "", 100);
        run(
            &mut db.client,
            &format!(
                "SET TimeZone = 'Pacific/Kiritimati'; SET DateStyle = '{}'",
                ["German", "SQL, DMY", "Postgres, MDY", "ISO"][n]
            ),
        );
        move_all(&mut db.client);
        db.run("RESET TimeZone; RESET DateStyle");
        assert_eq!(
            db.one("SELECT count(*) FROM audit_log.event_unplaced")
                + &db.one("SELECT count(*) FROM audit_log.event_target_unplaced"),
            "00"
        );
        for session in [&mut other, &mut db.session()] {
            shows_the_same(session, &before, unit);
        }
        is_sound(&mut other, unit);
        let rest = rest(&mut other, request, listed, || 20);
        crate::listing::same(
            &crate::listing::ids(rest),
            &before.iter().find(|(name, _)| *name == format!("{request:?}")).expect("listed").1,
            unit,
        );
        for reader in &mut readers {
            reader.catch_up(&mut other);
            reader.has_exactly(&everyone, &format!("{unit}, {:?} by {}", reader.by, reader.limit));
        }
        loop {
            let next =
                of_feed(&mut feed_reader, "feed", followed.last().map_or("", |last| &last.position), 50);
            if next.is_empty() {
                break;
            }
            followed.extend(next);
        }
        assert!(followed.windows(2).all(|two| two[0].position < two[1].position));
        Reader { found: followed, ..Reader::new(String::new(), 1) }
            .has_exactly(&everyone, &format!("{unit}, feed"));
        // An idempotency key still leads to its entry.
        let again = "SELECT count(*) FROM audit_log.idempotency k JOIN audit_log.entry e ON (e.id, e.occurred_at) = (k.event_id, k.occurred_at)";
        assert_eq!(db.one(again), if unit == "hour" { "32" } else { "100" });
    }
}

/// Makes the partitions that entries have none of: what is left is to move.
fn partitions_made(db: &mut Db) {
    let mut old = db.session();
    run(&mut old, "BEGIN");
    while db.one("SELECT audit_log.move_unplaced()") != "0" {}
    assert_ne!(db.one("SELECT audit_log.next_to_move()"), "∅");
}

const WINDOW: &str =
    "SELECT count(*) FROM audit_log.entry WHERE occurred_at >= '2025-03-17Z' AND occurred_at < '2025-03-24Z'";

/// Older snapshots have not touched the log yet, or have; whatever they ask later, they find what there was.
#[test]
fn beside_transactions_that_go_by_an_older_snapshot() {
    let mut db = slept(&mut Random(80), 100);
    partitions_made(&mut db);
    let before = shown(&mut db.client);
    let there = db.one(WINDOW);
    assert_ne!(there, "0");
    let mut older: Vec<Client> = ["REPEATABLE READ", "SERIALIZABLE, READ ONLY"]
        .into_iter()
        .flat_map(|level| [(level, "SELECT 1"), (level, WINDOW)])
        .map(|(level, first)| {
            let mut client = db.session();
            run(&mut client, &format!("PREPARE asked AS {WINDOW}"));
            run(&mut client, &format!("BEGIN ISOLATION LEVEL {level}; {first}"));
            client
        })
        .collect();
    move_all(&mut db.client);
    for client in &mut older {
        assert_eq!(one(client, WINDOW), there);
        assert_eq!(one(client, "EXECUTE asked"), there);
        for (name, select) in VIEWS.iter().filter(|(name, _)| *name != "export") {
            let wanted = &before.iter().find(|(n, _)| n == name).expect("shown").1;
            crate::listing::same(&all(client, select), wanted, name);
        }
        run(client, "COMMIT");
        assert_eq!(one(client, WINDOW), there);
    }
    shows_the_same(&mut db.client, &before, "afterwards");
}

/// A session learns of a partition when it begins a transaction: nothing is moved to it while one is open that began before,
/// which may look by a snapshot of now among the partitions of then.
#[test]
fn not_beside_a_transaction_from_before_the_partition() {
    let mut db = slept(&mut Random(81), 100);
    let mut old = db.session();
    run(&mut old, "BEGIN");
    // It has the lock, so nothing tells it of what changes.
    let there = one(&mut old, WINDOW);
    assert_ne!(there, "0");
    let left = db.one("SELECT count(*) FROM audit_log.event_unplaced");
    for _ in 0..3 {
        db.run("SELECT audit_log.run_retention()");
        assert_eq!(one(&mut old, WINDOW), there);
    }
    assert_eq!(db.one("SELECT count(*) FROM audit_log.event_unplaced"), left, "they are left where they are");
    assert_eq!(
        db.one("SELECT count(*) FROM audit_log.worker_status WHERE failures > 0"),
        "0",
        "nothing is wrong"
    );
    // One that begins now is in nobody's way, however long it takes.
    let mut young = db.session();
    run(&mut young, "BEGIN");
    assert_eq!(one(&mut young, WINDOW), there);
    run(&mut old, "COMMIT");
    move_all(&mut db.client);
    assert_eq!(one(&mut young, WINDOW), there);
    assert_eq!(db.one(WINDOW), there);
}

/// Whoever asks while a move is under way waits for nothing, and finds all of it.
#[test]
fn to_queries_meanwhile() {
    let mut db = slept(&mut Random(82), 100);
    partitions_made(&mut db);
    let before = shown(&mut db.client);
    let mut mover = db.session();
    let mut asking = db.session();
    patient(&mut asking);
    run(&mut asking, "SET plan_cache_mode = force_generic_plan");
    // Those that drivers prepare have been planned before.
    let prepared: Vec<Statement> =
        PREPARED.iter().map(|view| asking.prepare(VIEWS[*view].1).expect("prepares")).collect();
    prepared.iter().for_each(|statement| _ = asking.query(statement, &[]).expect("answers"));
    run(&mut mover, "BEGIN");
    let mut steps = 0;
    while one(&mut mover, "SELECT audit_log.move_unplaced(50)") != "0" {
        steps += 1;
    }
    assert!(steps > 3, "{steps}");
    for end in ["", "COMMIT"] {
        run(&mut mover, end);
        shows_the_same(&mut asking, &before, end);
        for (view, statement) in PREPARED.iter().zip(&prepared) {
            let rows = asking.query(statement, &[]).expect("answers");
            let texts: Vec<String> =
                rows.iter().map(|row| row.get::<_, Option<String>>(0).unwrap_or("∅".into())).collect();
            let wanted = &before.iter().find(|(name, _)| *name == VIEWS[*view].0).expect("shown").1;
            crate::listing::same(&texts, wanted, VIEWS[*view].0);
        }
    }
    assert_eq!(one(&mut asking, "SELECT audit_log.next_to_move() IS NULL"), "t");
}

/// Writes job after job, one way or the other, until told to stop; the targets of what was committed.
fn write(client: &mut Client, who: usize, over: &AtomicBool) -> Vec<String> {
    let mut written = Vec::new();
    for n in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let target = (who * 1_000_000 + n).to_string();
        match n % 3 {
            0 => run(client, &format!("INSERT INTO job VALUES ({target}, 'Cook', 1)")),
            1 => run(client, &format!(r#"SELECT audit_log.record('job_created', '{target}', targets => '[{{"type": "candidate", "id": "c{n}"}}]')"#)),
            _ => run(client, &format!("BEGIN; SELECT audit_log.record('job_created', '{target}'); INSERT INTO job VALUES (-{target}, 'Clerk', 2); COMMIT")),
        }
        written.push(target.clone());
        if n % 3 == 2 {
            written.push(format!("-{target}"));
        }
    }
    written
}

#[test]
fn writers_and_readers_go_on_meanwhile() {
    for (unit, seed) in [("week", 90), ("hour", 91), ("month", 92)] {
        let mut db = slept(&mut Random(seed), if unit == "hour" { 12 } else { 100 });
        db.run(&format!("INSERT INTO audit_log.partition_setting VALUES (true, '{unit}')"));
        let stays = "SELECT count(*) FROM audit_log.entry WHERE occurred_at < '2025-06-01Z' OR occurred_at > now() + interval '1 month'";
        let there = db.one(stays);
        let over = AtomicBool::new(false);
        let mut writers: Vec<Client> = (0..3).map(|_| db.session()).collect();
        let (mut sync, mut lister) = (db.session(), db.session());
        let mut reader = Reader::new(start_at(&mut sync, "1970-01-01Z"), 100);
        let mut written = Vec::new();
        thread::scope(|scope| {
            let over = &over;
            let writing: Vec<_> = writers
                .iter_mut()
                .enumerate()
                .map(|(who, client)| scope.spawn(move || write(client, who + 1, over)))
                .collect();
            let (reader, sync, lister, there) = (&mut reader, &mut sync, &mut lister, &there);
            let reading = scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    reader.take(sync, 1000);
                }
            });
            let listing = scope.spawn(move || {
                let request = &requests()[0];
                let listed = pages(lister, request, 100);
                while !over.load(Ordering::Relaxed) {
                    crate::listing::same(&pages(lister, request, 100), &listed, unit);
                    assert_eq!(one(lister, stays), *there, "{unit}");
                }
            });
            // However it ends, the others are told.
            let _over = AtEnd([over]);
            // Until the writers' own entries have a partition, too.
            until("all to have a partition", || {
                run(&mut db.client, "SET client_min_messages = error; SELECT audit_log.run_retention()");
                match one(&mut db.client, "SELECT audit_log.next_to_move()").as_str() {
                    "∅" => Ok(()),
                    next => Err(next.to_string()),
                }
            });
            // They write and read on for a while.
            let there = db.one("SELECT count(*) FROM job");
            wait_for(&mut db.client, &format!("SELECT count(*) > {there} + 30 FROM job"), "t");
            over.store(true, Ordering::Relaxed);
            writing.into_iter().for_each(|writer| written.extend(writer.join().expect("writes")));
            reading.join().expect("reads");
            listing.join().expect("lists");
        });
        assert_eq!(db.one("SELECT count(*) FROM audit_log.event_unplaced"), "0", "{unit}");
        let mut found = db.all("SELECT target_id FROM audit_log.entry WHERE target_id ~ '^-?\\d{7}$'");
        found.sort();
        written.sort();
        crate::listing::same(&found, &written, unit);
        reader.catch_up(&mut sync);
        reader.has_exactly(&all(&mut sync, "SELECT id FROM audit_log.entry"), unit);
        // What is written now goes straight to the partition of now.
        let id = one(&mut writers[0], "SELECT audit_log.record('job_created', 'now')");
        assert_eq!(
            db.one(&format!(
                "SELECT tableoid::regclass::text LIKE '%.event_p2%' FROM audit_log.event WHERE id = '{id}'"
            )),
            "t"
        );
        db.run("SELECT audit_log.count_entries()");
        is_sound(&mut db.client, unit);
    }
}

/// Names are kept by the partition of their entries: what is dropped with one must be known by the others still.
#[test]
fn names_go_with_each_partition() {
    for unit in ["day", "month"] {
        let mut db = Db::new();
        db.run(&format!("SELECT audit_log.set_retention(NULL); INSERT INTO audit_log.partition_setting VALUES (true, '{unit}'); SET client_min_messages = error"));
        // Ann is there all the time, others for a while.
        db.run(
            r#"SELECT audit_log.set_context(jsonb_build_object('actor', jsonb_build_object('type', 'user', 'id', n % 3 * n, 'name', 'Ann ' || n % 3 * n)), false),
                      audit_log.record('job_created', 't' || n / 9, 'Job ' || n / 9, occurred_at => '2025-04-28 05:30Z'::timestamptz + n * interval '5 hours')
               FROM generate_series(0, 60) n"#,
        );
        db.run("SELECT audit_log.set_context(NULL, false), audit_log.count_entries()");
        move_all(&mut db.client);
        is_tidy(&mut db.client, unit);
        db.run("SELECT audit_log.set_retention('30 days')");
        for clock in ["2025-05-29Z", "2025-05-31 07:00Z", "2025-06-02Z", "2025-06-06Z"] {
            purge(&mut db.client, clock);
            is_tidy(&mut db.client, &format!("{unit}, {clock}"));
        }
    }
}
