//! CREATE and DROP EXTENSION, and what a DBA finds in the catalog.

use audit_log_tests::{fails, unique, Db};

#[test]
fn comes_and_goes_and_comes_again() {
    let mut db = Db::new();
    db.run(
        "CREATE TABLE job (id int PRIMARY KEY); SELECT audit_log.watch('job'); INSERT INTO job VALUES (1)",
    );
    // Watched tables hold it: nobody drops a log by accident.
    let refused = db.fails("DROP EXTENSION audit_log");
    assert_eq!(refused.sqlstate, "2BP01");
    db.run("DROP EXTENSION audit_log CASCADE; INSERT INTO job VALUES (2)");
    let left = "SELECT count(*) FROM pg_class WHERE relnamespace = 'audit_log'::regnamespace";
    assert_eq!(db.one(left), "0");
    assert_eq!(db.one("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal"), "0");
    db.run("CREATE EXTENSION audit_log; SELECT audit_log.watch('job'); INSERT INTO job VALUES (3)");
    assert_eq!(db.events(), ["insert job_created 3"]);
}

#[test]
fn the_version_is_the_packages() {
    let mut db = Db::new();
    assert_eq!(
        db.one("SELECT extversion FROM pg_extension WHERE extname = 'audit_log'"),
        env!("CARGO_PKG_VERSION")
    );
}

#[test]
fn installs_in_a_transaction_and_rolls_back() {
    let mut db = Db::without_extension();
    db.run("BEGIN; CREATE EXTENSION audit_log; ROLLBACK");
    assert_eq!(db.one("SELECT count(*) FROM pg_namespace WHERE nspname = 'audit_log'"), "0");
    assert_eq!(db.one("SELECT count(*) FROM pg_event_trigger"), "0");
}

#[test]
fn refuses_what_it_cannot_be_safe_in() {
    let mut db = Db::without_extension();
    let owner = unique("owner");
    db.run(&format!("CREATE ROLE {owner}; CREATE SCHEMA audit_log AUTHORIZATION {owner}"));
    let refused = db.fails("CREATE EXTENSION audit_log");
    refused.is("42501", "not_in_prerequisite_state");
    db.run("DROP SCHEMA audit_log; CREATE SCHEMA audit_log; CREATE EXTENSION audit_log");

    let ascii = unique("ascii");
    db.run(&format!("CREATE DATABASE {ascii} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"));
    let mut client = audit_log_tests::connect(&ascii, "postgres");
    fails(&mut client, "CREATE EXTENSION audit_log").is("55000", "not_in_prerequisite_state").says("UTF8");
    drop(client);
    db.run(&format!("DROP DATABASE {ascii}"));
}

#[test]
fn writes_no_entry_and_preloads_nothing() {
    let mut db = Db::new();
    assert_eq!(db.one("SELECT count(*) FROM audit_log.entry"), "0");
    assert_eq!(db.one("SHOW shared_preload_libraries"), "");
}

#[test]
fn partitions_are_made_ahead_and_only_once() {
    let mut db = Db::new();
    // Of entries, their other targets, counts and names, three weeks each.
    assert_eq!(db.one("SELECT audit_log.ensure_partitions(2)"), "12");
    assert_eq!(db.one("SELECT audit_log.ensure_partitions(2)"), "0");
    db.run("SELECT audit_log.record('offer_sent', '1')");
    let landed =
        db.one("SELECT tableoid::regclass::text ~ '^audit_log.event_p[0-9]{8}$' FROM audit_log.event");
    assert_eq!(landed, "t");
    // It does not matter that there are entries of a time already.
    db.run("SELECT audit_log.record('offer_sent', '1', occurred_at => now() + interval '5 weeks')");
    assert_eq!(db.one("SELECT audit_log.ensure_partitions(5)"), "12");
    let landed = db.one("SELECT count(*) FROM audit_log.event_unplaced");
    assert_eq!(landed, "1");
    // Made at run time, they go with the extension all the same.
    db.run("DROP EXTENSION audit_log");
    assert_eq!(db.one("SELECT count(*) FROM pg_class WHERE relname LIKE 'event\\_%'"), "0");
}
