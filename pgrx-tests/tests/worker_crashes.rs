//! Where the launcher, a worker or the server ends in the middle of the work: it is done in the end, and once.

use std::process::Command;

use audit_log_tests::{all, one, pause, run, until, wait_for, Cluster};
use postgres::Client;

use crate::worker_faults::{EXPIRED, LEFT};
use crate::worker_seen::{
    create, created, endless, has_no_complaints, hasten, is_at_work, log, next_round, start, ALL_RAN,
    HAS_PARTITIONS, PURGED,
};

const LAUNCHER: &str =
    "SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE backend_type = 'audit_log launcher'";

fn signal(signal: &str, pid: &str) {
    assert!(Command::new("kill").args([signal, pid]).status().expect("kill runs").success());
}

/// Waits for the server to be up again after a crash of one of its processes. Until it has noticed that, it lets in whoever
/// comes, and lists the process still.
fn reconnect(cluster: &Cluster, database: &str, killed: &str) -> Client {
    let is_listed = format!("SELECT FROM pg_stat_activity WHERE pid = {killed}");
    until("the server to be back", || {
        let mut client = cluster.config(database).connect(postgres::NoTls).map_err(|e| e.to_string())?;
        match client.query(&is_listed, &[]).map_err(|e| e.to_string())?.len() {
            0 => Ok(client),
            _ => Err(format!("process {killed} is listed")),
        }
    })
}

/// Everything that is to be done is done, and once.
#[track_caller]
fn is_done(cluster: &Cluster, purged: u32) {
    let mut client = cluster.connect("jobs");
    wait_for(&mut client, &format!("SELECT ({LAUNCHER}) <> 0"), "t");
    wait_for(&mut client, LEFT, "0");
    assert_eq!(one(&mut client, PURGED), purged.to_string());
    wait_for(&mut client, HAS_PARTITIONS, "1");
    wait_for(&mut client, ALL_RAN, "t");
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
    endless(&mut client, "partitions");
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
        wait_for(
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
    endless(&mut client, "clear");
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
    wait_for(&mut client, &format!("SELECT ({LAUNCHER}) NOT IN (0, {launcher})"), "t");
    // Never two in one database.
    let workers =
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'audit_log worker' AND datname = 'jobs'";
    for _ in 0..3 {
        is_at_work(&mut client, "jobs");
        run(&mut client, "SELECT pg_reload_conf()");
        wait_for(&mut client, workers, "1");
    }
    // It is there for those that come.
    let mut other = created(&cluster, "other");
    wait_for(&mut other, ALL_RAN, "t");
    // The one from before is known, or was told to end.
    is_at_work(&mut other, "jobs");
    run(&mut other, "CREATE DATABASE copy TEMPLATE other");
    drop(client);
    // Its step would not end: it is told to.
    run(&mut other, "ALTER DATABASE jobs RENAME TO moved; ALTER DATABASE moved RENAME TO jobs");
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
    wait_for(&mut client, LAUNCHER, "0");
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
    let mut client = reconnect(&cluster, "jobs", &launcher);
    is_at_work(&mut client, "jobs");
    let worker = one(&mut client, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'audit_log worker'");
    signal("-9", &worker);
    let mut client = reconnect(&cluster, "jobs", &worker);
    is_at_work(&mut client, "jobs");
    // What is asked for from then on is heard by the new launcher.
    let mut other = created(&cluster, "other");
    wait_for(&mut other, ALL_RAN, "t");
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
        pause(400_000 * round);
        drop(client);
        cluster.down("immediate");
        cluster.up();
        is_done(&cluster, 5 * round as u32);
        client = cluster.connect("jobs");
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
    // Those that the server starts, it has started before it lets anybody in; nor does a reload bring one.
    for _ in 0..3 {
        run(&mut here, "SELECT pg_reload_conf()");
        here = standby.connect("jobs");
        wait_for(&mut here, "SHOW audit_log.databases", "*");
    }
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
