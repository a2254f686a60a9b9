//! Reading on a hot standby behind a primary that writes, and going on with the same cursors after its promotion.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use audit_log_tests::{one, query, run, until, wait_for, Cluster};
use postgres::Client;

use crate::listing::Random;
use crate::sync_dump::expired;
use crate::sync_reading::{ids, of_feed, record, start, start_at, By, Reader, WATCHED};
use crate::sync_writers::{pause, AtEnd, Committed, Writer};

const DB: &str = "postgres";

/// A primary with a watched table.
fn primary() -> Cluster {
    let settings = ["wal_level=replica", "max_prepared_transactions=20", "autovacuum=off"];
    let primary = Cluster::start(&settings, None);
    let mut client = primary.connect(DB);
    run(&mut client, "CREATE EXTENSION audit_log");
    run(&mut client, WATCHED);
    primary
}

fn standby(primary: &Cluster) -> Cluster {
    let standby = primary.copy(&["-R"]);
    standby.up();
    assert_eq!(one(&mut standby.connect(DB), "SELECT pg_is_in_recovery()"), "t");
    standby
}

/// Waits until the standby has replayed what the primary has written.
#[track_caller]
fn replayed(primary: &mut Client, standby: &mut Client) {
    run(primary, "SELECT pg_logical_emit_message(false, 'sync', 'here')");
    let here = one(primary, "SELECT pg_current_wal_insert_lsn()");
    // What is at the end was not flushed by a commit.
    run(primary, "SELECT pg_switch_wal()");
    wait_for(standby, &format!("SELECT pg_last_wal_replay_lsn() >= '{here}'"), "t");
}

/// From now on the standby gets nothing more.
fn cut_off(standby: &mut Client) {
    run(standby, "ALTER SYSTEM SET primary_conninfo = ''");
    run(standby, "SELECT pg_reload_conf()");
    wait_for(standby, "SELECT count(*) FROM pg_stat_wal_receiver", "0");
}

fn promote(standby: &mut Client) {
    assert_eq!(one(standby, "SELECT pg_promote()"), "t");
    assert_eq!(one(standby, "SELECT pg_is_in_recovery()"), "f");
}

/// Reads on one server or the other until the writers are done.
fn read(clusters: &[&Cluster], mut reader: Reader, seed: u64, done: &AtomicBool) -> Reader {
    let (mut clients, mut random): (Vec<Client>, _) =
        (clusters.iter().map(|cluster| cluster.connect(DB)).collect(), Random(seed));
    let mut take = |reader: &mut Reader| {
        let which = random.below(clients.len());
        let most = if random.percent(20) { random.below(4) } else { usize::MAX };
        reader.take(&mut clients[which], most);
        pause(&mut random, 20);
    };
    while !done.load(Relaxed) {
        take(&mut reader);
    }
    // However slow it was beside the others.
    until("it has read some", || {
        take(&mut reader);
        if reader.found.len() > 50 {
            Ok(())
        } else {
            Err(reader.found.len().to_string())
        }
    });
    reader
}

/// Reads feed on a server until the writers are done; what appeared behind a position that was seen.
fn track(cluster: &Cluster, done: &AtomicBool) -> (Reader, Vec<String>) {
    let (mut client, mut appeared) = (cluster.connect(DB), Vec::new());
    let mut tracked = Reader::new(String::new(), 60);
    while !done.load(Relaxed) {
        tracked.found.extend(of_feed(&mut client, "feed", &tracked.cursor, 60));
        tracked.cursor = tracked.found.last().map(|last| last.position.clone()).unwrap_or_default();
        let behind = "SELECT count(*) FROM audit_log.feed WHERE position <= $1";
        let behind: i64 = query(&mut client, behind, &[&tracked.cursor])[0].get(0);
        if behind != tracked.found.len() as i64 {
            appeared.push(format!(
                "{behind} up to {}, where {} were read",
                tracked.cursor,
                tracked.found.len()
            ));
        }
        audit_log_tests::pause(20_000);
    }
    (tracked, appeared)
}

#[test]
fn readers_of_a_standby_go_on_after_its_promotion() {
    let primary = primary();
    let standby = standby(&primary);
    let (mut there, mut here) = (primary.connect(DB), standby.connect(DB));
    let setup = ids(&mut there, "true");
    let (committed, done) = (Committed::default(), AtomicBool::new(false));
    // Cursors of both servers; some readers go from one to the other.
    replayed(&mut there, &mut here);
    let (of_primary, of_standby) = (start(&mut there), start(&mut here));
    let reader = |cursor: &String, by, limit| Reader { by, ..Reader::new(cursor.clone(), limit) };
    let both = [&primary, &standby];
    let readers = [
        ("of the standby, one by one", &both[1..], reader(&of_standby, By::Rows, 1)),
        ("of the standby by JSON, begun on the primary", &both[1..], reader(&of_primary, By::Json, 50)),
        ("of both", &both[..], reader(&of_primary, By::Rows, 5)),
        ("of both by JSON", &both[..], reader(&of_standby, By::Json, 50)),
    ];
    // In progress all the while: one whose subtransactions do not fit into a snapshot, and one that is prepared.
    let mut long = Writer::new("long", primary.connect(DB), 3, &committed);
    run(&mut long.session, "BEGIN");
    let mut of_long = long.savepoints(150);
    let mut prepared = primary.connect(DB);
    run(
        &mut prepared,
        "BEGIN; INSERT INTO job VALUES ('prepared'); PREPARE TRANSACTION 'over the promotion'",
    );
    let enough = AtomicBool::new(false);
    let (mut readers, (mut tracked, appeared)) = thread::scope(|scope| {
        let (committed, done, enough) = (&committed, &done, &enough);
        let _enough = AtEnd([enough, done]);
        let reading: Vec<_> = readers
            .into_iter()
            .enumerate()
            .map(|(seed, (who, clusters, reader))| {
                (who, scope.spawn(move || read(clusters, reader, seed as u64, done)))
            })
            .collect();
        let tracking = scope.spawn(|| track(&standby, done));
        let writing: Vec<_> = (0..4)
            .map(|n| {
                let mut writer = Writer::new(&format!("w{n}"), primary.connect(DB), 40 + n, committed);
                scope.spawn(move || writer.write_until(enough))
            })
            .collect();
        // Half of the time snapshots overflow; then there is less in progress.
        committed.until(200);
        of_long.extend(long.step());
        run(&mut long.session, "COMMIT");
        committed.add(of_long.clone());
        committed.until(of_long.len() + 500);
        enough.store(true, Relaxed);
        let written: Vec<_> = writing.into_iter().map(|writer| writer.join()).collect();
        done.store(true, Relaxed);
        written.into_iter().for_each(|writer| writer.expect("writes"));
        let readers = reading.into_iter().map(|(who, reader)| (who, reader.join().expect("reads")));
        (readers.collect::<Vec<_>>(), tracking.join().expect("tracks"))
    });
    // What is open when the primary dies was never committed.
    let mut lost = primary.connect(DB);
    run(&mut lost, "BEGIN; SELECT audit_log.record('job_created', 'lost')");
    record(&mut there, &["before", "before"]);
    replayed(&mut there, &mut here);
    readers[0].1.take(&mut here, 1);
    readers[2].1.take(&mut there, 2);
    replayed(&mut there, &mut here);
    primary.down("immediate");
    promote(&mut here);
    readers[1].1.take(&mut here, usize::MAX);
    record(&mut here, &["after", "after"]);
    readers[2].1.take(&mut here, 1);
    run(&mut here, "COMMIT PREPARED 'over the promotion'");
    committed.add(["after", "after", "before", "before", "prepared"].map(String::from).into());
    let all = ids(&mut here, "true");
    let targets = format!(
        "SELECT target_id FROM audit_log.entry WHERE id <> ALL ('{{{}}}') ORDER BY target_id COLLATE \"C\"",
        setup.join(",")
    );
    assert_eq!(
        audit_log_tests::all(&mut here, &targets),
        committed.targets(),
        "nothing was lost by the promotion"
    );
    assert!(all.len() > 300, "too little happened: {}", all.len());
    let new: Vec<String> = all.iter().filter(|id| !setup.contains(id)).cloned().collect();
    for (who, reader) in &mut readers {
        assert!(*who == "of both" || reader.found.len() > 50, "{who} read little: {}", reader.found.len());
        reader.catch_up(&mut here);
        reader.has_exactly(&new, who);
    }
    assert_eq!(appeared, Vec::<String>::new(), "in feed, behind what was seen");
    tracked.found.extend(of_feed(&mut here, "feed", &tracked.cursor, 100_000));
    tracked.has_exactly(&all, "feed");
    standby.stop();
    primary.stop();
}

/// One with more subtransactions than a snapshot lists, and one that is prepared, delay nobody else there either.
#[track_caller]
fn delays_nobody_else(primary: &Cluster, there: &mut Client, here: &mut Client) {
    let mut reader = Reader::new(start(here), 3);
    let (mut long, mut prepared) = (primary.connect(DB), primary.connect(DB));
    run(&mut long, "BEGIN");
    for n in 0..100 {
        run(&mut long, &format!("SAVEPOINT s; SELECT audit_log.record('job_created', 'long {n}')"));
    }
    run(&mut prepared, "BEGIN; SELECT audit_log.record('job_created', 'prepared'); PREPARE TRANSACTION 'p'");
    record(there, &["a", "b", "c", "d"]);
    replayed(there, here);
    assert_eq!(one(here, "SELECT count(*) FROM audit_log.feed WHERE target_id = 'a'"), "0");
    assert_eq!(reader.catch_up(here), ["a", "b", "c", "d"]);
    run(&mut long, "COMMIT");
    replayed(there, here);
    assert_eq!(reader.catch_up(here).len(), 100);
    run(&mut prepared, "COMMIT PREPARED 'p'");
    replayed(there, here);
    assert_eq!(reader.catch_up(here), ["prepared"]);
}

/// A cursor of the primary's, in the middle of a page, whose transactions the standby has not all replayed.
#[test]
fn a_standby_that_is_behind_loses_nothing_and_gives_nothing_twice() {
    let primary = primary();
    let standby = standby(&primary);
    let (mut there, mut here) = (primary.connect(DB), standby.connect(DB));
    let mut readers = [(By::Rows, 1), (By::Json, 1), (By::Rows, 100), (By::Json, 100)]
        .map(|(by, limit)| Reader { by, ..Reader::new(start(&mut there), limit) });
    let mut late = primary.connect(DB);
    run(&mut late, "BEGIN; SELECT audit_log.record('job_created', 'late')");
    record(&mut there, &["1", "2", "3"]);
    replayed(&mut there, &mut here);
    run(&mut here, "SELECT pg_wal_replay_pause()");
    wait_for(&mut here, "SELECT pg_get_wal_replay_pause_state()", "paused");
    run(&mut late, "COMMIT");
    record(&mut there, &["4", "5"]);
    readers.iter_mut().for_each(|reader| _ = reader.take(&mut there, 2));
    let more = start_at(&mut there, "2020-01-01");
    let mut whole = Reader::new(more, 2);
    for _ in 0..2 {
        readers.iter_mut().for_each(|reader| _ = reader.take(&mut here, usize::MAX));
        whole.take(&mut here, usize::MAX);
    }
    run(&mut here, "SELECT pg_wal_replay_resume()");
    record(&mut there, &["6"]);
    replayed(&mut there, &mut here);
    let all = ids(&mut here, "true");
    whole.catch_up(&mut here);
    whole.has_exactly(&all, "from the start");
    let wanted = ids(&mut here, "target_id IN ('late', '1', '2', '3', '4', '5', '6')");
    for reader in &mut readers {
        reader.catch_up(&mut here);
        reader.has_exactly(&wanted, &format!("{:?} by {}", reader.by, reader.limit));
    }
    delays_nobody_else(&primary, &mut there, &mut here);
    lost_timeline(&primary, &standby);
    standby.stop();
    primary.stop();
}

/// A standby is promoted behind its primary, which goes on; and a base backup goes its own way: what the primary
/// knows more than they is another future than theirs.
#[track_caller]
fn lost_timeline(primary: &Cluster, standby: &Cluster) {
    let (mut there, mut here) = (primary.connect(DB), standby.connect(DB));
    let backup = primary.copy(&[]);
    let (mut of_backup, mut of_standby) =
        (Reader::new(start(&mut there), 10), Reader::new(start(&mut there), 10));
    replayed(&mut there, &mut here);
    cut_off(&mut here);
    record(&mut there, &["elsewhere", "elsewhere", "elsewhere"]);
    let (now, past) = (start(&mut there), start_at(&mut there, "2020-01-01"));
    let [middle, end, end_of_past] =
        [(&of_standby.cursor, 2), (&of_standby.cursor, 10), (&past, 100)].map(|(cursor, limit)| {
            let mut reader = Reader::new(cursor.clone(), limit);
            reader.take(&mut there, usize::MAX);
            reader.cursor
        });
    let of_the_future = [now, past, middle, end, end_of_past];
    promote(&mut here);
    backup.up();
    let mut copy = backup.connect(DB);
    for client in [&mut here, &mut copy] {
        of_the_future.iter().for_each(|cursor| expired(client, cursor));
    }
    // What both have had goes on.
    for (client, reader) in [(&mut here, &mut of_standby), (&mut copy, &mut of_backup)] {
        record(client, &["1", "2", "3", "4", "5", "6", "7", "8"]);
        assert_eq!(reader.catch_up(client), ["1", "2", "3", "4", "5", "6", "7", "8"]);
    }
    // Nor is it accepted once the counter here is beyond it: the numbers it knows are of others here.
    of_the_future.iter().for_each(|cursor| expired(&mut here, cursor));
    backup.stop();
}
