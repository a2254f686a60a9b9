//! What the tests of the background worker see it by: its log, its tasks, who is at work, and databases it has come to.

use audit_log_tests::{one, run, takes_a_while, unique, wait_for, Cluster, FOREVER};
use postgres::Client;

/// A cluster with the library preloaded, whose log says which process wrote a line.
pub fn start(settings: &[&str]) -> Cluster {
    let always = ["shared_preload_libraries=audit_log", "log_line_prefix=%b|%p|", "autovacuum=off"];
    Cluster::start(&[&always, settings].concat(), None)
}

pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A superuser's session in a new database.
pub fn create(cluster: &Cluster, name: &str) -> Client {
    run(&mut cluster.connect("postgres"), &format!("CREATE DATABASE {}", quoted(name)));
    cluster.connect(name)
}

/// The same with the extension.
pub fn created(cluster: &Cluster, name: &str) -> Client {
    let mut client = create(cluster, name);
    run(&mut client, "CREATE EXTENSION audit_log");
    client
}

/// The server's log, a message a line; what belongs to it stands in further ones.
pub fn log(cluster: &Cluster) -> Vec<String> {
    let log = std::fs::read(cluster.dir.join("log")).expect("the log is there");
    String::from_utf8_lossy(&log).lines().map(str::to_string).collect()
}

/// What launcher and workers have logged as a warning or worse; but not that a task met somebody's lock twice, which
/// any task may among sessions that are slow, and which the next run makes good.
pub fn complaints(cluster: &Cluster) -> Vec<String> {
    let levels = ["|WARNING: ", "|ERROR: ", "|FATAL: ", "|PANIC: "];
    let bad =
        |line: &String| line.starts_with("audit_log ") && levels.iter().any(|level| line.contains(level));
    log(cluster).into_iter().filter(|line| bad(line) && !is_of_a_lock(line)).collect()
}

/// Whether a message says that a task met a lock, and that is all.
pub fn is_of_a_lock(line: &str) -> bool {
    let told = ["canceling statement due to lock timeout", "could not obtain lock on", "the log is in use"];
    line.contains("WARNING:  audit_log: task \"") && told.iter().any(|text| line.ends_with(text))
}

#[track_caller]
pub fn has_no_complaints(cluster: &Cluster) {
    assert_eq!(complaints(cluster), Vec::<String>::new());
}

/// 1 where all partitions there should be are there.
pub const HAS_PARTITIONS: &str =
    "SELECT (count(*) >= 5)::int FROM audit_log.partition_bounds('audit_log.event')";

/// t where each task ran, and none has failed.
pub const ALL_RAN: &str =
    "SELECT bool_and(last_success IS NOT NULL AND next_run IS NOT NULL AND failures = 0 AND last_error IS NULL)
     FROM audit_log.worker_status";

/// What the purges say they removed.
pub const PURGED: &str = "SELECT coalesce(sum((metadata ->> 'entries')::int), 0) FROM audit_log.entry
     WHERE category = 'retention_run'";

/// Waits until tasks of this database have run once more.
#[track_caller]
pub fn next_round(client: &mut Client) {
    let last = one(client, "SELECT last_run FROM audit_log.worker_status WHERE task = 'tidy'");
    let sql = format!(
        "SELECT last_run > coalesce(nullif('{last}', '∅'), '-infinity')::timestamptz
         FROM audit_log.worker_status WHERE task = 'tidy'"
    );
    wait_for(client, &sql, "t");
}

/// Has a worker come to this database twice; the second time it knows all that was so when this was called.
///
/// A task that has nothing to do is made due now, after all that were due before: what the worker has left alone by the
/// time it is done was not due.
#[track_caller]
pub fn is_looked_at(client: &mut Client) {
    for _ in 0..2 {
        let ran = "SELECT last_run FROM audit_log.worker_status WHERE task = 'partitions'";
        let last = one(client, ran);
        run(
            client,
            "UPDATE audit_log.worker_task SET next_run_at = now() WHERE task = 'partitions'; SELECT pg_reload_conf()",
        );
        let sql =
            format!("SELECT last_run > '{last}' FROM audit_log.worker_status WHERE task = 'partitions'");
        wait_for(client, &sql, "t");
    }
}

/// A database that is served: by its turns others see that theirs have come and gone.
pub struct Witness(Client);

impl Witness {
    pub fn new(cluster: &Cluster) -> Witness {
        Witness::named(cluster, &unique("witness"))
    }

    pub fn named(cluster: &Cluster, name: &str) -> Witness {
        let mut client = created(cluster, name);
        wait_for(&mut client, ALL_RAN, "t");
        Witness(client)
    }

    pub fn last_run(&mut self) -> String {
        one(&mut self.0, "SELECT max(last_run) FROM audit_log.worker_status")
    }

    /// Has each database that is served be looked at: those that are asked go before the witness's second turn.
    #[track_caller]
    pub fn all_had_a_turn(&mut self) {
        run(&mut self.0, "SELECT pg_reload_conf()");
        for _ in 0..3 {
            next_round(&mut self.0);
        }
    }
}

/// Waits until the launcher has looked since now, and nobody works.
#[track_caller]
pub fn is_idle(admin: &mut Client) {
    for _ in 0..2 {
        // Each look reads all databases; nobody else does.
        let looks = "SELECT seq_scan FROM pg_stat_sys_tables WHERE relname = 'pg_database'";
        let before = one(admin, looks);
        run(admin, "SELECT pg_reload_conf()");
        wait_for(admin, &format!("SELECT ({looks}) > {before}"), "t");
    }
    wait_for(admin, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'audit_log worker'", "0");
}

/// From now on a step of a task does something before it ends.
pub fn first(client: &mut Client, task: &str, what: &str) {
    let sql = format!(
        "CREATE OR REPLACE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0
         AS 'BEGIN PERFORM {what}; RETURN NEW; END';
         CREATE OR REPLACE TRIGGER slow BEFORE INSERT OR UPDATE ON audit_log.worker_task FOR EACH ROW
         WHEN (NEW.task = '{task}') EXECUTE FUNCTION public.slow()"
    );
    run(client, &sql);
}

/// From now on a step of a task takes a while.
pub fn slow(client: &mut Client, task: &str) {
    first(client, task, takes_a_while());
}

/// From now on a step of a task does not end by itself.
pub fn endless(client: &mut Client, task: &str) {
    first(client, task, FOREVER.trim_start_matches("SELECT "));
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
    wait_for(admin, &at_work(database), "1");
}
