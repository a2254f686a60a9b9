//! What goes wrong around the background worker: it goes on, or comes back, and says once what was wrong.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use audit_log_tests::{all, one, run, wait_for, Cluster};
use postgres::Client;

use crate::worker::{
    complaints, create, created, has_no_complaints, log, next_round, start, within, ALL_RAN, HAS_PARTITIONS,
    PURGED, SOON,
};
use crate::worker_databases::{hasten, is_at_work, slow};

const LEFT: &str = "SELECT count(*) FROM audit_log.entry WHERE category = 'job_created'";
const EXPIRED: &str = "SELECT audit_log.record('job_created', occurred_at => now() - n * interval '2 days')
     FROM generate_series(1, 5) n";
const LAUNCHER: &str =
    "SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE backend_type = 'audit_log launcher'";

/// The worker's messages with a text in them.
fn told(cluster: &Cluster, text: &str) -> Vec<String> {
    complaints(cluster).into_iter().filter(|line| line.contains(text)).collect()
}

fn status(client: &mut Client, task: &str, column: &str) -> String {
    one(client, &format!("SELECT {column} FROM audit_log.worker_status WHERE task = '{task}'"))
}

/// Waits until a task has failed so often; the seconds until its next run, rounded.
#[track_caller]
fn has_failed(client: &mut Client, task: &str, times: u32) -> String {
    let failures = format!("SELECT failures FROM audit_log.worker_status WHERE task = '{task}'");
    within(SOON, client, &failures, &times.to_string());
    status(client, task, "round(extract(epoch FROM next_run - last_run))")
}

#[test]
fn a_task_that_fails_is_told_once_and_tried_later_and_later() {
    let cluster = start(&["audit_log.retention_interval=1s"]);
    let (mut client, mut other) = (created(&cluster, "jobs"), created(&cluster, "other"));
    within(SOON, &mut client, ALL_RAN, "t");
    run(&mut client, "SELECT audit_log.set_retention('1 day')");
    run(
        &mut client,
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN RAISE EXCEPTION ''the disk is purple''; END';
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON audit_log.examined FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    run(&mut client, EXPIRED);
    assert_eq!(has_failed(&mut client, "clear", 1), "10");
    assert_eq!(status(&mut client, "clear", "last_error"), "the disk is purple");
    let succeeded = status(&mut client, "clear", "last_success");
    // The others go on, here and elsewhere.
    next_round(&mut client);
    next_round(&mut other);
    assert_eq!(status(&mut client, "drop", "last_success > now() - interval '10 seconds'"), "t");
    assert_eq!(has_failed(&mut client, "clear", 2), "20");
    assert_eq!(status(&mut client, "clear", "last_success"), succeeded);
    assert_eq!(one(&mut client, LEFT), "5", "what failed has left something behind");
    let reasons = told(&cluster, "the disk is purple");
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(
        reasons[0].contains("WARNING") && reasons[0].contains("\"clear\"") && reasons[0].contains("\"jobs\""),
        "{reasons:?}"
    );
    // Another reason is told, too.
    run(
        &mut client,
        "CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN RAISE EXCEPTION ''the disk is green''; END'",
    );
    run(&mut client, "UPDATE audit_log.worker_task SET next_run_at = now() WHERE task = 'clear'");
    assert_eq!(has_failed(&mut client, "clear", 3), "40");
    assert_eq!(told(&cluster, "the disk is green").len(), 1);
    run(&mut client, "DROP TRIGGER refuse ON audit_log.examined");
    // By hand, or at the time it said.
    run(&mut client, "SELECT audit_log.run_retention()");
    assert_eq!(one(&mut client, LEFT), "0");
    assert_eq!(status(&mut client, "clear", "concat(failures, last_error)"), "0");
    next_round(&mut client);
    within(SOON, &mut client, ALL_RAN, "t");
    assert_eq!(complaints(&cluster).len(), 2, "{:?}", complaints(&cluster));
    cluster.stop();
}

/// Locks of sessions that are open for long, of every kind that a task may meet.
#[test]
fn locks_that_are_held_for_long_are_not_waited_for_and_stop_nobody_else() {
    let cluster = start(&["audit_log.retention_interval=1s", "max_worker_processes=20"]);
    let tables = [
        "audit_log.event_unplaced",
        "audit_log.retention_rule",
        "audit_log.counted_until",
        "audit_log.feed_epoch",
        "audit_log.worker_task",
        "audit_log.examined",
        "audit_log.event",
    ];
    let mut sessions: Vec<(Client, Client)> =
        tables.iter().map(|table| (created(&cluster, table), cluster.connect(table))).collect();
    for (client, locker) in &mut sessions {
        within(SOON, client, ALL_RAN, "t");
        let table = one(client, "SELECT current_database()");
        run(locker, &format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"));
    }
    // There are more of them than work at once.
    sleep(Duration::from_secs(3));
    let mut other = created(&cluster, "other");
    within(SOON, &mut other, ALL_RAN, "t");
    next_round(&mut other);
    sessions.iter_mut().for_each(|(_, locker)| run(locker, "COMMIT"));
    for (client, _) in &mut sessions {
        within(60, client, ALL_RAN, "t");
        next_round(client);
    }
    // Each is told once at the most.
    let mut told: Vec<String> =
        complaints(&cluster).iter().map(|line| line.split('|').skip(2).collect()).collect();
    told.sort_unstable();
    let mut distinct = told.clone();
    distinct.dedup();
    assert_eq!(told, distinct);
    cluster.stop();
}

/// Where more work always than may at once, and none ever has nothing left to do.
#[test]
fn databases_that_always_have_something_to_do_leave_others_their_turn() {
    let cluster = start(&["audit_log.retention_interval=1s"]);
    let mut admin = cluster.connect("postgres");
    for name in ["one", "two", "three"] {
        let mut client = created(&cluster, name);
        within(SOON, &mut client, ALL_RAN, "t");
        slow(&mut client, "clear", 2);
    }
    for name in ["one", "two", "three"] {
        is_at_work(&mut admin, name);
    }
    sleep(Duration::from_secs(2));
    let mut other = created(&cluster, "other");
    within(SOON, &mut other, ALL_RAN, "t");
    has_no_complaints(&cluster);
    cluster.stop();
}

/// The library itself cannot go on in one database: what it calls is gone.
#[test]
fn a_database_where_nothing_works_keeps_nobody_else_from_being_served() {
    let cluster = start(&["audit_log.retention_interval=1s"]);
    let mut broken: Vec<Client> = (0..3).map(|n| created(&cluster, &format!("broken_{n}"))).collect();
    for client in &mut broken {
        within(SOON, client, ALL_RAN, "t");
        run(client, "ALTER TABLE audit_log.worker_task RENAME TO gone");
    }
    sleep(Duration::from_secs(2));
    let mut other = created(&cluster, "other");
    within(SOON, &mut other, ALL_RAN, "t");
    next_round(&mut other);
    sleep(Duration::from_secs(6));
    // Tried after 5, 10, 20, … seconds.
    let errors = told(&cluster, "worker_task\" does not exist");
    assert!((3..=9).contains(&errors.len()), "{errors:#?}");
    // Which database it was is told once.
    for n in 0..3 {
        let about = told(&cluster, &format!("worker of database \"broken_{n}\" has failed"));
        assert_eq!(about.len(), 1, "{:#?}", complaints(&cluster));
    }
    for client in &mut broken {
        run(client, "ALTER TABLE audit_log.gone RENAME TO worker_task");
        // Or in so many seconds.
        run(client, "SELECT pg_reload_conf()");
        within(60, client, ALL_RAN, "t");
        next_round(client);
    }
    cluster.stop();
}

fn signal(signal: &str, pid: &str) {
    assert!(Command::new("kill").args([signal, pid]).status().expect("kill runs").success());
}

/// Waits for the server to be up again after a crash of one of its processes.
fn reconnect(cluster: &Cluster, database: &str) -> Client {
    for _ in 0..300 {
        sleep(Duration::from_millis(100));
        if let Ok(mut client) = cluster.config(database).connect(postgres::NoTls) {
            if client.simple_query("SELECT 1").is_ok() {
                return client;
            }
        }
    }
    panic!("the server has not come back");
}

/// Everything that is to be done is done, and once.
#[track_caller]
fn is_done(cluster: &Cluster, purged: u32) {
    let mut client = cluster.connect("jobs");
    assert!(
        one(&mut client, LAUNCHER) != "0"
            || within(SOON, &mut client, &format!("SELECT ({LAUNCHER}) <> 0"), "t") > Duration::ZERO
    );
    within(90, &mut client, LEFT, "0");
    assert_eq!(one(&mut client, PURGED), purged.to_string());
    within(SOON, &mut client, HAS_PARTITIONS, "1");
    within(SOON, &mut client, ALL_RAN, "t");
    next_round(&mut client);
    assert_eq!(
        one(&mut client, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'audit_log launcher'"),
        "1"
    );
}

/// A launcher, and a worker that is in the middle of purging.
fn at_work() -> (Cluster, Client) {
    let cluster = start(&["audit_log.retention_interval=1s"]);
    let mut client = create(&cluster, "jobs");
    // In the first of its steps, of which the launcher has not heard yet.
    run(&mut client, "BEGIN; CREATE EXTENSION audit_log");
    slow(&mut client, "partitions", 60);
    run(&mut client, "SELECT audit_log.set_retention('1 day')");
    run(&mut client, EXPIRED);
    run(&mut client, "COMMIT");
    is_at_work(&mut client, "jobs");
    (cluster, client)
}

#[test]
fn a_worker_that_is_ended_in_its_work_comes_back() {
    let (cluster, mut client) = at_work();
    let worker =
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'audit_log worker' AND datname = 'jobs'";
    for how in ["pg_terminate_backend", "pg_cancel_backend"] {
        let pid = one(&mut client, worker);
        run(&mut client, &format!("SELECT {how}({pid})"));
        within(
            SOON,
            &mut client,
            &format!("SELECT coalesce(max(pid), {pid}) <> {pid} FROM ({worker}) w(pid)"),
            "t",
        );
        is_at_work(&mut client, "jobs");
    }
    hasten(&mut client);
    // Or in twenty seconds, it being the third time.
    run(&mut client, "SELECT pg_reload_conf()");
    is_done(&cluster, 5);
    // And in the middle of a later step.
    slow(&mut client, "clear", 60);
    run(&mut client, EXPIRED);
    is_at_work(&mut client, "jobs");
    hasten(&mut client);
    is_done(&cluster, 10);
    cluster.stop();
}

#[test]
fn a_launcher_that_is_ended_comes_back_and_serves_what_was_at_work() {
    let (cluster, mut client) = at_work();
    let launcher = one(&mut client, LAUNCHER);
    let began = one(&mut client, "SELECT clock_timestamp()");
    run(&mut client, &format!("SELECT pg_terminate_backend({launcher})"));
    within(SOON, &mut client, &format!("SELECT ({LAUNCHER}) NOT IN (0, {launcher})"), "t");
    // Never two in one database.
    for _ in 0..40 {
        let workers = "SELECT count(*) <= 1 FROM pg_stat_activity WHERE backend_type = 'audit_log worker' AND datname = 'jobs'";
        within(2, &mut client, workers, "t");
        sleep(Duration::from_millis(50));
    }
    // It is there for those that come.
    let mut other = created(&cluster, "other");
    within(SOON, &mut other, ALL_RAN, "t");
    // The one from before is known, or was told to end.
    is_at_work(&mut other, "jobs");
    run(&mut other, "CREATE DATABASE copy TEMPLATE other");
    drop(client);
    let begin = std::time::Instant::now();
    run(&mut other, "ALTER DATABASE jobs RENAME TO moved; ALTER DATABASE moved RENAME TO jobs");
    assert!(begin.elapsed() < Duration::from_secs(4));
    hasten(&mut cluster.connect("jobs"));
    is_done(&cluster, 5);
    assert!(one(&mut other, "SELECT now()") > began);
    cluster.stop();
}

/// The launcher ends, and then the worker it started does, before it has said anything.
#[test]
fn a_worker_that_fails_while_there_is_no_launcher_is_not_forgotten() {
    let (cluster, mut client) = at_work();
    let launcher = one(&mut client, LAUNCHER);
    run(&mut client, &format!("SELECT pg_terminate_backend({launcher})"));
    within(SOON, &mut client, LAUNCHER, "0");
    hasten(&mut client);
    drop(client);
    is_done(&cluster, 5);
    cluster.stop();
}

#[test]
fn after_a_crash_of_the_server_it_goes_on() {
    let (cluster, mut client) = at_work();
    let launcher = one(&mut client, LAUNCHER);
    drop(client);
    signal("-9", &launcher);
    let mut client = reconnect(&cluster, "jobs");
    is_at_work(&mut client, "jobs");
    let worker = one(&mut client, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'audit_log worker'");
    signal("-9", &worker);
    let mut client = reconnect(&cluster, "jobs");
    is_at_work(&mut client, "jobs");
    // What is asked for from then on is heard by the new launcher.
    let mut other = created(&cluster, "other");
    within(SOON, &mut other, ALL_RAN, "t");
    hasten(&mut client);
    is_done(&cluster, 5);
    cluster.stop();
}

#[test]
fn after_a_shutdown_in_the_middle_of_its_work_it_goes_on() {
    let (cluster, client) = at_work();
    drop(client);
    for mode in ["immediate", "fast", "smart"] {
        cluster.down(mode);
        cluster.up();
        is_at_work(&mut cluster.connect("jobs"), "jobs");
    }
    hasten(&mut cluster.connect("jobs"));
    is_done(&cluster, 5);
    // Where entries were purged, and it was not told to the disk before.
    let mut client = cluster.connect("jobs");
    for round in 2..5 {
        run(&mut client, EXPIRED);
        sleep(Duration::from_millis(400 * round));
        drop(client);
        cluster.down("immediate");
        cluster.up();
        is_done(&cluster, 5 * round as u32);
        client = cluster.connect("jobs");
    }
    cluster.stop();
}

#[test]
fn without_room_for_a_worker_it_says_so_once_and_works_when_there_is_some() {
    let cluster = start(&["max_worker_processes=2", "max_logical_replication_workers=0"]);
    let mut admin = cluster.connect("postgres");
    // A parallel query has the other place.
    let mut hog = cluster.connect("postgres");
    let parallel = "SELECT set_config(name, 'on', false) FROM pg_settings
         WHERE name IN ('force_parallel_mode', 'debug_parallel_query')";
    run(&mut hog, parallel);
    let hogging = std::thread::spawn(move || {
        let _ = hog.simple_query("SELECT pg_sleep(300)");
    });
    let hogs = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'";
    within(SOON, &mut admin, hogs, "1");
    let mut client = created(&cluster, "jobs");
    let mut other = created(&cluster, "other");
    sleep(Duration::from_secs(1));
    for _ in 0..3 {
        run(&mut admin, "SELECT pg_reload_conf()");
        sleep(Duration::from_millis(500));
    }
    for client in [&mut client, &mut other] {
        assert_eq!(all(client, "SELECT DISTINCT last_run FROM audit_log.worker_status"), ["∅"]);
    }
    let complaints = complaints(&cluster);
    assert_eq!(complaints.len(), 1, "{complaints:#?}");
    assert!(
        complaints[0].contains("WARNING") && complaints[0].contains("max_worker_processes"),
        "{complaints:?}"
    );
    run(&mut admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND backend_type = 'client backend'");
    hogging.join().expect("ends");
    within(SOON, &mut admin, hogs, "0");
    run(&mut admin, "SELECT pg_reload_conf()");
    for client in [&mut client, &mut other] {
        within(SOON, client, ALL_RAN, "t");
    }
    cluster.stop();
}

#[test]
fn a_standby_has_no_launcher_before_it_is_promoted() {
    // Nothing is done where it comes from, so that there is something to do.
    let primary =
        start(&["wal_level=replica", "audit_log.databases=nothing", "audit_log.retention_interval=1s"]);
    let mut there = created(&primary, "jobs");
    run(&mut there, "SELECT audit_log.set_retention('1 day')");
    run(&mut there, EXPIRED);
    let standby = primary.copy(&["-R"]);
    standby.up();
    let mut here = standby.connect("jobs");
    run(&mut here, "ALTER SYSTEM SET audit_log.databases = '*'");
    run(&mut here, "SELECT pg_reload_conf()");
    let here_now = one(&mut there, "SELECT pg_current_wal_insert_lsn()");
    run(&mut there, "SELECT pg_switch_wal()");
    wait_for(&mut here, &format!("SELECT pg_last_wal_replay_lsn() >= '{here_now}'"), "t");
    sleep(Duration::from_secs(5));
    assert_eq!(
        all(&mut here, "SELECT backend_type FROM pg_stat_activity WHERE backend_type LIKE 'audit_log%'"),
        [""; 0]
    );
    assert_eq!(one(&mut here, LEFT), "5");
    let wrong =
        |line: &String| ["ERROR:", "FATAL:", "WARNING:", "PANIC:"].iter().any(|level| line.contains(level));
    assert_eq!(log(&standby).into_iter().filter(wrong).collect::<Vec<_>>(), Vec::<String>::new());
    assert_eq!(one(&mut here, "SELECT pg_promote()"), "t");
    drop(here);
    is_done(&standby, 5);
    has_no_complaints(&standby);
    // A standby that was promoted goes on where it is restarted.
    standby.down("fast");
    standby.up();
    run(&mut standby.connect("jobs"), EXPIRED);
    is_done(&standby, 10);
    standby.stop();
    primary.stop();
}

/// What the launcher says it is, for whoever looks for it.
#[test]
fn launcher_and_workers_are_seen_for_what_they_are() {
    let (cluster, mut client) = at_work();
    let seen = "SELECT concat_ws('|', backend_type, datname, usename, state, query) FROM pg_stat_activity
         WHERE backend_type LIKE 'audit_log%' ORDER BY backend_type";
    assert_eq!(
        all(&mut client, seen),
        ["audit_log launcher|postgres|idle|", "audit_log worker|jobs|postgres|active|audit_log: what is due"]
    );
    cluster.stop();
}
