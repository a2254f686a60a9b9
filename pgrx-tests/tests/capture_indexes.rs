//! What entries add to the index that they are found by: it waits in a list, is found there, and is merged by the
//! worker, or a little at a time where there is none.

use audit_log_tests::{one, run, wait_for, Db};
use postgres::Client;

use crate::capture_writing::same_by_index;
use crate::worker_seen::{created, has_no_complaints, start, ALL_RAN};

const COLUMNS: [&str; 4] = ["organization_id", "category", "actor_id", "target_id"];

/// Pages of the longest list that waits in an index of entries.
const WAITING: &str = "SELECT max(m.n_pending_pages) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     JOIN pg_am a ON a.oid = c.relam AND a.amname = 'gin'
     JOIN pg_inherits p ON p.inhrelid = i.indrelid AND p.inhparent = 'audit_log.event'::regclass
     CROSS JOIN LATERAL gin_metapage_info(get_raw_page(i.indexrelid::regclass::text, 0)) m";

fn pages_waiting(client: &mut Client) -> u32 {
    one(client, WAITING).parse().expect("a number of pages")
}

const AS_ANN: &str = r#"SET audit_log.context = '{"actor": {"type": "user", "id": "ann"}}'"#;

const NOTES: &str = "CREATE EXTENSION pageinspect;
    CREATE TABLE note (id text PRIMARY KEY, title text); SELECT audit_log.watch('note')";

fn insert(first: i32, last: i32) -> String {
    format!("INSERT INTO note SELECT 'note ' || i, i FROM generate_series({first}, {last}) i")
}

/// Checks that each value of each column is found as often by index as it is there, and nothing else.
#[track_caller]
fn each_is_found(db: &mut Db) {
    for column in COLUMNS {
        let values = db.all(&format!(
            "SELECT DISTINCT {column} FROM audit_log.event WHERE {column} IS NOT NULL ORDER BY 1"
        ));
        assert!(!values.is_empty());
        for value in values.iter().take(300) {
            same_by_index(db, &format!("{column} = $v${value}$v$"));
        }
    }
}

#[test]
fn what_waits_is_found_and_what_is_merged_too() {
    let mut db = Db::new();
    db.run(NOTES);
    db.run(AS_ANN);
    for n in [1, 2, 40, 300, 2_000] {
        let first: i32 = db.one("SELECT count(*) + 1 FROM note").parse().expect("a number");
        db.run(&insert(first, first + n - 1));
        each_is_found(&mut db);
        same_by_index(&mut db, "category = 'note_created' AND target_id = 'note 7'");
    }
    assert_eq!(db.one("SELECT count(*) FROM audit_log.entry WHERE target_id LIKE 'note %'"), "2343");
}

/// A row's keys may take more than a page, several rows' fewer than one, and any number between.
#[test]
fn rows_of_any_size() {
    let mut db = Db::new();
    db.run("SELECT audit_log.ensure_partitions()");
    db.run("CREATE TEMP TABLE long AS SELECT i, repeat(chr(97 + i % 26), i * 61) || i AS id FROM generate_series(1, 40) i");
    for order in ["i", "i DESC", "i % 7, i", "hashtext(id)"] {
        db.run(&format!(
            "SELECT count(*) FROM audit_log.import(ARRAY(SELECT jsonb_build_object('category', 'job_created', 'occurredAt', now(),
                 'actor', jsonb_build_object('type', 'support', 'id', id), 'effectiveActor', jsonb_build_object('type', 'user', 'id', 'for ' || id),
                 'targets', jsonb_build_array(jsonb_build_object('type', 'job', 'id', id || ' {order}'))) FROM long ORDER BY {order}))"
        ));
    }
    let distinct = ["target_id", "actor_id", "effective_actor_id"].map(|column| {
        db.one(&format!(
            "SELECT count(DISTINCT {column}) FROM audit_log.event WHERE category = 'job_created'"
        ))
    });
    assert_eq!(distinct, ["160", "40", "40"]);
    each_is_found(&mut db);
    same_by_index(&mut db, "effective_actor_id IN (SELECT 'for ' || id FROM long WHERE i % 3 = 0)");
}

#[test]
fn what_was_rolled_back_is_not_found() {
    let mut db = Db::new();
    db.run(NOTES);
    db.run(AS_ANN);
    db.run(&format!(
        "BEGIN; {}; SAVEPOINT s; {}; ROLLBACK TO s; {}; COMMIT; BEGIN; {}; ROLLBACK",
        insert(1, 50),
        insert(51, 400),
        insert(401, 420),
        insert(500, 900)
    ));
    each_is_found(&mut db);
    assert_eq!(db.one("SELECT count(*) FROM audit_log.entry WHERE category = 'note_created'"), "70");
    same_by_index(&mut db, "target_id = 'note 60'");
}

/// Where no worker merges, whoever writes does, and what waits stays short: that bounds the longest write.
#[test]
fn without_a_worker_the_list_stays_short() {
    let mut db = Db::new();
    db.run(NOTES);
    let mut longest = 0;
    for n in 0..40 {
        db.run(&insert(n * 200 + 1, n * 200 + 200));
        longest = longest.max(pages_waiting(&mut db.client));
    }
    // 64 kB, and what one batch adds.
    assert!((1..=24).contains(&longest), "{longest} pages");
}

/// Beside a worker no writer merges; it does, once there is enough to merge.
#[test]
fn the_worker_merges() {
    let cluster = start(&["audit_log.retention_interval=1d", "autovacuum=off"]);
    let mut client = created(&cluster, "merged");
    run(&mut client, NOTES);
    wait_for(&mut client, ALL_RAN, "t");
    // In a transaction: the worker is told at its end.
    run(&mut client, "BEGIN");
    run(&mut client, &insert(1, 10_000));
    let waited = pages_waiting(&mut client);
    assert!(waited > 64, "{waited} pages waited, so somebody who writes has merged");
    run(&mut client, "COMMIT");
    wait_for(&mut client, &format!("SELECT ({WAITING}) < {waited}"), "t");
    has_no_complaints(&cluster);
    // The rest, however little: once a minute, and by run_retention().
    run(&mut client, &insert(10_001, 10_020));
    run(&mut client, "SELECT count(*) FROM audit_log.run_retention()");
    assert_eq!(pages_waiting(&mut client), 0);
    assert_eq!(one(&mut client, "SELECT count(*) FROM audit_log.entry WHERE target_id = 'note 10007'"), "1");
}
