//! The context: who acts, for how long it holds, what it adds to entries, and what is malformed.

use audit_log_tests::{connect, fails, json, one, run, unique, Db};

const ANN: &str = r#"{"actor": {"type": "user", "id": "ann"}}"#;

/// Who acted in the newest entry: type, id and organization.
fn actor(db: &mut Db) -> String {
    db.one("SELECT concat_ws(' ', actor_type, actor_id, organization_id) FROM audit_log.entry ORDER BY id DESC LIMIT 1")
}

fn record(db: &mut Db) {
    db.run("SELECT audit_log.record('job_created', '1')");
}

#[test]
fn without_context_the_system_acts_in_default() {
    let mut db = Db::new();
    db.run(
        "CREATE TABLE job (id int PRIMARY KEY); SELECT audit_log.watch('job'); INSERT INTO job VALUES (1)",
    );
    record(&mut db);
    let people = "SELECT DISTINCT jsonb_build_array(actor_type, actor_id, actor_name, actor_email, effective_actor_type,
        effective_actor_id, effective_actor_name, effective_actor_email, organization_id, remote_addr, access_route,
        user_agent, request_id, metadata) FROM audit_log.entry WHERE target_type = 'job'";
    assert_eq!(
        db.all(people),
        [
            r#"["system", null, null, null, "system", null, null, null, "default", null, null, null, null, null]"#
        ]
    );
}

#[test]
fn every_part_reaches_recorded_and_captured_entries() {
    let mut db = Db::new();
    db.run("CREATE TABLE job (id int PRIMARY KEY); SELECT audit_log.watch('job')");
    let context = json!({
        "organization": "acme",
        "actor": {"type": "support", "id": "9", "name": "Süe", "email": "sue@x", "metadata": {"desk": 4}},
        "effective_actor": {"type": "user", "id": "8", "name": "Ann", "email": "ann@x", "metadata": {"plan": "pro"}},
        "remote_addr": "2001:db8::1", "access_route": ["10.0.0.1", "192.168.0.0/16"],
        "user_agent": "curl", "request_id": "r-1", "metadata": {"why": "ticket 7"}
    });
    db.run(&format!(
        "BEGIN; SELECT audit_log.set_context('{context}'); INSERT INTO job VALUES (1);
         SELECT audit_log.record('job_created', '1'); COMMIT"
    ));
    let entries = db.all(
        "SELECT jsonb_build_array(organization_id, actor_type, actor_id, actor_name, actor_email, effective_actor_type,
           effective_actor_id, effective_actor_name, effective_actor_email, remote_addr, access_route, user_agent,
           request_id, metadata) FROM audit_log.entry WHERE target_type = 'job'",
    );
    let expected = r#"["acme", "support", "9", "Süe", "sue@x", "user", "8", "Ann", "ann@x", "2001:db8::1", "{10.0.0.1,192.168.0.0/16}", "curl", "r-1", {"why": "ticket 7", "actor": {"desk": 4}, "effective_actor": {"plan": "pro"}}]"#;
    let expected = expected.replace("\"{10.0.0.1,192.168.0.0/16}\"", r#"["10.0.0.1", "192.168.0.0/16"]"#);
    assert_eq!(entries, [expected.as_str(), expected.as_str()]);
}

#[test]
fn impersonation_keeps_both() {
    let mut db = Db::new();
    db.run(r#"SET audit_log.context = '{"effective_actor": {"type": "user", "id": "ann"}}'"#);
    record(&mut db);
    db.run(r#"SET audit_log.context = '{"actor": {"type": "user", "id": "ann"}, "effective_actor": {"type": "user", "id": "ann"}}'"#);
    record(&mut db);
    db.run(r#"SET audit_log.context = '{"actor": {"type": "support", "id": "ann"}, "effective_actor": {"type": "user", "id": null}}'"#);
    record(&mut db);
    assert_eq!(
        db.all("SELECT concat_ws(' ', actor_type, actor_id, '/', effective_actor_type, effective_actor_id) FROM audit_log.entry ORDER BY id"),
        ["system / user ann", "user ann / user ann", "support ann / user"]
    );
}

#[test]
fn local_ends_with_the_transaction_and_session_does_not() {
    let mut db = Db::new();
    for set in [
        format!("SELECT audit_log.set_context('{ANN}')"),
        format!("SELECT audit_log.set_context('{ANN}', true)"),
        format!("SELECT audit_log.set_context('{ANN}', is_local => NULL)"),
        format!("SET LOCAL audit_log.context = '{ANN}'"),
        format!("SELECT set_config('audit_log.context', '{ANN}', true)"),
    ] {
        db.run(&format!("BEGIN; {set}; SELECT audit_log.record('job_created', '1'); COMMIT"));
        assert_eq!(actor(&mut db), "user ann default", "{set}");
        record(&mut db);
        assert_eq!(actor(&mut db), "system default", "{set}");
    }
    for set in
        [format!("SELECT audit_log.set_context('{ANN}', false)"), format!("SET audit_log.context = '{ANN}'")]
    {
        db.run(&set);
        record(&mut db);
        assert_eq!(actor(&mut db), "user ann default", "{set}");
        let mut other = db.session();
        run(&mut other, "SELECT audit_log.record('job_created', '2')");
        assert_eq!(actor(&mut db), "system default", "{set}: another session");
        db.run("RESET audit_log.context");
    }
}

#[test]
fn null_and_reset_clear_it() {
    let mut db = Db::new();
    for clear in [
        "SELECT audit_log.set_context(NULL, false)",
        "SELECT audit_log.set_context('null', false)",
        "SELECT audit_log.set_context('{}', false)",
        "SET audit_log.context = ''",
        "RESET audit_log.context",
        "DISCARD ALL",
    ] {
        db.run(&format!("SET audit_log.context = '{ANN}'"));
        record(&mut db);
        assert_eq!(actor(&mut db), "user ann default");
        db.run(clear);
        record(&mut db);
        assert_eq!(actor(&mut db), "system default", "{clear}");
    }
    db.run(&format!(
        "SET audit_log.context = '{ANN}'; BEGIN; SELECT audit_log.set_context(NULL); SELECT audit_log.record('job_created', '2'); COMMIT"
    ));
    assert_eq!(actor(&mut db), "system default");
    record(&mut db);
    assert_eq!(actor(&mut db), "user ann default");
}

#[test]
fn a_rolled_back_context_leaves_no_trace() {
    let mut db = Db::new();
    let bob = ANN.replace("ann", "bob");
    db.run(&format!("BEGIN; SELECT audit_log.set_context('{bob}', false); SELECT audit_log.record('job_created', '0'); ROLLBACK"));
    record(&mut db);
    assert_eq!(actor(&mut db), "system default");
    db.run(&format!(
        "BEGIN; SELECT audit_log.set_context('{ANN}'); SAVEPOINT s; SELECT audit_log.set_context('{bob}');
         SELECT audit_log.record('job_created', '0'); ROLLBACK TO s; SELECT audit_log.record('job_created', '1')"
    ));
    assert_eq!(actor(&mut db), "user ann default");
    db.run(&format!(
        "SAVEPOINT s; SELECT audit_log.set_context('{bob}'); RELEASE s; SELECT audit_log.record('job_created', '1'); COMMIT"
    ));
    assert_eq!(actor(&mut db), "user bob default");
    assert_eq!(db.one("SELECT count(*) FROM audit_log.entry WHERE target_id = '0'"), "0");
    record(&mut db);
    assert_eq!(actor(&mut db), "system default");
}

const MALFORMED: [(&str, &str); 22] = [
    ("[]", "context"),
    ("7", "context"),
    (r#"{"organisation": "x"}"#, "organisation"),
    (r#"{"organization": true}"#, "organization"),
    (r#"{"actor": "ann"}"#, "actor"),
    (r#"{"actor": {"id": "1"}}"#, "actor.type"),
    (r#"{"actor": {"type": 7}}"#, "actor.type"),
    (r#"{"actor": {"type": "usr"}}"#, "actor.type"),
    (r#"{"actor": {"type": "user", "id": []}}"#, "actor.id"),
    (r#"{"actor": {"type": "user", "name": 1}}"#, "actor.name"),
    (r#"{"actor": {"type": "user", "email": {}}}"#, "actor.email"),
    (r#"{"actor": {"type": "user", "metadata": "x"}}"#, "actor.metadata"),
    (r#"{"actor": {"type": "user", "nick": "x"}}"#, "actor.nick"),
    (r#"{"effective_actor": {"type": "nobody"}}"#, "effective_actor.type"),
    (r#"{"effective_actor": []}"#, "effective_actor"),
    (r#"{"remote_addr": "localhost"}"#, "remote_addr"),
    (r#"{"remote_addr": "1.2.3.4/33"}"#, "remote_addr"),
    (r#"{"access_route": "10.0.0.1"}"#, "access_route"),
    (r#"{"access_route": ["10.0.0.1", "x"]}"#, "access_route[1]"),
    (r#"{"user_agent": 1}"#, "user_agent"),
    (r#"{"request_id": []}"#, "request_id"),
    (r#"{"metadata": []}"#, "metadata"),
];

#[test]
fn a_malformed_context_names_the_field_and_changes_nothing() {
    let mut db = Db::new();
    db.run(&format!("BEGIN; SELECT audit_log.set_context('{ANN}')"));
    for (context, field) in MALFORMED {
        for set in [
            format!("SELECT audit_log.set_context('{context}')"),
            format!("SELECT audit_log.set_context('{context}', false)"),
            format!("SET LOCAL audit_log.context = '{context}'"),
            format!("SET audit_log.context = '{context}'"),
        ] {
            db.run("SAVEPOINT s");
            let failure = db.fails(&set);
            failure.is("22023", "invalid_input").says(field);
            assert!(failure.detail.lines().any(|l| l == format!("field: {field}")), "{set}: {failure}");
            db.run("ROLLBACK TO s");
        }
    }
    db.run("SAVEPOINT s");
    db.fails("SET LOCAL audit_log.context = '{not json'").is("22023", "invalid_input").says("JSON");
    db.run("ROLLBACK TO s");
    record(&mut db);
    assert_eq!(actor(&mut db), "user ann default");
    assert!(db
        .fails("SELECT audit_log.set_context('{\"actor\": {\"type\": \"usr\"}}')")
        .hint
        .contains("\"user\""));
}

#[test]
fn a_context_set_before_the_library_was_loaded_is_checked_at_the_first_capture() {
    let mut db = Db::new();
    db.run("CREATE TABLE job (id int PRIMARY KEY); SELECT audit_log.watch('job')");
    for (context, field) in MALFORMED {
        let mut fresh = db.session();
        run(&mut fresh, &format!("SET audit_log.context = '{context}'"));
        fails(&mut fresh, "INSERT INTO job VALUES (1)").is("22023", "invalid_input").says(field);
        fails(&mut fresh, "SELECT audit_log.record('job_created')").is("22023", "invalid_input").says(field);
    }
    assert_eq!(db.one("SELECT count(*) FROM job"), "0");
    let mut fresh = db.session();
    run(&mut fresh, &format!("SET audit_log.context = '{ANN}'; INSERT INTO job VALUES (1)"));
    assert_eq!(actor(&mut db), "user ann default");
}

#[test]
fn a_defined_actor_type_is_known_at_once_everywhere() {
    let mut db = Db::new();
    let mut other = db.session();
    run(&mut other, "SELECT audit_log.set_context(NULL)");
    let robot = r#"{"actor": {"type": "robot", "id": "r2"}}"#;
    let set = format!("SET audit_log.context = '{robot}'");
    fails(&mut other, &set).is("22023", "invalid_input");
    db.run("BEGIN; SELECT audit_log.define_actor_type('robot', 'Robot')");
    fails(&mut other, &set).is("22023", "invalid_input");
    db.run("ROLLBACK");
    db.fails(&set).is("22023", "invalid_input");
    db.run("SELECT audit_log.define_actor_type('robot')");
    run(&mut other, &set);
    run(&mut other, "SELECT audit_log.record('job_created', '1')");
    assert_eq!(actor(&mut db), "robot r2 default");
    run(&mut db.client, &format!("{set}; SELECT audit_log.record('job_created', '1')"));
}

#[test]
fn the_check_takes_no_snapshot() {
    let mut db = Db::new();
    db.run("SELECT audit_log.define_actor_type('robot')");
    let mut other = db.session();
    run(&mut other, "SELECT audit_log.set_context(NULL)");
    for isolation in ["SERIALIZABLE", "REPEATABLE READ", "REPEATABLE READ READ ONLY"] {
        run(
            &mut other,
            &format!(
                r#"BEGIN; SET LOCAL audit_log.context = '{{"actor": {{"type": "robot", "id": "r2"}}}}';
                SET TRANSACTION ISOLATION LEVEL {isolation}"#
            ),
        );
        assert_eq!(
            one(&mut other, "SHOW transaction_isolation"),
            isolation.replace(" READ ONLY", "").to_lowercase()
        );
        if !isolation.ends_with("ONLY") {
            run(&mut other, "SELECT audit_log.record('job_created', '1')");
        }
        run(&mut other, "COMMIT");
    }
    assert_eq!(db.one("SELECT count(*) FROM audit_log.entry WHERE actor_id = 'r2'"), "2");
}

#[test]
fn the_events_own_metadata_wins_key_by_key_and_alone_is_validated() {
    let mut db = Db::new();
    db.run(
        r#"SELECT audit_log.define_category('job_cloned', 'job', 'Cloned',
             metadata_schema => '{"required": ["n"], "additionalProperties": false, "properties": {"n": {"type": "integer"}}}');
        CREATE TABLE job (id int PRIMARY KEY); SELECT audit_log.watch('job');
        SET audit_log.context = '{"actor": {"type": "user", "metadata": {"a": 1}}, "metadata": {"n": "context", "k": {"deep": 1}}}'"#,
    );
    db.fails("SELECT audit_log.record('job_cloned')").is("22023", "invalid_input");
    db.run("SELECT audit_log.record('job_cloned', metadata => '{\"n\": 1}')");
    db.run("SELECT audit_log.record('job_closed', metadata => '{\"k\": 2, \"actor\": 3}'); INSERT INTO job VALUES (1)");
    assert_eq!(
        db.all("SELECT metadata FROM audit_log.entry WHERE target_type = 'job' ORDER BY id"),
        [
            r#"{"k": {"deep": 1}, "n": 1, "actor": {"a": 1}}"#,
            r#"{"k": 2, "n": "context", "actor": 3}"#,
            r#"{"k": {"deep": 1}, "n": "context", "actor": {"a": 1}}"#,
        ]
    );
}

#[test]
fn numbers_are_taken_as_ids_and_keep_their_digits() {
    let mut db = Db::new();
    let context = r#"{"organization": 191796, "request_id": 12345678901234567890123, "actor": {"type": "user", "id": 445177},
        "effective_actor": {"type": "user", "id": -7}, "metadata": {"n": 1.10, "big": 12345678901234567890.123}}"#;
    for set in [
        format!("SELECT audit_log.set_context('{context}')"),
        format!("SET LOCAL audit_log.context = '{context}'"),
    ] {
        db.run(&format!("BEGIN; {set}; SELECT audit_log.record('job_created', '1'); COMMIT"));
    }
    assert_eq!(
        db.all("SELECT DISTINCT concat_ws(' ', organization_id, request_id, actor_id, effective_actor_id, metadata) FROM audit_log.entry"),
        [r#"191796 12345678901234567890123 445177 -7 {"n": 1.10, "big": 12345678901234567890.123}"#]
    );
}

#[test]
fn the_organization_of_the_call_wins_over_the_contexts() {
    let mut db = Db::new();
    db.run(
        "SET audit_log.context = '{\"organization\": \"acme\"}'; SELECT audit_log.record('job_created', '1')",
    );
    assert_eq!(actor(&mut db), "system acme");
    db.run("SELECT audit_log.record('job_created', '1', organization => 'globex')");
    assert_eq!(actor(&mut db), "system globex");
}

#[test]
fn everybody_may_set_it_and_the_database_user_stays_true() {
    let mut db = Db::new();
    let role = unique("clerk");
    db.session_as(&role);
    db.run(&format!(
        "CREATE TABLE job (id int PRIMARY KEY); SELECT audit_log.watch('job'); GRANT INSERT ON job TO {role}"
    ));
    let mut clerk = connect(&db.name, &role);
    run(
        &mut clerk,
        &format!("BEGIN; SELECT audit_log.set_context('{ANN}'); INSERT INTO job VALUES (1); COMMIT"),
    );
    fails(&mut clerk, r#"SET audit_log.context = '{"actor": {"type": "usr"}}'"#).is("22023", "invalid_input");
    assert_eq!(actor(&mut db), "user ann default");
    assert_eq!(db.one("SELECT database_user FROM audit_log.entry WHERE target_type = 'job'"), role);
}
