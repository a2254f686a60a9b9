//! import(): the sample records of three shapes come back whole; bad records are told by their ordinal.

use audit_log_tests::{json, Db, Value};

fn quoted(record: &Value) -> String {
    format!("'{}'::jsonb", record.to_string().replace('\'', "''"))
}

/// Imports records; each row as "ordinal id" or "ordinal error".
#[track_caller]
fn import(db: &mut Db, format: &str, records: &[Value]) -> Vec<(i32, Result<String, String>)> {
    let array: Vec<String> = records.iter().map(quoted).collect();
    let sql = format!(
        "SELECT jsonb_build_array(ordinal, id, error) FROM audit_log.import(ARRAY[{}]::jsonb[], '{format}')",
        array.join(",")
    );
    let read = |row: String| {
        let row: Value = serde_json::from_str(&row).expect("JSON");
        let text = |i: usize| row[i].as_str().map(str::to_string);
        assert!(text(1).is_some() != text(2).is_some(), "either an id or an error: {row}");
        let ordinal = row[0].as_i64().expect("an ordinal") as i32;
        (ordinal, text(1).ok_or_else(|| text(2).unwrap_or_default()))
    };
    db.all(&sql).into_iter().map(read).collect()
}

/// Imports one record that must load; its id.
#[track_caller]
fn import_one(db: &mut Db, format: &str, record: &Value) -> String {
    match import(db, format, std::slice::from_ref(record)).as_slice() {
        [(1, Ok(id))] => id.clone(),
        other => panic!("{record}: {other:?}"),
    }
}

/// The columns that tell of the event, not of its storing.
fn told(db: &mut Db, id: &str) -> Value {
    db.run("SET TimeZone = 'UTC'");
    db.json(&format!(
        "SELECT jsonb_strip_nulls(to_jsonb(e) - '{{id,recorded_at,transaction_id,position,database_user,application_name}}'::text[])
         FROM audit_log.entry e WHERE id = '{id}'"
    ))
}

#[track_caller]
fn original_is_kept(db: &mut Db, id: &str, record: &Value) {
    assert_eq!(db.one(&format!("SELECT audit_log.imported_record('{id}') = {}", quoted(record))), "t");
}

fn captivateiq() -> Value {
    json!({
        "id": "550e8400-e29b-41d4-a716-446655440000", "object": "audit_log",
        "organization_id": "org_123456", "organization_name": "Acme Corp",
        "user_id": "user_001", "user_name": "John Smith", "user_email": "john.smith@example.com",
        "logged_in_user_id": "admin_001", "logged_in_user_name": "Jane Admin",
        "logged_in_user_email": "jane.admin@example.com",
        "ip_address": "203.0.113.45", "created_at": "2025-02-23T14:30:00Z", "event_type": "user.login", "version": 0,
        "object_id": "obj_789012", "object_name": "Sales Dashboard", "object_type": "report", "parent_objects": []
    })
}

fn gem() -> Value {
    json!({
        "action": "job_user_access_changed", "team_id": 191796,
        "actor": {"type": "user", "id": 445177, "metadata": {"email": "ann+oats@gem.com", "name": "Ann Samuelson"}},
        "targets": [
            {"type": "job_user_access", "id": 107404,
             "metadata": {"job_id": 313520, "user_id": 506607, "access_level_id": 7349}},
            {"type": "job", "id": 313520, "metadata": null},
            {"type": "user", "id": 506607, "metadata": null}
        ],
        "access_route": ["::1"], "remote_addr": "::1",
        "user_agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
        "metadata": {"previous_access_level_id": 7347}
    })
}

#[test]
fn a_captivateiq_record() {
    let mut db = Db::new();
    let began = db.one("SELECT clock_timestamp()");
    let id = import_one(&mut db, "captivateiq", &captivateiq());
    assert_eq!(
        told(&mut db, &id),
        json!({
            "occurred_at": "2025-02-23T14:30:00+00:00", "organization_id": "org_123456", "category": "user.login",
            "actor_type": "user", "actor_id": "admin_001", "actor_name": "Jane Admin",
            "actor_email": "jane.admin@example.com",
            "effective_actor_type": "user", "effective_actor_id": "user_001", "effective_actor_name": "John Smith",
            "effective_actor_email": "john.smith@example.com",
            "target_type": "report", "target_id": "obj_789012", "target_name": "Sales Dashboard",
            "targets": [{"type": "report", "id": "obj_789012", "name": "Sales Dashboard", "relation": "primary"}],
            "remote_addr": "203.0.113.45",
            "metadata": {"source": {"id": "550e8400-e29b-41d4-a716-446655440000", "object": "audit_log",
                                    "organization_name": "Acme Corp", "version": 0}}
        })
    );
    original_is_kept(&mut db, &id, &captivateiq());
    let recorded = format!("SELECT recorded_at BETWEEN '{began}' AND clock_timestamp() FROM audit_log.entry");
    assert_eq!(db.one(&recorded), "t");
    let listed = "SELECT id FROM audit_log.list(start_date => '2025-02-23Z', target_types => ARRAY['report'], organization => 'org_123456')";
    assert_eq!(db.all(listed), [id]);
}

#[test]
fn captivateiq_parents_are_targets() {
    let mut db = Db::new();
    let mut record = captivateiq();
    record["parent_objects"] =
        json!([{"object_type": "team", "object_id": "t1", "object_name": "Sales", "depth": 2}]);
    let id = import_one(&mut db, "captivateiq", &record);
    assert_eq!(
        told(&mut db, &id)["targets"][1],
        json!({"type": "team", "id": "t1", "name": "Sales", "relation": "parent", "metadata": {"depth": 2}})
    );
    original_is_kept(&mut db, &id, &record);
    assert_eq!(
        db.all("SELECT id FROM audit_log.list(start_date => '2025-02-23Z', target_ids => ARRAY['t1'])"),
        [id]
    );
}

#[test]
fn a_gem_record() {
    let mut db = Db::new();
    let id = import_one(&mut db, "gem", &gem());
    let mut told = told(&mut db, &id);
    assert!(told.as_object_mut().expect("an entry").remove("occurred_at").is_some());
    assert_eq!(
        told,
        json!({
            "organization_id": "191796", "category": "job_user_access_changed",
            "actor_type": "user", "actor_id": "445177", "actor_name": "Ann Samuelson", "actor_email": "ann+oats@gem.com",
            "effective_actor_type": "user", "effective_actor_id": "445177", "effective_actor_name": "Ann Samuelson",
            "effective_actor_email": "ann+oats@gem.com",
            "target_type": "job_user_access", "target_id": "107404",
            "targets": [
                {"type": "job_user_access", "id": "107404", "relation": "primary",
                 "metadata": {"job_id": 313520, "user_id": 506607, "access_level_id": 7349}},
                {"type": "job", "id": "313520", "relation": "related"},
                {"type": "user", "id": "506607", "relation": "related"}
            ],
            "access_route": ["::1"], "remote_addr": "::1", "user_agent": gem()["user_agent"],
            "metadata": {"previous_access_level_id": 7347}
        })
    );
    original_is_kept(&mut db, &id, &gem());
    assert_eq!(db.all("SELECT id FROM audit_log.list(target_ids => ARRAY['506607'])"), [id]);
}

#[test]
fn what_gem_adds_is_kept_too() {
    let mut db = Db::new();
    let mut record = gem();
    record["timestamp"] = json!("2025-08-01T21:00:00.123456Z");
    record["before"] = json!({"access_level_id": 7347});
    record["after"] = json!({"access_level_id": 7349});
    record["trace"] = json!([1, {"x": null}]);
    record["actor"]["metadata"]["role"] = json!("admin");
    record["metadata"] = Value::Null;
    let id = import_one(&mut db, "gem", &record);
    let told = told(&mut db, &id);
    assert_eq!(told["occurred_at"], "2025-08-01T21:00:00.123456+00:00");
    assert_eq!(told["changes"], json!({"access_level_id": [7347, 7349]}));
    assert_eq!(told["metadata"]["source"], json!({"trace": [1, {}], "actor": {"role": "admin"}}));
    original_is_kept(&mut db, &id, &record);
}

#[test]
fn an_entry_in_the_listings_shape() {
    let mut db = Db::new();
    let record = json!({
        "id": "0195b3c4-0000-7000-8000-000000000000", "occurredAt": "2025-03-01T10:00:00.000001Z",
        "recordedAt": "2025-03-01T10:00:01Z", "organizationId": "acme", "category": "job_updated", "operation": "update",
        "actor": {"type": "support", "id": "9", "name": "Sue", "email": "sue@x"},
        "effectiveActor": {"type": "user", "id": "8", "name": "Ann", "email": "ann@x"},
        "target": {"type": "job", "id": "7", "name": "Cook"},
        "targets": [{"type": "job", "id": "7", "name": "Cook", "relation": "primary"},
                    {"type": "team", "id": "t", "relation": "parent", "metadata": {"a": [1, "x"]}}],
        "before": {"pay": 1}, "after": {"pay": 2}, "changes": {"pay": [1, 2]}, "metadata": {"why": "raise"},
        "remoteAddr": "203.0.113.45", "accessRoute": ["10.0.0.1"], "userAgent": "curl", "requestId": "r-1",
        "databaseUser": "app", "applicationName": "shop", "relation": "public.job", "transactionId": "77", "position": "p"
    });
    let id = import_one(&mut db, "entry", &record);
    assert_ne!(id, "0195b3c4-0000-7000-8000-000000000000");
    let answer = db.json("SELECT audit_log.list_json('{\"startDate\": \"2025-03-01\"}')");
    let back = &answer["results"][0];
    for (key, value) in record.as_object().expect("a record") {
        let stored_anew =
            ["id", "recordedAt", "databaseUser", "applicationName", "relation", "transactionId", "position"];
        if !stored_anew.contains(&key.as_str()) {
            assert_eq!(&back[key], value, "{key}");
        }
    }
    original_is_kept(&mut db, &id, &record);
}

#[test]
fn the_listings_own_results_can_be_imported_again() {
    let mut db = Db::new();
    db.run(
        r#"CREATE TABLE job (id int PRIMARY KEY, title text, pay numeric(9,2)); SELECT audit_log.watch('job');
        SET audit_log.context = '{"organization": "acme", "actor": {"type": "api_key", "id": 7},
          "effective_actor": {"type": "user", "name": "Ann"}, "access_route": ["10.0.0.0/8"], "metadata": {"n": 1.50}}';
        INSERT INTO job VALUES (1, 'Cook', 1.10); UPDATE job SET pay = 2; DELETE FROM job; TRUNCATE job;
        RESET audit_log.context; SELECT audit_log.record('admin_action');
        SELECT audit_log.record('user.login', targets => '[{"type": "report", "id": 1, "metadata": null}, {"type": "team"}]')"#,
    );
    let list =
        "SELECT jsonb_agg(r - '{id,recordedAt,relation,transactionId,position}'::text[] ORDER BY r ->> 'id')
        FROM jsonb_array_elements(audit_log.list_json('{}') -> 'results') r";
    let before = db.one(list);
    let import = "SELECT count(id) FROM audit_log.import(ARRAY(
        SELECT r FROM jsonb_array_elements(audit_log.list_json('{}') -> 'results') r))";
    let entries = db.one("SELECT count(*) FROM audit_log.entry");
    assert_eq!(db.one(import), entries);
    let imported = format!("{list} WHERE audit_log.imported_record((r ->> 'id')::uuid) IS NOT NULL");
    assert_eq!(db.one(&imported), before);
    let kept = "SELECT count(*) FROM audit_log.entry e WHERE audit_log.imported_record(e.id) ->> 'relation' = 'public.job'";
    assert_eq!(db.one(kept), "4");
    assert_eq!(db.one("SELECT audit_log.imported_record(gen_random_uuid()) IS NULL"), "t");
}

#[test]
fn a_bad_record_is_told_by_its_ordinal_and_stops_no_other() {
    let mut db = Db::new();
    let good = json!({"category": "job_created", "occurredAt": "2025-03-01T10:00:00Z"});
    let with = |key: &str, value: Value| {
        let mut record = good.clone();
        record[key] = value;
        record
    };
    let bad = [
        (json!(null), "record"),
        (json!([]), "record"),
        (json!({}), "category"),
        (with("category", json!("job_craeted")), "job_created"),
        (with("category", json!({"x": 1})), "category"),
        (with("actor", json!({"type": "usr"})), "\"user\""),
        (with("actor", json!("ann")), "actor"),
        (with("effectiveActor", json!({"type": "nobody"})), "nobody"),
        (with("target", json!({"type": "jobb", "id": 1})), "\"job\""),
        (with("targets", json!([{"type": "job"}, {"type": "offre"}])), "offer"),
        (with("targets", json!([{"id": 1}])), "targets[0]"),
        (with("occurredAt", json!("soon")), "occurredAt"),
        (with("occurredAt", json!("2025-02-30")), "occurredAt"),
        (with("occurredAt", json!(1740823200)), "occurredAt"),
        (with("occurredAt", json!("-5000-01-01T00:00:00Z")), ""),
        (with("occurredAt", json!("+262142-01-01T00:00:00Z")), ""),
        (with("remoteAddr", json!("nowhere")), "remoteAddr"),
        (with("accessRoute", json!(["10.0.0.1", "10.0.0.256"])), "accessRoute"),
        (with("operation", json!("upsert")), "operation"),
        (with("metadata", json!([])), "metadata"),
        (with("organizationId", json!("gone")), "gone"),
    ];
    db.run("SELECT audit_log.disable_organization('gone')");
    let before: usize = db.one("SELECT count(*) FROM audit_log.entry").parse().expect("a number");
    let records: Vec<Value> = bad.iter().flat_map(|(record, _)| [record.clone(), good.clone()]).collect();
    let results = import(&mut db, "entry", &records);
    assert_eq!(results.len(), records.len());
    for (i, (ordinal, result)) in results.iter().enumerate() {
        assert_eq!(*ordinal, i as i32 + 1);
        match (i % 2, result) {
            (0, Err(error)) => assert!(error.contains(bad[i / 2].1), "{}: {error}", bad[i / 2].0),
            (0, Ok(_)) => panic!("was loaded: {}", bad[i / 2].0),
            (_, result) => assert!(result.is_ok(), "after {}: {result:?}", bad[i / 2].0),
        }
    }
    assert_eq!(db.one("SELECT count(*) FROM audit_log.entry"), (before + bad.len()).to_string());
}

#[test]
fn bad_records_of_the_other_shapes() {
    let mut db = Db::new();
    for (format, record, key, value, says) in [
        ("gem", gem(), "action", json!("job_usr_access_changed"), "job_user_access_changed"),
        ("gem", gem(), "actor", Value::Null, "actor"),
        ("gem", gem(), "targets", json!({}), "targets"),
        ("gem", gem(), "remote_addr", json!("x"), "remote_addr"),
        ("captivateiq", captivateiq(), "event_type", json!("user.logn"), "user.login"),
        ("captivateiq", captivateiq(), "created_at", json!("23/02/2025"), "created_at"),
        ("captivateiq", captivateiq(), "object_type", json!("reprot"), "report"),
        ("captivateiq", captivateiq(), "ip_address", json!("203.0.113"), "ip_address"),
    ] {
        let mut bad = record.clone();
        bad[key] = value;
        match import(&mut db, format, &[bad, record]).as_slice() {
            [(1, Err(error)), (2, Ok(_))] => assert!(error.contains(says), "{error}"),
            other => panic!("{format} {key}: {other:?}"),
        }
    }
}

#[test]
fn an_unknown_format_is_refused() {
    let mut db = Db::new();
    let failure = db.fails("SELECT * FROM audit_log.import(ARRAY['{}']::jsonb[], 'gme')");
    failure.is("22023", "invalid_input");
    assert!(failure.hint.contains("gem"), "{failure}");
    db.fails("SELECT * FROM audit_log.import('{}', 'csv')").is("22023", "invalid_input");
    db.fails("SELECT * FROM audit_log.import('{}', NULL)").is("22023", "invalid_input");
    assert_eq!(import(&mut db, "entry", &[]), []);
    assert!(db.all("SELECT * FROM audit_log.import(NULL)").is_empty());
}

#[test]
fn a_thousand_records_each_once_and_in_order() {
    let mut db = Db::new();
    let at = |n: i32| format!("2025-03-01T10:{:02}:{:02}Z", n / 60, n % 60);
    let records: Vec<Value> = (0..1000)
        .map(|n| json!({"category": "job_created", "target": {"type": "job", "id": n}, "occurredAt": at(n)}))
        .collect();
    let results = import(&mut db, "entry", &records);
    assert!(results.iter().enumerate().all(|(i, (n, r))| *n == i as i32 + 1 && r.is_ok()));
    let order: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    assert_eq!(db.all("SELECT target_id FROM audit_log.entry ORDER BY occurred_at, id"), order);
}

#[test]
fn a_target_without_a_type_is_of_its_category_s() {
    let mut db = Db::new();
    let record = json!({"category": "job_updated", "target_id": "j1", "target_name": "Cook", "occurred_at": "2026-01-01T00:00:00Z"});
    let id = import_one(&mut db, "entry", &record);
    let told = told(&mut db, &id);
    assert_eq!(told["target_type"], "job");
    assert_eq!((&told["target_id"], &told["target_name"]), (&json!("j1"), &json!("Cook")));
    assert_eq!(
        db.one("SELECT count(*) FROM audit_log.list(target_ids => '{j1}', start_date => '2026-01-01Z')"),
        "1"
    );
}
