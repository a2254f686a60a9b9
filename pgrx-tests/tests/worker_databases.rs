//! Which databases the background worker serves, and that nobody who creates, renames or drops one meets it there.

use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use audit_log_tests::{all, one, run, Cluster};
use postgres::Client;

use crate::worker::{
    complaints, create, created, has_no_complaints, next_round, quoted, start, within, ALL_RAN,
    HAS_PARTITIONS, PURGED, SOON,
};

/// Changes a setting of the server, as an administrator would.
fn set(client: &mut Client, setting: &str, value: &str) {
    run(client, &format!("ALTER SYSTEM SET {setting} = '{}'", value.replace('\'', "''")));
    run(client, "SELECT pg_reload_conf()");
}

/// When each database's tasks last ran; those that ran since are served.
fn last_runs(clients: &mut [Client]) -> Vec<String> {
    clients
        .iter_mut()
        .map(|client| one(client, "SELECT max(last_run) FROM audit_log.worker_status"))
        .collect()
}

#[track_caller]
fn are_served(clients: &mut [Client], served: &[bool]) {
    // What was at work when the setting changed ends.
    sleep(Duration::from_millis(1_200));
    let before = last_runs(clients);
    for (client, _) in clients.iter_mut().zip(served).filter(|(_, served)| **served) {
        next_round(client);
    }
    sleep(Duration::from_millis(2_200));
    let ran: Vec<bool> = last_runs(clients).iter().zip(&before).map(|(now, then)| now != then).collect();
    assert_eq!(ran, served);
}

#[test]
fn it_serves_the_databases_that_are_named_from_a_reload_on() {
    let names = ["jobs", "Jobs", "Sales, EU", "it's \"quoted\"", " x "];
    let cluster = start(&["audit_log.retention_interval=1s", "audit_log.databases=nothing"]);
    let mut admin = cluster.connect("postgres");
    let mut clients = names.map(|name| created(&cluster, name));
    sleep(Duration::from_secs(2));
    assert_eq!(last_runs(&mut clients), ["∅"; 5]);
    for (databases, served) in [
        ("*", [true; 5]),
        ("jobs, \"Sales, EU\"", [true, false, true, false, false]),
        ("Jobs,\"it's \"\"quoted\"\"\",\" x \",Sales", [false, true, false, true, true]),
        ("", [false; 5]),
        (" jobs , nowhere, jobs ,,", [true, false, false, false, false]),
    ] {
        set(&mut admin, "audit_log.databases", databases);
        are_served(&mut clients, &served);
    }
    // A database's name is that of now.
    set(&mut admin, "audit_log.databases", "other");
    drop(clients);
    sleep(Duration::from_millis(1_500));
    run(&mut admin, "ALTER DATABASE jobs RENAME TO other");
    let mut other = [cluster.connect("other")];
    are_served(&mut other, &[true]);
    // Nor are those served that are templates, or that nobody may connect to.
    run(&mut admin, "ALTER DATABASE other IS_TEMPLATE true");
    are_served(&mut other, &[false]);
    run(&mut admin, "ALTER DATABASE other IS_TEMPLATE false; ALTER DATABASE other ALLOW_CONNECTIONS false");
    are_served(&mut other, &[false]);
    run(&mut admin, "ALTER DATABASE other ALLOW_CONNECTIONS true");
    are_served(&mut other, &[true]);
    has_no_complaints(&cluster);
    cluster.stop();
}

#[test]
fn an_interval_counts_from_a_reload_on() {
    let cluster = start(&["audit_log.retention_interval=0"]);
    let mut admin = cluster.connect("postgres");
    let mut client = create(&cluster, "jobs");
    run(
        &mut client,
        "BEGIN; CREATE EXTENSION audit_log; SELECT audit_log.set_retention('1 day');
         SELECT audit_log.record('job_created', occurred_at => now() - n * interval '2 days')
         FROM generate_series(1, 3) n; COMMIT",
    );
    within(SOON, &mut client, HAS_PARTITIONS, "1");
    within(SOON, &mut client, "SELECT count(*) FROM audit_log.uncounted", "0");
    within(SOON, &mut client, "SELECT count(*) FROM audit_log.event_unplaced", "0");
    sleep(Duration::from_secs(3));
    let left = "SELECT count(*) FROM audit_log.entry WHERE category = 'job_created'";
    assert_eq!(one(&mut client, left), "3", "0 is never");
    let purging =
        "SELECT count(last_run) FROM audit_log.worker_status WHERE task IN ('clear', 'drop', 'tidy')";
    assert_eq!(one(&mut client, purging), "0");
    set(&mut admin, "audit_log.retention_interval", "1h");
    within(SOON, &mut client, left, "0");
    assert_eq!(one(&mut client, PURGED), "3");
    // It looks once more whether there is anything left.
    let is_over =
        "SELECT next_run > now() + interval '30 minutes' FROM audit_log.worker_status WHERE task = 'clear'";
    within(SOON, &mut client, is_over, "t");
    // From an hour to a second, and to never.
    let record = "SELECT audit_log.record('job_created', occurred_at => now() - interval '2 days')";
    run(&mut client, record);
    sleep(Duration::from_secs(3));
    assert_eq!(one(&mut client, left), "1", "an hour is not over");
    set(&mut admin, "audit_log.retention_interval", "1s");
    within(SOON, &mut client, left, "0");
    set(&mut admin, "audit_log.retention_interval", "0");
    sleep(Duration::from_millis(1_500));
    assert_eq!(one(&mut client, &purging.replace("last_run", "next_run")), "0", "never");
    run(&mut client, record);
    sleep(Duration::from_secs(3));
    assert_eq!(one(&mut client, left), "1", "0 is never");
    has_no_complaints(&cluster);
    cluster.stop();
}

/// From now on a step of a task takes so long.
pub fn slow(client: &mut Client, task: &str, seconds: u32) {
    let sql = format!(
        "CREATE OR REPLACE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql
         AS 'BEGIN PERFORM pg_catalog.pg_sleep({seconds}); RETURN NEW; END';
         CREATE OR REPLACE TRIGGER slow BEFORE INSERT OR UPDATE ON audit_log.worker_task FOR EACH ROW
         WHEN (NEW.task = '{task}') EXECUTE FUNCTION public.slow()"
    );
    run(client, &sql);
}

/// From now on it does not; a step that is at work is ended.
pub fn hasten(client: &mut Client) {
    run(
        client,
        "CREATE OR REPLACE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE backend_type = 'audit_log worker' AND datname = current_database()",
    );
}

pub fn at_work(database: &str) -> String {
    format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE backend_type = 'audit_log worker' AND datname = '{database}' AND wait_event = 'PgSleep'"
    )
}

/// Waits until the worker is in the middle of a slow step of a database.
#[track_caller]
pub fn is_at_work(admin: &mut Client, database: &str) {
    within(SOON, admin, &at_work(database), "1");
}

/// A database whose worker is in the middle of a long step.
fn busy(cluster: &Cluster, admin: &mut Client, name: &str) {
    slow(&mut created(cluster, name), "clear", 60);
    is_at_work(admin, name);
}

/// Each has to be done at once, though a worker is in the middle of a long step.
#[test]
fn a_long_step_holds_up_nobody_who_drops_renames_copies_or_moves_a_database() {
    let cluster = start(&["audit_log.retention_interval=1s", "allow_in_place_tablespaces=on"]);
    let mut admin = cluster.connect("postgres");
    run(&mut admin, "CREATE TABLESPACE elsewhere LOCATION ''");
    for (name, sql, left) in [
        ("dropped", "DROP DATABASE dropped", &[][..]),
        ("renamed", "ALTER DATABASE renamed RENAME TO \"Renamed, too\"", &["Renamed, too"]),
        ("copied", "CREATE DATABASE copy TEMPLATE copied", &["copied", "copy"]),
        ("a b", "CREATE DATABASE copy_too TEMPLATE = \"a b\" STRATEGY = file_copy", &["a b", "copy_too"]),
        ("moved", "ALTER DATABASE moved SET TABLESPACE elsewhere", &["moved"]),
        ("forced", "DROP DATABASE forced WITH (FORCE)", &[]),
    ] {
        busy(&cluster, &mut admin, name);
        let begin = Instant::now();
        run(&mut admin, sql);
        assert!(begin.elapsed() < Duration::from_secs(4), "{sql} took {:?}", begin.elapsed());
        left.iter().for_each(|name| hasten(&mut cluster.connect(name)));
    }
    // Those that are still there are served again.
    for name in ["Renamed, too", "copied", "copy", "a b", "copy_too", "moved"] {
        let mut client = cluster.connect(name);
        within(90, &mut client, ALL_RAN, "t");
        next_round(&mut client);
    }
    // They were told to end, those of the copies by this test.
    let expected = ["terminating background worker", "database \"copy"];
    let told = |line: &String| !expected.iter().any(|text| line.contains(text));
    assert_eq!(complaints(&cluster).into_iter().filter(told).collect::<Vec<_>>(), Vec::<String>::new());
    cluster.stop();
}

/// A session that has no right to drop a database cannot keep the worker from it by trying.
#[test]
fn who_may_not_drop_a_database_does_not_stop_its_worker() {
    let cluster = start(&["audit_log.retention_interval=1s"]);
    let mut admin = cluster.connect("postgres");
    run(&mut admin, "CREATE ROLE nobody LOGIN CREATEDB");
    let mut nobody = cluster.config("postgres").user("nobody").connect(postgres::NoTls).expect("connects");
    slow(&mut created(&cluster, "jobs"), "clear", 6);
    is_at_work(&mut admin, "jobs");
    for sql in [
        "DROP DATABASE jobs",
        "ALTER DATABASE jobs RENAME TO other",
        "CREATE DATABASE copy TEMPLATE jobs",
        "ALTER DATABASE jobs SET TABLESPACE pg_default",
    ] {
        let refused = audit_log_tests::fails(&mut nobody, sql);
        assert_eq!(refused.sqlstate, "42501", "{sql}: {refused}");
    }
    let mut client = cluster.connect("jobs");
    within(SOON, &mut client, ALL_RAN, "t");
    has_no_complaints(&cluster);
    cluster.stop();
}

/// Many at once, over and over, each second of which workers are started in.
#[test]
fn databases_come_and_go_while_it_works_in_them() {
    let cluster = start(&["audit_log.retention_interval=1s", "max_worker_processes=20"]);
    let _stays = [created(&cluster, "stays")];
    let template = |n: usize| format!("Template, {n}");
    for n in 0..3 {
        let mut client = created(&cluster, &template(n));
        within(SOON, &mut client, ALL_RAN, "t");
    }
    thread::scope(|scope| {
        for n in 0..3 {
            let cluster = &cluster;
            scope.spawn(move || {
                let mut admin = cluster.connect("postgres");
                let template = quoted(&template(n));
                for round in 0..8 {
                    let (copy, renamed) = (format!("copy_{n}"), quoted(&format!("renamed, {n}")));
                    run(&mut admin, &format!("CREATE DATABASE {copy} TEMPLATE {template}"));
                    sleep(Duration::from_millis(200 * round));
                    run(&mut admin, &format!("ALTER DATABASE {copy} RENAME TO {renamed}"));
                    run(&mut admin, &format!("DROP DATABASE {renamed}"));
                }
            });
        }
    });
    let mut admin = cluster.connect("postgres");
    assert_eq!(all(&mut admin, "SELECT count(*) FROM pg_database WHERE datname ~ 'copy|renamed'"), ["0"]);
    // They are served again when they are left in peace.
    let mut client = cluster.connect(&template(0));
    next_round(&mut client);
    let told = |line: &String| !line.contains("terminating background worker");
    assert_eq!(complaints(&cluster).into_iter().filter(told).collect::<Vec<_>>(), Vec::<String>::new());
    cluster.stop();
}
