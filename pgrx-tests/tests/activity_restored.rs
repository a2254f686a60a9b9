//! Counts by day after dump and restore, into clusters that count their transactions anew.

use std::thread;

use audit_log_tests::{all, cluster, connect, one, patient, psql, run, unique, until_it_waits, Cluster, Db};
use postgres::{Client, NoTls};

use crate::activity::{each, exact, COUNT, RECORD};
use crate::dump::restore;
use crate::page_truth::{is_exact, week};

/// Another database of a cluster, with the log of this one.
fn restored(from: &str, into: &Cluster) -> (String, Client) {
    let name = unique("copy");
    let connect = |name: &str| into.config(name).connect(NoTls).expect("connects");
    run(&mut connect("postgres"), &format!("CREATE DATABASE {name}"));
    restore(from, into, &name);
    let client = connect(&name);
    (name, client)
}

/// Goes on in a restored log: exact before it writes, when it does, and when that is counted.
#[track_caller]
fn goes_on(client: &mut Client, entries: usize, when: &str) {
    for (more, step) in [(0, "SELECT"), (1, RECORD), (1, COUNT), (2, RECORD)] {
        run(client, step);
        is_exact(client, &format!("{when}: {step}"));
        let counted = one(client, "SELECT coalesce(sum(events), 0) FROM audit_log.activity_daily");
        assert_eq!(counted, (entries + more).to_string(), "{when}: {step}");
    }
}

#[test]
fn dumped_and_restored_counted_in_part() {
    let mut db = Db::new();
    week(&mut db, "2025-03-03");
    db.run("SELECT audit_log.ensure_partitions()");
    let mut open = db.session();
    run(&mut open, &format!("BEGIN; {RECORD}"));
    db.run("SELECT audit_log.record('job_created', n::text, occurred_at => '2025-03-04'::timestamptz + n * interval '1 day') FROM generate_series(1, 9) n");
    db.run(&format!("{COUNT}; {RECORD}"));
    run(&mut open, "COMMIT");
    let (name, mut copy) = restored(&db.name, cluster());
    let last = "SELECT to_jsonb(u) - 'counted_at' FROM audit_log.counted_until u";
    assert_eq!(all(&mut copy, last), db.all(last));
    goes_on(&mut copy, 11, "the same cluster");
    drop(copy);
    psql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"));
}

/// Another cluster, whose transaction counter is lower than the shared one's.
fn lower() -> Cluster {
    let mut db = Db::new();
    db.run("DO $$ BEGIN FOR i IN 1 .. 3000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$");
    let other = Cluster::start(&[], None);
    let mut there = other.config("postgres").connect(NoTls).expect("connects");
    let counter =
        |client: &mut Client| one(client, "SELECT pg_current_xact_id()").parse::<u64>().expect("a number");
    assert!(counter(&mut there) + 1000 < counter(&mut db.client), "the premise of these tests");
    other
}

#[test]
fn into_a_cluster_whose_transaction_counter_is_lower_and_back() {
    let mut db = Db::new();
    each(&mut db, &format!("SELECT audit_log.ensure_partitions(); {RECORD}; {COUNT}; {RECORD}"));
    let other = lower();
    goes_on(&mut restored(&db.name, &other).1, 2, "a lower counter");
    // Counted where nothing is written, and back.
    let (name, mut copy) = restored(&db.name, &other);
    run(&mut copy, COUNT);
    is_exact(&mut copy, "only counted there");
    let back = unique("copy");
    db.run(&format!("CREATE DATABASE {back}"));
    let dump = other.program("pg_dump").args(["-d", &name]).output().expect("pg_dump runs");
    psql(&back, &String::from_utf8_lossy(&dump.stdout));
    goes_on(&mut connect(&back, "postgres"), 2, "there and back again");
    psql("postgres", &format!("DROP DATABASE {back} WITH (FORCE)"));
}

#[test]
fn counted_before_the_first_entry_and_then_into_another_cluster() {
    let mut db = Db::new();
    db.run(COUNT);
    let other = lower();
    goes_on(&mut restored(&db.name, &other).1, 0, "a lower counter");
    db.run(RECORD);
    exact(&mut db, "here");
}

#[test]
fn counted_while_the_first_entry_is_written_after_restoring() {
    let mut db = Db::new();
    each(&mut db, &format!("SELECT audit_log.ensure_partitions(); {RECORD}; {RECORD}; {COUNT}"));
    let other = lower();
    let (name, mut copy) = restored(&db.name, &other);
    let mut counts = other.config(&name).connect(NoTls).expect("connects");
    let pid = one(&mut counts, "SELECT pg_backend_pid()");
    run(&mut copy, &format!("BEGIN; LOCK TABLE audit_log.event_unplaced IN ACCESS EXCLUSIVE MODE; {RECORD}"));
    thread::scope(|scope| {
        scope.spawn(|| {
            patient(&mut counts);
            run(&mut counts, COUNT);
        });
        until_it_waits(&mut copy, &pid);
        run(&mut copy, "COMMIT");
    });
    is_exact(&mut copy, "both are done");
    goes_on(&mut copy, 3, "and on it goes");
}
