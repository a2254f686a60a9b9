//! The background worker: what it does in the databases that have the extension, and that it idles otherwise.

use std::sync::OnceLock;
use std::thread;

use audit_log_tests::{all, one, pause, run, unique, wait_for, Cluster};

use crate::worker_seen::{
    create, created, has_no_complaints, is_looked_at, is_of_a_lock, log, next_round, start, Witness, ALL_RAN,
    HAS_PARTITIONS, PURGED,
};

/// A cluster that purges each second. No test of those that share it gives reason to complain.
fn hasty() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    let settings = ["audit_log.retention_interval=1s", "max_prepared_transactions=5"];
    SHARED.get_or_init(|| start(&settings))
}

#[test]
fn a_database_is_served_from_create_extension_to_drop_extension() {
    let cluster = hasty();
    let mut client = create(cluster, "coming and going");
    let mut witness = Witness::new(cluster);
    for _ in 0..2 {
        run(&mut client, "CREATE EXTENSION audit_log");
        wait_for(&mut client, HAS_PARTITIONS, "1");
        wait_for(&mut client, ALL_RAN, "t");
        run(&mut client, "BEGIN; DROP EXTENSION audit_log; ROLLBACK");
        next_round(&mut client);
        run(&mut client, "DROP EXTENSION audit_log");
        witness.all_had_a_turn();
    }
    // Its next step is due while the extension is being dropped.
    run(&mut client, "CREATE EXTENSION audit_log");
    wait_for(&mut client, ALL_RAN, "t");
    run(&mut client, "BEGIN; DROP EXTENSION audit_log");
    witness.all_had_a_turn();
    run(&mut client, "COMMIT");
    witness.all_had_a_turn();
    has_no_complaints(cluster);
    let mut other = created(cluster, "still served");
    wait_for(&mut other, ALL_RAN, "t");
}

#[test]
fn dropping_the_extension_while_it_is_at_work_does_no_harm() {
    let cluster = hasty();
    thread::scope(|scope| {
        for n in 0..3 {
            scope.spawn(move || {
                let mut client = create(cluster, &format!("dropped_at_work_{n}"));
                for round in 0..15 {
                    run(&mut client, "CREATE EXTENSION audit_log");
                    pause(37_000 * (round + n));
                    run(&mut client, "DROP EXTENSION audit_log");
                }
            });
        }
    });
    has_no_complaints(cluster);
}

#[test]
fn databases_of_any_name_are_served_at_once() {
    let cluster = hasty();
    let names = ["served", "UPPER", "Sales, EU", "it's \"quoted\"", " spaces ", "*", "ärger", "1; DROP"];
    let mut clients = names.map(|name| create(cluster, name));
    clients.iter_mut().for_each(|client| run(client, "CREATE EXTENSION audit_log"));
    for client in &mut clients {
        wait_for(client, HAS_PARTITIONS, "1");
        wait_for(client, ALL_RAN, "t");
    }
    // All go on, though there are more than work at once.
    clients.iter_mut().for_each(next_round);
}

#[test]
fn what_is_expired_goes_and_the_rest_stays() {
    let cluster = hasty();
    let mut client = create(cluster, "expired");
    run(&mut client, "BEGIN; CREATE EXTENSION audit_log; SELECT audit_log.set_retention('1 day')");
    let record = "SELECT audit_log.record('job_created', 'old', occurred_at => now() - n * interval '2 days')
         FROM generate_series(1, 40) n";
    run(&mut client, record);
    run(&mut client, "SELECT audit_log.record('job_created', 'new'); COMMIT");
    let left = "SELECT count(*) FROM audit_log.entry WHERE category = 'job_created'";
    wait_for(&mut client, left, "1");
    assert_eq!(one(&mut client, PURGED), "40");
    // Those that come where all was looked at.
    run(&mut client, record);
    wait_for(&mut client, left, "1");
    next_round(&mut client);
    assert_eq!(one(&mut client, PURGED), "80");
    has_no_complaints(cluster);
    // A rule that changes is looked at by itself.
    run(&mut client, "SELECT audit_log.set_retention('0')");
    wait_for(&mut client, left, "0");
}

#[test]
fn entries_without_a_partition_are_moved_to_one() {
    let cluster = hasty();
    let mut client = create(cluster, "moved");
    let record = |days: &str| {
        format!("SELECT audit_log.record('job_created', occurred_at => now() - interval '{days} days')")
    };
    run(
        &mut client,
        &format!("BEGIN; CREATE EXTENSION audit_log; {}; {}; COMMIT", record("8"), record("15")),
    );
    let waiting = "SELECT count(*) FROM audit_log.event_unplaced";
    wait_for(&mut client, waiting, "0");
    assert_eq!(one(&mut client, "SELECT count(*) FROM audit_log.entry WHERE category = 'job_created'"), "2");
    // What comes shortly after it was looked for is not forgotten, even where nothing comes after it.
    next_round(&mut client);
    run(&mut client, &record("29"));
    assert_eq!(one(&mut client, waiting), "1");
    // A worker begins with them there, and ends.
    is_looked_at(&mut client);
    assert_eq!(one(&mut client, waiting), "1", "moving is due every ten minutes");
    let is_due =
        "UPDATE audit_log.worker_task SET last_run_at = now() - interval '11 minutes', next_run_at = now() WHERE task = 'move'";
    run(&mut client, is_due);
    wait_for(&mut client, waiting, "0");
    // Nor is what must wait until somebody is done who began before its partition was there.
    let mut old = cluster.connect("moved");
    run(&mut old, "BEGIN");
    run(&mut client, &record("22"));
    run(&mut client, is_due);
    let made = "SELECT count(*) FROM audit_log.partition_bounds('audit_log.event') WHERE lower <= now() - interval '22 days' AND upper > now() - interval '22 days'";
    wait_for(&mut client, made, "1");
    next_round(&mut client);
    assert_eq!(one(&mut client, waiting), "1");
    run(&mut old, "COMMIT");
    run(&mut client, is_due);
    wait_for(&mut client, waiting, "0");
}

#[test]
fn what_a_prepared_transaction_wrote_is_counted_when_it_commits() {
    let cluster = hasty();
    let mut client = created(cluster, "prepared");
    wait_for(&mut client, ALL_RAN, "t");
    run(&mut client, "BEGIN; SELECT audit_log.record('job_created'); PREPARE TRANSACTION 'p'");
    is_looked_at(&mut client);
    let wanted = "SELECT is_wanted FROM audit_log.worker_task WHERE task = 'counts'";
    assert_eq!(one(&mut client, wanted), "f");
    run(&mut client, "COMMIT PREPARED 'p'");
    wait_for(&mut client, wanted, "t");
    run(
        &mut client,
        "UPDATE audit_log.worker_task SET last_run_at = now() - interval '1 minute', next_run_at = now()
         WHERE task = 'counts'",
    );
    wait_for(&mut client, "SELECT count(*) FROM audit_log.uncounted", "0");
}

/// The purge of the worker and those of sessions: each entry goes once, and nobody fails.
#[test]
fn run_retention_beside_it_fails_for_nobody() {
    let cluster = hasty();
    let mut witness = Witness::new(cluster);
    let mut client = created(cluster, "beside");
    run(&mut client, "SELECT audit_log.set_retention('1 hour')");
    wait_for(&mut client, ALL_RAN, "t");
    // What fails is a WARNING.
    let caller = |n: u64| {
        let mut client = cluster.connect("beside");
        run(&mut client, "SET client_min_messages = error");
        for _ in 0..15 {
            run(&mut client, "SELECT audit_log.run_retention()");
            pause(100_000 * n);
        }
    };
    let writer = |days: u64| {
        let mut client = cluster.connect("beside");
        for _ in 0..15 {
            let record = format!(
                "SELECT audit_log.record('job_created', occurred_at => now() - interval '{days} days')
                 FROM generate_series(1, 40)"
            );
            run(&mut client, &record);
            pause(150_000);
        }
    };
    thread::scope(|scope| {
        for n in 1..3 {
            scope.spawn(move || caller(n));
            scope.spawn(move || writer(n));
        }
    });
    let left = "SELECT count(*) FROM audit_log.entry WHERE category = 'job_created'";
    wait_for(&mut client, left, "0");
    // While a session has called it and not ended its transaction.
    run(&mut client, "BEGIN; SELECT audit_log.run_retention()");
    witness.all_had_a_turn();
    run(&mut client, "COMMIT");
    next_round(&mut client);
    assert_eq!(one(&mut client, PURGED), "1200");
    wait_for(&mut client, ALL_RAN, "t");
    let told = |line: &String| line.contains("WARNING:  audit_log: task") && !is_of_a_lock(line);
    assert_eq!(log(cluster).into_iter().filter(told).collect::<Vec<_>>(), Vec::<String>::new());
    has_no_complaints(cluster);
}

/// The settings that a session would begin with are not the worker's.
#[test]
fn settings_of_the_database_do_not_disturb_it() {
    let cluster = hasty();
    let mut client = create(cluster, "odd_settings");
    for setting in [
        "default_transaction_read_only = on",
        "default_transaction_isolation = serializable",
        "default_transaction_deferrable = on",
        "search_path = public",
        "statement_timeout = 1",
        "lock_timeout = 1",
        "idle_in_transaction_session_timeout = 1",
        "timezone = 'Pacific/Kiritimati'",
        "datestyle = 'SQL, DMY'",
        "intervalstyle = sql_standard",
        "row_security = off",
        "client_min_messages = error",
    ] {
        run(&mut client, &format!("ALTER DATABASE odd_settings SET {setting}"));
    }
    run(
        &mut client,
        "CREATE EXTENSION audit_log; SELECT audit_log.set_retention('1 day');
         SELECT audit_log.record('job_created', occurred_at => now() - n * interval '2 days')
         FROM generate_series(1, 4) n",
    );
    let left = "SELECT count(*) FROM audit_log.entry WHERE category = 'job_created'";
    wait_for(&mut client, left, "0");
    wait_for(&mut client, ALL_RAN, "t");
    wait_for(&mut client, HAS_PARTITIONS, "1");
    has_no_complaints(cluster);
}

/// Ticks of CPU time that a process has had, and how often it was woken.
fn effort(pid: &str) -> (u64, u64) {
    let read = |what: &str| std::fs::read_to_string(format!("/proc/{pid}/{what}")).expect("it runs");
    let stat = read("stat");
    let (_, fields) = stat.rsplit_once(") ").expect("fields");
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |field: usize| fields[field].parse::<u64>().expect("a number");
    let status = read("status");
    let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    (ticks(11) + ticks(12), switches.expect("counted").trim().parse().expect("a number"))
}

/// By its settings as they come: what happens at once happens because somebody asked.
#[test]
fn entries_are_counted_within_a_minute_and_then_it_idles() {
    let cluster = start(&[
        "wal_level=minimal",
        "max_wal_senders=0",
        "checkpoint_timeout=3600",
        "bgwriter_delay=10000",
        "wal_writer_delay=10000",
    ]);
    let mut client = created(&cluster, "idle");
    wait_for(&mut client, ALL_RAN, "t");
    wait_for(&mut client, HAS_PARTITIONS, "1");
    let workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'audit_log worker'";
    wait_for(&mut client, workers, "0");
    let launcher =
        "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE backend_type = 'audit_log launcher'";
    let launcher = one(&mut client, launcher);
    // Nobody asks: the launcher has to look by itself, which it does within a minute.
    run(&mut client, "SELECT audit_log.record('job_created') FROM generate_series(1, 5)");
    let uncounted = "SELECT count(*) FROM audit_log.uncounted";
    wait_for(&mut client, uncounted, "0");
    let counts = "SELECT sum(events) FROM audit_log.category_daily WHERE category = 'job_created'";
    assert_eq!(one(&mut client, counts), "5");
    wait_for(&mut client, workers, "0");
    let runs = "SELECT max(last_run) FROM audit_log.worker_status";
    let (last_run, (ticks, switches)) = (one(&mut client, runs), effort(&launcher));
    let here = one(&mut client, "SELECT pg_current_wal_insert_lsn()");
    let began = one(&mut client, "SELECT clock_timestamp()");
    // Another server's worker has much to do meanwhile: each of its rounds takes a second, or longer.
    let mut other = created(hasty(), &unique("meanwhile"));
    for _ in 0..20 {
        next_round(&mut other);
    }
    assert_eq!(one(&mut client, "SELECT pg_current_wal_insert_lsn()"), here, "something was written");
    let (ticks_after, switches_after) = effort(&launcher);
    // It may look once a minute, however many there were.
    let minutes = format!("SELECT ceil(extract(epoch FROM clock_timestamp() - '{began}') / 60)::int");
    let looks = one(&mut client, &minutes).parse::<u64>().expect("a number");
    let (ticks, switches) = (ticks_after - ticks, switches_after - switches);
    assert!(switches <= 4 * looks, "woken {switches} times in {looks} minutes");
    assert!(ticks <= 2 * looks, "{ticks} ticks in {looks} minutes");
    assert_eq!(one(&mut client, runs), last_run);
    assert_eq!(all(&mut client, workers), ["0"]);
    has_no_complaints(&cluster);
    cluster.stop();
}
