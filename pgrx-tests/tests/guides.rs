//! The guides: their blocks, what of them comes from the catalog, and what they say that no block shows.

use std::process::{Command, Stdio};

use audit_log_tests::{all, cluster, fails, one, run, unique, Cluster, Db};
use postgres::{Client, NoTls};

use crate::documents::Document;

#[test]
fn vocabulary() {
    let mut guide = Document::read("docs/vocabulary.md");
    guide.is_all_run();
    let mut db = Db::new();
    guide.generated("target types", &target_types(&mut db));
    guide.generated("categories", &categories(&mut db));
    guide.generated("settings", &settings(&mut db));
    guide.generated("actor types", &actor_types(&mut db));
    guide.run(&Db::without_extension());
    guide.finish();
}

#[test]
fn pagination() {
    let mut guide = Document::read("docs/pagination.md");
    guide.is_all_run();
    guide.run(&Db::without_extension());
    guide.finish();
}

#[test]
fn retention() {
    let mut guide = Document::read("docs/retention.md");
    guide.run(&Db::without_extension());
    guide.finish();
}

/// A table of lines that a query gives.
pub fn table(db: &mut Db, head: &str, query: &str) -> String {
    let rule = "| --- ".repeat(head.matches('|').count() - 1);
    format!("{head}\n{rule}|\n{}\n", db.all(query).join("\n"))
}

fn target_types(db: &mut Db) -> String {
    let query = "SELECT format('| [`%s`](#%1$s) | %s | %s |', t.code, replace(t.label, '|', '\\|'), count(v))
        FROM audit_log.target_type t LEFT JOIN audit_log.vocabulary v ON v.target_type = t.code
        GROUP BY t.code, t.label ORDER BY t.code";
    table(db, "| target type | label | categories |", query)
}

/// A section and a table for each target type.
fn categories(db: &mut Db) -> String {
    let types = db.all("SELECT code FROM audit_log.target_type ORDER BY code");
    let section = |code: String| {
        let query = format!(
            "SELECT format('| `%s` | %s | %s |', category, replace(label, '|', '\\|'), replace(description, '|', '\\|'))
             FROM audit_log.vocabulary WHERE target_type = '{code}' ORDER BY category"
        );
        format!("### {code}\n\n{}\n", table(db, "| category | label | description |", &query))
    };
    types.into_iter().map(section).collect()
}

fn settings(db: &mut Db) -> String {
    let query = "SELECT format('- `%s`', setting) FROM audit_log.vocabulary,
          jsonb_array_elements_text(metadata_schema #> '{properties,setting,enum}') setting
        WHERE category = 'team_settings_changed'";
    db.all(query).join("\n")
}

fn actor_types(db: &mut Db) -> String {
    let query = "SELECT format('| `%s` | %s |', code, replace(label, '|', '\\|')) FROM audit_log.actor_type ORDER BY code";
    table(db, "| actor type | label |", query)
}

#[test]
fn what_the_vocabulary_guide_says_beside_its_blocks() {
    let mut db = Db::new();
    db.run(
        r#"SELECT audit_log.define_category('job_paused', 'job', 'Job paused', 'Hiring stopped', 'orange');
        SELECT audit_log.deprecate_category('job_paused');
        SELECT audit_log.define_category('job_paused', 'job', 'Paused', metadata_schema => '{"required": ["reason"]}')"#,
    );
    let row = "SELECT concat_ws('|', label, description, color, deprecated) FROM audit_log.vocabulary WHERE NOT builtin";
    assert_eq!(db.all(row), ["Paused|t"]);
    // Neither what import() brings nor the context's metadata is the schema's matter.
    let imported = r#"SELECT error FROM audit_log.import(ARRAY['{"action": "job_paused", "team_id": 1,
        "actor": {"type": "user", "id": 1}, "targets": [{"type": "job", "id": 1}]}'::jsonb], 'gem')"#;
    assert_eq!(db.all(imported), ["∅"]);
    let record = "SELECT audit_log.record('job_paused', '1')";
    db.run("SET audit_log.context = '{\"metadata\": {\"reason\": \"x\"}}'");
    db.fails(record).is("22023", "invalid_input");
    // Who may define, and who may look.
    let role = unique("guide");
    let mut other = db.session_as(&role);
    let look = "SELECT count(*) FROM audit_log.vocabulary, audit_log.target_type, audit_log.actor_type";
    assert_eq!(fails(&mut other, look).sqlstate, "42501");
    db.run(&format!("SELECT audit_log.grant_read('{role}', 'acme')"));
    one(&mut other, look);
    let refused = fails(&mut other, "SELECT audit_log.define_category('x', 'job', 'X')");
    assert_eq!(
        (refused.sqlstate.as_str(), refused.message.as_str()),
        ("42501", "permission denied for function define_category")
    );
    db.run(&format!("SELECT audit_log.revoke_read('{role}', 'acme'); GRANT audit_log_writer TO {role}"));
    one(&mut other, look);
    db.run("SELECT audit_log.define_category('parked', 'audit_log', 'Parked')");
    fails(&mut other, "SELECT audit_log.record('parked')").is("42501", "missing_endpoint_permission");
}

/// A page of list() with these arguments: the ids of its targets, and its next cursor.
fn page(client: &mut Client, arguments: &str) -> (Vec<String>, Option<String>) {
    let rows = format!("FROM audit_log.list({arguments})");
    let ids = all(client, &format!("SELECT target_id {rows}"));
    let next = one(client, &format!("SELECT min(next_cursor) {rows}"));
    (ids, Some(next).filter(|n| n != "∅"))
}

fn next(client: &mut Client, arguments: &str) -> String {
    page(client, arguments).1.expect("more pages")
}

fn record(db: &mut Db, targets: &[&str]) {
    for target in targets {
        db.run(&format!("SELECT audit_log.record('job_updated', '{target}')"));
    }
}

/// Stops a cluster's server without ado, and starts it again.
fn crash(cluster: &Cluster) {
    let library = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/lib.sh");
    let script =
        r#"source "$0"; cd /; as_server_user "$1/pg_ctl" -D "$2/data" -l "$2/log" -m immediate -w restart"#;
    let status = Command::new("bash")
        .args(["-c", script, library])
        .args([&cluster.bindir, &cluster.dir])
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("bash runs").success(), "the server did not start again");
}

#[test]
fn a_cursor_survives_dump_restore_and_a_crash() {
    let mut db = Db::new();
    record(&mut db, &["1", "2", "3", "4", "5", "6"]);
    let token = next(&mut db.client, "NULL, 2");
    let dump = cluster().program("pg_dump").args(["-d", &db.name]).output().expect("pg_dump runs");
    let other = Cluster::start(&[], None);
    let connect = |name: &str| other.config(name).connect(NoTls).expect("connects");
    run(&mut connect("postgres"), "CREATE DATABASE copy");
    let file = other.dir.join("dump.sql");
    std::fs::write(&file, dump.stdout).expect("the dump is kept");
    let psql = other
        .program("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "copy", "-f"])
        .arg(&file)
        .output();
    assert!(psql.expect("psql runs").status.success());
    let (ids, token) = page(&mut connect("copy"), &format!("'{token}', 2"));
    assert_eq!(ids, ["4", "3"]);
    crash(&other);
    assert_eq!(page(&mut connect("copy"), &format!("'{}', 2", token.expect("more pages"))).0, ["2", "1"]);
}

#[test]
fn a_cursor_keeps_the_first_pages_window_where_no_dates_are_given() {
    let mut db = Db::new();
    record(&mut db, &["1", "2"]);
    let token = next(&mut db.client, "NULL, 1");
    // Of the last 24 hours when the first page was read, and not of those before now.
    let then = db.one("SELECT clock_timestamp()");
    db.run(&format!("SELECT audit_log.record('job_updated', 'old', occurred_at => timestamptz '{then}' - interval '24 hours')"));
    record(&mut db, &["3"]);
    assert_eq!(page(&mut db.client, "").0, ["3", "2", "1"]);
    assert_eq!(page(&mut db.client, &format!("'{token}'")).0, ["1", "old"]);
}

#[test]
fn a_cursor_survives_the_entry_it_was_made_at() {
    let mut db = Db::new();
    db.run(
        "SELECT audit_log.ensure_partitions(4);
         SELECT audit_log.record('job_updated', 'old', occurred_at => now() - interval '30 days');
         SELECT audit_log.record('job_updated', 'next week', occurred_at => now() + interval '7 days')",
    );
    record(&mut db, &["1", "2", "3"]);
    let window = db.one(
        "SELECT format('start_date => %L, end_date => %L', now() - interval '60 days', now() + interval '60 days')",
    );
    let token = next(&mut db.client, &format!("\"limit\" => 2, {window}"));
    let partition = db.one("SELECT tableoid::regclass FROM audit_log.event WHERE target_id = '3'");
    assert_eq!(db.one("SELECT count(*) FROM audit_log.event_unplaced WHERE target_id = 'old'"), "1");
    db.run(&format!("DROP TABLE {partition}"));
    assert_eq!(page(&mut db.client, &format!("'{token}', {window}")).0, ["old"]);
}

#[test]
fn a_cursor_gives_no_rights() {
    let mut db = Db::new();
    for organization in ["acme", "other", "acme", "other"] {
        db.run(&format!(
            "SELECT audit_log.record('job_updated', '{organization}', organization => '{organization}')"
        ));
    }
    let token = next(&mut db.client, "NULL, 1");
    let role = unique("guide");
    let mut reader = db.session_as(&role);
    let rest = format!("'{token}'");
    fails(&mut reader, &format!("SELECT * FROM audit_log.list({rest})"))
        .is("42501", "missing_endpoint_permission");
    db.run(&format!("SELECT audit_log.grant_read('{role}', 'acme')"));
    let updated = "SELECT target_id FROM audit_log.list({}) WHERE category = 'job_updated'";
    assert_eq!(all(&mut reader, &updated.replace("{}", &rest)), ["acme", "acme"]);
    // The same of an organization that is disabled meanwhile.
    let named = next(&mut db.client, "NULL, 1, organization => 'acme'");
    db.run("SELECT audit_log.disable_organization('acme')");
    assert_eq!(db.all(&updated.replace("{}", &rest)), ["other"]);
    db.fails(&format!("SELECT * FROM audit_log.list('{named}', organization => 'acme')"))
        .is("55000", "audit_logs_not_enabled");
}
