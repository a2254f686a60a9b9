//! DDL on watched tables is an entry: which, of what, and what it says changed. And what owners may do to them.

use audit_log_tests::{fails, json, one, run, unique, Db, Value};

/// A watched table that everything can be done to.
fn job() -> Db {
    let mut db = Db::new();
    db.run(
        "CREATE TABLE job (id int PRIMARY KEY, title text, n int, note text);
         CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TYPE mood AS ENUM ('well'); ALTER TABLE job ADD COLUMN mood mood;
         SELECT audit_log.watch('job', ignore => '{note}'); INSERT INTO job VALUES (1, 'Cook', 1)",
    );
    db
}

/// The entries of DDL since the last look, as "category target_id metadata".
fn told(db: &mut Db, seen: &mut usize) -> Vec<(String, String, Value)> {
    let all = db.all(
        "SELECT jsonb_build_array(category, target_id, metadata, organization_id)::text FROM audit_log.entry
         WHERE category IN ('schema_changed', 'watch_changed') ORDER BY occurred_at, id",
    );
    let new = all[*seen..].iter().map(|line| {
        let parts: Value = serde_json::from_str(line).expect("JSON");
        let text = |i: usize| parts[i].as_str().unwrap_or_default().to_string();
        assert_eq!(text(3), "default");
        (text(0), text(1), parts[2].clone())
    });
    let new = new.collect();
    *seen = all.len();
    new
}

#[test]
fn each_command_is_told() {
    // The command, the category, its tag, the actions of ALTER TABLE, what changed.
    let commands: &[(&str, &str, &str, &[&str], Value)] = &[
        (
            "ALTER TABLE job ADD COLUMN city text",
            "schema_changed",
            "ALTER TABLE",
            &["ADD COLUMN city"],
            json!({"columns": {"added": {"city": null}}}),
        ),
        (
            "ALTER TABLE job ADD COLUMN level int DEFAULT 3, DROP COLUMN city",
            "schema_changed",
            "ALTER TABLE",
            &["ADD COLUMN level", "DROP COLUMN city"],
            json!({"columns": {"added": {"level": "unknown"}, "dropped": ["city"]}}),
        ),
        (
            "ALTER TABLE job RENAME COLUMN title TO headline",
            "schema_changed",
            "ALTER TABLE",
            &[],
            json!({"columns": {"renamed": {"title": "headline"}}}),
        ),
        (
            "ALTER TABLE job ALTER COLUMN n TYPE int USING n * 2",
            "schema_changed",
            "ALTER TABLE",
            &["ALTER COLUMN TYPE n"],
            json!({"columns": {"rewritten": ["n"]}}),
        ),
        (
            "ALTER TABLE job ADD CONSTRAINT positive CHECK (n > 0)",
            "schema_changed",
            "ALTER TABLE",
            &["ADD CONSTRAINT"],
            Value::Null,
        ),
        (
            "ALTER TABLE job DROP CONSTRAINT positive",
            "schema_changed",
            "ALTER TABLE",
            &["DROP CONSTRAINT positive"],
            Value::Null,
        ),
        (
            "ALTER TABLE job ENABLE ROW LEVEL SECURITY",
            "schema_changed",
            "ALTER TABLE",
            &["ENABLE ROW LEVEL SECURITY"],
            Value::Null,
        ),
        ("CREATE POLICY p ON job USING (true)", "schema_changed", "CREATE POLICY", &[], Value::Null),
        ("ALTER POLICY p ON job USING (false)", "schema_changed", "ALTER POLICY", &[], Value::Null),
        ("DROP POLICY p ON job", "schema_changed", "DROP POLICY", &[], Value::Null),
        (
            "CREATE RULE r AS ON INSERT TO job WHERE NEW.id < 0 DO INSTEAD NOTHING",
            "schema_changed",
            "CREATE RULE",
            &[],
            Value::Null,
        ),
        ("ALTER RULE r ON job RENAME TO s", "schema_changed", "ALTER RULE", &[], Value::Null),
        ("DROP RULE s ON job", "schema_changed", "DROP RULE", &[], Value::Null),
        (
            "CREATE TRIGGER tr BEFORE INSERT ON job FOR EACH ROW EXECUTE FUNCTION noop()",
            "schema_changed",
            "CREATE TRIGGER",
            &[],
            Value::Null,
        ),
        ("ALTER TRIGGER tr ON job RENAME TO ts", "schema_changed", "ALTER TRIGGER", &[], Value::Null),
        ("DROP TRIGGER ts ON job", "schema_changed", "DROP TRIGGER", &[], Value::Null),
        ("DROP TYPE mood CASCADE", "schema_changed", "DROP TYPE", &[], Value::Null),
        (
            "ALTER TABLE job RENAME TO task",
            "schema_changed",
            "ALTER TABLE",
            &[],
            json!({"name": ["public.job", "public.task"]}),
        ),
        (
            "ALTER TABLE task RENAME TO job",
            "schema_changed",
            "ALTER TABLE",
            &[],
            json!({"name": ["public.task", "public.job"]}),
        ),
    ];
    let mut db = job();
    let mut seen = 0;
    assert_eq!(told(&mut db, &mut seen).len(), 1, "the watch itself");
    for (command, category, tag, actions, changes) in commands {
        db.run(command);
        let entries = told(&mut db, &mut seen);
        let [(found, target, metadata)] = &entries[..] else { panic!("{command}: {entries:?}") };
        assert_eq!(found, category, "{command}");
        assert!(
            target == "public.job" || (target == "public.task" && command.contains("task")),
            "{command}: {target}"
        );
        assert_eq!(metadata["command"], *tag, "{command}");
        let actions: Value = if actions.is_empty() { Value::Null } else { json!(actions) };
        assert_eq!(metadata["actions"], actions, "{command}: {metadata}");
        assert_eq!(metadata["changes"], *changes, "{command}: {metadata}");
    }
    // What is about other tables, or about nothing of the rows, is not.
    db.run(
        "CREATE TABLE other (id int); ALTER TABLE other ADD COLUMN x int; DROP TABLE other; CREATE TEMP TABLE brief (id int);
         CREATE INDEX ON job (headline); CREATE VIEW v AS SELECT id FROM job; ANALYZE job; DROP VIEW v",
    );
    assert_eq!(told(&mut db, &mut seen), []);
    db.run("DROP TABLE job");
    let entries = told(&mut db, &mut seen);
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!((entries[0].0.as_str(), &entries[0].2["object_type"]), ("schema_changed", &json!("table")));
}

#[test]
fn switching_our_triggers_is_told_in_one_transaction_or_not() {
    let mut db = job();
    let mut seen = 1;
    for (begin, end) in [("", ""), ("BEGIN", "COMMIT")] {
        for (off, on) in [
            ("ALTER TABLE job DISABLE TRIGGER ALL", "ALTER TABLE job ENABLE ALWAYS TRIGGER \"!audit_log\""),
            ("ALTER TABLE job DISABLE TRIGGER USER", "ALTER TABLE job ENABLE TRIGGER USER"),
            ("ALTER TABLE job DISABLE TRIGGER \"!audit_log\"", "ALTER TABLE job ENABLE TRIGGER ALL"),
            (
                "ALTER TABLE job ENABLE REPLICA TRIGGER \"!audit_log\"",
                "ALTER TABLE job ENABLE ALWAYS TRIGGER \"!audit_log\"",
            ),
            ("DROP TRIGGER \"!audit_log\" ON job", "SELECT audit_log.watch('job', ignore => '{note}')"),
            ("SELECT audit_log.unwatch('job')", "SELECT audit_log.watch('job', ignore => '{note}')"),
        ] {
            db.run(&format!("{begin}; {off}; UPDATE job SET n = n + 1; {on}; {end}"));
            let entries = told(&mut db, &mut seen);
            let categories: Vec<&str> = entries.iter().map(|(category, ..)| category.as_str()).collect();
            assert_eq!(categories, ["watch_changed", "watch_changed"], "{off}: {entries:?}");
            let at = db.one("SELECT clock_timestamp()");
            db.run("UPDATE job SET n = n + 1");
            // Forwards the table tells; what was between the two nobody does.
            let n = db.one("SELECT n - 1 FROM job");
            assert_eq!(db.one(&format!("SELECT audit_log.row_at('job', '1', '{at}') ->> 'n'")), n, "{off}");
        }
    }
    db.run("ALTER TABLE job DISABLE TRIGGER ALL");
    db.run("UPDATE job SET n = 0");
    let dark = db.one("SELECT clock_timestamp()");
    db.run("UPDATE job SET n = 1; ALTER TABLE job ENABLE ALWAYS TRIGGER \"!audit_log\"");
    db.fails(&format!("SELECT audit_log.row_at('job', '1', '{dark}')"))
        .is("55000", "not_in_prerequisite_state")
        .says("not watched");
}

#[test]
fn a_rolled_back_command_is_not_told() {
    let mut db = job();
    let mut seen = 1;
    db.run("BEGIN; ALTER TABLE job RENAME TO task; DROP TABLE task; ROLLBACK");
    db.run("BEGIN; SAVEPOINT a; ALTER TABLE job DISABLE TRIGGER ALL; ROLLBACK TO a; COMMIT");
    assert_eq!(told(&mut db, &mut seen), []);
    assert_eq!(db.one("SELECT count(*) FROM audit_log.relation_change WHERE kind <> 'watched'"), "0");
}

#[test]
fn an_owner_makes_attaches_and_detaches_partitions() {
    let mut db = Db::new();
    let owner = unique("owner");
    let mut session = db.session_as(&owner);
    db.run(&format!(
        "CREATE SCHEMA ap AUTHORIZATION {owner}; SET ROLE {owner};
         CREATE TABLE ap.m (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
         CREATE TABLE ap.m1 PARTITION OF ap.m FOR VALUES FROM (0) TO (100);
         RESET ROLE; SELECT audit_log.watch('ap.m')"
    ));
    run(
        &mut session,
        "CREATE TABLE ap.m2 PARTITION OF ap.m FOR VALUES FROM (100) TO (200);
         CREATE TABLE ap.m3 (id int PRIMARY KEY, v text);
         ALTER TABLE ap.m ATTACH PARTITION ap.m3 FOR VALUES FROM (200) TO (300);
         ALTER TABLE ap.m DETACH PARTITION ap.m1;
         ALTER TABLE ap.m ATTACH PARTITION ap.m1 FOR VALUES FROM (0) TO (100);
         INSERT INTO ap.m VALUES (1, 'a'), (101, 'b'), (201, 'c'); INSERT INTO ap.m2 VALUES (102, 'd');
         TRUNCATE ap.m2; UPDATE ap.m SET id = 202 WHERE id = 1",
    );
    assert_eq!(
        db.events(),
        [
            "insert m_created 1",
            "insert m_created 101",
            "insert m_created 201",
            "insert m_created 102",
            "truncate m_truncated -",
            "update m_updated 202"
        ]
    );
    run(&mut session, "DROP TABLE ap.m");
    db.run(&format!("DROP OWNED BY {owner}; DROP ROLE {owner}"));
}

#[test]
fn nobody_installs_our_functions_by_the_right_to_make_triggers() {
    let mut db = job();
    let (owner, guest) = (unique("owner"), unique("guest"));
    let mut session = db.session_as(&owner);
    let mut other = db.session_as(&guest);
    db.run(&format!(
        "CREATE TABLE own (id int PRIMARY KEY); ALTER TABLE own OWNER TO {owner}; GRANT TRIGGER ON job, own TO {guest};
         GRANT CREATE ON SCHEMA public TO {owner}, {guest}"
    ));
    let options = r#"{"target_type": "job", "target_id": [], "defaults": {"insert": "x", "update": "x", "delete": "x", "truncate": "x"}}"#;
    let make = |table: &str, name: &str| {
        format!("CREATE TRIGGER {name} AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION audit_log.capture('{options}')")
    };
    for sql in [make("own", "mine"), make("own", "\"!audit_log\"")] {
        fails(&mut session, &sql).is("42501", "missing_endpoint_permission");
        fails(&mut other, &sql).is("42501", "missing_endpoint_permission");
    }
    fails(&mut other, &make("job", "late")).is("42501", "missing_endpoint_permission");
    let replace = make("job", "\"!audit_log\"").replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER");
    fails(&mut other, &replace).is("42501", "missing_endpoint_permission");
    assert_eq!(db.one("SELECT count(*) FROM audit_log.watched"), "1");
    db.run("INSERT INTO job VALUES (2)");
    assert_eq!(db.events().last().map(String::as_str), Some("insert job_created 2"));
    db.run(&format!("DROP OWNED BY {owner}, {guest}; DROP ROLE {owner}, {guest}"));
}

#[test]
fn a_table_with_a_watch_of_its_own_can_be_attached() {
    let mut db = Db::new();
    db.run(
        "CREATE TABLE q (a int PRIMARY KEY, b text) PARTITION BY LIST (a);
         CREATE TABLE q2 (a int PRIMARY KEY, b text);
         CREATE TABLE q3 (a int PRIMARY KEY, b text) PARTITION BY LIST (a); CREATE TABLE q31 PARTITION OF q3 FOR VALUES IN (3);
         SELECT audit_log.watch('q'), audit_log.watch('q2', redact => '{b}'), audit_log.watch('q31');
         INSERT INTO q2 VALUES (2, 'secret')",
    );
    let mut seen = 3;
    db.run("ALTER TABLE q ATTACH PARTITION q2 FOR VALUES IN (2); ALTER TABLE q ATTACH PARTITION q3 FOR VALUES IN (3)");
    let ended: Vec<_> =
        told(&mut db, &mut seen).into_iter().filter(|(category, ..)| category == "watch_changed").collect();
    assert_eq!(
        ended,
        [
            (
                "watch_changed".into(),
                "public.q2".into(),
                json!({"watched": false, "attached_to": "public.q"})
            ),
            (
                "watch_changed".into(),
                "public.q31".into(),
                json!({"watched": false, "attached_to": "public.q"})
            ),
        ]
    );
    assert_eq!(db.all("SELECT relation FROM audit_log.watched"), ["q"]);
    db.run("UPDATE q SET b = 'seen' WHERE a = 2; INSERT INTO q31 VALUES (3, 'x')");
    assert_eq!(db.events(), ["insert q2_created 2", "update q_updated 2", "insert q_created 3"]);
    // An attempt that fails leaves the watch as it is.
    db.run("CREATE TABLE q4 (a int PRIMARY KEY, b text, c text); SELECT audit_log.watch('q4')");
    db.fails("ALTER TABLE q ATTACH PARTITION q4 FOR VALUES IN (4)");
    assert_eq!(db.all("SELECT relation FROM audit_log.watched ORDER BY 1"), ["q", "q4"]);
}

#[test]
fn dropped_tables_and_hidden_schemas_keep_their_history() {
    let mut db = Db::new();
    db.run(
        "CREATE SCHEMA hr; CREATE TABLE hr.job (id int PRIMARY KEY, title text); SELECT audit_log.watch('hr.job');
         INSERT INTO hr.job VALUES (1, 'Cook'); UPDATE hr.job SET title = 'Chef'",
    );
    let alive = db.one("SELECT clock_timestamp()");
    let reader = unique("reader");
    let mut session = db.session_as(&reader);
    db.run(&format!("GRANT audit_log_reader TO {reader}"));
    let past = "SELECT string_agg(operation, ' ' ORDER BY occurred_at) FROM audit_log.history('hr.job', '1')";
    let row = format!("SELECT audit_log.row_at('hr.job', '1', '{alive}')");
    let chef = r#"{"id": 1, "title": "Chef"}"#;
    assert_eq!(one(&mut session, past), "insert update");
    assert_eq!(one(&mut session, &row), chef);
    db.run("DROP SCHEMA hr CASCADE");
    for client in [&mut session, &mut db.client] {
        assert_eq!(one(client, past), "insert update");
        assert_eq!(one(client, &row), chef);
        assert_eq!(
            one(client, "SELECT coalesce(audit_log.row_at('hr.job', '1', now())::text, 'gone')"),
            "gone"
        );
    }
    db.run("CREATE TABLE brief (id int PRIMARY KEY); SELECT audit_log.watch('brief'); INSERT INTO brief VALUES (1); DROP TABLE brief");
    assert_eq!(db.one("SELECT operation FROM audit_log.history('brief', '1')"), "insert");
    db.fails("SELECT audit_log.history('nowhere', '1')").says("nowhere");
    // A new table of the name goes on from there; the old rows are not in it.
    db.run("CREATE SCHEMA hr; CREATE TABLE hr.job (id int PRIMARY KEY, title text); SELECT audit_log.watch('hr.job'); INSERT INTO hr.job VALUES (2, 'New')");
    assert_eq!(
        db.one("SELECT coalesce(audit_log.row_at('hr.job', '1', clock_timestamp())::text, 'gone')"),
        "gone"
    );
    assert_eq!(db.one(&row), chef);
}

#[test]
fn what_an_application_writes_decides_nothing() {
    let mut db = job();
    db.run(r#"SELECT audit_log.set_context('{"metadata": {"partition": "public.old", "origin": "elsewhere"}}', false)"#);
    db.run("TRUNCATE job");
    db.run("SELECT audit_log.set_context(NULL, false)");
    assert_eq!(
        db.one("SELECT coalesce(audit_log.row_at('job', '1', clock_timestamp())::text, 'gone')"),
        "gone"
    );
    // Nor does an entry of its own that looks like a captured one.
    db.run(
        r#"SELECT audit_log.record('job_created', '7', after => '{"id": 7, "title": "forged"}');
           SELECT error FROM audit_log.import(ARRAY['{"category": "job_deleted", "operation": "delete", "target": {"type": "job", "id": "7"}}']::jsonb[])"#,
    );
    assert_eq!(
        db.one("SELECT coalesce(audit_log.row_at('job', '7', clock_timestamp())::text, 'none')"),
        "none"
    );
}

#[test]
fn a_truncate_is_told_whatever_the_organization_is() {
    let mut db = Db::new();
    db.run("CREATE TABLE t (id int PRIMARY KEY, org text); SELECT audit_log.watch('t', organization => 'org'); SELECT audit_log.disable_organization('off')");
    db.run("INSERT INTO t VALUES (1, 'a')");
    db.run(r#"BEGIN; SELECT audit_log.set_context('{"organization": "off"}'); TRUNCATE t; COMMIT"#);
    assert_eq!(
        db.all("SELECT operation || ' ' || organization_id FROM audit_log.entry WHERE relation = 'public.t' ORDER BY occurred_at"),
        ["insert a", "truncate off"]
    );
    assert_eq!(
        db.one("SELECT coalesce(audit_log.row_at('t', '1', clock_timestamp())::text, 'gone')"),
        "gone"
    );
}

#[test]
fn a_stay_in_a_disabled_organization_is_admitted() {
    let mut db = Db::new();
    db.run("CREATE TABLE t (id int PRIMARY KEY, org text, v int); SELECT audit_log.watch('t', organization => 'org')");
    db.run("INSERT INTO t VALUES (1, 'a', 1), (2, 'a', 1); SELECT audit_log.disable_organization('off')");
    let before = db.one("SELECT clock_timestamp()");
    db.run("UPDATE t SET org = 'off' WHERE id = 1");
    let away = db.one("SELECT clock_timestamp()");
    db.run("UPDATE t SET v = 2 WHERE id = 1; UPDATE t SET v = 3 WHERE id = 2");
    db.run("UPDATE t SET org = 'a' WHERE id = 1");
    let back = db.one("SELECT clock_timestamp()");
    let row = |at: &str| format!("SELECT audit_log.row_at('t', '1', '{at}')");
    assert_eq!(db.json(&row(&before)), json!({"id": 1, "org": "a", "v": 1}));
    db.fails(&row(&away)).is("55000", "not_in_prerequisite_state").says("disabled organization");
    assert_eq!(db.json(&row(&back)), json!({"id": 1, "org": "a", "v": 2}));
    assert_eq!(db.json(&row(&back).replace("'1'", "'2'")), json!({"id": 2, "org": "a", "v": 3}));
    assert_eq!(
        db.all("SELECT operation || ' ' || organization_id FROM audit_log.history('t', '1') ORDER BY occurred_at"),
        ["insert a", "update a", "update a"]
    );
}

#[test]
fn a_partition_that_had_a_watch_of_its_own_takes_its_rows_along_when_it_is_dropped() {
    let mut db = Db::new();
    db.run(
        "CREATE TABLE q (a int PRIMARY KEY, b text) PARTITION BY LIST (a); CREATE TABLE q2 (a int PRIMARY KEY, b text);
         SELECT audit_log.watch('q'), audit_log.watch('q2'); ALTER TABLE q ATTACH PARTITION q2 FOR VALUES IN (2);
         INSERT INTO q VALUES (2, 'x')",
    );
    let row = "SELECT coalesce(audit_log.row_at('q', '2', clock_timestamp())::text, 'gone')";
    assert_eq!(db.one(row), r#"{"a": 2, "b": "x"}"#);
    db.run("DROP TABLE q2");
    assert_eq!(db.one(row), "gone");
}

#[test]
fn drops_and_renames_are_told_whatever_the_session_quotes() {
    let mut db = job();
    let mut seen = 1;
    let there = db.one("SELECT clock_timestamp()");
    db.run("SET quote_all_identifiers = on; ALTER TABLE job RENAME TO task; DROP TABLE task; RESET quote_all_identifiers");
    let targets: Vec<String> = told(&mut db, &mut seen).into_iter().map(|(_, target, _)| target).collect();
    assert_eq!(targets, ["public.task", "public.task"]);
    let row =
        |at: &str| format!("SELECT coalesce(audit_log.row_at('public.task', '1', {at}) ->> 'title', 'gone')");
    assert_eq!(db.one(&row(&format!("'{there}'"))), "Cook");
    assert_eq!(db.one(&row("clock_timestamp()")), "gone");
}

#[test]
fn an_organization_first_seen_in_a_truncate_is_known_by_that() {
    let mut db = job();
    db.run(r#"BEGIN; SELECT audit_log.set_context('{"organization": "newcomer"}'); TRUNCATE job; COMMIT"#);
    assert_eq!(db.all("SELECT id FROM audit_log.organization ORDER BY 1"), ["default", "newcomer"]);
    assert_eq!(db.one("SELECT count(*) FROM audit_log.list(organization => 'newcomer')"), "1");
}

#[test]
fn a_name_that_is_none_is_refused_with_what_to_do() {
    let mut db = job();
    for name in ["nowhere", "", "a.b.c.d", "1st table", "\"open"] {
        for call in [format!("history('{name}', '1')"), format!("row_at('{name}', '1', now())")] {
            db.fails(&format!("SELECT * FROM audit_log.{call}")).is("22023", "invalid_input");
        }
    }
}
