//! What is written for people who take the log elsewhere: BI tools, the connector, incremental sync.

use audit_log_tests::{fails, psql, run, Cluster, Db};
use postgres::NoTls;

use crate::documents::Document;
use crate::guides::table;

const VIEWS: [&str; 9] = [
    "entry",
    "entry_target",
    "entry_change",
    "activity_daily",
    "category_daily",
    "feed",
    "bi_audit_log",
    "organization",
    "vocabulary",
];

#[test]
fn pointing_a_bi_tool_at_the_log() {
    let mut guide = Document::read("docs/bi.md");
    let mut db = Db::new();
    guide.diagram(&diagram(&mut db));
    guide.generated("columns", &VIEWS.map(|view| section(&mut db, view)).concat());
    guide.is_all_run();
    guide.run(&Db::without_extension());
    psql("postgres", "DROP ROLE bi_all, bi_globex, bi_nobody");
    guide.finish();
}

/// A view's columns, as "name type".
fn columns(db: &mut Db, view: &str) -> Vec<String> {
    db.all(&format!(
        "SELECT attname || ' ' || replace(format_type(atttypid, atttypmod), 'timestamp with time zone', 'timestamptz')
         FROM pg_attribute WHERE attrelid = 'audit_log.{view}'::regclass AND attnum > 0 ORDER BY attnum"
    ))
}

fn names(columns: &[String]) -> Vec<&str> {
    columns.iter().filter_map(|c| c.split_once(' ')).map(|(name, _)| name).collect()
}

/// What a view says of itself and of its columns.
fn section(db: &mut Db, view: &str) -> String {
    let comment = db.one(&format!("SELECT obj_description('audit_log.{view}'::regclass)"));
    let head = format!("### {view}\n\n{}\n\n", escaped(&comment));
    if view != "entry" && columns(db, view) == columns(db, "entry") {
        return format!("{head}Its columns are those of `entry`.\n\n");
    }
    head + &column_table(db, view) + "\n"
}

fn column_table(db: &mut Db, view: &str) -> String {
    let query = format!(
        "SELECT format('| `%s` | %s | %s |', attname, replace(format_type(atttypid, atttypmod), 'timestamp with time zone', 'timestamptz'),
                replace(replace(col_description(attrelid, attnum), '|', '\\|'), '<', '&lt;'))
         FROM pg_attribute WHERE attrelid = 'audit_log.{view}'::regclass AND attnum > 0 ORDER BY attnum"
    );
    table(db, "| column | type | |", &query)
}

fn escaped(text: &str) -> String {
    text.replace('<', "&lt;")
}

/// The views, their columns, and by which of them they go together.
fn diagram(db: &mut Db) -> String {
    let reads_entry = db.all(
        "SELECT DISTINCT r.ev_class::regclass::text FROM pg_rewrite r
         JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
         WHERE d.refobjid = 'audit_log.entry'::regclass AND r.ev_class <> d.refobjid",
    );
    let (mut lines, mut entities) = (String::new(), String::new());
    for view in VIEWS {
        let columns = columns(db, view);
        let is_shape_of_entry = reads_entry.contains(&format!("audit_log.{view}"));
        for line in relations(view, &names(&columns), is_shape_of_entry) {
            lines.push_str(&format!("  {line}\n"));
        }
        entities.push_str(&format!("  {view} {{\n{}  }}\n", attributes(view, &columns)));
    }
    format!("erDiagram\n{lines}{entities}")
}

/// How a view goes together with others, by the columns it has.
fn relations(view: &str, columns: &[&str], is_shape_of_entry: bool) -> Vec<String> {
    let has = |name: &str| columns.contains(&name);
    if is_shape_of_entry {
        let line = match (has("entry_id"), has("id")) {
            (true, _) if view == "entry_target" => {
                "entry ||--|{ entry_target : \"id = entry_id\"".to_string()
            }
            (true, _) => format!("entry ||--o{{ {view} : \"id = entry_id\""),
            (_, true) => format!("entry ||--o| {view} : id"),
            _ => format!("entry ||--|| {view} : \"row by row\""),
        };
        return vec![line];
    }
    let mut lines = Vec::new();
    if has("organization_id") {
        lines.push(format!("organization ||--o{{ {view} : \"id = organization_id\""));
    }
    if has("category") && view != "vocabulary" {
        lines.push(format!("vocabulary ||--o{{ {view} : category"));
    }
    if view == "category_daily" {
        lines.push("category_daily ||--|{ activity_daily : \"day, organization_id, category\"".to_string());
        lines.push("activity_daily ||--|{ entry : counts".to_string());
    }
    lines
}

fn attributes(view: &str, columns: &[String]) -> String {
    // feed has what entry has: two columns tell what it is for.
    let is_shown = |name: &str| view != "feed" || ["id", "position"].contains(&name);
    let attribute = |column: &String| {
        let (name, kind) = column.split_once(' ').filter(|(name, _)| is_shown(name))?;
        let key = match (view, name) {
            ("entry" | "organization" | "feed", "id") | ("vocabulary", "category") => " PK",
            (_, "entry_id" | "organization_id" | "category") => " FK",
            _ => "",
        };
        Some(format!("    {kind} {name}{key}\n"))
    };
    columns.iter().filter_map(attribute).collect()
}

/// A database of this name in the shared cluster, where the name is shown.
fn named(name: &str) -> Db {
    psql("postgres", &format!("CREATE DATABASE {name}"));
    Db::of(name)
}

#[test]
fn the_connector() {
    let mut guide = Document::read("docs/connector.md");
    guide.is_all_run();
    guide.generated("columns", &column_table(&mut Db::new(), "bi_audit_log"));
    guide.run(&named("hiring"));
    psql("postgres", "DROP ROLE acme_reports, acme_dashboards, acme_extracts, globex_reports");
    guide.finish();
}

#[test]
fn incremental_sync() {
    let mut guide = Document::read("docs/sync.md");
    guide.is_all_run();
    // Its own: any transaction of the shared one would hold back the feed.
    let server = Cluster::start(&["autovacuum=off"], None);
    let connect = |name: &str| server.config(name).connect(NoTls).expect("connects");
    run(&mut connect("postgres"), "CREATE DATABASE copied");
    guide.run_in(&server, "copied");
    let elsewhere = Db::new().one("SELECT audit_log.sync_start()");
    fails(&mut connect("copied"), &format!("SELECT * FROM audit_log.sync('{elsewhere}')"))
        .is("55000", "cursor_expired");
    guide.finish();
}

fn plan(db: &mut Db, query: &str) -> String {
    db.all(&format!("EXPLAIN {query}")).join("\n")
}

#[test]
fn which_conditions_leave_other_weeks_alone() {
    let mut db = Db::new();
    db.run("SELECT audit_log.ensure_partitions(4)");
    let instants =
        [("entry", "occurred_at"), ("entry_target", "occurred_at"), ("bi_audit_log", "event_time")];
    for (view, column) in instants {
        let named = plan(&mut db, &format!("SELECT * FROM audit_log.{view} WHERE {column} < '2001-01-01Z'"));
        assert!(!named.contains(" on event_p"), "{view}: {named}");
        for condition in [format!("{column}::date < '2001-01-01'"), "true".to_string()] {
            let other = plan(&mut db, &format!("SELECT * FROM audit_log.{view} WHERE {condition}"));
            assert!(other.contains(" on event_p"), "{view}, {condition}: {other}");
        }
    }
    for view in ["activity_daily", "category_daily"] {
        let named = plan(&mut db, &format!("SELECT * FROM audit_log.{view} WHERE day < '2001-01-01'"));
        assert!(!named.contains(" on activity_p"), "{view}: {named}");
    }
    let joined = "SELECT * FROM audit_log.entry e JOIN audit_log.entry_change c ON c.entry_id = e.id
        WHERE e.occurred_at < '2001-01-01Z'";
    assert!(plan(&mut db, joined).contains(" on event_p"), "then entry_change is not for full extracts only");
}

#[test]
fn which_conditions_an_index_answers() {
    let mut db = Db::new();
    db.run("SET enable_seqscan = off");
    for column in ["organization_id", "category", "target_id", "actor_id"] {
        let found = plan(&mut db, &format!("SELECT * FROM audit_log.entry WHERE {column} = 'x'"));
        assert!(found.contains(&format!("Index Cond: ({column} = 'x'")), "{found}");
    }
    let by_index = |found: String| found.contains("(effective_actor_id =") || found.contains("event_target");
    assert!(!by_index(plan(&mut db, "SELECT * FROM audit_log.entry WHERE effective_actor_id = 'x'")));
    assert!(!by_index(plan(&mut db, "SELECT * FROM audit_log.entry_target WHERE target_id = 'x'")));
}

/// What the diagram's lines say holds for entries of every kind.
#[test]
fn views_go_together_as_the_diagram_says() {
    let mut db = Db::new();
    db.run(
        r#"CREATE TABLE job (id int PRIMARY KEY, team text, title text);
        SELECT audit_log.watch('job', organization => 'team');
        INSERT INTO job SELECT n, 'team' || n % 3, 'x' FROM generate_series(1, 9) n;
        SELECT audit_log.count_entries();
        UPDATE job SET title = 'y'; DELETE FROM job WHERE id = 1; TRUNCATE job;
        SELECT audit_log.record('offer_sent', '42', targets => '[{"type": "job", "id": 2}]')"#,
    );
    let mut is =
        |query: &str, wanted: &str| assert_eq!(db.one(&format!("SELECT {query}")), wanted, "{query}");
    is("count(*) FROM audit_log.entry e WHERE organization_id NOT IN (SELECT id FROM audit_log.organization)", "0");
    is(
        "count(*) FROM audit_log.entry e WHERE category NOT IN (SELECT category FROM audit_log.vocabulary)",
        "0",
    );
    is("count(*) FROM audit_log.entry e WHERE id NOT IN (SELECT entry_id FROM audit_log.entry_target)", "0");
    is("count(*) FROM audit_log.entry_target WHERE entry_id NOT IN (SELECT id FROM audit_log.entry)", "0");
    is("count(*) FROM audit_log.entry_change WHERE entry_id NOT IN (SELECT id FROM audit_log.entry)", "0");
    is("count(*) FROM audit_log.feed WHERE id NOT IN (SELECT id FROM audit_log.entry)", "0");
    is("(SELECT count(*) FROM audit_log.bi_audit_log) = (SELECT count(*) FROM audit_log.entry)", "t");
    is("(SELECT sum(events) FROM audit_log.activity_daily) = (SELECT count(*) FROM audit_log.entry)", "t");
    let sums =
        "SELECT day, organization_id, category, sum(events) FROM audit_log.activity_daily GROUP BY 1, 2, 3";
    is(&format!("count(*) FROM (TABLE audit_log.category_daily EXCEPT {sums}) d"), "0");
    is(&format!("count(*) FROM ({sums} EXCEPT TABLE audit_log.category_daily) d"), "0");
}
