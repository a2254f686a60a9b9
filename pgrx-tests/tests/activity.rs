//! activity_daily, category_daily and count_entries(): what they count, and what must not disturb it.

use std::thread;

use audit_log_tests::{all, fails, json, one, patient, query, run, unique, until_it_waits, Db};

use crate::listing::Random;
use crate::page_truth::{is_exact, people, week};

pub const RECORD: &str = "SELECT audit_log.record('job_created', '1')";
pub const COUNT: &str = "SELECT audit_log.count_entries()";
const UNCOUNTED: &str = "SELECT count(*) FROM audit_log.uncounted";

/// Fails where the counts are not exact, here or for somebody else.
#[track_caller]
pub fn exact(db: &mut Db, when: &str) {
    is_exact(&mut db.client, when);
    is_exact(&mut db.session(), when);
}

/// Runs statements, each in a transaction of its own.
#[track_caller]
pub fn each(db: &mut Db, sql: &str) {
    sql.split(';').for_each(|statement| db.run(statement));
}

#[test]
fn counted_by_day_organization_category_and_actor() {
    let mut db = Db::new();
    db.run(
        r#"SET TimeZone = 'America/New_York';
        SELECT audit_log.set_context('{"actor": {"type": "user", "id": "7", "name": "Ann"}}', false);
        SELECT audit_log.record('job_created', '1', occurred_at => '2025-03-03 23:59:59.999999Z');
        SELECT audit_log.record('job_created', '1', occurred_at => '2025-03-04Z') FROM generate_series(1, 3);
        SELECT audit_log.set_context('{"actor": {"type": "user", "id": "7", "name": "Ann Miller"}, "effective_actor": {"type": "user", "id": "8"}}', false);
        SELECT audit_log.record('job_created', '2', occurred_at => '2025-03-04 23:59Z');
        SELECT audit_log.record('offer_sent', '3', occurred_at => '2025-03-04Z', organization => 'acme');
        SELECT audit_log.set_context('{"actor": {"type": "automation", "name": "nightly"}}', false);
        SELECT audit_log.record('job_created', '2', occurred_at => '2025-03-04Z');
        SELECT audit_log.set_context(NULL, false)"#,
    );
    for counted in ["nothing", "everything"] {
        assert_eq!(
            db.all("SELECT concat_ws(' ', day, organization_id, category, actor_type, coalesce(actor_id, '-'), events) FROM audit_log.activity_daily ORDER BY 1"),
            [
                "2025-03-03 default job_created user 7 1",
                "2025-03-04 acme offer_sent user 7 1",
                "2025-03-04 default job_created automation - 1",
                "2025-03-04 default job_created user 7 4",
            ],
            "{counted} is counted"
        );
        assert_eq!(
            db.all("SELECT concat_ws(' ', day, organization_id, category, events) FROM audit_log.category_daily ORDER BY 1"),
            ["2025-03-03 default job_created 1", "2025-03-04 acme offer_sent 1", "2025-03-04 default job_created 5"],
            "{counted} is counted"
        );
        db.run(COUNT);
    }
    // What was recorded of an organization that is disabled is still there, as in entry.
    db.run("SELECT audit_log.disable_organization('acme')");
    exact(&mut db, "an organization is disabled");
    assert_eq!(db.one("SELECT sum(events) FROM audit_log.category_daily WHERE category = 'offer_sent'"), "1");
}

#[test]
fn what_commits_late_or_never() {
    let mut db = Db::new();
    db.run("SELECT audit_log.ensure_partitions()");
    let (mut late, mut never) = (db.session(), db.session());
    let gids = [unique("late"), unique("never")];
    run(&mut late, &format!("BEGIN; {RECORD}; SAVEPOINT a; {RECORD}; ROLLBACK TO a; {RECORD}"));
    run(&mut never, &format!("BEGIN; {RECORD}"));
    for gid in &gids {
        let mut prepares = db.session();
        run(
            &mut prepares,
            &format!("BEGIN; {RECORD}; SAVEPOINT a; {RECORD}; RELEASE a; PREPARE TRANSACTION '{gid}'"),
        );
    }
    let there = |db: &mut Db| db.one("SELECT coalesce(sum(events), 0) FROM audit_log.category_daily");
    for (step, wanted) in [
        (format!("{RECORD}; {COUNT}"), "1"),
        (format!("{RECORD}; {COUNT}; {COUNT}"), "2"),
        ("COMMIT".to_string(), "4"),
        (format!("COMMIT PREPARED '{}'", gids[0]), "6"),
        (COUNT.to_string(), "6"),
        (format!("ROLLBACK PREPARED '{}'", gids[1]), "6"),
        ("ROLLBACK".to_string(), "6"),
        (COUNT.to_string(), "6"),
    ] {
        match step.as_str() {
            "COMMIT" => run(&mut late, "COMMIT"),
            "ROLLBACK" => run(&mut never, "ROLLBACK"),
            step => each(&mut db, step),
        }
        exact(&mut db, &step);
        assert_eq!(there(&mut db), wanted, "{step}");
    }
    assert_eq!(db.one(UNCOUNTED), "0");
}

#[test]
fn counting_that_rolls_back_or_is_stopped_has_counted_nothing() {
    let mut db = Db::new();
    db.run("SELECT audit_log.ensure_partitions(); SELECT audit_log.record('job_created', n::text) FROM generate_series(1, 500) n");
    db.run(&format!("BEGIN; {COUNT}; ROLLBACK"));
    db.run(&format!("BEGIN; SAVEPOINT a; {COUNT}; ROLLBACK TO a; {RECORD}; COMMIT"));
    assert_eq!(db.one(UNCOUNTED), "501");
    exact(&mut db, "both were rolled back");
    // It does not get to its end: somebody holds up what follows, or it is stopped before.
    let mut holds = db.session();
    db.run("CREATE TABLE held ()");
    run(&mut holds, "BEGIN; LOCK TABLE held");
    db.run("SET statement_timeout = 200");
    assert_eq!(db.fails(&format!("{COUNT}; LOCK TABLE held")).sqlstate, "57014");
    db.run("RESET statement_timeout");
    exact(&mut db, "a timeout");
    db.run(COUNT);
    assert_eq!(db.one(UNCOUNTED), "0");
    exact(&mut db, "at last");
}

#[test]
fn a_transaction_that_counts_writes_before_and_after() {
    let mut db = Db::new();
    db.run("SELECT audit_log.ensure_partitions()");
    let mut other = db.session();
    for level in ["READ COMMITTED", "REPEATABLE READ"] {
        db.run(&format!("BEGIN ISOLATION LEVEL {level}; {RECORD}"));
        // A later transaction ends first: only then is the snapshot beyond this one.
        run(&mut other, RECORD);
        db.run(&format!("{COUNT}; {RECORD}; SAVEPOINT a; {RECORD}; RELEASE a"));
        is_exact(&mut db.client, &format!("{level}, before it ends"));
        db.run("COMMIT");
        exact(&mut db, level);
        db.run(COUNT);
        exact(&mut db, &format!("{level}, and counted again"));
    }
}

#[test]
fn counting_by_an_old_snapshot() {
    let mut db = Db::new();
    db.run("SELECT audit_log.ensure_partitions()");
    let mut old = db.session();
    for others_count in [false, true, true] {
        run(&mut old, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM audit_log.entry");
        db.run(RECORD);
        if others_count {
            db.run(COUNT);
        }
        let counted = old.batch_execute(COUNT).is_ok();
        run(&mut old, if counted { "COMMIT" } else { "ROLLBACK" });
        exact(&mut db, &format!("others counted: {others_count}, counted: {counted}"));
        each(&mut db, &format!("{RECORD}; {COUNT}"));
        exact(&mut db, "counted again");
    }
}

/// The longest ids there are, of what no compression makes shorter.
#[test]
fn ids_as_long_as_they_may_be() {
    let mut db = Db::new();
    db.run("SELECT audit_log.ensure_partitions()");
    let mut random = Random(1);
    let mut noise =
        |length: usize| (0..length).map(|_| char::from(b'!' + random.below(90) as u8)).collect::<String>();
    let (id, organization, name) = (noise(2_500), noise(255), noise(10_000));
    let context = json!({"actor": {"type": "user", "id": id, "name": name}, "organization": organization});
    query(&mut db.client, "SELECT audit_log.set_context($1, false)", &[&context]);
    each(&mut db, &format!("{RECORD}; {COUNT}; {RECORD}; {COUNT}"));
    exact(&mut db, "counted twice");
    assert_eq!(people(&mut db.client, &name[9_000..], 1), [("user".into(), Some(id), Some(name))]);
}

#[test]
fn two_that_count_wait_for_each_other() {
    let mut db = Db::new();
    db.run("SELECT audit_log.ensure_partitions()");
    db.run(&format!("{RECORD}; BEGIN; {COUNT}"));
    let (mut waits, mut writes) = (db.session(), db.session());
    patient(&mut waits);
    patient(&mut writes);
    let pid = one(&mut waits, "SELECT pg_backend_pid()");
    thread::scope(|scope| {
        scope.spawn(|| run(&mut waits, COUNT));
        until_it_waits(&mut writes, &pid);
        // Nobody else waits: neither who writes nor who reads.
        run(&mut writes, RECORD);
        is_exact(&mut writes, "somebody counts");
        db.run("COMMIT");
    });
    exact(&mut db, "both have counted");
    assert_eq!(db.one(UNCOUNTED), "0");
}

#[test]
fn entries_that_were_there_before_their_weeks_partitions() {
    let mut db = Db::new();
    // The first one has no partition: watch() makes it beside that.
    db.run(&format!("{RECORD}; CREATE TABLE job (id int PRIMARY KEY); SELECT audit_log.watch('job')"));
    exact(&mut db, "nothing is counted");
    each(&mut db, &format!("{COUNT}; {RECORD}"));
    exact(&mut db, "counted");
    // The same of what comes before its time.
    each(&mut db, "SELECT audit_log.record('job_created', 'x', occurred_at => now() + interval '7 weeks'); SELECT audit_log.ensure_partitions(8)");
    each(&mut db, &format!("{COUNT}; SELECT audit_log.record('job_created', 'y', occurred_at => now() + interval '7 weeks'); {COUNT}"));
    exact(&mut db, "counted again");
}

/// Checks counts with a partition of event that somebody made and attached, of this name.
fn counted_in(name: &str, how: &str) {
    let mut db = Db::new();
    db.run("SET client_min_messages = error; SET TimeZone = 'UTC'; CREATE SCHEMA elsewhere");
    week(&mut db, "2025-03-31");
    db.run(&format!(
        "CREATE TABLE {name} (LIKE audit_log.event) {how};
         ALTER TABLE audit_log.event ATTACH PARTITION {name} FOR VALUES FROM ('2025-05-01 12:00') TO ('2025-05-04 12:00')"
    ));
    if !how.is_empty() {
        db.run(&format!("CREATE TABLE entries_of_jobs PARTITION OF {name} FOR VALUES IN ('job_created'); CREATE TABLE other_entries PARTITION OF {name} DEFAULT"));
    }
    for time in ["first", "again"] {
        db.run("SELECT audit_log.record(c, 'x', occurred_at => '2025-05-01'::timestamptz + n * interval '12 hours') FROM unnest('{job_created,offer_sent}'::text[]) c, generate_series(0, 7) n");
        db.run(COUNT);
        exact(&mut db, &format!("{name}, {time}"));
    }
}

#[test]
fn partitions_that_others_made() {
    for name in ["event_", "event_unplaced2", "activity_of_ours", "days_of_may"] {
        counted_in(name, "");
    }
    counted_in("subdivided", "PARTITION BY LIST (category)");
}

#[test]
fn a_partition_that_others_made_with_a_short_name() {
    counted_in("may", "");
}

#[test]
fn a_partition_that_others_made_with_the_name_of_one_of_ours() {
    counted_in("elsewhere.event_p20250331", "");
}

#[test]
fn what_is_new_is_found_by_its_index_alone() {
    let mut db = Db::new();
    week(&mut db, "2025-03-03");
    db.run("CREATE TABLE job (id int PRIMARY KEY, t text); SELECT audit_log.watch('job')");
    let record = "SELECT audit_log.record('job_created', n::text, occurred_at => '2025-03-04') FROM generate_series(1, 700) n";
    let mut by_index = db.session();
    run(&mut by_index, "SET enable_seqscan = off");
    let plan = all(&mut by_index, &format!("EXPLAIN {UNCOUNTED}")).join("\n");
    assert!(plan.contains("_feed_idx"), "the premise of this test: {plan}");
    for n in 0..3 {
        each(
            &mut db,
            &format!(
                "{record}; INSERT INTO job SELECT {n} * 1000 + n FROM generate_series(1, 900) n; {COUNT}"
            ),
        );
        // One at a time, and a statement's together; on the same page and on new ones.
        each(&mut db, &format!("{RECORD}; {record}; UPDATE job SET t = '{n}' WHERE id % 1000 < 300"));
        is_exact(&mut by_index, "written");
        assert_eq!(one(&mut by_index, UNCOUNTED), (701 + 299 * (n + 1)).to_string());
        db.run("VACUUM audit_log.event_p20250303");
        is_exact(&mut by_index, "vacuumed");
    }
}

#[test]
fn who_counts_and_who_reads_counts() {
    let mut db = Db::new();
    db.run("SELECT audit_log.ensure_partitions()");
    for organization in ["acme", "globex", "acme"] {
        db.run(&format!("SELECT audit_log.record('job_created', organization => '{organization}')"));
    }
    let sums = "SELECT concat_ws(' ', organization_id, sum(events)) FROM audit_log.{} WHERE category = 'job_created' GROUP BY organization_id ORDER BY 1";
    let mut session = |granted: &str| {
        let role = unique("role");
        let session = db.session_as(&role);
        db.run(&granted.replace("{}", &role));
        session
    };
    let mut nobody = session("");
    let mut writer = session("GRANT audit_log_writer TO {}");
    let mut admin = session("GRANT audit_log_admin TO {}");
    let mut reader = session("GRANT audit_log_reader TO {}");
    let mut bound = session("SELECT audit_log.grant_read('{}', 'acme')");
    for _ in 0..2 {
        for view in ["activity_daily", "category_daily"] {
            let sums = sums.replace("{}", view);
            for client in [&mut nobody, &mut writer] {
                assert_eq!(fails(client, &sums).sqlstate, "42501", "{view}");
            }
            for client in [&mut admin, &mut reader] {
                assert_eq!(all(client, &sums), ["acme 2", "globex 1"], "{view}");
            }
            assert_eq!(all(&mut bound, &sums), ["acme 2"], "{view}");
        }
        is_exact(&mut bound, "for one organization");
        for client in [&mut nobody, &mut writer, &mut reader, &mut bound] {
            assert_eq!(fails(client, COUNT).sqlstate, "42501");
        }
        // Whatever the session's settings are.
        run(
            &mut admin,
            &format!(
                "SET search_path = pg_temp; SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'SQL, DMY'; {COUNT}"
            ),
        );
    }
}
