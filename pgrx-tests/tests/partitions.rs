//! Partitions made ahead: whatever the moment, the interval and the session's settings, they leave no gap.

use std::thread;

use audit_log_tests::{one, patient, run, Db};

use crate::capture_sessions::session_with_notices;
use crate::listing::Random;
use crate::retention_truth::move_all;

pub const PARENTS: [&str; 4] = ["event", "event_target", "activity", "named"];
pub const UNITS: [&str; 4] = ["hour", "day", "week", "month"];

/// The partitions of a table of the log, read from PostgreSQL's own text of their bounds.
pub fn bounds(parent: &str) -> String {
    format!(
        r#"SELECT i.inhrelid::regclass AS name, substring(e, $$FROM \('([^']+)'\)$$)::timestamptz AS lower, substring(e, $$TO \('([^']+)'\)$$)::timestamptz AS upper
           FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid CROSS JOIN pg_get_expr(c.relpartbound, c.oid) e
           WHERE i.inhparent = 'audit_log.{parent}'::regclass AND e <> 'DEFAULT'"#
    )
}

/// Settings that show wherever an instant is turned into text, or back, by a session's settings.
const ODD: [(&str, &str); 5] = [
    ("Pacific/Kiritimati", "German"),
    ("America/St_Johns", "SQL, DMY"),
    ("Asia/Kathmandu", "Postgres, MDY"),
    ("Europe/Berlin", "ISO, YMD"),
    ("<+00>-13:45", "SQL, MDY"),
];

/// Checks that partitions do not overlap and have every instant of a range.
#[track_caller]
pub fn covered(db: &mut Db, from: &str, to: &str, when: &str) {
    let mut truth = db.session();
    run(&mut truth, "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'");
    for parent in PARENTS {
        let bounds = bounds(parent);
        let overlaps = format!(
            "WITH b AS ({bounds}) SELECT count(*) FROM b JOIN b o ON o.name > b.name AND o.lower < b.upper AND b.lower < o.upper"
        );
        assert_eq!(one(&mut truth, &overlaps), "0", "{parent} {when}");
        let gaps = format!("SELECT tstzmultirange(tstzrange({from}, {to})) - coalesce(range_agg(tstzrange(lower, upper)), '{{}}') FROM ({bounds}) b");
        assert_eq!(one(&mut truth, &gaps), "{}", "{parent} {when}");
    }
}

/// Drops all partitions, as if the server had slept since it was installed; what is beside them stays.
#[track_caller]
pub fn forget_partitions(db: &mut Db) {
    for parent in PARENTS {
        for name in db.all(&bounds(parent)) {
            db.run(&format!("DROP TABLE {name}"));
        }
    }
}

/// The end of so many intervals after that of an instant, as SQL.
pub fn horizon(at: &str, unit: &str, ahead: i32) -> String {
    format!("date_trunc('{unit}', {at}, 'UTC') + ({ahead} + 1) * interval '1 {unit}'")
}

/// As an administrator chooses it, without the configuration change's own partitions.
fn set_interval(db: &mut Db, unit: &str) {
    db.run(&format!(
        "INSERT INTO audit_log.partition_setting VALUES (true, '{unit}')
         ON CONFLICT (singleton) DO UPDATE SET unit = EXCLUDED.unit"
    ));
}

#[track_caller]
fn make(db: &mut Db, at: &str, ahead: i32) -> i32 {
    db.one(&format!("SELECT audit_log.make_partitions({at}, {ahead})")).parse().expect("a number")
}

/// Every partition of entries takes what is of its first and last instant, and nothing is beside them.
#[track_caller]
fn take_their_entries(db: &mut Db) {
    let bounds = bounds("event");
    db.run("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'");
    let strays = db.all(&format!(
        r#"BEGIN; CREATE TEMP TABLE wanted ON COMMIT DROP AS
             SELECT b.name, audit_log.record('job_created', occurred_at => o, targets => '[{{"type": "job", "id": "1"}}, {{"type": "user", "id": "2"}}]') AS id
             FROM ({bounds}) b CROSS JOIN LATERAL (VALUES (b.lower), (b.upper - interval '1 microsecond')) v(o);
           SELECT e.tableoid::regclass || ' instead of ' || w.name FROM wanted w JOIN audit_log.event e ON e.id = w.id WHERE w.name <> e.tableoid
           UNION ALL SELECT 'a target without a partition' FROM audit_log.event_target_unplaced; ROLLBACK"#
    ));
    assert_eq!(strays, Vec::<String>::new());
}

const MOMENTS: [&str; 16] = [
    "2024-02-28 23:59:59.999999",
    "2024-02-29 00:00",
    "2024-12-29 23:59:59.999999",
    "2024-12-31 23:59:59.999999",
    "2025-01-01 00:00",
    "2025-03-30 00:59:59.999999",
    "2025-03-30 01:00",
    "2025-06-29 23:30",
    "2025-06-30 00:00",
    "2025-10-26 00:30",
    "2025-10-26 01:30",
    "2025-11-30 23:59:59.999999",
    "2026-11-01 05:59:59.999999",
    "2027-01-03 23:59:59.999999",
    "2027-01-04 00:00",
    "2099-12-31 23:00",
];

#[test]
fn from_any_moment_on_there_is_no_gap() {
    for unit in UNITS {
        let mut db = Db::new();
        set_interval(&mut db, unit);
        for (n, moment) in MOMENTS.into_iter().enumerate() {
            let (zone, style) = ODD[n % ODD.len()];
            db.run(&format!("SET TimeZone = '{zone}'; SET DateStyle = '{style}'"));
            let at = format!("timestamptz '{moment} UTC'");
            let ahead = n as i32 % 4;
            make(&mut db, &at, ahead);
            assert_eq!(make(&mut db, &at, ahead), 0, "{unit} {moment}");
            covered(
                &mut db,
                &at,
                &horizon(&at, unit, ahead),
                &format!("{unit} from {moment} in {zone}, {style}"),
            );
        }
        db.run("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'");
        for parent in PARENTS {
            let unit = if unit == "hour" && ["activity", "named"].contains(&parent) { "day" } else { unit };
            let odd = format!("SELECT name FROM ({}) b WHERE lower <> date_trunc('{unit}', lower, 'UTC') OR upper <> lower + interval '1 {unit}'", bounds(parent));
            assert_eq!(db.all(&odd), Vec::<String>::new());
        }
        take_their_entries(&mut db);
    }
}

/// Each interval after each other.
const CHANGES: [&str; 13] =
    ["hour", "day", "hour", "week", "hour", "month", "day", "week", "day", "month", "week", "month", "hour"];

#[test]
fn every_change_of_interval_fits_in_between() {
    for seed in [1, 2, 3] {
        let (mut random, mut db) = (Random(seed), Db::new());
        for (n, unit) in CHANGES.into_iter().cycle().take(25).enumerate() {
            let (zone, style) = ODD[random.below(ODD.len())];
            db.run(&format!("SET TimeZone = '{zone}'; SET DateStyle = '{style}'"));
            set_interval(&mut db, unit);
            // Around the same weeks each time, forwards and backwards.
            let at = format!("timestamptz '2024-12-20 UTC' + {} * interval '1 minute'", random.below(60_000));
            let ahead = random.below(5) as i32;
            make(&mut db, &at, ahead);
            let when = format!("seed {seed}, step {n}: {unit} from {at}, {ahead} ahead");
            covered(&mut db, &at, &horizon(&at, unit, ahead), &when);
            assert_eq!(make(&mut db, &at, ahead), 0, "{when}");
        }
        take_their_entries(&mut db);
    }
}

#[test]
fn an_administrator_changes_the_interval() {
    let mut db = Db::new();
    db.run("SET TimeZone = 'Pacific/Kiritimati'");
    assert_eq!(db.one("SELECT audit_log.partition_interval()"), "week");
    for (n, unit) in CHANGES.into_iter().enumerate() {
        db.run(&format!("SELECT audit_log.set_partition_interval('{unit}')"));
        let now = format!("timestamptz '{}'", db.one("SELECT clock_timestamp()"));
        db.run("SELECT audit_log.ensure_partitions()");
        let ahead = [72, 14, 4, 3][UNITS.iter().position(|u| *u == unit).expect("one of them")];
        let from = db.one("SELECT clock_timestamp()");
        covered(&mut db, &format!("timestamptz '{from}'"), &horizon(&now, unit, ahead), unit);
        let told = "SELECT metadata ->> 'was' || ' ' || (metadata ->> 'partition_interval') FROM audit_log.entry WHERE category = 'retention_changed' ORDER BY occurred_at DESC, id DESC LIMIT 1";
        let was = if n == 0 { "week" } else { CHANGES[n - 1] };
        assert_eq!(db.one(told), format!("{was} {unit}"));
    }
    take_their_entries(&mut db);
    for (call, field) in [
        ("set_partition_interval('year')", "unit"),
        ("set_partition_interval('')", "unit"),
        ("set_partition_interval(NULL)", "unit"),
        ("ensure_partitions(-1)", "ahead"),
        ("ensure_partitions(521)", "ahead"),
    ] {
        db.fails(&format!("SELECT audit_log.{call}"))
            .is("22023", "invalid_input")
            .says(&format!("field: {field}"));
    }
}

#[test]
fn partitions_that_others_made_are_fitted_around() {
    let mut db = Db::new();
    db.run("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'");
    set_interval(&mut db, "hour");
    for (name, from, to) in [
        ("archive", "-infinity", "2020-01-01 00:00"),
        ("quarter", "2025-05-05 10:15", "2025-05-05 10:30"),
        ("moment", "2025-05-05 10:45", "2025-05-05 10:45:00.000001"),
        ("night", "2025-05-05 23:30", "2025-05-06 04:59:59.999999"),
        ("far", "2200-01-01 00:00", "infinity"),
    ] {
        let create = format!(
            "CREATE TABLE audit_log.{name} PARTITION OF audit_log.event FOR VALUES FROM ('{from}') TO ('{to}')"
        );
        let unbounded = create.replace("('-infinity')", "(MINVALUE)").replace("('infinity')", "(MAXVALUE)");
        db.run(&unbounded);
    }
    for (at, ahead) in [("2025-05-05 10:20", 5), ("2025-05-05 22:00", 12), ("2025-05-05 00:00", 40)] {
        let at = format!("timestamptz '{at} UTC'");
        make(&mut db, &at, ahead);
        covered(&mut db, &at, &horizon(&at, "hour", ahead), &at);
    }
    set_interval(&mut db, "week");
    for at in ["2019-12-31 12:00", "2199-12-31 12:00", "2300-01-01 00:00"] {
        let at = format!("timestamptz '{at} UTC'");
        make(&mut db, &at, 0);
        make(&mut db, &at, 2);
    }
    assert_eq!(make(&mut db, "timestamptz '2200-05-05Z'", 5), 18, "of the others");
}

#[test]
fn a_name_that_is_taken_stops_nothing_else() {
    let mut db = Db::new();
    db.run("CREATE VIEW audit_log.event_p20250512 AS SELECT 1 AS one");
    let at = "timestamptz '2025-05-06 12:00Z'";
    assert_eq!(make(&mut db, at, 2), 11);
    // What a DBA took out keeps its name, too.
    db.run("SELECT audit_log.set_retention(NULL); SELECT audit_log.ensure_partitions(0)");
    let [this_week, detached] = ["event", "activity"].map(|parent| {
        db.one(&format!("SELECT 'audit_log.{parent}_p' || to_char(date_trunc('week', now(), 'UTC') AT TIME ZONE 'UTC', 'YYYYMMDD')"))
    });
    db.run(&format!("ALTER TABLE audit_log.event DETACH PARTITION {this_week}; ALTER TABLE audit_log.activity DETACH PARTITION {detached}"));
    db.run("SELECT audit_log.record('job_created', 'a'), audit_log.record('job_created', 'b', occurred_at => '2024-05-06Z')");
    db.run("SET client_min_messages = error; SELECT audit_log.run_retention()");
    let failed = "SELECT string_agg(task || ': ' || last_error, ', ') FROM audit_log.worker_status WHERE last_error IS NOT NULL";
    for _ in 0..2 {
        db.run("SELECT audit_log.run_retention()");
    }
    // What can be moved is; then it is told why the rest cannot.
    let left = "SELECT count(*) FROM audit_log.event_unplaced WHERE target_id = '{}'";
    assert_eq!(db.one(&left.replace("{}", "b")) + &db.one(&left.replace("{}", "a")), "01");
    assert!(
        db.one(failed).starts_with("move: the table of the partition of audit_log.event from"),
        "{}",
        db.one(failed)
    );
    db.run(&format!("DROP TABLE {detached}; ALTER TABLE {this_week} RENAME TO archived"));
    move_all(&mut db.client);
    assert_eq!(db.one(failed), "∅");
    assert_eq!(db.one("SELECT count(*) FROM audit_log.event_unplaced"), "0");
}

/// However long the transaction stays open that makes partitions or moves entries, who writes and lists waits for nothing.
#[test]
fn nobody_who_writes_or_lists_waits_while_they_are_made_and_filled() {
    let mut db = Db::new();
    db.run("SELECT audit_log.set_retention(NULL); CREATE TABLE job (id int PRIMARY KEY); SELECT audit_log.watch('job')");
    let old = "SELECT audit_log.record('job_created', 'old', targets => '[{\"type\": \"user\", \"id\": \"u1\"}]', occurred_at => '2025-05-05Z')";
    let (mut maker, mut other) = (db.session(), db.session());
    patient(&mut other);
    db.run(old);
    let work = ["ensure_partitions(8)", "move_unplaced()", "move_unplaced()"];
    for (n, work) in work.into_iter().enumerate() {
        run(&mut maker, "BEGIN");
        assert_ne!(one(&mut maker, &format!("SELECT audit_log.{work}")), "0", "{work}");
        run(&mut other, &format!("INSERT INTO job VALUES ({n}); DELETE FROM job"));
        for record in
            [old, "SELECT audit_log.record('job_created', occurred_at => now() + interval '5 weeks')"]
        {
            run(&mut other, record);
        }
        for found in [
            "list(target_ids => '{old}', start_date => '2025-05-01Z', end_date => '2025-06-01Z')",
            "entry_target WHERE target_id = 'u1'",
        ] {
            assert_eq!(
                one(&mut other, &format!("SELECT count(*) FROM audit_log.{found}")),
                (n + 2).to_string(),
                "{work}, {found}"
            );
        }
        run(
            &mut other,
            "SELECT count(*) FROM audit_log.sync(audit_log.sync_start('1970-01-01Z')), audit_log.feed",
        );
        run(&mut maker, "COMMIT");
    }
    move_all(&mut db.client);
    assert_eq!(db.one("SELECT count(*) FROM audit_log.event WHERE target_id = 'old'"), "4");
}

/// Somebody maintains one of the tables, whichever: it is told, nothing waits, and nothing is left half made.
#[test]
fn beside_maintenance_they_are_made_later() {
    let mut db = Db::new();
    let mut other = db.session();
    let half_made = "SELECT count(*) FROM pg_class WHERE relnamespace = 'audit_log'::regnamespace AND relname ~ '_p\\d{8}$' AND relkind = 'r' AND NOT relispartition";
    let (mut maker, notices) = session_with_notices(&db, "postgres");
    for parent in PARENTS {
        run(&mut other, &format!("BEGIN; LOCK TABLE ONLY audit_log.{parent} IN SHARE UPDATE EXCLUSIVE MODE"));
        assert_eq!(one(&mut maker, "SELECT audit_log.ensure_partitions(2)"), "0", "{parent}");
        let told = std::mem::take(&mut *notices.lock().expect("told"));
        assert!(told.concat().contains("in use"), "{parent}: {told:?}");
        assert_eq!(db.one(half_made), "0");
        run(&mut other, "COMMIT");
    }
    assert_eq!(one(&mut maker, "SELECT audit_log.ensure_partitions(2)"), "12");
    assert!(notices.lock().expect("told").is_empty());
    assert_eq!(db.one(half_made), "0");
}

/// Nobody waits for whoever makes a partition, nor the other way round.
#[test]
fn an_entry_written_just_then_does_not_make_it_fail() {
    let mut db = Db::new();
    db.run("SELECT audit_log.set_retention(NULL); CREATE TABLE job (id int PRIMARY KEY); SET client_min_messages = error");
    for attempt in 0..10 {
        // The log as a server finds it that slept for a long time.
        db.run("SELECT audit_log.run_retention()");
        forget_partitions(&mut db);
        let (mut writer, mut maker) = (db.session(), db.session());
        run(&mut writer, &format!("BEGIN; SELECT audit_log.record('job_created', 'attempt {attempt}')"));
        run(&mut maker, "SET client_min_messages = error");
        // As every configuration change does.
        let making =
            thread::spawn(move || run(&mut maker, "SELECT audit_log.watch('job'), audit_log.unwatch('job')"));
        making.join().unwrap_or_else(|_| panic!("attempt {attempt}"));
        run(&mut writer, "COMMIT");
        let there = format!("SELECT count(*) FROM audit_log.entry WHERE target_id = 'attempt {attempt}'");
        assert_eq!(db.one(&there), "1");
        let half_made = "SELECT relname FROM pg_class WHERE relnamespace = 'audit_log'::regnamespace AND relname ~ '_p\\d{8}' AND relkind = 'r' AND NOT relispartition";
        assert_eq!(db.all(half_made), Vec::<String>::new());
    }
}

#[test]
fn instants_far_out_stay_where_they_are() {
    let mut db = Db::new();
    db.run("SELECT audit_log.set_retention(NULL); SET client_min_messages = error");
    for at in [
        "0001-01-01Z",
        "0001-12-31 BC",
        "4713-01-01 BC",
        "1969-12-31 23:59:59.999999Z",
        "294276-12-31Z",
        "infinity",
        "-infinity",
    ] {
        db.fails(&format!("SELECT audit_log.record('job_created', occurred_at => '{at}')"))
            .is("22023", "invalid_input");
    }
    let record = |at: &str| format!("SELECT audit_log.record('job_created', occurred_at => '{at}')");
    for at in [
        "1970-01-01Z",
        "9998-12-31 23:59:59.999999Z",
        "9999-01-01Z",
        "9999-12-31 23:59:59.999999Z",
        "10000-01-01Z",
    ] {
        db.run(&record(at));
    }
    // A superuser can write what record() refuses.
    db.run("INSERT INTO audit_log.event_unplaced (occurred_at, feed, id, organization_id, category, target_type, actor_type, database_user)
            SELECT at, 1, gen_random_uuid(), 'default', 'job_created', 'job', 'system', 'postgres'
            FROM unnest('{0001-01-01Z,0001-06-01Z,0001-12-31 BC,4713-01-01 BC,294276-12-31Z,infinity,-infinity}'::timestamptz[]) at");
    for unit in UNITS {
        db.run(&format!("SELECT audit_log.set_partition_interval('{unit}')"));
        move_all(&mut db.client);
        assert_eq!(
            db.all(
                "SELECT task || ': ' || last_error FROM audit_log.worker_status WHERE last_error IS NOT NULL"
            ),
            Vec::<String>::new(),
            "{unit}"
        );
        assert_eq!(
            db.one("SELECT count(*) FROM audit_log.stored_event WHERE category = 'job_created'"),
            "12"
        );
        assert_eq!(
            db.all("SELECT occurred_at FROM audit_log.event_unplaced ORDER BY 1"),
            [
                "-infinity",
                "4713-01-01 00:00:00+00 BC",
                "0001-12-31 00:00:00+00 BC",
                "9999-01-01 00:00:00+00",
                "9999-12-31 23:59:59.999999+00",
                "10000-01-01 00:00:00+00",
                "294276-12-31 00:00:00+00",
                "infinity"
            ]
        );
        db.run("SELECT audit_log.set_retention('30 days'); SELECT audit_log.run_retention(dry_run => true); SELECT audit_log.set_retention(NULL)");
    }
}
