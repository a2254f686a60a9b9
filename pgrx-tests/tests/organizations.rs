//! Organizations: first sight, enabling and disabling, what is listed of them, the view.

use audit_log_tests::{all, fails, one, patient, run, unique, Db};

fn record(organization: &str) -> String {
    format!("SELECT audit_log.record('job_created', '1', organization => '{organization}')")
}

fn count(db: &mut Db, organization: &str) -> String {
    db.one(&format!(
        "SELECT count(*) FROM audit_log.entry WHERE organization_id = '{organization}' AND target_type = 'job'"
    ))
}

/// What is recorded of an organization itself, oldest first.
fn decisions(db: &mut Db, organization: &str) -> Vec<String> {
    db.all(&format!(
        "SELECT concat_ws(' ', category, target_type, target_id, metadata) FROM audit_log.entry
         WHERE organization_id = '{organization}' AND category LIKE 'organization%' ORDER BY occurred_at, id"
    ))
}

/// A table whose rows say whose they are.
fn watched() -> Db {
    let mut db = Db::new();
    db.run("CREATE TABLE job (id int PRIMARY KEY, org text); SELECT audit_log.watch('job', organization => 'org')");
    db
}

#[test]
fn the_views_columns() {
    let mut db = Db::new();
    let columns = db.all(
        "SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute
         WHERE attrelid = 'audit_log.organization'::regclass AND attnum > 0 ORDER BY attnum",
    );
    let expected = [
        "id text",
        "name text",
        "enabled boolean",
        "logging_started_at timestamp with time zone",
        "earliest_available_at timestamp with time zone",
    ];
    assert_eq!(columns[..5], expected);
    assert_eq!(
        db.all("SELECT concat_ws(' ', id, enabled, logging_started_at <= now()) FROM audit_log.organization"),
        ["default t t"]
    );
}

#[test]
fn first_seen_in_a_write_is_enabled() {
    let mut db = watched();
    db.run("INSERT INTO job VALUES (1, 'acme'), (2, NULL), (3, '')");
    db.run(&record("globex"));
    db.run("BEGIN; SET LOCAL audit_log.context = '{\"organization\": \"initech\"}'; SELECT audit_log.record('job_created', '1'); COMMIT");
    db.run(&format!("BEGIN; {}; ROLLBACK", record("never")));
    assert_eq!(
        db.all("SELECT concat_ws(' ', id, enabled, name) FROM audit_log.organization ORDER BY id"),
        ["acme t", "default t", "globex t", "initech t"]
    );
    assert_eq!(count(&mut db, "default"), "2");
    for organization in ["acme", "globex", "initech"] {
        assert_eq!(count(&mut db, organization), "1");
        assert_eq!(db.all(&format!("SELECT 1 FROM audit_log.list(organization => '{organization}')")), ["1"]);
    }
}

#[test]
fn two_sessions_that_see_a_new_one_at_once_do_not_wait() {
    let mut db = Db::new();
    let mut other = db.session();
    patient(&mut other);
    db.run(&format!("BEGIN; {}", record("acme")));
    run(&mut other, &record("acme"));
    db.run("COMMIT");
    assert_eq!(db.all("SELECT id FROM audit_log.organization WHERE id = 'acme'"), ["acme"]);
    assert_eq!(count(&mut db, "acme"), "2");
}

#[test]
fn with_auto_enabling_off_only_what_was_enabled_is_recorded() {
    let mut db = watched();
    db.run(&record("old"));
    db.run("SET audit_log.auto_enable_organizations = off; INSERT INTO job VALUES (1, 'acme'), (2, 'old'), (3, 'default')");
    assert_eq!(db.one("SELECT count(*) FROM job"), "3");
    assert_eq!(
        (count(&mut db, "acme"), count(&mut db, "old"), count(&mut db, "default")),
        ("0".into(), "2".into(), "1".into())
    );
    db.fails(&record("acme")).is("55000", "audit_logs_not_enabled").says("acme");
    db.fails("SELECT * FROM audit_log.list(organization => 'acme')").is("55000", "audit_logs_not_enabled");
    assert_eq!(db.all("SELECT id FROM audit_log.organization WHERE id = 'acme'"), Vec::<String>::new());
    db.run("SELECT audit_log.enable_organization('acme'); UPDATE job SET id = 10 WHERE id = 1");
    db.run(&record("acme"));
    assert_eq!(count(&mut db, "acme"), "2");
    let mut clerk = db.session_as(&unique("clerk"));
    assert_eq!(fails(&mut clerk, "SET audit_log.auto_enable_organizations = on; SELECT audit_log.set_context(NULL); SET audit_log.auto_enable_organizations = on").sqlstate, "42501");
}

#[test]
fn disabling_and_enabling_take_effect_at_once_in_every_session() {
    let mut db = watched();
    let mut other = db.session();
    let mut in_transaction = db.session();
    run(&mut in_transaction, "BEGIN");
    for (i, session) in [&mut other, &mut in_transaction].into_iter().enumerate() {
        run(session, &format!("INSERT INTO job VALUES ({i}, 'acme'); {}", record("acme")));
    }
    db.run("SELECT audit_log.disable_organization('acme')");
    for (i, session) in [&mut other, &mut in_transaction].into_iter().enumerate() {
        run(
            session,
            &format!(
                "INSERT INTO job VALUES (1{i}, 'acme'), (2{i}, 'globex'); DELETE FROM job WHERE id = 1{i}"
            ),
        );
    }
    fails(&mut other, &record("acme")).is("55000", "audit_logs_not_enabled").says("acme");
    run(&mut in_transaction, "SAVEPOINT s");
    fails(&mut in_transaction, &record("acme")).is("55000", "audit_logs_not_enabled");
    run(&mut in_transaction, "ROLLBACK TO s; COMMIT");
    assert_eq!((count(&mut db, "acme"), count(&mut db, "globex")), ("4".into(), "2".into()));
    db.run("SELECT audit_log.enable_organization('acme')");
    run(&mut other, &format!("INSERT INTO job VALUES (30, 'acme'); {}", record("acme")));
    assert_eq!(count(&mut db, "acme"), "6");
}

#[test]
fn a_rolled_back_decision_has_no_effect() {
    let mut db = watched();
    db.run(&record("acme"));
    db.run(
        "BEGIN; SELECT audit_log.disable_organization('acme'); INSERT INTO job VALUES (1, 'acme'); ROLLBACK",
    );
    db.run(&record("acme"));
    db.run("BEGIN; SAVEPOINT s; SELECT audit_log.disable_organization('acme'); INSERT INTO job VALUES (2, 'acme'); ROLLBACK TO s");
    db.run(&format!("{}; INSERT INTO job VALUES (3, 'acme'); COMMIT", record("acme")));
    assert_eq!(count(&mut db, "acme"), "4");
    db.run("SELECT audit_log.disable_organization('acme')");
    db.run("BEGIN; SELECT audit_log.enable_organization('acme'); ROLLBACK");
    db.fails(&record("acme")).is("55000", "audit_logs_not_enabled");
}

#[test]
fn a_disabled_one_is_not_listed_and_keeps_what_it_has() {
    let mut db = Db::new();
    db.run(&format!("{}; {}; {}", record("acme"), record("globex"), record("default")));
    db.run("SELECT audit_log.disable_organization('acme')");
    db.fails("SELECT * FROM audit_log.list(organization => 'acme')").is("55000", "audit_logs_not_enabled");
    db.fails("SELECT * FROM audit_log.list(organization => 'unheard of')")
        .is("55000", "audit_logs_not_enabled");
    let listed = "SELECT DISTINCT organization_id FROM audit_log.list() ORDER BY 1";
    assert_eq!(db.all(listed), ["default", "globex"]);
    assert_eq!(count(&mut db, "acme"), "1");
    let answer = db.json(r#"SELECT audit_log.list_json('{"organization": "acme"}')"#);
    assert_eq!(
        (&answer["status"], &answer["errorInfo"]["code"]),
        (&403.into(), &"audit_logs_not_enabled".into())
    );
    let role = unique("bound");
    let mut bound = db.session_as(&role);
    db.run(&format!("SELECT audit_log.grant_read('{role}', 'acme')"));
    fails(&mut bound, "SELECT * FROM audit_log.list()").is("55000", "audit_logs_not_enabled");
    db.run(&format!("SELECT audit_log.grant_read('{role}', 'globex')"));
    assert_eq!(all(&mut bound, listed), ["globex"]);
    db.run("SELECT audit_log.enable_organization('acme')");
    assert_eq!(db.all(listed), ["acme", "default", "globex"]);
    db.run("SELECT audit_log.disable_organization('default')");
    assert_eq!(db.all(listed), ["acme", "globex"]);
}

#[test]
fn each_decision_is_an_entry_of_the_organization() {
    let mut db = Db::new();
    db.run("SET audit_log.context = '{\"actor\": {\"type\": \"user\", \"id\": \"ann\"}, \"organization\": \"elsewhere\"}'");
    db.run("SELECT audit_log.enable_organization('acme', 'Acme Corp'); SELECT audit_log.enable_organization('acme')");
    db.run("SELECT audit_log.disable_organization('acme'); SELECT audit_log.disable_organization('acme')");
    db.run("SELECT audit_log.enable_organization('acme')");
    let told = decisions(&mut db, "acme");
    let categories: Vec<&str> = told.iter().filter_map(|d| d.split(' ').next()).collect();
    assert_eq!(categories, ["organization_enabled", "organization_disabled", "organization_enabled"]);
    assert!(told.iter().all(|d| d.contains(" audit_log acme")), "{told:?}");
    assert!(told[0].contains("Acme Corp"), "{told:?}");
    assert_eq!(
        db.all("SELECT DISTINCT actor_id || ' ' || organization_id FROM audit_log.entry"),
        ["ann acme"]
    );
}

#[test]
fn a_name_is_kept_until_another_is_given() {
    let mut db = Db::new();
    db.run(&record("acme"));
    let name =
        "SELECT coalesce(name, 'none') || ' ' || enabled FROM audit_log.organization WHERE id = 'acme'";
    assert_eq!(db.one(name), "none true");
    db.run("SELECT audit_log.enable_organization('acme', 'Acme')");
    assert_eq!(db.one(name), "Acme true");
    db.run("SELECT audit_log.disable_organization('acme')");
    assert_eq!(db.one(name), "Acme false");
    db.run("SELECT audit_log.enable_organization('acme')");
    assert_eq!(db.one(name), "Acme true");
    db.run("SELECT audit_log.enable_organization('acme', 'Acme Corp')");
    assert_eq!(db.one(name), "Acme Corp true");
}

#[test]
fn since_when_it_is_logged_and_readable() {
    let mut db = Db::new();
    let began = db.one("SELECT clock_timestamp()");
    db.run("SET TimeZone = 'UTC'; SELECT audit_log.enable_organization('acme')");
    let started = "SELECT logging_started_at FROM audit_log.organization WHERE id = 'acme'";
    let earliest = "SELECT earliest_available_at FROM audit_log.organization WHERE id = 'acme'";
    let first = db.one(started);
    assert_eq!(db.one(earliest), first);
    assert_eq!(db.one(&format!("SELECT '{first}' BETWEEN timestamptz '{began}' AND now()")), "t");
    db.run("SELECT audit_log.record('job_created', organization => 'acme', occurred_at => '2999-01-01Z')");
    assert_eq!(db.one(earliest), first);
    db.run("SELECT audit_log.record('job_created', organization => 'acme', occurred_at => '2001-02-03 04:05:06Z')");
    assert_eq!(db.one(earliest), "2001-02-03 04:05:06+00");
    db.run(
        "SELECT audit_log.disable_organization('acme'); SELECT audit_log.enable_organization('acme', 'Acme')",
    );
    assert_eq!((db.one(started), db.one(earliest)), (first, "2001-02-03 04:05:06+00".into()));
    let began = db.one("SELECT clock_timestamp()");
    db.run(&record("seen"));
    let seen = format!("SELECT logging_started_at <= earliest_available_at AND logging_started_at BETWEEN '{began}' AND now() FROM audit_log.organization WHERE id = 'seen'");
    assert_eq!(db.one(&seen), "t");
}

#[test]
fn ids_are_1_to_255_characters() {
    let mut db = Db::new();
    let long = "é".repeat(255);
    db.run(&format!(
        "SELECT audit_log.enable_organization('{long}'); SELECT audit_log.disable_organization('{long}')"
    ));
    for bad in ["NULL", "''", &format!("'{long}x'")] {
        for call in ["enable_organization", "disable_organization"] {
            db.fails(&format!("SELECT audit_log.{call}({bad})")).is("22023", "invalid_input");
        }
    }
    assert_eq!(db.one("SELECT count(*) FROM audit_log.organization"), "2");
}

#[test]
fn a_reader_sees_all_of_them_and_a_stranger_none() {
    let mut db = Db::new();
    db.run(&record("acme"));
    let (reader, nobody) = (unique("reader"), unique("nobody"));
    let (mut read, mut strange) = (db.session_as(&reader), db.session_as(&nobody));
    db.run(&format!("GRANT audit_log_reader TO {reader}"));
    assert_eq!(one(&mut read, "SELECT count(*) FROM audit_log.organization"), "2");
    assert_eq!(fails(&mut strange, "SELECT * FROM audit_log.organization").sqlstate, "42501");
}
