//! Which databases the background worker serves, and that nobody who creates, renames or drops one meets it there.

use std::thread;

use audit_log_tests::{all, one, pause, run, until_it_waits, wait_for, Cluster};
use postgres::Client;

use crate::worker_seen::{
    complaints, create, created, endless, first, has_no_complaints, hasten, is_at_work, is_idle,
    is_looked_at, next_round, quoted, start, Witness, ALL_RAN, HAS_PARTITIONS, PURGED,
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

/// The witness is served all the time, and by its turns the others had theirs.
#[track_caller]
fn are_served(witness: &mut Witness, clients: &mut [Client], served: &[bool]) {
    // What was at work when the setting changed ends.
    witness.all_had_a_turn();
    let before = last_runs(clients);
    for (client, _) in clients.iter_mut().zip(served).filter(|(_, served)| **served) {
        next_round(client);
    }
    witness.all_had_a_turn();
    let ran: Vec<bool> = last_runs(clients).iter().zip(&before).map(|(now, then)| now != then).collect();
    assert_eq!(ran, served);
}

/// Makes a task of each due: a worker that came would run it.
fn are_due(clients: &mut [Client]) {
    for client in clients {
        run(client, "UPDATE audit_log.worker_task SET next_run_at = now() WHERE task = 'partitions'");
    }
}

#[test]
fn it_serves_the_databases_that_are_named_from_a_reload_on() {
    let names = ["jobs", "Jobs", "Sales, EU", "it's \"quoted\"", " x "];
    let cluster = start(&["audit_log.retention_interval=1s", "audit_log.databases=witness"]);
    let mut admin = cluster.connect("postgres");
    let mut clients = names.map(|name| created(&cluster, name));
    let mut witness = Witness::named(&cluster, "witness");
    witness.all_had_a_turn();
    assert_eq!(last_runs(&mut clients), ["∅"; 5]);
    for (databases, served) in [
        ("*", [true; 5]),
        ("jobs, \"Sales, EU\",witness", [true, false, true, false, false]),
        ("witness,Jobs,\"it's \"\"quoted\"\"\",\" x \",Sales", [false, true, false, true, true]),
        ("witness", [false; 5]),
        (" jobs , nowhere, jobs ,witness,", [true, false, false, false, false]),
    ] {
        set(&mut admin, "audit_log.databases", databases);
        are_served(&mut witness, &mut clients, &served);
    }
    // None at all, neither the witness: the next setting is one that it sees, and until then nobody was served.
    set(&mut admin, "audit_log.databases", "");
    is_idle(&mut admin);
    let before = last_runs(&mut clients);
    let of_witness = witness.last_run();
    for _ in 0..3 {
        are_due(&mut clients);
        is_idle(&mut admin);
    }
    assert_eq!((last_runs(&mut clients), witness.last_run()), (before, of_witness));
    // A database's name is that of now.
    set(&mut admin, "audit_log.databases", "other, witness");
    drop(clients);
    wait_for(
        &mut admin,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = 'jobs' AND backend_type = 'client backend'",
        "0",
    );
    run(&mut admin, "ALTER DATABASE jobs RENAME TO other");
    let mut other = [cluster.connect("other")];
    are_served(&mut witness, &mut other, &[true]);
    // Nor are those served that are templates, or that nobody may connect to.
    run(&mut admin, "ALTER DATABASE other IS_TEMPLATE true");
    are_served(&mut witness, &mut other, &[false]);
    run(&mut admin, "ALTER DATABASE other IS_TEMPLATE false; ALTER DATABASE other ALLOW_CONNECTIONS false");
    are_served(&mut witness, &mut other, &[false]);
    run(&mut admin, "ALTER DATABASE other ALLOW_CONNECTIONS true");
    are_served(&mut witness, &mut other, &[true]);
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
    wait_for(&mut client, HAS_PARTITIONS, "1");
    wait_for(&mut client, "SELECT count(*) FROM audit_log.uncounted", "0");
    wait_for(&mut client, "SELECT count(*) FROM audit_log.event_unplaced", "0");
    is_looked_at(&mut client);
    let left = "SELECT count(*) FROM audit_log.entry WHERE category = 'job_created'";
    assert_eq!(one(&mut client, left), "3", "0 is never");
    let purging =
        "SELECT count(last_run) FROM audit_log.worker_status WHERE task IN ('clear', 'drop', 'tidy')";
    assert_eq!(one(&mut client, purging), "0");
    set(&mut admin, "audit_log.retention_interval", "1h");
    wait_for(&mut client, left, "0");
    assert_eq!(one(&mut client, PURGED), "3");
    // It looks once more whether there is anything left.
    let is_over =
        "SELECT next_run > now() + interval '30 minutes' FROM audit_log.worker_status WHERE task = 'clear'";
    wait_for(&mut client, is_over, "t");
    // From an hour to a second, and to never.
    let record = "SELECT audit_log.record('job_created', occurred_at => now() - interval '2 days')";
    run(&mut client, record);
    is_looked_at(&mut client);
    assert_eq!(one(&mut client, left), "1", "an hour is not over");
    set(&mut admin, "audit_log.retention_interval", "1s");
    wait_for(&mut client, left, "0");
    set(&mut admin, "audit_log.retention_interval", "0");
    wait_for(&mut client, &purging.replace("last_run", "next_run"), "0");
    is_looked_at(&mut client);
    run(&mut client, record);
    is_looked_at(&mut client);
    assert_eq!(one(&mut client, left), "1", "0 is never");
    has_no_complaints(&cluster);
    cluster.stop();
}

/// A database whose worker is in the middle of a step that does not end.
fn busy(cluster: &Cluster, admin: &mut Client, name: &str) {
    endless(&mut created(cluster, name), "clear");
    is_at_work(admin, name);
}

/// Each is done though a worker is in the middle of a step that would not end: it is told to.
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
        run(&mut admin, sql);
        left.iter().for_each(|name| hasten(&mut cluster.connect(name)));
    }
    // Those that are still there are served again.
    for name in ["Renamed, too", "copied", "copy", "a b", "copy_too", "moved"] {
        let mut client = cluster.connect(name);
        wait_for(&mut client, ALL_RAN, "t");
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
    // It waits for this session, which is another one than those that try.
    let mut client = created(&cluster, "jobs");
    wait_for(&mut client, ALL_RAN, "t");
    run(&mut client, "SELECT pg_advisory_lock(1)");
    first(&mut client, "clear", "pg_advisory_xact_lock_shared(1)");
    let worker =
        "SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE backend_type = 'audit_log worker' AND datname = 'jobs' AND wait_event = 'advisory'";
    wait_for(&mut admin, &format!("SELECT ({worker}) <> 0"), "t");
    let pid = one(&mut admin, worker);
    for sql in [
        "DROP DATABASE jobs",
        "ALTER DATABASE jobs RENAME TO other",
        "CREATE DATABASE copy TEMPLATE jobs",
        "ALTER DATABASE jobs SET TABLESPACE pg_default",
    ] {
        let refused = audit_log_tests::fails(&mut nobody, sql);
        assert_eq!(refused.sqlstate, "42501", "{sql}: {refused}");
    }
    assert_eq!(one(&mut admin, worker), pid, "it was told to end");
    until_it_waits(&mut admin, &pid);
    run(&mut client, "SELECT pg_advisory_unlock(1)");
    next_round(&mut client);
    wait_for(&mut client, ALL_RAN, "t");
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
        wait_for(&mut client, ALL_RAN, "t");
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
                    pause(200_000 * round);
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
