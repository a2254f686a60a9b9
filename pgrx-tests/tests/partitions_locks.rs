//! Who waits for whom while partitions are made, filled, cleared and dropped under sessions that write and list.
//! AUDIT_LOG_LONG_TESTS=1 drops a million entries, five times.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use audit_log_tests::{all, at_length, one, pause, run, until_so, Db};
use postgres::Client;

use crate::listing::same;
use crate::partitions::{covered, forget_partitions, horizon};
use crate::retention_truth::{drain, is_sound, pages_read, partitions};
use crate::sync_writers::AtEnd;

/// Whether writers and readers may be seen waiting for who works on the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Nobody,
    /// For the moment in which something is dropped, or that it asks for.
    Some,
}

/// A log with a watched table and nothing that expires but what a test lets expire.
fn busy() -> Db {
    busy_in(Db::new())
}

fn busy_in(mut db: Db) -> Db {
    db.run("CREATE TABLE job (id text PRIMARY KEY, n int DEFAULT 0); SELECT audit_log.watch('job'); SELECT audit_log.set_retention(NULL)");
    db.run("SET client_min_messages = error; SELECT audit_log.record('job_created', 'warm')");
    db
}

/// Writes until told to stop, in transactions of one statement and of several; the targets.
fn write(client: &mut Client, who: usize, over: &AtomicBool, writes: &AtomicUsize) -> Vec<String> {
    let mut written = Vec::new();
    for n in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let target = format!("{who}-{n}");
        match n % 3 {
            0 => run(client, &format!("INSERT INTO job VALUES ('{target}')")),
            1 => run(client, &format!("SELECT audit_log.record('job_created', '{target}')")),
            _ => run(client, &format!("BEGIN; UPDATE job SET n = n + 1 WHERE id = '{who}-{}'; SELECT audit_log.record('job_created', '{target}'); COMMIT", n - 2)),
        }
        writes.fetch_add(1, Ordering::Relaxed);
        written.push(target);
    }
    written
}

fn list(client: &mut Client, who: usize, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let sql = [
            "SELECT count(*) FROM audit_log.list()",
            "SELECT count(*) FROM audit_log.list(target_ids => '{1-3,2-6}', start_date => now() - interval '80 days', end_date => now())",
            "SELECT count(*) FROM audit_log.entry WHERE occurred_at > now() - interval '1 second'",
        ];
        sql[..1 + who % 3].iter().for_each(|sql| _ = one(client, sql));
    }
}

/// Who of the others has been seen waiting for a session, and for what.
fn look(client: &mut Client, pid: &str, over: &AtomicBool) -> BTreeSet<String> {
    let waiting = client
        .prepare(&format!(
            "SELECT concat_ws(' ', a.application_name, 'waits for', l.mode, 'on', l.relation::regclass)
             FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND NOT l.granted AND l.locktype = 'relation'
             WHERE a.application_name IN ('writer', 'reader') AND a.datname = current_database()
               AND {pid} = ANY (pg_blocking_pids(a.pid))
               -- Not while it lets go of its locks, its transaction being over: a busy machine can make that long.
               AND EXISTS (SELECT FROM pg_stat_activity m WHERE m.pid = {pid} AND m.backend_xid IS NOT NULL)"
        ))
        .expect("prepares");
    let mut seen = BTreeSet::new();
    while !over.load(Ordering::Relaxed) {
        seen.extend(client.query(&waiting, &[]).expect("looks").iter().map(|row| row.get::<_, String>(0)));
        pause(2_000);
    }
    seen
}

/// Does something while three sessions write and two list, and checks that every write is there, once.
#[track_caller]
fn under_load(db: &mut Db, what: &str, may_wait: Waiting, work: impl FnOnce(&mut Client)) {
    let (over, writes) = (AtomicBool::new(false), AtomicUsize::new(0));
    let named = |db: &Db, name: &str| {
        let mut client = db.session();
        run(&mut client, &format!("SET application_name = '{name}'"));
        client
    };
    let round = one(&mut db.client, "SELECT pg_current_xact_id()").parse::<usize>().expect("a number");
    let worker = db.one("SELECT pg_backend_pid()");
    let mut writers: Vec<Client> = (0..3).map(|_| named(db, "writer")).collect();
    let mut readers: Vec<Client> = (0..2).map(|_| named(db, "reader")).collect();
    let mut looker = db.session();
    let (mut written, mut seen) = (Vec::new(), BTreeSet::new());
    thread::scope(|scope| {
        let (over, writes) = (&over, &writes);
        let writing: Vec<_> = writers
            .iter_mut()
            .enumerate()
            .map(|(n, client)| scope.spawn(move || write(client, round * 10 + n, over, writes)))
            .collect();
        readers.iter_mut().enumerate().for_each(|(n, client)| {
            scope.spawn(move || list(client, n + 1, over));
        });
        let looking = scope.spawn(|| look(&mut looker, &worker, over));
        // However it ends, the others are told.
        let tell = AtEnd([over]);
        let some_more = || {
            let there = writes.load(Ordering::Relaxed);
            until_so("writers to write", || writes.load(Ordering::Relaxed) > there + 30);
        };
        some_more();
        work(&mut db.client);
        some_more();
        drop(tell);
        for writer in writing {
            written.extend(writer.join().expect("writes"));
        }
        seen = looking.join().expect("looks");
    });
    let mut found = db.all(&format!("SELECT target_id FROM audit_log.entry WHERE target_id ~ '^{round}[012]-\\d+$' AND operation IS DISTINCT FROM 'update'"));
    found.sort();
    written.sort();
    same(&found, &written, what);
    assert!(may_wait == Waiting::Some || seen.is_empty(), "{what}: {seen:?}");
}

/// So many entries of a week some time ago, in a partition of their own, all in organization `old`.
#[track_caller]
fn fill(db: &mut Db, weeks_ago: i32, entries: usize) -> String {
    let monday = db.one(&format!("SELECT ((date_trunc('week', now(), 'UTC') - {weeks_ago} * interval '1 week') AT TIME ZONE 'UTC')::date"));
    let next = db.one(&format!("SELECT date '{monday}' + 7"));
    partitions(db, &monday, &next);
    let name = format!("event_p{}", monday.replace('-', ""));
    db.run(&format!(
        "INSERT INTO audit_log.{name} (occurred_at, feed, id, organization_id, category, target_type, target_id, actor_type, actor_id, actor_name, database_user)
         SELECT at, audit_log.feed_now(),
                (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(h, 1, 3) || '8' || substr(h, 4, 15))::uuid,
                'old', (ARRAY['job_created', 'job_updated', 'offer_sent'])[1 + n % 3], 'job', 't' || n % 5000, 'user', 'u' || n % 200, 'User ' || n % 200, 'postgres'
         FROM generate_series(1, {entries}) n, LATERAL (SELECT '{monday}Z'::timestamptz + n * interval '1 week' / ({entries} + 1), md5(n::text)) v(at, h)"
    ));
    db.run("SELECT audit_log.count_entries()");
    name
}

const FAILED: &str =
    "SELECT task || ': ' || last_error FROM audit_log.worker_status WHERE last_error IS NOT NULL ORDER BY 1";

#[test]
fn while_partitions_are_made() {
    let mut db = busy();
    for (unit, ahead) in [("week", 4), ("day", 14), ("month", 3), ("hour", 72)] {
        db.run(&format!("SELECT audit_log.set_partition_interval('{unit}')"));
        forget_partitions(&mut db);
        // Where writers write there is one: what is written without one is moved.
        db.run("SELECT audit_log.make_partitions(now(), 0)");
        under_load(&mut db, &format!("{ahead} partitions by {unit}"), Waiting::Nobody, |client| {
            // As the worker does: some in each transaction. It does not queue, and says so where it would have to.
            for attempt in 0.. {
                run(client, "SELECT audit_log.run_task('partitions', now())");
                if one(client, "SELECT count(*) FROM audit_log.missing_partitions(now(), NULL)") == "0" {
                    break;
                }
                assert!(attempt < 100, "never made: {:?}", all(client, FAILED));
            }
        });
        let now = format!("timestamptz '{}'", db.one("SELECT now()"));
        covered(&mut db, &now, &horizon(&now, unit, ahead), unit);
    }
}

#[test]
fn while_entries_are_moved() {
    let mut db = busy();
    for _ in 0..2 {
        forget_partitions(&mut db);
        db.run("SELECT count(audit_log.record('job_created', 'there', targets => '[{\"type\": \"user\", \"id\": \"1\"}]')) FROM generate_series(1, 20000)");
        under_load(&mut db, "20,000 entries are moved", Waiting::Nobody, |client| {
            for attempt in 0.. {
                run(client, "SELECT audit_log.run_retention()");
                if one(client, "SELECT audit_log.next_to_move() IS NULL") == "t" {
                    break;
                }
                assert!(attempt < 50, "never moved: {:?}", all(client, FAILED));
            }
        });
        assert_eq!(db.one("SELECT count(*) FROM audit_log.event_unplaced"), "0");
        assert_eq!(db.one("SELECT count(*) FROM audit_log.entry WHERE target_id = 'there'"), "20000");
    }
    db.run("SELECT audit_log.count_entries()");
    is_sound(&mut db.client, "moved");
}

#[test]
fn while_entries_are_cleared_and_partitions_dropped() {
    let mut db = busy();
    let (entries, rounds) =
        if at_length("dropping a million entries") { (1_000_000, 5) } else { (100_000, 1) };
    for round in 0..rounds {
        // Something in it is kept, so it is cleared.
        let mixed = fill(&mut db, 20 + round, 20_000);
        db.run(&format!("SELECT audit_log.record('job_created', 'kept', organization => 'kept', occurred_at => (SELECT min(occurred_at) FROM audit_log.{mixed}))"));
        db.run("SELECT audit_log.set_retention('30 days', 'old')");
        under_load(&mut db, "20,000 entries are cleared", Waiting::Nobody, |client| {
            let now = one(client, "SELECT now()");
            drain(client, "clear", &now);
        });
        assert_eq!(db.one(&format!("SELECT count(*) FROM audit_log.{mixed}")), "1");
        db.run("SELECT audit_log.unset_retention('old')");
        let whole = fill(&mut db, 10 + round, entries);
        db.run("SELECT audit_log.set_retention('30 days', 'old')");
        under_load(&mut db, &format!("a partition of {entries} is dropped"), Waiting::Some, |client| {
            for attempt in 0.. {
                let now = one(client, "SELECT now()");
                drain(client, "counts", &now);
                run(client, &format!("SELECT audit_log.run_task('drop', '{now}')"));
                if one(client, &format!("SELECT to_regclass('audit_log.{whole}') IS NULL")) == "t" {
                    break;
                }
                assert!(attempt < 20, "never dropped: {:?}", all(client, FAILED));
            }
        });
        assert_eq!(
            db.one(
                "SELECT count(*) FROM audit_log.entry WHERE organization_id = 'old' AND target_type = 'job'"
            ),
            "0"
        );
    }
    is_sound(&mut db.client, "cleared and dropped");
}

/// Who drops holds everybody up: what is done then must not grow with what is dropped.
#[test]
fn a_drop_reads_no_more_where_more_goes() {
    let mut db = busy_in(Db::alone());
    let mut read = Vec::new();
    for (weeks_ago, entries) in [(12, 2_000), (11, 2_000), (10, 100_000)] {
        let whole = fill(&mut db, weeks_ago, entries);
        db.run("SELECT audit_log.set_retention('30 days', 'old')");
        let now = db.one("SELECT now()");
        drain(&mut db.client, "counts", &now);
        db.run("BEGIN");
        read.push(pages_read(&mut db.client, &format!("SELECT * FROM audit_log.run_task('drop', '{now}')")));
        db.run("COMMIT");
        assert_eq!(db.all(FAILED), Vec::<String>::new());
        assert_eq!(db.one(&format!("SELECT to_regclass('audit_log.{whole}') IS NULL")), "t");
        db.run("SELECT audit_log.unset_retention('old')");
    }
    assert!(read[2] < read[1] * 5 / 4, "{read:?} pages, where 2,000, 2,000 and 100,000 entries went");
}

/// Holds up the last step of a drop, and keeps entries from partitions that it does not know; nobody else.
#[track_caller]
fn a_long_transaction(begins: &str, reads: &str) {
    let mut db = busy();
    let whole = fill(&mut db, 10, 3_000);
    let mixed = fill(&mut db, 20, 3_000);
    db.run(&format!("SELECT audit_log.record('job_created', 'kept', organization => 'kept', occurred_at => (SELECT max(occurred_at) FROM audit_log.{mixed}))"));
    db.run("SELECT audit_log.record('job_created', 'default', occurred_at => '2025-05-05Z'); SELECT audit_log.set_retention('30 days', 'old')");
    let mut long = db.session();
    run(&mut long, begins);
    let before = one(&mut long, reads);
    under_load(&mut db, begins, Waiting::Some, |client| run(client, "SELECT audit_log.run_retention()"));
    let failed = db.all(FAILED);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(
        failed[0].starts_with("drop: expired partitions were not dropped")
            && failed[0].ends_with("the log is in use"),
        "{failed:?}"
    );
    let status = "SELECT string_agg(task || ' ' || failures || ' ' || (last_success IS NOT NULL), ', ' ORDER BY task) FROM audit_log.worker_status";
    assert_eq!(
        db.one(status),
        "clear 0 true, counts 0 true, drop 1 false, merge 0 true, move 0 true, partitions 0 true, tidy 0 true"
    );
    let counts = format!("SELECT concat_ws(' ', (SELECT count(*) FROM audit_log.{whole}), (SELECT count(*) FROM audit_log.{mixed}), (SELECT count(*) FROM audit_log.event_unplaced))");
    assert_eq!(db.one(&counts), "3000 1 1");
    assert_eq!(one(&mut long, reads), before);
    run(&mut long, "COMMIT");
    for _ in 0..2 {
        db.run("SELECT audit_log.run_retention()");
    }
    assert_eq!(db.all(FAILED), Vec::<String>::new());
    assert_eq!(db.one(&format!("SELECT concat_ws(' ', to_regclass('audit_log.{whole}'), (SELECT count(*) FROM audit_log.{mixed}), (SELECT count(*) FROM audit_log.event_unplaced))")), "1 0");
    is_sound(&mut db.client, begins);
}

#[test]
fn a_long_transaction_that_has_read_the_log_blocks_only_the_last_steps() {
    a_long_transaction("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT concat_ws(' ', (SELECT count(*) FROM audit_log.entry), (SELECT count(*) FROM audit_log.list()), (SELECT sum(events) FROM audit_log.activity_daily))");
}

#[test]
fn a_long_transaction_that_has_written_blocks_only_the_last_steps() {
    a_long_transaction(
        "BEGIN; SELECT audit_log.record('job_created', 'long')",
        "SELECT count(*) FROM audit_log.entry WHERE target_id = 'long'",
    );
}
