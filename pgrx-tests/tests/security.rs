//! What somebody with an ordinary login, or a table of their own, might try.

use audit_log_tests::{fails, one, patient, run, unique, Db};

fn watched_job(options: &str) -> Db {
    let mut db = Db::new();
    db.run("CREATE TABLE job (id int PRIMARY KEY, team text, title text, secret text)");
    db.run(&format!("SELECT audit_log.watch('job'{options})"));
    db
}

#[test]
fn an_owners_cast_does_not_run_in_an_auditors_name() {
    let mut db = Db::new();
    let owner = unique("owner");
    db.run(&format!(
        "CREATE ROLE {owner}; CREATE SCHEMA own AUTHORIZATION {owner}; SET ROLE {owner};
         CREATE TYPE own.key AS (n int);
         CREATE FUNCTION own.trap(own.key) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
         CREATE CAST (own.key AS text) WITH FUNCTION own.trap(own.key) AS IMPLICIT;
         CREATE TABLE own.t (k own.key PRIMARY KEY, v text);
         RESET ROLE;
         INSERT INTO own.t VALUES (row(1)::own.key, 'old');
         SELECT audit_log.watch('own.t', target_type => 'thing');
         UPDATE own.t SET v = 'new'"
    ));
    let row = db.json("SELECT audit_log.row_at('own.t', '(1)', now() - interval '1 hour')");
    assert_eq!(row["v"], "old");
    db.run(&format!("DROP SCHEMA own CASCADE; DROP OWNED BY {owner}; DROP ROLE {owner}"));
}

#[test]
fn an_owners_policy_does_not_run_in_a_readers_name() {
    let mut db = watched_job("");
    let reader = unique("reader");
    db.run(&format!(
        "INSERT INTO job VALUES (1, 'a'); SELECT audit_log.unwatch('job'); SELECT audit_log.watch('job');
         CREATE FUNCTION trap() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
         ALTER TABLE job ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON job USING (trap());
         CREATE ROLE {reader}; GRANT audit_log_reader TO {reader}; GRANT SELECT ON job TO {reader};
         INSERT INTO job VALUES (2, 'b')"
    ));
    let failure = db.fails(&format!("SET ROLE {reader}; SELECT audit_log.row_at('job', '7', now())"));
    assert_eq!(failure.sqlstate, "42501", "{failure}");
    db.run(&format!("RESET ROLE; DROP OWNED BY {reader}; DROP ROLE {reader}"));
}

#[test]
fn a_schema_that_leads_in_circles_is_refused() {
    let mut db = Db::new();
    for schema in
        [r##"{"allOf":[{"$ref":"#"}]}"##, r##"{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}}"##]
    {
        let define =
            format!("SELECT audit_log.define_category('job_x', 'job', 'X', metadata_schema => '{schema}')");
        db.fails(&define).is("22023", "invalid_input").says("metadata_schema");
    }
}

#[test]
fn the_right_to_create_triggers_does_not_replace_ours() {
    let mut db = watched_job("");
    let app = unique("app");
    db.run(&format!(
        "CREATE ROLE {app}; CREATE SCHEMA app AUTHORIZATION {app}; GRANT ALL ON job TO {app}; SET ROLE {app}"
    ));
    db.run("CREATE FUNCTION app.noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
    for (name, event) in [("!audit_log", "AFTER UPDATE"), ("!audit_log_truncate", "BEFORE INSERT")] {
        let level = if name == "!audit_log" { "FOR EACH ROW" } else { "" };
        db.fails(&format!(
            "CREATE OR REPLACE TRIGGER \"{name}\" {event} ON job {level} EXECUTE FUNCTION app.noop()"
        ))
        .is("42501", "reserved_trigger_name");
    }
    db.run("CREATE TRIGGER mine AFTER UPDATE ON job FOR EACH ROW EXECUTE FUNCTION app.noop(); RESET ROLE; INSERT INTO job VALUES (1)");
    assert_eq!(db.events(), ["insert job_created 1"]);
    db.run(&format!("DROP TRIGGER mine ON job; DROP OWNED BY {app}; DROP ROLE {app}"));
}

#[test]
fn nobody_holds_up_the_administrator_or_the_readers() {
    let mut db = Db::new();
    let (nobody, reader) = (unique("nobody"), unique("reader"));
    let mut stranger = db.session_as(&nobody);
    let mut idle = db.session_as(&reader);
    db.run(&format!("SELECT audit_log.grant_read('{reader}', 'acme')"));
    run(&mut stranger, "SELECT pg_advisory_lock('audit_log.event'::regclass::oid::int, 0)");
    run(&mut idle, "BEGIN; SELECT count(*) FROM audit_log.entry");
    // The reader's transaction keeps nobody from making partitions.
    patient(&mut db.client);
    db.run("SET client_min_messages = error");
    assert_eq!(db.one("SELECT audit_log.ensure_partitions(30)"), "104");
    db.run(&format!(
        "SELECT audit_log.revoke_read('{reader}', 'acme'); SELECT audit_log.record('offer_sent', '1')"
    ));
    run(&mut idle, "COMMIT");
    // Two administrators at work at once do not wait for each other.
    let mut other = db.session();
    run(&mut other, "BEGIN; SELECT audit_log.define_target_type('a', 'A')");
    db.run("SELECT audit_log.define_target_type('b', 'B')");
    run(&mut other, "COMMIT");
    drop((stranger, idle));
    db.run(&format!("DROP ROLE {nobody}; DROP ROLE {reader}"));
}

#[test]
fn a_redacted_column_made_anew_stays_redacted() {
    let mut db = watched_job(", redact => '{secret}'");
    db.run("INSERT INTO job VALUES (1); ALTER TABLE job DROP COLUMN secret; ALTER TABLE job ADD COLUMN other int");
    assert_eq!(db.one("SELECT coalesce(redact::text, '-') FROM audit_log.watched"), "-");
    db.run("ALTER TABLE job ADD COLUMN secret text; UPDATE job SET secret = 'hush'");
    db.run("ALTER TABLE job RENAME secret TO old_secret; ALTER TABLE job ADD COLUMN secret text; UPDATE job SET secret = 'hush', old_secret = 'hush!'");
    assert_eq!(db.one("SELECT count(*) FROM audit_log.stored_event e WHERE e::text LIKE '%hush%'"), "0");
    assert_eq!(db.one("SELECT redact FROM audit_log.watched"), "{old_secret,secret}");
}

#[test]
fn a_rule_does_not_tell_a_redacted_value() {
    let mut db = watched_job("");
    db.fails(r#"SELECT audit_log.watch('job', redact => '{secret}', categories => '[{"on": "update", "column": "secret", "to": "hush", "category": "job_closed"}]')"#)
        .is("22023", "invalid_input")
        .says("redact");
    db.run(r#"SELECT audit_log.watch('job', redact => '{secret}', categories => '[{"on": "update", "column": "secret", "category": "job_closed"}]')"#);
}

#[test]
fn a_disabled_organization_is_no_hiding_place_for_anothers_row() {
    let mut db = watched_job(", organization => 'team'");
    db.run("INSERT INTO job VALUES (1, 'acme', 'Cook'); SELECT audit_log.disable_organization('off')");
    db.run("UPDATE job SET team = 'off', title = 'Chef'");
    let last = "SELECT organization_id || changes::text FROM audit_log.entry WHERE operation = 'update'";
    assert_eq!(db.all(last), [r#"acme{"team": ["acme", "off"], "title": ["Cook", "Chef"]}"#]);
    db.run("UPDATE job SET title = 'unseen'");
    assert_eq!(db.all(last).len(), 1);
}

#[test]
fn a_writer_does_not_forge_what_administrators_do() {
    let mut db = Db::new();
    let writer = unique("writer");
    let mut session = db.session_as(&writer);
    db.run(&format!("GRANT audit_log_writer TO {writer}"));
    run(&mut session, "SELECT audit_log.record('offer_sent', '1')");
    fails(&mut session, "SELECT audit_log.record('organization_disabled', 'acme')")
        .is("42501", "missing_endpoint_permission");
    assert_eq!(one(&mut db.client, "SELECT count(*) FROM audit_log.entry"), "1");
    drop(session);
    db.run(&format!("DROP OWNED BY {writer}; DROP ROLE {writer}"));
}

#[test]
fn a_role_with_a_slash_in_its_name_does_not_pass_for_two() {
    let mut db = watched_job("");
    db.run("CREATE ROLE \"app/postgres\"; GRANT ALL ON job TO \"app/postgres\"; SET SESSION AUTHORIZATION \"app/postgres\"; INSERT INTO job VALUES (1); RESET SESSION AUTHORIZATION");
    assert_eq!(
        db.one("SELECT database_user FROM audit_log.entry WHERE operation = 'insert'"),
        "\"app/postgres\""
    );
    db.run("DROP OWNED BY \"app/postgres\"; DROP ROLE \"app/postgres\"");
}

#[test]
fn large_entries_do_not_make_a_page_large() {
    let mut db = watched_job("");
    db.run("INSERT INTO job SELECT i, '', repeat('x', 20000000) FROM generate_series(1, 3) i; INSERT INTO job VALUES (9, 'a')");
    let sizes = "SELECT bool_and((changes IS NULL) = (length(after ->> 'title') > 1000)) FROM audit_log.list(target_types => '{job}') WHERE operation = 'insert'";
    assert_eq!(db.one(sizes), "t");
    assert_eq!(
        db.one("SELECT length(after ->> 'title') FROM audit_log.list(target_ids => '{1}')"),
        "20000000"
    );
}
