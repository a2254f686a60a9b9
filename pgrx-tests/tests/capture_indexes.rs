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

/// What somebody else indexes by our operator class is found by it, by whatever plan.
#[test]
fn indexes_of_somebody_elses_with_a_predicate_or_of_one_column() {
    let mut db = Db::new();
    db.run(NOTES);
    db.run("SELECT audit_log.ensure_partitions()");
    let partition = db.one("SELECT c.oid::regclass FROM audit_log.partition_bounds('audit_log.event') b JOIN pg_class c ON c.oid = b.partition WHERE now() >= b.lower AND now() < b.upper");
    let indexes = [
        "(organization_id audit_log.text_values) WHERE actor_id IS NULL",
        "(actor_id audit_log.text_values) WHERE other_type IS NULL",
        "(actor_id audit_log.text_values, category audit_log.text_values) WHERE actor_id IS NOT NULL",
        "(request_id audit_log.text_values)",
    ];
    // Without the extension's own, which PostgreSQL would choose.
    let own = db.one(&format!("SELECT indexrelid::regclass FROM pg_index WHERE indrelid = '{partition}'::regclass AND pg_get_indexdef(indexrelid) ~ 'other_targets'"));
    db.run(&format!("DROP INDEX {own}"));
    for (n, index) in (0..).zip(indexes) {
        db.run(&format!("CREATE INDEX by_dba ON {partition} USING gin {index}"));
        // Of one statement, with an actor and without.
        let mut entry = |at: i32, actor: &str| {
            db.run(&format!("SELECT audit_log.set_context({actor}, false)"));
            db.run(&insert(at, at + 2));
        };
        let actor = r#"'{"actor": {"type": "user", "id": "ann"}, "request_id": "r"}'"#;
        entry(100 * n + 1, actor);
        entry(100 * n + 11, "NULL");
        db.run(&format!(
            "BEGIN; {}; SELECT audit_log.set_context({actor}, true); {}; COMMIT",
            insert(100 * n + 21, 100 * n + 23),
            insert(100 * n + 31, 100 * n + 33)
        ));
        // It is another index to this session from then on.
        run(&mut db.session(), "ALTER INDEX audit_log.by_dba SET (gin_pending_list_limit = 128)");
        db.run(&insert(100 * n + 41, 100 * n + 43));
        for filter in [
            "organization_id = 'default' AND actor_id IS NULL",
            "organization_id = 'default'",
            "other_type IS NULL",
            "actor_id = 'ann'",
            "actor_id = 'ann' AND other_type IS NULL",
            "actor_id IS NOT NULL",
            "request_id = 'r'",
        ] {
            same_by_index(&mut db, filter);
        }
        db.run("DROP INDEX audit_log.by_dba");
    }
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
