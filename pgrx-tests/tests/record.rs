//! record(): what it stores, what it refuses, and idempotency keys.

use std::sync::{Arc, Barrier};

use audit_log_tests::{connect, fails, json, one, run, unique, wait_for, Db, Value};

fn count(db: &mut Db) -> String {
    db.one("SELECT count(*) FROM audit_log.entry")
}

fn newest(db: &mut Db, column: &str) -> String {
    db.one(&format!("SELECT {column} FROM audit_log.entry ORDER BY recorded_at DESC, id DESC LIMIT 1"))
}

#[test]
fn every_argument_is_stored_and_the_id_returned() {
    let mut db = Db::new();
    db.run("SET application_name = 'shop'");
    let began = db.one("SELECT clock_timestamp()");
    let id = db.one(
        r#"SELECT audit_log.record(category => 'offer_updated', target_id => '7', target_name => 'Cook', targets =>
          '[{"type": "job", "id": 3, "name": "Kitchen", "relation": "parent", "metadata": {"a": 1}}, {"type": "user", "id": "u"}]',
          metadata => '{"reason": "raise"}', before => '{"pay": 1, "same": 0}', after => '{"pay": 2, "same": 0}',
          occurred_at => '2025-03-01 10:00:00.000001Z', organization => 'acme', idempotency_key => 'k')"#,
    );
    let mut entry = db.json("SELECT to_jsonb(e) FROM audit_log.entry e");
    let map = entry.as_object_mut().expect("an entry");
    let varying = ["recorded_at", "transaction_id", "position"].map(|key| map.remove(key).expect(key));
    assert!(varying.iter().all(|v| !v.is_null()));
    assert_eq!(
        entry,
        json!({
            "id": id, "occurred_at": "2025-03-01T10:00:00.000001+00:00", "organization_id": "acme",
            "category": "offer_updated", "operation": null,
            "actor_type": "system", "actor_id": null, "actor_name": null, "actor_email": null,
            "effective_actor_type": "system", "effective_actor_id": null, "effective_actor_name": null,
            "effective_actor_email": null,
            "target_type": "offer", "target_id": "7", "target_name": "Cook",
            "targets": [
                {"type": "offer", "id": "7", "name": "Cook", "relation": "primary"},
                {"type": "job", "id": "3", "name": "Kitchen", "relation": "parent", "metadata": {"a": 1}},
                {"type": "user", "id": "u", "relation": "related"}
            ],
            "before": {"pay": 1, "same": 0}, "after": {"pay": 2, "same": 0}, "changes": {"pay": [1, 2]},
            "metadata": {"reason": "raise"}, "remote_addr": null, "access_route": null, "user_agent": null,
            "request_id": null, "database_user": "postgres", "application_name": "shop", "relation": null
        })
    );
    assert_eq!(id.as_bytes()[14], b'7', "not a UUIDv7: {id}");
    assert_eq!(newest(&mut db, &format!("recorded_at BETWEEN '{began}' AND clock_timestamp()")), "t");
    assert_eq!(newest(&mut db, "transaction_id < pg_current_xact_id()"), "t");
    let targets = "SELECT concat_ws(' ', ordinal, target_type, target_id, target_name, relation, metadata) FROM audit_log.entry_target ORDER BY ordinal";
    assert_eq!(
        db.all(targets),
        ["1 offer 7 Cook primary", "2 job 3 Kitchen parent {\"a\": 1}", "3 user u related"]
    );
    let changes = "SELECT concat_ws(' ', entry_id = (SELECT id FROM audit_log.entry), column_name, old_value, new_value) FROM audit_log.entry_change";
    assert_eq!(db.all(changes), ["t pay 1 2"]);
}

#[test]
fn a_category_alone_is_enough() {
    let mut db = Db::new();
    db.run("BEGIN; SELECT audit_log.record('admin_action'); SELECT audit_log.record('admin_action'); COMMIT");
    let row = "SELECT concat_ws(' ', target_type, target_id, targets, metadata, before, after, changes, occurred_at = recorded_at) FROM audit_log.entry";
    let expected = r#"admin_action [{"id": null, "type": "admin_action", "relation": "primary"}] t"#;
    assert_eq!(db.all(row), [expected, expected]);
    assert_eq!(db.one("SELECT count(DISTINCT transaction_id) FROM audit_log.entry"), "1");
    assert_eq!(db.one("SELECT count(DISTINCT id) FROM audit_log.entry"), "2");
}

#[test]
fn a_targets_own_type_counts() {
    let mut db = Db::new();
    db.run(r#"SELECT audit_log.record('user.login', targets => '[{"type": "report", "id": "r1", "name": "Sales"}]')"#);
    assert_eq!(
        newest(&mut db, "concat_ws(' ', category, target_type, target_id, target_name)"),
        "user.login report r1 Sales"
    );
    db.run(
        r#"SELECT audit_log.record('user.login', targets =>
          '[{"type": "team", "id": 1}, {"type": "report", "id": "r2", "relation": "primary"}]')"#,
    );
    assert_eq!(
        newest(&mut db, "concat_ws(' ', target_type, target_id, targets -> 1 ->> 'relation')"),
        "report r2 related"
    );
}

#[test]
fn occurred_at_may_lie_in_the_past_or_future() {
    let mut db = Db::new();
    for when in ["1970-01-01 00:00:00+00", "2001-02-03 04:05:06.123457+00", "2999-12-31 23:59:59.999999+00"] {
        let began = db.one("SELECT clock_timestamp()");
        let id = db.one(&format!("SELECT audit_log.record('job_created', occurred_at => '{when}')"));
        db.run("SET TimeZone = 'UTC'");
        assert_eq!(db.one(&format!("SELECT occurred_at FROM audit_log.entry WHERE id = '{id}'")), when);
        assert_eq!(newest(&mut db, &format!("recorded_at BETWEEN '{began}' AND clock_timestamp()")), "t");
    }
    for bad in ["infinity", "-infinity"] {
        let failure = db.fails(&format!("SELECT audit_log.record('job_created', occurred_at => '{bad}')"));
        failure.is("22023", "invalid_input").says("occurred_at");
    }
    assert_eq!(count(&mut db), "3");
}

#[test]
fn wrong_arguments_are_refused_and_leave_nothing() {
    let mut db = Db::new();
    for (arguments, says) in [
        ("NULL", "category"),
        ("'job_udpated'", "job_updated"),
        ("'job_created', targets => '{}'", "targets"),
        ("'job_created', targets => '[1]'", "targets[0]"),
        ("'job_created', '1', targets => '[{\"id\": 1}]'", "targets[0].type"),
        ("'job_created', '1', targets => '[{\"type\": \"job\", \"id\": 2}, {\"type\": \"jobb\", \"id\": 1}]'", "\"job\""),
        ("'job_created', '1', targets => '[{\"type\": \"job\", \"relation\": \"aunt\"}]'", "targets[0].relation"),
        ("'job_created', '1', targets => '[{\"type\": \"job\", \"kind\": 1}]'", "targets[0].kind"),
        ("'job_created', '1', metadata => '[]'", "metadata"),
        ("'job_created', '1', metadata => '7'", "metadata"),
    ] {
        let keyed = format!("SELECT audit_log.record({arguments}, organization => 'new', idempotency_key => 'k')");
        db.fails(&keyed).is("22023", "invalid_input").says(says);
    }
    assert_eq!(count(&mut db), "0");
    assert_eq!(db.one("SELECT count(*) FROM audit_log.entry_target"), "0");
    assert_eq!(db.one("SELECT count(*) FROM audit_log.organization WHERE id = 'new'"), "0");
    // None of them took the key.
    db.run("SELECT audit_log.record('job_created', '1', organization => 'new', idempotency_key => 'k')");
    assert_eq!(count(&mut db), "1");
}

#[test]
fn an_organization_first_seen_in_a_rolled_back_savepoint_is_seen_by_the_next_write() {
    let mut db = Db::new();
    let record = "SELECT audit_log.record('job_created', '1', organization => 'fresh')";
    db.run(&format!("BEGIN; SAVEPOINT s; {record}; ROLLBACK TO s; {record}; COMMIT"));
    assert_eq!(count(&mut db), "1");
    assert_eq!(db.all("SELECT id FROM audit_log.organization WHERE enabled AND id = 'fresh'"), ["fresh"]);
    assert_eq!(db.all("SELECT target_id FROM audit_log.list(organization => 'fresh')"), ["1"]);
}

#[test]
fn a_disabled_organization_records_nothing() {
    let mut db = Db::new();
    db.run("SELECT audit_log.disable_organization('acme'); SELECT audit_log.disable_organization('default')");
    let before = count(&mut db);
    for organization in ["NULL", "'acme'"] {
        let record = format!("SELECT audit_log.record('job_created', organization => {organization})");
        db.fails(&record).is("55000", "audit_logs_not_enabled");
    }
    assert_eq!(count(&mut db), before);
}

#[test]
fn only_a_writer_may_call_it() {
    let mut db = Db::new();
    let role = unique("writer");
    let mut writer = db.session_as(&role);
    assert_eq!(fails(&mut writer, "SELECT audit_log.record('job_created')").sqlstate, "42501");
    db.run(&format!("GRANT audit_log_reader TO {role}"));
    assert_eq!(fails(&mut writer, "SELECT audit_log.record('job_created')").sqlstate, "42501");
    db.run(&format!("REVOKE audit_log_reader FROM {role}; GRANT audit_log_writer TO {role}"));
    run(
        &mut writer,
        "SELECT audit_log.record('job_created', 'w', organization => 'new', idempotency_key => 'k')",
    );
    assert_eq!(newest(&mut db, "concat_ws(' ', target_id, database_user)"), format!("w {role}"));
}

#[test]
fn numbers_keep_their_digits() {
    let mut db = Db::new();
    let exact =
        r#"{"a": 1.500, "b": 12345678901234567890.0123456789012345678900, "c": [0.10, -0, 1e2], "d": 1e-30}"#;
    db.run(&format!("SELECT audit_log.record('job_created', metadata => '{exact}', before => '{exact}', after => '{exact}',
        targets => '[{{\"type\": \"job\", \"id\": 12345678901234567890, \"metadata\": {exact}}}]')"));
    let expected = db.one(&format!("SELECT '{exact}'::jsonb"));
    for column in ["metadata", "before", "after", "targets -> 0 -> 'metadata'"] {
        assert_eq!(newest(&mut db, column), expected, "{column}");
    }
    assert_eq!(newest(&mut db, "target_id"), "12345678901234567890");
}

#[test]
fn deep_and_odd_json_is_kept() {
    let mut db = Db::new();
    let nested = |levels| format!(r#"{{"a": {}1{}}}"#, "[".repeat(levels), "]".repeat(levels));
    let deep = nested(100);
    let raw = r#"{"a": {"$serde_json::private::RawValue": "x"}, "": "", "☃": "\u0001 \\ '' 𝄞"}"#;
    for odd in [deep.as_str(), raw] {
        let expected = db.one(&format!("SELECT '{odd}'::jsonb"));
        db.run(&format!("SELECT audit_log.record('job_created', '1', metadata => '{odd}', before => '{odd}', after => '{odd}')"));
        for column in ["metadata", "before", "after"] {
            assert_eq!(newest(&mut db, column), expected, "{column}");
        }
    }
    // What metadata cannot take it refuses rather than alters; row states are kept as they are.
    for refused in [nested(5000).as_str(), r#"{"a": {"$serde_json::private::Number": "7"}}"#] {
        let metadata = format!("SELECT audit_log.record('job_created', metadata => '{refused}')");
        db.fails(&metadata).is("22023", "invalid_input").says("metadata");
        let expected = db.one(&format!("SELECT '{refused}'::jsonb"));
        db.run(&format!("SELECT audit_log.record('job_created', before => '{refused}')"));
        assert_eq!(newest(&mut db, "before"), expected);
    }
}

#[test]
fn the_same_key_returns_the_first_id() {
    let mut db = Db::new();
    let call = r#"SELECT audit_log.record('job_created', '1', metadata => '{"a": 1, "b": 2}', idempotency_key => 'k')"#;
    let first = db.one(call);
    assert_eq!(db.one(call), first);
    let mut other = db.session();
    let reordered = call.replace(r#""a": 1, "b": 2"#, r#""b": 2, "a": 1"#);
    run(&mut other, r#"SET audit_log.context = '{"request_id": "second try"}'"#);
    assert_eq!(one(&mut other, &reordered), first);
    assert_eq!(db.one(&format!("BEGIN; {call}")), first);
    db.run("ROLLBACK");
    assert_eq!(count(&mut db), "1");
    for other in [
        call.replace("job_created", "job_updated"),
        call.replace("'1'", "'2'"),
        call.replace(r#""b": 2"#, r#""b": 3"#),
        call.replace("idempotency_key", "after => '{}', idempotency_key"),
        call.replace("idempotency_key", "occurred_at => '2025-03-01Z', idempotency_key"),
    ] {
        let failure = db.fails(&other);
        failure.is("22023", "invalid_input").says("\"k\"");
    }
    // Another organization's key is another key.
    let elsewhere = db.one(&call.replace("idempotency_key", "organization => 'acme', idempotency_key"));
    assert_ne!(elsewhere, first);
    assert_eq!(count(&mut db), "2");
}

#[test]
fn a_rolled_back_key_is_free_again() {
    let mut db = Db::new();
    let call =
        |target: &str| format!("SELECT audit_log.record('job_created', '{target}', idempotency_key => 'k')");
    db.run(&format!("BEGIN; {}; ROLLBACK", call("0")));
    db.run(&format!("BEGIN; SAVEPOINT s; {}; ROLLBACK TO s; {}; COMMIT", call("1"), call("2")));
    assert_eq!(db.all("SELECT target_id FROM audit_log.entry"), ["2"]);
    assert_eq!(db.one(&call("2")), newest(&mut db, "id"));
    db.fails(&call("3")).is("22023", "invalid_input");
}

#[test]
fn sessions_with_the_same_key_at_once_make_one_entry() {
    let mut db = Db::new();
    let start = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (name, start) = (db.name.clone(), start.clone());
            std::thread::spawn(move || -> Vec<String> {
                let mut client = connect(&name, "postgres");
                start.wait();
                let call =
                    |k| format!("SELECT audit_log.record('job_created', '1', idempotency_key => 'k{k}')");
                (0..25).map(|k| one(&mut client, &call(k))).collect()
            })
        })
        .collect();
    let ids: Vec<Vec<String>> = threads.into_iter().map(|t| t.join().expect("a session")).collect();
    assert!(ids.iter().all(|i| *i == ids[0]));
    assert_eq!(count(&mut db), "25");
}

#[test]
fn a_second_session_waits_for_the_first_to_commit_or_roll_back() {
    for (end, entries) in [("COMMIT", 1), ("ROLLBACK", 1)] {
        let mut db = Db::new();
        let call = "SELECT audit_log.record('job_created', '1', idempotency_key => 'k')";
        db.run("BEGIN");
        let first = db.one(call);
        let mut second = db.session();
        let pid = one(&mut second, "SELECT pg_backend_pid()");
        let waiting = std::thread::spawn(move || one(&mut second, call));
        let mut watcher = db.session();
        wait_for(&mut watcher, &format!("SELECT cardinality(pg_blocking_pids({pid}))"), "1");
        db.run(end);
        let got = waiting.join().expect("the second session");
        assert_eq!(got == first, end == "COMMIT");
        assert_eq!(count(&mut db), entries.to_string());
    }
}

#[test]
fn a_failing_event_of_a_transaction_takes_the_transaction_with_it() {
    let mut db = Db::new();
    db.run("BEGIN; SELECT audit_log.record('job_created', '1', '', '[{\"type\": \"user\", \"id\": 1}]')");
    db.fails("SELECT audit_log.record('job_created', '2', metadata => '[]')");
    db.run("COMMIT");
    assert_eq!(count(&mut db), "0");
    assert_eq!(db.one("SELECT count(*) FROM audit_log.entry_target"), "0");
    let none: Value = db.json("SELECT coalesce(jsonb_agg(e), '[]') FROM audit_log.activity_daily e");
    assert_eq!(none, json!([]));
}
