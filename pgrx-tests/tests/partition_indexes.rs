//! Partitions as an earlier version made them, with an index a column, beside those of today; and indexed anew.

use audit_log_tests::{fails, run, unique, Db};

use crate::capture_sessions::session_with_notices;
use crate::listing::Month;

const COLUMNS: [&str; 6] =
    ["organization_id", "target_id", "actor_id", "effective_actor_id", "category", "other_type"];

/// Gives a table of entries the indexes that an earlier version gave it.
fn as_earlier(db: &mut Db, table: &str) {
    let today = db.all(&format!(
        "SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'audit_log.{table}'::regclass
         AND pg_get_indexdef(indexrelid) ~ ' USING gin | WHERE '"
    ));
    assert_eq!(today.len(), 2, "{today:?}");
    today.iter().for_each(|index| db.run(&format!("DROP INDEX {index}")));
    for column in COLUMNS {
        let only = match column {
            "actor_id" | "effective_actor_id" | "other_type" => format!("WHERE {column} IS NOT NULL"),
            _ => String::new(),
        };
        db.run(&format!(
            "CREATE INDEX ON audit_log.{table} ({column} text_pattern_ops, occurred_at) WITH (deduplicate_items = off) {only}"
        ));
    }
}

/// What indexes a table has, without their names and its own.
fn indexes(db: &mut Db, table: &str) -> Vec<String> {
    db.all(&format!(
        "SELECT substring(pg_get_indexdef(indexrelid), ' USING .*') FROM pg_index
         WHERE indrelid = 'audit_log.{table}'::regclass ORDER BY 1"
    ))
}

fn reindexed(db: &mut Db, running: bool) -> Vec<String> {
    db.all(&format!("SELECT partition FROM audit_log.reindex_partitions({running})"))
}

#[test]
fn earlier_ones_list_the_same_and_are_indexed_anew_by_one_call() {
    let mut month = Month::new();
    let today = indexes(&mut month.db, "event_p20250303");
    for table in ["event_p20250303", "event_p20250310"] {
        as_earlier(&mut month.db, table);
        month.is_listed(&format!("{table} as an earlier version made it"));
    }
    month.write(56);
    month.is_listed("more was written to them");
    let said = "SELECT object FROM audit_log.doctor() WHERE fix = 'SELECT audit_log.reindex_partitions()'";
    let subjects = ["audit_log.event_p20250303", "audit_log.event_p20250310"];
    assert_eq!(month.db.all(&format!("{said} ORDER BY 1")), subjects);
    assert_eq!(
        month.db.all("SELECT object FROM audit_log.doctor() WHERE finding ~ '^index missing'"),
        [""; 0]
    );

    let sizes = month.db.all("SELECT partition::text || ' ' || (bytes_before > 0 AND bytes_after > 0) FROM audit_log.reindex_partitions()");
    assert_eq!(sizes, subjects.map(|subject| format!("{subject} true")));
    for table in ["event_p20250303", "event_p20250310"] {
        assert_eq!(indexes(&mut month.db, table), today, "{table}");
    }
    assert_eq!(month.db.all(said), [""; 0]);
    month.is_listed("they were indexed anew");
    month.write(28);
    month.is_listed("more was written after that");
    assert_eq!(reindexed(&mut month.db, true), [""; 0]);
}

#[test]
fn the_running_one_only_where_that_is_asked_for() {
    let mut db = Db::new();
    db.run("SELECT audit_log.ensure_partitions()");
    let running = db.one("SELECT c.relname FROM audit_log.partition_bounds('audit_log.event') b JOIN pg_class c ON c.oid = b.partition WHERE now() >= b.lower AND now() < b.upper");
    as_earlier(&mut db, &running);
    assert_eq!(reindexed(&mut db, false), [""; 0]);
    assert_eq!(reindexed(&mut db, true), [format!("audit_log.{running}")]);
}

#[test]
fn somebody_elses_indexes_stay_and_one_that_is_missing_is_made() {
    let mut month = Month::new();
    let table = "audit_log.event_p20250310";
    month.db.run(&format!(
        "CREATE INDEX by_dba ON {table} (target_id, occurred_at);
         CREATE INDEX by_dba_too ON {table} (actor_id text_pattern_ops, occurred_at) WHERE category = 'job_created';
         DROP INDEX audit_log.event_p20250310_feed_idx"
    ));
    assert_eq!(reindexed(&mut month.db, false), [table]);
    assert_eq!(reindexed(&mut month.db, false), [""; 0]);
    assert_eq!(
        month.db.all(&format!("SELECT indexrelid::regclass FROM pg_index WHERE indrelid = '{table}'::regclass AND indexrelid::regclass::text ~ 'dba' ORDER BY 1")),
        ["audit_log.by_dba", "audit_log.by_dba_too"]
    );
    month.is_listed("beside somebody's indexes");
}

/// Who is at work is not waited for: what is left is dropped by a later call.
#[test]
fn it_gives_way_to_whoever_is_at_work() {
    let mut month = Month::new();
    let today = indexes(&mut month.db, "event_p20250303");
    as_earlier(&mut month.db, "event_p20250303");
    let mut writer = month.db.session();
    run(&mut writer, "BEGIN; SELECT audit_log.record('job_created', 't1')");
    let (mut dba, said) = session_with_notices(&month.db, "postgres");
    run(&mut dba, "SELECT * FROM audit_log.reindex_partitions()");
    let said = said.lock().expect("told").join("\n");
    assert!(said.contains("were not dropped"), "{said}");
    run(&mut writer, "SELECT audit_log.record('job_created', 't1'); COMMIT");
    assert_eq!(indexes(&mut month.db, "event_p20250303").len(), today.len() + COLUMNS.len());
    month.is_listed("indexes of both versions");
    assert_eq!(reindexed(&mut month.db, false), ["audit_log.event_p20250303"]);
    assert_eq!(indexes(&mut month.db, "event_p20250303"), today);
}

#[test]
fn administrators_may_others_may_not() {
    let mut db = Db::new();
    for (role, may) in [("audit_log_admin", true), ("audit_log_reader", false), ("audit_log_writer", false)] {
        let name = unique("reindexes");
        let mut session = db.session_as(&name);
        db.run(&format!("GRANT {role} TO {name}"));
        match may {
            true => run(&mut session, "SELECT audit_log.reindex_partitions()"),
            false => {
                let failure = fails(&mut session, "SELECT audit_log.reindex_partitions()");
                assert_eq!(failure.sqlstate, "42501", "{role}: {failure}");
            }
        }
    }
}
