//! The log survives dump and restore, into this cluster and into another one.

use std::process::Stdio;

use audit_log_tests::{all, cluster, connect, one, psql, run, unique, Cluster, Db};
use postgres::{Client, NoTls};

/// A database with something of everything that must come back.
fn furnished() -> Db {
    let mut db = Db::new();
    db.run(
        "CREATE SCHEMA ats;
         CREATE TABLE ats.job (id int PRIMARY KEY, dropped int, title text, secret text, org text);
         ALTER TABLE ats.job DROP COLUMN dropped;
         CREATE TABLE ats.part (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
         CREATE TABLE ats.part_eu PARTITION OF ats.part FOR VALUES IN ('eu');
         CREATE TABLE ats.part_us PARTITION OF ats.part FOR VALUES IN ('us');
         SELECT audit_log.watch('ats.job', redact => '{secret}', organization => 'org', target_name => 'title');
         SELECT audit_log.watch('ats.part', target_type => 'thing');
         SELECT audit_log.define_actor_type('robot');
         SELECT audit_log.define_category('job_painted', 'job', 'Job painted', metadata_schema => '{\"required\": [\"color\"]}');
         SELECT audit_log.deprecate_category('offer_sent');
         SELECT audit_log.enable_organization('acme', 'Acme Corp');
         SELECT audit_log.disable_organization('shut');
         INSERT INTO ats.job VALUES (1, 'Cook', 'hush', 'acme'), (2, 'Clerk', 'hush', 'new');
         UPDATE ats.job SET title = 'Chef' WHERE id = 1;
         INSERT INTO ats.part VALUES (1, 'eu');
         SELECT audit_log.record('job_painted', '1', metadata => '{\"color\": \"red\"}', targets => '[{\"type\": \"user\", \"id\": 9}]', idempotency_key => 'k');
         SELECT audit_log.record('user_login_complete', '1', occurred_at => '2001-02-03');",
    );
    db
}

fn everything(client: &mut Client) -> Vec<String> {
    all(client, "SELECT to_jsonb(e)::text FROM audit_log.entry e ORDER BY occurred_at, id")
}

/// Dumps from the shared cluster and restores into a database of the given one.
pub fn restore(from: &str, into: &Cluster, name: &str) {
    let mut dump =
        cluster().program("pg_dump").args(["-d", from]).stdout(Stdio::piped()).spawn().expect("pg_dump runs");
    let restored = into
        .program("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", name])
        .stdin(dump.stdout.take().expect("stdout"))
        .stdout(Stdio::null())
        .output()
        .expect("psql runs");
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    assert!(dump.wait().expect("pg_dump ends").success());
}

fn check_restored(client: &mut Client, before: &[String]) {
    assert_eq!(everything(client), before);
    let state =
        "SELECT string_agg(id || enabled || coalesce(name, ''), ' ' ORDER BY id) FROM audit_log.organization";
    assert_eq!(one(client, state), "acmetrueAcme Corp defaulttrue newtrue shutfalse");
    assert_eq!(
        one(client, "SELECT string_agg(category, ' ') FROM audit_log.vocabulary WHERE deprecated"),
        "offer_sent"
    );
    assert_eq!(one(client, "SELECT count(*) FROM audit_log.entry_target WHERE target_id = '9'"), "1");
    assert_eq!(
        one(client, "SELECT count(*) FROM audit_log.list(target_ids => '{9}', organization => 'default')"),
        "1"
    );
    let last = one(client, "SELECT max(position) FROM audit_log.entry");
    // Everything goes on: capture, redaction, partitions, history, idempotency, the guard.
    run(
        client,
        "UPDATE ats.job SET secret = 'psst', title = 'Head chef' WHERE id = 1;
         INSERT INTO ats.part VALUES (2, 'us');
         UPDATE ats.part SET region = 'us' WHERE id = 1;
         TRUNCATE ats.part_us;",
    );
    let new = format!("FROM audit_log.entry WHERE position > '{last}'");
    assert_eq!(
        all(client, &format!("SELECT category || coalesce(changes::text, '') {new} ORDER BY position")),
        [
            r#"job_updated{"title": ["Chef", "Head chef"], "secret": ["[redacted]", "[redacted]"]}"#,
            r#"thing_created{"id": [null, 2], "region": [null, "us"]}"#,
            r#"thing_updated{"region": ["eu", "us"]}"#,
            "thing_truncated",
        ]
    );
    assert_eq!(one(client, "SELECT count(*) FROM audit_log.history('ats.job', '1')"), "3");
    let again = "SELECT audit_log.record('job_painted', '1', metadata => '{\"color\": \"red\"}', targets => '[{\"type\": \"user\", \"id\": 9}]', idempotency_key => 'k') = (SELECT id FROM audit_log.entry WHERE category = 'job_painted')";
    assert_eq!(one(client, again), "t");
    for partition in all(
        client,
        "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'audit_log.event'::regclass",
    ) {
        let refused =
            client.batch_execute(&format!("DELETE FROM {partition} WHERE false")).expect_err("append-only");
        assert_eq!(refused.code().map(|c| c.code().to_string()).as_deref(), Some("42501"), "{partition}");
    }
    // The next partitions come as they would have, and no partition has an index twice.
    run(client, "SELECT audit_log.ensure_partitions(8)");
    let doubled = "SELECT count(*) FROM (SELECT indrelid, indkey, indpred::text FROM pg_index
        JOIN pg_class c ON c.oid = indrelid WHERE c.relname LIKE 'event%' GROUP BY 1, 2, 3 HAVING count(*) > 1) d";
    assert_eq!(one(client, doubled), "0");
}

#[test]
fn into_another_database() {
    let mut db = furnished();
    let before = everything(&mut db.client);
    let copy = unique("copy");
    db.run(&format!("CREATE DATABASE {copy}"));
    restore(&db.name, cluster(), &copy);
    check_restored(&mut connect(&copy, "postgres"), &before);
    psql("postgres", &format!("DROP DATABASE {copy} WITH (FORCE)"));
}

#[test]
fn into_a_cluster_whose_transaction_counter_is_lower() {
    let mut db = Db::new();
    db.run("DO $$ BEGIN FOR i IN 1 .. 5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$");
    drop(db);
    let mut db = furnished();
    let before = everything(&mut db.client);
    let other = Cluster::start(&[], None);
    let connect = |name: &str| other.config(name).connect(NoTls).expect("connects");
    run(&mut connect("postgres"), "CREATE DATABASE copy");
    restore(&db.name, &other, "copy");
    let mut client = connect("copy");
    let counter = |c: &mut Client| one(c, "SELECT pg_current_xact_id()").parse::<u64>().expect("a number");
    assert!(counter(&mut client) < counter(&mut db.client), "the premise of this test");
    // check_restored tells old entries from new ones by position.
    check_restored(&mut client, &before);
}

#[test]
fn a_role_of_the_same_name_in_another_cluster_has_nothing() {
    let mut db = Db::new();
    let role = unique("reader");
    db.run(&format!("CREATE ROLE {role}; SELECT audit_log.grant_read('{role}', 'acme')"));
    let bound = format!("SELECT count(*) FROM audit_log.live_binding WHERE role_name = '{role}'");
    assert_eq!(db.one(&bound), "1");
    let other = Cluster::start(&[], None);
    let mut admin = other.config("postgres").connect(NoTls).expect("connects");
    run(&mut admin, "CREATE DATABASE copy");
    run(&mut admin, &format!("CREATE ROLE {role}"));
    restore(&db.name, &other, "copy");
    let mut client = other.config("copy").connect(NoTls).expect("connects");
    assert_eq!(one(&mut client, &bound), "0");
}
