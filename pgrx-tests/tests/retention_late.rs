//! What comes late or in masses: behind a line that was passed, during a run, at one instant, under rules that change.

use std::thread;

use audit_log_tests::{all, fails, one, run, unique, wait_for, Db};
use postgres::Client;

use crate::retention_truth::{count, drain, is_sound, is_tidy, pages_read, partitions, purge, step};

const NOW: &str = "2024-01-01Z";

fn record(at: &str, id: &str) -> String {
    format!("SELECT audit_log.record('job_created', '{id}', occurred_at => '{at}Z', targets => '[{{\"type\": \"user\", \"id\": \"{id}\"}}]')")
}

fn ids(client: &mut Client) -> Vec<String> {
    all(
        client,
        "SELECT target_id FROM audit_log.entry WHERE category = 'job_created' ORDER BY occurred_at, id",
    )
}

/// A partition that something held keeps, one that went, and none; all old.
const OLD: [&str; 3] = ["2023-03-04 12:00", "2023-03-12 12:00", "2023-01-01 12:00"];

fn passed() -> Db {
    let mut db = Db::new();
    db.run("SET client_min_messages = error; SELECT audit_log.ensure_partitions()");
    partitions(&mut db, "2023-03-03", "2023-03-10");
    partitions(&mut db, "2023-03-10", "2023-03-17");
    db.run("SELECT audit_log.hold('case', target_id => 'kept')");
    db.run(&record("2023-03-05", "kept"));
    OLD.iter().for_each(|at| db.run(&record(at, "first")));
    purge(&mut db.client, NOW);
    assert_eq!(ids(&mut db.client), ["kept"]);
    assert_eq!(db.all("SELECT partition::text FROM audit_log.partition_bounds('audit_log.event') WHERE upper < '2023-04-01'"), ["audit_log.event_p20230303"]);
    db
}

#[test]
fn what_is_written_behind_the_line_goes_with_the_next_run() {
    let mut db = passed();
    let mut writer = db.session();
    for n in 0..3 {
        // A session that wrote to partitions which went since.
        OLD.iter().for_each(|at| run(&mut writer, &record(at, "late")));
        run(&mut writer, &record("2023-03-04 00:00", "held").replace("held", "kept"));
        is_sound(&mut db.client, "it came");
        if n == 1 {
            drain(&mut db.client, "counts", NOW);
        }
        // By the same clock: no rule's line has moved.
        purge(&mut db.client, NOW);
        assert_eq!(ids(&mut db.client), vec!["kept"; n + 2]);
        is_tidy(&mut db.client, "it went");
        assert_eq!(drain(&mut db.client, "clear", NOW), []);
    }
}

#[test]
fn transactions_that_end_after_a_run() {
    let mut db = passed();
    let (mut open, mut nested) = (db.session(), db.session());
    let gid = unique("late");
    let mut prepares = db.session();
    let all_of = |id: &str| OLD.map(|at| record(at, id)).join("; ");
    run(&mut open, &format!("BEGIN; {}", all_of("open")));
    run(&mut nested, &format!("BEGIN; SAVEPOINT s; {}; RELEASE s", all_of("nested")));
    run(&mut prepares, &format!("BEGIN; {}; PREPARE TRANSACTION '{gid}'", all_of("prepared")));
    for _ in 0..2 {
        db.run(&all_of("meanwhile"));
        for task in ["counts", "clear"] {
            drain(&mut db.client, task, NOW);
        }
        assert_eq!(ids(&mut db.client), ["kept"]);
        is_sound(&mut db.client, "they are open");
    }
    run(&mut open, "COMMIT");
    assert_eq!(ids(&mut db.client).len(), 4);
    drain(&mut db.client, "clear", NOW);
    assert_eq!(ids(&mut db.client), ["kept"]);
    run(&mut nested, "COMMIT");
    drain(&mut db.client, "counts", NOW);
    db.run(&format!("COMMIT PREPARED '{gid}'"));
    assert_eq!(ids(&mut db.client).len(), 7);
    is_sound(&mut db.client, "all are over");
    purge(&mut db.client, NOW);
    assert_eq!(ids(&mut db.client), ["kept"]);
    is_tidy(&mut db.client, "all are gone");
}

/// Waits until a session has waited for a lock at least once.
fn began_to_wait(client: &mut Client, pid: &str) {
    wait_for(client, &format!("SELECT count(*) > 0 FROM pg_locks WHERE pid = {pid} AND NOT granted"), "t");
}

/// Drops while somebody writes what is of the time of what is dropped, and commits once the drop waits.
fn dropped_beside(db: &mut Db, write: &str) -> Option<String> {
    let (mut writer, mut looks) = (db.session(), db.session());
    let pid = db.one("SELECT pg_backend_pid()");
    run(&mut writer, &format!("BEGIN; {write}"));
    thread::scope(|scope| {
        let dropping = scope.spawn(|| step(&mut db.client, "drop", NOW));
        began_to_wait(&mut looks, &pid);
        run(&mut writer, "COMMIT");
        dropping.join().expect("ends").2
    })
}

#[track_caller]
fn gave_way(error: Option<String>) {
    let error = error.expect("it gives way");
    // Where this machine is slow, it does not even get so far.
    assert!(error.contains("something was written") || error.contains("the log is in use"), "{error}");
}

#[test]
fn something_is_written_to_a_partition_that_is_being_dropped() {
    let mut db = passed();
    partitions(&mut db, "2023-03-10", "2023-03-17");
    db.run(&record("2023-03-12", "first"));
    // Held or not: it was not looked at, so nothing is dropped.
    for (id, at) in [("late", "2023-03-11 01:00"), ("kept", "2023-03-11 02:00")] {
        gave_way(dropped_beside(&mut db, &record(at, id)));
        is_sound(&mut db.client, "not dropped");
    }
    assert_eq!(ids(&mut db.client), ["kept", "late", "kept", "first"]);
    purge(&mut db.client, NOW);
    assert_eq!(ids(&mut db.client), ["kept", "kept"]);
    is_tidy(&mut db.client, "then it was looked at");
}

/// Where entries have no partition and their other targets have one.
#[test]
fn something_is_written_of_whose_time_only_targets_have_a_partition() {
    let mut db = Db::new();
    db.run("SET client_min_messages = error; SELECT audit_log.ensure_partitions(); SELECT audit_log.hold('case', target_id => 'kept')");
    for parent in ["event_target", "activity", "named"] {
        db.run(&format!(
            "SELECT audit_log.create_partition('audit_log.{parent}', '2023-02-27Z', '2023-03-06Z')"
        ));
    }
    partitions(&mut db, "2023-03-06", "2023-03-13");
    db.run(&record("2023-03-08", "first"));
    drain(&mut db.client, "counts", NOW);
    let error = dropped_beside(&mut db, &record("2023-03-01", "kept"));
    is_sound(&mut db.client, "written beside a drop");
    gave_way(error);
    purge(&mut db.client, NOW);
    assert_eq!(ids(&mut db.client), ["kept"]);
    is_tidy(&mut db.client, "then it was looked at");
    db.run("SELECT audit_log.release_hold('case')");
    purge(&mut db.client, NOW);
    assert_eq!(count(&mut db.client), 0);
    is_tidy(&mut db.client, "all is gone");
}

#[test]
fn many_entries_of_one_instant() {
    let mut db = Db::new();
    db.run("SET client_min_messages = error; SELECT audit_log.ensure_partitions(); SELECT audit_log.set_retention('300 days')");
    partitions(&mut db, "2023-03-03", "2023-03-10");
    let many = |from: i32, to: i32, at: &str| {
        format!("SELECT count(audit_log.record('job_created', (n % 7)::text, occurred_at => {at})) FROM generate_series({from}, {to}) n")
    };
    db.run(&many(1, 100, "'2023-03-05'::timestamptz - n * interval '1 min'"));
    db.run(&many(1, 25_000, "'2023-03-05'"));
    db.run(&many(1, 100, "'2023-03-05'::timestamptz + n * interval '1 us'"));
    db.run(&many(1, 50, "'2023-03-09'"));
    drain(&mut db.client, "counts", NOW);
    db.run("SELECT audit_log.hold('case', target_type => 'job', target_id => '3'); ANALYZE audit_log.event_p20230303");
    let (mut steps, mut removed, mut read) = (0, 0, 0);
    loop {
        // What it looks at grows with what it removes, however many are of one instant.
        run(&mut db.client, "BEGIN");
        read += pages_read(&mut db.client, "SELECT * FROM audit_log.run_task('clear', '2023-12-31Z')");
        run(&mut db.client, "ROLLBACK");
        // Of 2024: 300 days before it is within the partition.
        let (gone, more, error) = step(&mut db.client, "clear", "2023-12-31Z");
        assert_eq!(error, None);
        removed += gone.iter().map(|r| r.entries).sum::<i64>();
        steps += 1;
        if !more {
            break;
        }
        assert!(steps < 10, "it comes to no end");
    }
    assert!(steps >= 3, "{steps}: in batches");
    assert!(read < 12 * 25_250, "{read} pages were looked at for 25,250 entries");
    let held = 14 + 3_572 + 14 + 50;
    assert_eq!((removed, count(&mut db.client)), (25_250 - held, held));
    assert_eq!(
        db.one("SELECT count(*) FROM audit_log.entry WHERE target_id <> '3' AND occurred_at < '2023-03-06Z'"),
        "0"
    );
    is_sound(&mut db.client, "cleared");
}

#[test]
fn rules_change_between_batches() {
    let mut db = Db::new();
    db.run("SET client_min_messages = error; SELECT audit_log.ensure_partitions(); SELECT audit_log.set_retention('300 days')");
    // Day after day from 1 January on, in the order of time; 300 days before the clock is 7 March.
    db.run(
        "SELECT audit_log.record(CASE WHEN n % 2 = 0 THEN 'job_created' ELSE 'offer_sent' END, n::text, organization => CASE WHEN n % 3 = 0 THEN 'acme' END, occurred_at => '2023-01-01Z'::timestamptz + n * interval '1 day')
         FROM generate_series(0, 99) n",
    );
    let clear =
        |db: &mut Db, clock: &str| db.one(&format!("SELECT more FROM audit_log.clear_next('{clock}', 10)"));
    let left = |db: &mut Db| {
        db.one("SELECT string_agg(target_id, ' ' ORDER BY target_id::int) FROM audit_log.entry WHERE target_type IN ('job', 'offer')")
    };
    let numbers = |kept: &dyn Fn(i32) -> bool| {
        (0..100).filter(|n| kept(*n)).map(|n| n.to_string()).collect::<Vec<_>>().join(" ")
    };
    for _ in 0..2 {
        assert_eq!(clear(&mut db, NOW), "t");
    }
    assert_eq!(left(&mut db), numbers(&|n| n >= 20));
    // Longer for some, as of now; and what comes behind the point that was reached.
    db.run("SELECT audit_log.set_retention('330 days', 'acme'); SELECT audit_log.set_retention(NULL, 'acme', 'offer_sent')");
    db.run("SELECT audit_log.record('job_created', '5', occurred_at => '2023-01-06Z')");
    for _ in 0..20 {
        clear(&mut db, NOW);
    }
    let kept = |n: i32| {
        if n % 6 == 3 {
            n >= 20
        } else if n % 3 == 0 {
            n >= 35
        } else {
            n >= 65
        }
    };
    assert_eq!(left(&mut db), numbers(&kept));
    // A rule that reaches further, interrupted by one that reaches less far; and by a later clock.
    db.run("SELECT audit_log.set_retention('270 days')");
    clear(&mut db, NOW);
    db.run("SELECT audit_log.record('job_created', '1', occurred_at => '2023-01-02Z')");
    clear(&mut db, NOW);
    db.run("SELECT audit_log.set_retention('280 days')");
    for clock in [NOW, "2024-01-03Z", "2024-01-05Z"] {
        clear(&mut db, clock);
        clear(&mut db, clock);
    }
    for _ in 0..20 {
        clear(&mut db, "2024-01-05Z");
    }
    let kept = |n: i32| {
        if n % 6 == 3 {
            n >= 20
        } else if n % 3 == 0 {
            n >= 39
        } else {
            n >= 89
        }
    };
    assert_eq!(left(&mut db), numbers(&kept));
    assert_eq!(clear(&mut db, "2024-01-05Z"), "f");
    is_tidy(&mut db.client, "cleared");
}

/// While a purge goes through a partition, step by step, something is written behind it.
#[test]
fn what_comes_behind_the_point_that_a_purge_has_reached() {
    let mut db = Db::new();
    db.run("SET client_min_messages = error; SELECT audit_log.ensure_partitions()");
    let mut open = db.session();
    for n in 1..=30 {
        db.run(&record(&format!("2023-01-{n:02}"), "first"));
    }
    let clear =
        |db: &mut Db, clock: &str| db.one(&format!("SELECT more FROM audit_log.clear_next('{clock}', 10)"));
    clear(&mut db, NOW);
    db.run(&record("2023-01-02", "behind"));
    run(&mut open, &format!("BEGIN; {}", record("2023-01-03", "open")));
    clear(&mut db, "2024-01-02Z");
    db.run(&record("2023-01-04", "behind"));
    drain(&mut db.client, "counts", NOW);
    clear(&mut db, "2024-01-03Z");
    run(&mut open, "COMMIT");
    assert_eq!(ids(&mut db.client), ["behind", "open", "behind"], "the premise of this test");
    for _ in 0..3 {
        clear(&mut db, "2024-01-03Z");
    }
    assert_eq!(ids(&mut db.client), [""; 0]);
    assert_eq!(clear(&mut db, "2024-01-03Z"), "f");
    is_tidy(&mut db.client, "all is gone");
}

#[test]
fn keys_of_what_is_gone_can_be_used_anew() {
    let mut db = Db::new();
    db.run("SET client_min_messages = error; SELECT audit_log.ensure_partitions()");
    partitions(&mut db, "2023-03-03", "2023-03-10");
    let keyed = |key: &str, at: &str, id: &str| {
        format!("SELECT audit_log.record('job_created', '{id}', occurred_at => '{at}Z', idempotency_key => '{key}')")
    };
    let old = db.one(&keyed("whole", "2023-03-04", "1"));
    let single = db.one(&keyed("single", "2023-01-04", "1"));
    let young = db.one(&keyed("young", "2035-01-04", "1"));
    assert_eq!(db.one(&keyed("whole", "2023-03-04", "1")), old);
    db.fails(&keyed("single", "2023-01-04", "2")).is("22023", "invalid_input");
    for task in ["clear", "drop"] {
        drain(&mut db.client, task, NOW);
    }
    // At once, and after they were tidied.
    let again = db.one(&keyed("single", "2023-01-05", "other"));
    assert_ne!(again, single);
    assert_eq!(db.one(&keyed("single", "2023-01-05", "other")), again);
    let keys = "SELECT string_agg(key, ' ' ORDER BY key) FROM audit_log.idempotency";
    drain(&mut db.client, "tidy", NOW);
    assert_eq!(db.one(keys), "single young");
    assert_eq!(db.one(&keyed("single", "2023-01-05", "other")), again);
    assert_eq!(db.one(&keyed("young", "2035-01-04", "1")), young);
    assert_ne!(db.one(&keyed("whole", "2023-03-04", "2")), old);
    purge(&mut db.client, NOW);
    assert_eq!(db.one(keys), "young");
    // Of an entry that nobody sees yet.
    let mut other = db.session();
    let pid = db.one("SELECT pg_backend_pid()");
    db.run(&keyed("raced", "2023-03-04", "1"));
    drain(&mut db.client, "clear", NOW);
    run(&mut other, &format!("BEGIN; {}", keyed("raced", "2035-01-05", "2")));
    let mut looks = db.session();
    thread::scope(|scope| {
        let tidying = scope.spawn(|| step(&mut db.client, "tidy", NOW));
        began_to_wait(&mut looks, &pid);
        run(&mut other, "COMMIT");
        assert_eq!(tidying.join().expect("ends").2, None);
    });
    let id = "SELECT id FROM audit_log.entry WHERE occurred_at = '2035-01-05Z'";
    assert_eq!(
        one(&mut other, &keyed("raced", "2035-01-05", "2")),
        db.one(id),
        "a retry makes no second entry"
    );
    fails(&mut other, &keyed("raced", "2035-01-05", "3")).is("22023", "invalid_input");
}
