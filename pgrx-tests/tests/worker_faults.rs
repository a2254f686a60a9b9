//! What goes wrong around the background worker: it goes on, or comes back, and says once what was wrong.

use audit_log_tests::{all, one, run, until_so, wait_for, Cluster, FOREVER};
use postgres::Client;

use crate::worker_seen::{
    at_work, complaints, created, has_no_complaints, is_idle, next_round, slow, start, ALL_RAN,
};

pub const LEFT: &str = "SELECT count(*) FROM audit_log.entry WHERE category = 'job_created'";
pub const EXPIRED: &str =
    "SELECT audit_log.record('job_created', occurred_at => now() - n * interval '2 days')
     FROM generate_series(1, 5) n";
/// The worker's messages with a text in them.
fn told(cluster: &Cluster, text: &str) -> Vec<String> {
    complaints(cluster).into_iter().filter(|line| line.contains(text)).collect()
}

fn status(client: &mut Client, task: &str, column: &str) -> String {
    one(client, &format!("SELECT {column} FROM audit_log.worker_status WHERE task = '{task}'"))
}

/// Keeps every attempt at a task that ends: it may be tried again before anybody looks.
fn keep_attempts(client: &mut Client, task: &str) {
    let sql = format!(
        "CREATE TABLE public.attempt AS SELECT w.* FROM audit_log.worker_task w WITH NO DATA;
         CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.attempt SELECT NEW.*; RETURN NULL; END';
         CREATE TRIGGER keep AFTER UPDATE OF last_run_at ON audit_log.worker_task FOR EACH ROW
         WHEN (NEW.task = '{task}') EXECUTE FUNCTION public.keep()"
    );
    run(client, &sql);
}

/// Waits until a task has failed so often; the seconds from then until its next run, rounded.
#[track_caller]
fn has_failed(client: &mut Client, times: u32) -> String {
    let of_it = format!("FROM public.attempt WHERE failures = {times}");
    wait_for(client, &format!("SELECT count(*) {of_it}"), "1");
    one(client, &format!("SELECT round(extract(epoch FROM next_run_at - last_run_at)) {of_it}"))
}

#[test]
fn a_task_that_fails_is_told_once_and_tried_later_and_later() {
    let cluster = start(&["audit_log.retention_interval=1s"]);
    let (mut client, mut other) = (created(&cluster, "jobs"), created(&cluster, "other"));
    wait_for(&mut client, ALL_RAN, "t");
    keep_attempts(&mut client, "clear");
    // In one transaction: what the worker does from then on fails.
    run(&mut client, "BEGIN; SELECT audit_log.set_retention('1 day')");
    run(
        &mut client,
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN RAISE EXCEPTION ''the disk is purple''; END';
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON audit_log.examined FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    run(&mut client, EXPIRED);
    run(&mut client, "COMMIT");
    assert_eq!(has_failed(&mut client, 1), "10");
    assert_eq!(status(&mut client, "clear", "last_error"), "the disk is purple");
    let succeeded = status(&mut client, "clear", "last_success");
    // The others go on, here and elsewhere.
    let dropped = status(&mut client, "drop", "last_success");
    next_round(&mut client);
    next_round(&mut other);
    let go_on = format!("SELECT last_success > '{dropped}' FROM audit_log.worker_status WHERE task = 'drop'");
    wait_for(&mut client, &go_on, "t");
    assert_eq!(has_failed(&mut client, 2), "20");
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
    wait_for(&mut client, "SELECT count(*) FROM public.attempt WHERE last_error = 'the disk is green'", "1");
    // Where it took so long that the purple one was met once more, this is a later one.
    let times =
        one(&mut client, "SELECT failures FROM public.attempt WHERE last_error = 'the disk is green'");
    let times = times.parse::<u32>().expect("a number");
    assert_eq!(has_failed(&mut client, times), (10 << (times - 1)).to_string());
    assert_eq!(told(&cluster, "the disk is green").len(), 1);
    run(&mut client, "DROP TRIGGER refuse ON audit_log.examined");
    // By hand, or at the time it said.
    run(&mut client, "SELECT audit_log.run_retention()");
    assert_eq!(one(&mut client, LEFT), "0");
    assert_eq!(status(&mut client, "clear", "concat(failures, last_error)"), "0");
    next_round(&mut client);
    wait_for(&mut client, ALL_RAN, "t");
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
        wait_for(client, ALL_RAN, "t");
        let table = one(client, "SELECT current_database()");
        run(locker, &format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"));
    }
    // There are more of them than work at once: each is asked, and some meet the lock.
    run(&mut sessions[0].0, "SELECT pg_reload_conf()");
    wait_for(
        &mut sessions[0].0,
        "SELECT count(*) > 0 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND backend_type = 'audit_log worker'",
        "t",
    );
    let mut other = created(&cluster, "other");
    wait_for(&mut other, ALL_RAN, "t");
    next_round(&mut other);
    sessions.iter_mut().for_each(|(_, locker)| run(locker, "COMMIT"));
    for (client, _) in &mut sessions {
        // What has failed is not waited for.
        run(client, "UPDATE audit_log.worker_task SET next_run_at = now() WHERE failures > 0; SELECT pg_reload_conf()");
        wait_for(client, ALL_RAN, "t");
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
        wait_for(&mut client, ALL_RAN, "t");
        slow(&mut client, "clear");
    }
    // They have all the places there are.
    let at_once = ["one", "two", "three"].map(|name| format!("({})", at_work(name))).join(" + ");
    wait_for(&mut admin, &format!("SELECT {at_once}"), "3");
    let mut other = created(&cluster, "other");
    wait_for(&mut other, ALL_RAN, "t");
    has_no_complaints(&cluster);
    cluster.stop();
}

/// The library itself cannot go on in one database: what it calls is gone.
#[test]
fn a_database_where_nothing_works_keeps_nobody_else_from_being_served() {
    let cluster = start(&["audit_log.retention_interval=1s", "log_line_prefix=%b|%p|%n|"]);
    let mut broken: Vec<Client> = (0..3).map(|n| created(&cluster, &format!("broken_{n}"))).collect();
    for client in &mut broken {
        wait_for(client, ALL_RAN, "t");
        run(client, "ALTER TABLE audit_log.worker_task RENAME TO gone");
    }
    let errors = || told(&cluster, "worker_task\" does not exist");
    until_so("each has failed", || errors().len() >= 3);
    let mut other = created(&cluster, "other");
    wait_for(&mut other, ALL_RAN, "t");
    next_round(&mut other);
    // Tried after 5, 10, 20, … seconds, and not sooner: so many failures of three databases are a third one of one.
    until_so("one has failed three times", || errors().len() >= 7);
    let at = |line: &String| -> f64 { line.split('|').nth(2).expect("a time").parse().expect("seconds") };
    let times: Vec<f64> = errors().iter().map(at).collect();
    assert!(times[3] - times[0] > 4.9 && times[6] - times[0] > 14.9, "{times:?}");
    // Which database it was is told once.
    for n in 0..3 {
        let about = told(&cluster, &format!("worker of database \"broken_{n}\" has failed"));
        assert_eq!(about.len(), 1, "{:#?}", complaints(&cluster));
    }
    for client in &mut broken {
        run(client, "ALTER TABLE audit_log.gone RENAME TO worker_task");
        // Or in so many seconds.
        run(client, "SELECT pg_reload_conf()");
        wait_for(client, ALL_RAN, "t");
        next_round(client);
    }
    cluster.stop();
}

#[test]
fn without_room_for_a_worker_it_says_so_once_and_works_when_there_is_some() {
    let cluster = start(&["max_worker_processes=2", "max_logical_replication_workers=0"]);
    let mut admin = cluster.connect("postgres");
    // A parallel query has the other place.
    let mut hog = cluster.connect("postgres");
    let hog_pid = one(&mut hog, "SELECT pg_backend_pid()");
    let parallel = "SELECT set_config(name, 'on', false) FROM pg_settings
         WHERE name IN ('force_parallel_mode', 'debug_parallel_query')";
    run(&mut hog, parallel);
    let hogging = std::thread::spawn(move || {
        let _ = hog.simple_query(FOREVER);
    });
    let hogs = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'";
    wait_for(&mut admin, hogs, "1");
    let mut client = created(&cluster, "jobs");
    let mut other = created(&cluster, "other");
    until_so("it says that there is no room", || !complaints(&cluster).is_empty());
    for _ in 0..3 {
        is_idle(&mut admin);
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
    run(&mut admin, &format!("SELECT pg_terminate_backend({hog_pid})"));
    hogging.join().expect("ends");
    wait_for(&mut admin, hogs, "0");
    run(&mut admin, "SELECT pg_reload_conf()");
    for client in [&mut client, &mut other] {
        wait_for(client, ALL_RAN, "t");
    }
    cluster.stop();
}
