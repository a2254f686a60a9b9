//! The same cursors over restarts of the server, clean ones and crashes.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use audit_log_tests::{one, run, wait_for, Cluster};
use postgres::Client;

use crate::sync_reading::{ids, of_feed, record, start, By, Found, Reader, WATCHED};

/// A cluster that writes its log only when it has to; one test at a time has it.
fn cluster() -> MutexGuard<'static, Cluster> {
    static SHARED: OnceLock<Mutex<Cluster>> = OnceLock::new();
    let settings = [
        "wal_writer_delay=10000",
        "bgwriter_delay=10000",
        "checkpoint_timeout=3600",
        "max_prepared_transactions=5",
        "autovacuum=off",
    ];
    let cluster = SHARED.get_or_init(|| Mutex::new(Cluster::start(&settings, None))).lock();
    cluster.unwrap_or_else(PoisonError::into_inner)
}

/// A session in a database with a log and a watched table.
fn watched(cluster: &Cluster, name: &str) -> Client {
    run(&mut cluster.connect("postgres"), &format!("CREATE DATABASE {name}"));
    let mut client = cluster.connect(name);
    run(&mut client, "CREATE EXTENSION audit_log");
    run(&mut client, WATCHED);
    client
}

fn restart(cluster: &Cluster, mode: &str, database: &str) -> Client {
    cluster.down(mode);
    cluster.up();
    cluster.connect(database)
}

#[test]
fn readers_go_on_after_a_restart() {
    let cluster = cluster();
    let mut client = watched(&cluster, "going_on");
    let setup = ids(&mut client, "true");
    let cursor = start(&mut client);
    let mut readers = [(By::Rows, 1), (By::Rows, 7), (By::Json, 4), (By::Rows, 1000)]
        .map(|(by, limit)| Reader { by, ..Reader::new(cursor.clone(), limit) });
    let mut of_feed_so_far: Vec<Found> = of_feed(&mut client, "feed", "", 100);
    let mut tracked = of_feed_so_far.last().map(|last| last.position.clone()).unwrap_or_default();
    for (round, mode) in ["fast", "immediate", "immediate", "fast"].into_iter().enumerate() {
        let (mut lost, mut prepared) = (cluster.connect("going_on"), cluster.connect("going_on"));
        run(&mut lost, "BEGIN; SELECT audit_log.record('job_created', 'lost')");
        run(
            &mut prepared,
            &format!("BEGIN; INSERT INTO job VALUES ('prepared {round}'), ('prepared, too {round}')"),
        );
        record(&mut client, &["1", "2", "3", "4", "5"]);
        run(&mut prepared, &format!("PREPARE TRANSACTION 'p{round}'"));
        run(&mut client, &format!("INSERT INTO job SELECT 'row {round} ' || n FROM generate_series(1, 6) n"));
        for reader in &mut readers {
            reader.take(&mut client, 3);
        }
        // One waits on a page that is all of it.
        readers[3].catch_up(&mut client);
        run(&mut lost, "INSERT INTO job VALUES ('lost')");
        client = restart(&cluster, mode, "going_on");
        for reader in &mut readers {
            reader.take(&mut client, 2);
        }
        record(&mut client, &["after", "after"]);
        run(&mut client, &format!("COMMIT PREPARED 'p{round}'"));
        readers[1].take(&mut client, 1000);
        record(&mut client, &["after"]);
    }
    let all = ids(&mut client, "true");
    let wanted: Vec<String> = all.iter().filter(|id| !setup.contains(id)).cloned().collect();
    assert_eq!(wanted.len(), 4 * (2 + 5 + 6 + 3));
    for reader in &mut readers {
        reader.catch_up(&mut client);
        reader.has_exactly(&wanted, &format!("{:?} by {}", reader.by, reader.limit));
    }
    wait_for(&mut client, "SELECT count(*) FROM audit_log.feed", &all.len().to_string());
    loop {
        let page = of_feed(&mut client, "feed", &tracked, 10);
        let Some(last) = page.last() else { break };
        tracked = last.position.clone();
        of_feed_so_far.extend(page);
    }
    let as_read = Reader { found: of_feed_so_far, ..Reader::new(String::new(), 1) };
    as_read.has_exactly(&all, "feed");
}

/// After a crash the server gives numbers out again whose transactions left nothing on disk. Whoever has seen
/// such a transaction end must not take the next one of that number for it.
#[test]
fn numbers_that_are_given_again_after_a_crash() {
    let cluster = cluster();
    let mut client = watched(&cluster, "again");
    let setup = ids(&mut client, "true");
    let cursor = start(&mut client);
    let mut readers = [By::Rows, By::Json].map(|by| Reader { by, ..Reader::new(cursor.clone(), 2) });
    let number = "SELECT pg_current_xact_id()";
    // The premise of this test: where nobody looks, they are given again. A writer of the log that was slow to
    // wake may have kept one; it is not slow each time.
    let given_again = (0..10).any(|_| {
        record(&mut client, &["waking"]);
        run(&mut client, "BEGIN; SELECT audit_log.record('job_created', 'not looked at')");
        let unseen = one(&mut client, number);
        run(&mut client, "ROLLBACK");
        client = restart(&cluster, "immediate", "again");
        one(&mut client, number) == unseen
    });
    assert!(given_again, "no number was given again in ten crashes");
    for round in 0..6 {
        // The writer of the log sleeps from here on.
        record(&mut client, &["waking"]);
        readers.iter_mut().for_each(|reader| _ = reader.catch_up(&mut client));
        let with_tracked = round % 2 == 1;
        if round < 2 {
            run(&mut client, "BEGIN; SELECT audit_log.record('job_created', 'rolled back')");
        } else {
            run(&mut client, "SET synchronous_commit = off; BEGIN");
            run(
                &mut client,
                "SELECT audit_log.record('job_created', 'not waited for') FROM generate_series(1, 3)",
            );
        }
        let before: u64 = one(&mut client, number).parse().expect("a number");
        run(&mut client, if round < 2 { "ROLLBACK" } else { "COMMIT" });
        let began = start(&mut client);
        let mut seen = of_feed(&mut client, "feed", "", 1000);
        if !with_tracked {
            seen.clear();
        }
        readers.iter_mut().for_each(|reader| _ = reader.take(&mut client, 1));
        client = restart(&cluster, "immediate", "again");
        run(&mut client, "BEGIN");
        record(&mut client, &["after the crash"]);
        let after: u64 = one(&mut client, number).parse().expect("a number");
        run(&mut client, "COMMIT");
        let mut since = Reader::new(began, 10);
        assert_eq!(
            since.catch_up(&mut client),
            ["after the crash"],
            "round {round}: {before} and then {after}"
        );
        // What somebody saw in feed is there for good.
        let still = of_feed(&mut client, "feed", "", 1000);
        assert!(still.starts_with(&seen), "round {round}");
    }
    let all = ids(&mut client, "true");
    let wanted: Vec<String> = all.into_iter().filter(|id| !setup.contains(id)).collect();
    for reader in &mut readers {
        reader.catch_up(&mut client);
        reader.has_exactly(&wanted, &format!("{:?}", reader.by));
    }
}
