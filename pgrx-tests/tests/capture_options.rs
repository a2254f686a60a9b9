//! Every argument of watch(), what it does and what it refuses.

use audit_log_tests::{fails, json, run, unique, Db};

const JOB: &str = "CREATE TABLE job (id int PRIMARY KEY, title text, status text, open boolean, score numeric, secret text, org text, team_id int)";

/// The table job, watched with the given options.
fn job(options: &str) -> Db {
    let mut db = Db::new();
    db.run(JOB);
    db.run(&format!("SELECT audit_log.watch('job'{options})"));
    db
}

/// The table job, watched with the given category rules; job 1 is open with score 1.5.
fn job_with_rules(rules: &str) -> Db {
    let mut db = job(&format!(", categories => '{rules}'"));
    db.run("INSERT INTO job (id, status, open, score) VALUES (1, 'open', true, 1.5)");
    db
}

/// The categories of row changes, oldest first, in one line.
fn categories(db: &mut Db) -> String {
    column(db, "category").join(" ")
}

/// An expression over the entries of row changes, oldest first; NULL is "-".
fn column(db: &mut Db, expression: &str) -> Vec<String> {
    db.all(&format!(
        "SELECT coalesce(({expression})::text, '-') FROM audit_log.entry WHERE operation IS NOT NULL ORDER BY occurred_at, id"
    ))
}

#[test]
fn unknown_target_type_is_defined_with_its_categories() {
    let mut db = job(", target_type => 'open_position'");
    db.run("INSERT INTO job VALUES (1); UPDATE job SET title = 'Cook'; DELETE FROM job; TRUNCATE job");
    let suffixes = ["created", "updated", "deleted", "truncated"];
    assert_eq!(column(&mut db, "category"), suffixes.map(|s| format!("open_position_{s}")));
    assert_eq!(column(&mut db, "target_type"), ["open_position"; 4]);
    let defined =
        "SELECT count(*) FROM audit_log.vocabulary WHERE target_type = 'open_position' AND NOT builtin";
    assert_eq!(db.one(defined), "4");
    let label = db.one("SELECT label FROM audit_log.target_type WHERE code = 'open_position'");
    assert_eq!(label, "Open position");
}

#[test]
fn built_in_target_type_keeps_its_categories_and_gets_those_it_lacks() {
    let mut db = job("");
    let added = db.all("SELECT category FROM audit_log.vocabulary WHERE target_type = 'job' AND NOT builtin");
    assert_eq!(added, ["job_truncated"]);
    assert_eq!(db.one("SELECT builtin FROM audit_log.vocabulary WHERE category = 'job_created'"), "t");
}

#[test]
fn table_whose_name_is_no_code_is_asked_for_one() {
    let mut db = Db::new();
    for name in ["Open Jobs", "Größe", "1st", "it''s \"\"so", "job-post"] {
        db.run(&format!("CREATE TABLE \"{}\" (id int PRIMARY KEY)", name.replace("''", "'")));
        let relation = format!("\"{name}\"");
        let failure = db.fails(&format!("SELECT audit_log.watch('{relation}')"));
        failure.is("22023", "invalid_input").says("target_type");
        db.run(&format!("SELECT audit_log.watch('{relation}', target_type => 'job')"));
        db.run(&format!("INSERT INTO {} VALUES (1)", relation.replace("''", "'")));
        let history = format!("SELECT relation = audit_log.relation_label('{relation}') FROM audit_log.history('{relation}', '1')");
        assert_eq!(db.all(&history), ["t"], "{name}");
    }
    assert_eq!(column(&mut db, "relation").first().map(String::as_str), Some("public.\"Open Jobs\""));
}

#[test]
fn target_type_may_not_clash_or_be_malformed() {
    let mut db = Db::new();
    db.run(JOB);
    for code in ["no code", "", "9a", &"a".repeat(64), &"a".repeat(54)] {
        let failure = db.fails(&format!("SELECT audit_log.watch('job', target_type => '{code}')"));
        failure.is("22023", "invalid_input");
    }
    db.run("SELECT audit_log.define_category('thing_created', 'job', 'Thing created')");
    let failure = db.fails("SELECT audit_log.watch('job', target_type => 'thing')");
    failure.is("22023", "invalid_input").says("thing_created");
    assert_eq!(db.all("SELECT 1 FROM audit_log.target_type WHERE code = 'thing'"), Vec::<String>::new());
    db.run(&format!("SELECT audit_log.watch('job', target_type => '{}')", "a".repeat(53)));
}

#[test]
fn table_the_writer_cannot_see_is_captured() {
    let mut db = Db::new();
    let writer = unique("writer");
    let mut session = db.session_as(&writer);
    db.run(&format!(
        "CREATE SCHEMA hidden; CREATE TABLE hidden.job (id int PRIMARY KEY, title text);
         SELECT audit_log.watch('hidden.job');
         REVOKE ALL ON SCHEMA audit_log FROM PUBLIC;
         CREATE VIEW offered AS SELECT * FROM hidden.job; GRANT SELECT, INSERT, UPDATE, DELETE ON offered TO {writer}"
    ));
    fails(&mut session, "SELECT * FROM hidden.job");
    run(&mut session, "INSERT INTO offered VALUES (1, 'Cook'); UPDATE offered SET title = 'Chef'");
    run(&mut session, "DELETE FROM offered");
    assert_eq!(db.events(), ["insert job_created 1", "update job_updated 1", "delete job_deleted 1"]);
    assert_eq!(column(&mut db, "relation"), ["hidden.job"; 3]);
    db.run(&format!("DROP OWNED BY {writer}; DROP ROLE {writer}"));
}

#[test]
fn target_id_and_name_come_from_the_columns_named() {
    let mut db = job(", target_id => '{team_id,title}', target_name => 'status'");
    db.run(
        "INSERT INTO job (id, team_id, title, status) VALUES (1, 7, 'Cook', 'open'), (2, NULL, NULL, NULL)",
    );
    db.run("UPDATE job SET status = 'closed' WHERE id = 1; DELETE FROM job WHERE id = 1");
    assert_eq!(column(&mut db, "target_id"), ["7,Cook", ",", "7,Cook", "7,Cook"]);
    assert_eq!(column(&mut db, "target_name"), ["open", "-", "closed", "closed"]);
    assert_eq!(column(&mut db, "targets #>> '{0,name}'"), ["open", "-", "closed", "closed"]);
    // No column named is as if the argument were left out.
    db.run("SELECT audit_log.watch('job', target_id => '{}'); UPDATE job SET status = 'x'");
    assert_eq!(column(&mut db, "target_id").last().map(String::as_str), Some("2"));
}

#[test]
fn organization_comes_from_the_row_else_the_context_else_default() {
    let mut db = job(", organization => 'org'");
    db.run("INSERT INTO job (id, org) VALUES (1, 'acme'), (2, NULL), (3, '')");
    db.run(
        r#"BEGIN; SELECT audit_log.set_context('{"organization": "ctx"}');
           INSERT INTO job (id, org) VALUES (4, 'acme'), (5, NULL);
           UPDATE job SET org = 'umbrella' WHERE id = 4; DELETE FROM job WHERE id = 5; COMMIT"#,
    );
    assert_eq!(column(&mut db, "organization_id").join(" "), "acme default default acme ctx umbrella ctx");
}

#[test]
fn parents_become_targets() {
    let mut db = job(r#", parents => '{"squad": "team_id", "job": "score"}'"#);
    db.run("INSERT INTO job (id, team_id, score) VALUES (1, 7, 2.50), (2, NULL, NULL); UPDATE job SET team_id = 8 WHERE id = 1");
    let targets = "(SELECT string_agg(concat_ws(' ', t.relation, t.target_type, t.target_id), ', ' ORDER BY t.ordinal > 1, t.target_type)
                    FROM audit_log.entry_target t WHERE t.entry_id = entry.id)";
    let first = "primary job 1, parent job 2.50, parent squad 7";
    assert_eq!(column(&mut db, targets), [first, "primary job 2", &first.replace('7', "8")]);
    // Its type came into the vocabulary, as a filter must know it.
    assert_eq!(db.all("SELECT target_id FROM audit_log.list(target_ids => '{7}')"), ["1"]);
    assert_eq!(db.one("SELECT count(*) FROM audit_log.target_type WHERE code = 'squad'"), "1");
}

#[test]
fn first_rule_that_matches_wins() {
    let mut db = job_with_rules(
        r#"[{"on": "update", "column": "status", "from": "open", "to": "closed", "category": "job_closed"},
            {"on": "update", "column": "status", "to": "open", "category": "job_opened"},
            {"on": "update", "column": "status", "from": "draft", "category": "job_created"},
            {"on": "update", "column": "title", "category": "job_deleted"},
            {"on": "update", "column": "status", "category": "JobStatusChanged"}]"#,
    );
    db.run(
        "UPDATE job SET status = 'closed', title = 'both';
         UPDATE job SET status = 'open';
         UPDATE job SET status = 'draft';
         UPDATE job SET status = 'gone';
         UPDATE job SET status = 'going', title = 'x';
         UPDATE job SET status = NULL;
         UPDATE job SET score = 9",
    );
    assert_eq!(
        categories(&mut db),
        "job_created job_closed job_opened JobStatusChanged job_created job_deleted JobStatusChanged job_updated"
    );
}

#[test]
fn rules_know_null_booleans_and_numbers() {
    let mut db = job_with_rules(
        r#"[{"on": "update", "column": "open", "from": true, "to": false, "category": "job_closed"},
            {"on": "update", "column": "open", "from": null, "to": "true", "category": "job_opened"},
            {"on": "update", "column": "score", "to": 2, "category": "job_created"},
            {"on": "update", "column": "score", "to": null, "category": "job_deleted"},
            {"on": "update", "column": "title", "from": null, "category": "JobStatusChanged"}]"#,
    );
    db.run(
        "UPDATE job SET open = false;
         UPDATE job SET open = NULL;
         UPDATE job SET open = true;
         UPDATE job SET score = 2.00;
         UPDATE job SET score = NULL;
         UPDATE job SET title = 'a';
         UPDATE job SET title = 'b';
         UPDATE job SET score = 20",
    );
    assert_eq!(
        categories(&mut db),
        "job_created job_closed job_updated job_opened job_created job_deleted JobStatusChanged job_updated job_updated"
    );
}

#[test]
fn rules_apply_to_insert_delete_and_truncate_too() {
    let mut db = job_with_rules(
        r#"[{"on": "insert", "column": "status", "to": "live", "category": "job_opened"},
            {"on": "delete", "column": "status", "from": "live", "category": "job_closed"},
            {"on": "delete", "column": "status", "from": null, "category": "JobStatusChanged"},
            {"on": "truncate", "category": "job_closed"}]"#,
    );
    db.run("INSERT INTO job (id, status) VALUES (2, 'live'), (3, NULL)");
    db.run("DELETE FROM job WHERE id = 1; DELETE FROM job WHERE id = 2; DELETE FROM job WHERE id = 3; TRUNCATE job");
    assert_eq!(
        categories(&mut db),
        "job_created job_opened job_created job_deleted job_closed JobStatusChanged job_closed"
    );
}

#[test]
fn ignored_columns_leave_no_trace() {
    let mut db = job(", ignore => '{title,score}', capture => 'full'");
    db.run("INSERT INTO job (id, title, status, score) VALUES (1, 'unseen1', 'open', 77123)");
    db.run("UPDATE job SET title = 'unseen2', score = 77124; UPDATE job SET title = 'unseen3', status = 'closed'; DELETE FROM job");
    assert_eq!(db.events(), ["insert job_created 1", "update job_updated 1", "delete job_deleted 1"]);
    let seen = "SELECT count(*) FROM audit_log.stored_event e WHERE e::text ~ 'unseen|7712|title|score'";
    // The watch itself is recorded with the names of the columns.
    assert_eq!(db.one(&format!("{seen} AND operation IS NOT NULL")), "0");
}

#[test]
fn redacted_values_are_nowhere() {
    for capture in ["changes", "full", "keys"] {
        let mut db = job(&format!(
            r#", redact => '{{secret,score}}', capture => '{capture}', target_name => 'title',
               categories => '[{{"on": "update", "column": "secret", "category": "job_closed"}}]'"#
        ));
        db.run("INSERT INTO job (id, secret, score) VALUES (1, 'hush1', 77123)");
        db.run("UPDATE job SET secret = 'hush2', title = 'Cook'; UPDATE job SET score = 77124; UPDATE job SET id = 2, secret = NULL; UPDATE job SET title = 'x'");
        db.run("UPDATE job SET secret = 'hush3'; DELETE FROM job");
        assert_eq!(
            categories(&mut db),
            "job_created job_closed job_updated job_closed job_updated job_closed job_deleted"
        );
        for table in ["entry", "event", "event_target", "entry_change", "bi_audit_log"] {
            let leaks = format!(
                "SELECT e::text FROM audit_log.{table} e WHERE concat(e::text, to_jsonb(e)) ~ 'hush|7712'"
            );
            assert_eq!(db.all(&leaks), Vec::<String>::new(), "{table}, {capture}");
        }
        if capture == "changes" {
            let r = json!("[redacted]");
            let changes = |db: &mut Db, nth: usize| -> audit_log_tests::Value {
                column(db, "changes")[nth].parse().expect("JSON")
            };
            assert_eq!(changes(&mut db, 0)["secret"], json!([null, r]));
            assert_eq!(changes(&mut db, 1), json!({"secret": [r, r], "title": [null, "Cook"]}));
            assert_eq!(changes(&mut db, 2), json!({"score": [r, r]}));
            assert_eq!(changes(&mut db, 4), json!({"title": ["Cook", "x"]}));
            assert_eq!(changes(&mut db, 6)["secret"], json!([r, null]));
        }
    }
}

#[test]
fn capture_says_how_much_of_a_row_is_kept() {
    let insert = r#"- {"id": 1, "note": "n"}"#;
    let delete = r#"{"id": 1, "note": "m"} -"#;
    let cases = [
        ("changes", [insert, r#"{"note": "n"} {"note": "m"}"#, delete]),
        ("full", [insert, r#"{"id": 1, "note": "n"} {"id": 1, "note": "m"}"#, delete]),
        ("keys", ["- -"; 3]),
    ];
    for (capture, expected) in cases {
        let mut db = Db::new();
        db.run("CREATE TABLE memo (id int PRIMARY KEY, note text)");
        db.run(&format!("SELECT audit_log.watch('memo', capture => '{capture}')"));
        db.run("INSERT INTO memo VALUES (1, 'n'); UPDATE memo SET note = note; UPDATE memo SET note = 'm'; DELETE FROM memo");
        let images = column(&mut db, "coalesce(before::text, '-') || ' ' || coalesce(after::text, '-')");
        assert_eq!(images, expected, "{capture}");
        assert_eq!(column(&mut db, "target_id"), ["1"; 3]);
    }
}

#[test]
fn watching_again_replaces_the_options_in_open_sessions() {
    let mut db = job(", ignore => '{title}', target_name => 'title'");
    let mut other = db.session();
    run(&mut other, "PREPARE touch AS UPDATE job SET title = $1, secret = $1 WHERE id = 1; INSERT INTO job VALUES (1, 'a'); EXECUTE touch('b')");
    db.run("SELECT audit_log.watch('job', redact => '{secret}', target_type => 'report', capture => 'full')");
    run(&mut other, "EXECUTE touch('zzz')");
    db.run("SELECT audit_log.unwatch('job')");
    run(&mut other, "EXECUTE touch('c')");
    db.run("SELECT audit_log.watch('job', capture => 'keys')");
    run(&mut other, "EXECUTE touch('d'); TRUNCATE job");
    assert_eq!(
        column(&mut db, "concat_ws(' ', category, target_name, changes)"),
        [
            r#"job_created a {"id": [null, 1], "org": [null, null], "open": [null, null], "score": [null, null], "secret": [null, null], "status": [null, null], "team_id": [null, null]}"#,
            r#"job_updated b {"secret": [null, "b"]}"#,
            r#"report_updated {"title": ["b", "zzz"], "secret": ["[redacted]", "[redacted]"]}"#,
            "job_updated",
            "job_truncated"
        ]
    );
    let options =
        "SELECT concat_ws(' ', target_type, target_id, capture, ignore, redact) FROM audit_log.watched";
    assert_eq!(db.all(options), ["job {id} keys"]);
}

#[test]
fn unwatching_what_is_not_watched_fails() {
    let mut db = job("");
    db.run("SELECT audit_log.unwatch('job')");
    db.fails("SELECT audit_log.unwatch('job')").is("55000", "not_in_prerequisite_state");
    let left = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'job'::regclass AND NOT tgisinternal";
    assert_eq!(db.all(left), Vec::<String>::new());
}

/// Arguments of watch('job') that are refused, and what the refusal has to say.
const BAD_ARGUMENTS: &str = r#"
target_id => '{id,nope}' | nope
target_id => ARRAY[NULL]::name[] | target_id
target_name => 'nope' | nope
target_name => 'ctid' | ctid
organization => 'nope' | nope
parents => '{"team": "nope"}' | nope
parents => '{"no code": "team_id"}' | no code
parents => '{"team": 1}' | parents
parents => '["team_id"]' | parents
ignore => '{nope}' | nope
ignore => ARRAY['title', NULL]::name[] | ignore
redact => '{nope}' | nope
redact => ARRAY[NULL]::name[] | redact
capture => 'some' | some
capture => NULL | capture
categories => '{}' | categories
categories => '[1]' | categories[0]
categories => '[{"on": "upsert", "category": "job_closed"}]' | categories[0]
categories => '[{"on": "update", "category": "job_closed"}, {"on": "update", "column": "status"}]' | categories[1]
categories => '[{"on": "update", "column": "nope", "category": "job_closed"}]' | nope
categories => '[{"on": "update", "to": "x", "category": "job_closed"}]' | column
categories => '[{"on": "update", "column": "status", "when": 1, "category": "job_closed"}]' | categories[0]
categories => '[{"on": "update", "category": "job_updatd"}]' | job_updated
redact => '{id}' | redact
redact => '{title}', target_name => 'title' | redact
redact => '{org}', organization => 'org' | redact
redact => '{team_id}', parents => '{"team": "team_id"}' | redact
redact => '{secret}', target_id => '{id,secret}' | redact"#;

#[test]
fn bad_arguments_are_named() {
    let mut db = Db::new();
    db.run(JOB);
    for (argument, named) in BAD_ARGUMENTS.lines().filter_map(|line| line.split_once(" | ")) {
        let failure = db.fails(&format!("SELECT audit_log.watch('job', {argument})"));
        failure.is("22023", "invalid_input").says(named);
    }
    assert_eq!(db.all("SELECT relation FROM audit_log.watched"), Vec::<String>::new());
    // What identifies a row need not be its primary key, which may then be redacted.
    db.run("SELECT audit_log.watch('job', redact => '{id}', target_id => '{title}')");
}

#[test]
fn only_tables_of_the_application_are_watched() {
    let mut db = Db::new();
    db.run(
        "CREATE VIEW v AS SELECT 1 AS id; CREATE MATERIALIZED VIEW m AS SELECT 1 AS id; CREATE SEQUENCE s;
         CREATE TEMP TABLE t (id int PRIMARY KEY); CREATE TABLE job (id int PRIMARY KEY)",
    );
    let log = "'audit_log.event' 'audit_log.event_unplaced' 'audit_log.target_type'";
    let relations =
        format!("'v' 'm' 's' 't' 'job_pkey' 'pg_class' 'information_schema.sql_features' {log} NULL '1'");
    for relation in relations.split(' ') {
        let failure = db.fails(&format!("SELECT audit_log.watch({relation}, target_id => '{{id}}')"));
        failure.is("22023", "invalid_input");
    }
}
