//! What doctor() says of the worker where the library is preloaded, or is to be: each finding is provoked, and gone when
//! what it says to do is done.

use audit_log_tests::{one, run, wait_for, Cluster};
use postgres::Client;

use crate::doctor::{findings, Finding};
use crate::worker_seen::{created, start};

const LAUNCHERS: &str = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'audit_log launcher'";

/// What is said of the worker; of partitions, which a new log has none of, nothing.
fn of_worker(client: &mut Client) -> Vec<Finding> {
    findings(client)
        .into_iter()
        .filter(|f| f.phrase.starts_with("worker") || f.phrase.starts_with("database"))
        .collect()
}

#[track_caller]
fn only(client: &mut Client, severity: &str, phrase: &str, object: &str) -> Finding {
    let found = of_worker(client);
    let [finding] = found.as_slice() else { panic!("{phrase}: {found:#?}") };
    let is = (finding.severity.as_str(), finding.phrase.as_str(), finding.object.as_str());
    assert_eq!(is, (severity, phrase, object), "{finding:#?}");
    finding.clone()
}

/// After a restart the worker is there, and nothing is said of it.
#[track_caller]
fn works_after_restart(cluster: &Cluster, database: &str) -> Client {
    cluster.down("fast");
    cluster.up();
    let mut client = cluster.connect(database);
    wait_for(&mut client, LAUNCHERS, "1");
    assert_eq!(of_worker(&mut client), []);
    client
}

#[test]
fn not_preloaded() {
    // What is preloaded already stays so.
    let cluster = Cluster::start(&["shared_preload_libraries=auto_explain"], None);
    let mut client = created(&cluster, "hiring");
    let finding = only(&mut client, "info", "worker not preloaded", "shared_preload_libraries");
    run(&mut client, &finding.fix);
    let mut client = works_after_restart(&cluster, "hiring");
    assert_eq!(one(&mut client, "SHOW shared_preload_libraries"), "auto_explain, audit_log");
    cluster.stop();
}

#[test]
fn not_running() {
    let cluster = start(&["max_worker_processes=0"]);
    let mut client = created(&cluster, "hiring");
    let finding = only(&mut client, "error", "worker not running", "audit_log launcher");
    assert!(finding.fix.contains("max_worker_processes"), "{finding:?}");
    run(&mut client, "ALTER SYSTEM SET max_worker_processes = 8");
    works_after_restart(&cluster, "hiring");
    cluster.stop();
}

#[test]
fn left_out() {
    let cluster = start(&["audit_log.databases=other"]);
    let mut client = created(&cluster, "Hiring, too");
    wait_for(&mut client, LAUNCHERS, "1");
    let finding = only(&mut client, "info", "database left out", "Hiring, too");
    assert!(finding.words.ends_with("(audit_log.databases is \"other\")"), "{finding:?}");
    run(&mut client, &finding.fix);
    run(&mut client, "SELECT pg_reload_conf()");
    wait_for(&mut client, "SHOW audit_log.databases", "other, \"Hiring, too\"");
    assert_eq!(of_worker(&mut client), []);
    // It is served now.
    wait_for(
        &mut client,
        "SELECT count(*) > 0 FROM audit_log.worker_status WHERE last_success IS NOT NULL",
        "t",
    );
    cluster.stop();
}
