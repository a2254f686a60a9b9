//! list_json(): the listing API's shape, its errors as answers, and random listings checked against list().

use std::collections::BTreeSet;

use audit_log_tests::{json, one, run, unique, Db, Value};
use postgres::Client;

#[track_caller]
fn ask(client: &mut Client, request: &Value) -> Value {
    let sql = format!("SELECT audit_log.list_json('{}')", request.to_string().replace('\'', "''"));
    let answer = one(client, &sql);
    serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{request} gave {answer}: {e}"))
}

fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Checks an error answer's whole shape; `field` is "" where none need be named.
#[track_caller]
fn is_error(answer: &Value, status: u16, code: &str, field: &str) {
    assert_eq!(keys(answer), BTreeSet::from(["errorInfo", "status", "success"]), "{answer}");
    let info = &answer["errorInfo"];
    assert!(keys(info).is_subset(&BTreeSet::from(["code", "message", "field"])), "{answer}");
    assert_eq!((&answer["success"], &answer["status"]), (&json!(false), &json!(status)), "{answer}");
    assert_eq!(info["code"], code, "{answer}");
    assert!(info["message"].as_str().is_some_and(|m| !m.is_empty()), "{answer}");
    if !field.is_empty() {
        assert_eq!(info["field"], field, "{answer}");
    }
}

#[test]
fn an_entry_in_camel_case() {
    let mut db = Db::new();
    db.run(
        r#"SET application_name = 'shop'; SET TimeZone = 'Asia/Tokyo'; BEGIN;
        SET LOCAL audit_log.context = '{"organization": "acme",
          "actor": {"type": "support", "id": "9", "name": "Sue", "email": "sue@x"},
          "effective_actor": {"type": "user", "id": "8", "name": "Ann", "email": "ann@x"},
          "remote_addr": "203.0.113.45", "access_route": ["10.0.0.1", "::1"],
          "user_agent": "curl", "request_id": "r-1"}';
        SELECT audit_log.record('job_updated', '7', 'Cook', '[{"type": "team", "id": "t", "relation": "parent"}]',
          '{"n": 1.50}', '{"a": 1}', '{"a": 2}', '2025-03-01 02:00:00.5Z'); COMMIT"#,
    );
    let answer = ask(&mut db.client, &json!({"startDate": "2025-03-01"}));
    assert_eq!(keys(&answer), BTreeSet::from(["moreDataAvailable", "nextCursor", "results", "success"]));
    assert_eq!(answer["success"], true);
    let mut entry = answer["results"][0].clone();
    let row = db.json("SELECT to_jsonb(e) FROM audit_log.entry e");
    let map = entry.as_object_mut().expect("an entry");
    for (key, column) in [("id", "id"), ("position", "position"), ("transactionId", "transaction_id")] {
        assert_eq!(map.remove(key), Some(row[column].clone()), "{key}");
    }
    let recorded = map.remove("recordedAt").unwrap_or_default();
    assert_eq!(
        db.one(&format!(
            "SELECT recorded_at = '{}' FROM audit_log.entry",
            recorded.as_str().unwrap_or_default()
        )),
        "t"
    );
    assert_eq!(
        entry,
        json!({
            "occurredAt": "2025-03-01T02:00:00.500000Z", "organizationId": "acme", "category": "job_updated",
            "operation": null,
            "actor": {"type": "support", "id": "9", "name": "Sue", "email": "sue@x"},
            "effectiveActor": {"type": "user", "id": "8", "name": "Ann", "email": "ann@x"},
            "target": {"type": "job", "id": "7", "name": "Cook"},
            "targets": [{"type": "job", "id": "7", "name": "Cook", "relation": "primary"},
                        {"type": "team", "id": "t", "relation": "parent"}],
            "before": {"a": 1}, "after": {"a": 2}, "changes": {"a": [1, 2]},
            "metadata": serde_json::from_str::<Value>(r#"{"n": 1.50}"#).expect("JSON"),
            "remoteAddr": "203.0.113.45", "accessRoute": ["10.0.0.1", "::1"], "userAgent": "curl",
            "requestId": "r-1", "databaseUser": "postgres", "applicationName": "shop", "relation": null
        })
    );
    assert_eq!(row["metadata"].to_string(), r#"{"n":1.50}"#);
}

#[test]
fn the_four_codes_are_answers() {
    let mut db = Db::new();
    let role = unique("nobody");
    let mut nobody = db.session_as(&role);
    db.run("SELECT audit_log.disable_organization('gone')");
    let c = &mut db.client;
    is_error(&ask(c, &json!({"categories": ["job_udpated"]})), 400, "invalid_input", "categories");
    is_error(&ask(c, &json!({"targetTypes": ["jobb"]})), 400, "invalid_input", "targetTypes");
    is_error(&ask(c, &json!({"cursor": "nonsense"})), 400, "cursor_invalid", "");
    is_error(&ask(c, &json!({"cursor": ""})), 400, "cursor_invalid", "");
    is_error(&ask(c, &json!({"organization": "gone"})), 403, "audit_logs_not_enabled", "");
    is_error(&ask(&mut nobody, &json!({})), 403, "missing_endpoint_permission", "");
    let mut bound = db.session_as(&unique("bound"));
    let bound_role = one(&mut bound, "SELECT current_user");
    db.run(&format!("SELECT audit_log.grant_read('{bound_role}', 'acme')"));
    is_error(&ask(&mut bound, &json!({"organization": "default"})), 403, "missing_endpoint_permission", "");
    // The transaction goes on after an answer that is an error.
    run(&mut nobody, "BEGIN");
    is_error(&ask(&mut nobody, &json!({})), 403, "missing_endpoint_permission", "");
    assert_eq!(one(&mut nobody, "SELECT 1"), "1");
}

#[test]
fn unknown_keys_and_wrong_types_name_the_field() {
    let mut db = Db::new();
    for (request, field) in [
        (json!({"actorIDs": []}), "actorIDs"),
        (json!({"start_date": "2025-03-01"}), "start_date"),
        (json!({"": null}), ""),
        (json!({"cursor": 1}), "cursor"),
        (json!({"limit": "10"}), "limit"),
        (json!({"limit": 1.5}), "limit"),
        (json!({"limit": 0}), "limit"),
        (json!({"limit": -3}), "limit"),
        (json!({"limit": [1]}), "limit"),
        (json!({"startDate": 20250301}), "startDate"),
        (json!({"startDate": "yesterday"}), "startDate"),
        (json!({"startDate": ""}), "startDate"),
        (json!({"endDate": "2025-02-30"}), "endDate"),
        (json!({"endDate": "infinity"}), "endDate"),
        (json!({"endDate": {}}), "endDate"),
        (json!({"actorIds": "ann"}), "actorIds"),
        (json!({"actorIds": [null]}), "actorIds"),
        (json!({"targetIds": [7]}), "targetIds"),
        (json!({"targetIds": vec!["x"; 101]}), "targetIds"),
        (json!({"targetTypes": {"job": true}}), "targetTypes"),
        (json!({"categories": [["job_created"]]}), "categories"),
        (json!({"organization": 5}), "organization"),
    ] {
        let sent = request.to_string();
        let answer = ask(&mut db.client, &request);
        assert_eq!(answer["errorInfo"]["field"], field, "{sent}: {answer}");
        is_error(&answer, 400, "invalid_input", field);
    }
    for reversed in [
        json!({"startDate": "2025-03-02", "endDate": "2025-03-01"}),
        json!({"startDate": "2024-01-01", "endDate": "2025-07-01T00:00:00.000001Z"}),
    ] {
        is_error(&ask(&mut db.client, &reversed), 400, "invalid_input", "endDate");
    }
    let nothing = json!({"cursor": null, "limit": null, "startDate": null, "endDate": null, "actorIds": null,
        "targetIds": [], "targetTypes": [], "categories": null, "organization": null});
    assert_eq!(ask(&mut db.client, &nothing)["success"], true);
}

#[test]
fn dates_are_iso_8601_and_utc_without_an_offset() {
    let mut db = Db::new();
    db.run(
        "SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German';
         SELECT audit_log.record('job_created', t, occurred_at => t::timestamptz) FROM unnest(ARRAY[
           '2025-02-28 23:59:59.999999Z', '2025-03-01 00:00:00Z', '2025-03-01 01:59:59.999999Z', '2025-03-01 02:00:00Z']) t",
    );
    for (date, included) in [
        ("2025-03", 3),
        ("2025-03-01", 3),
        ("2025-03-01T00:00Z", 3),
        ("2025-03-01T00:00:00", 3),
        ("2025-03-01T02:00:00Z", 1),
        ("2025-03-01T02:00", 1),
        ("2025-03-01T02:00:00.000000", 1),
        ("2025-03-01T04:00:00+02:00", 1),
        ("2025-02-28T21:00:00.0-05:00", 1),
        ("2025-03-01T04:00+0200", 1),
        ("2025-03-01T02:00:00.000001Z", 0),
    ] {
        let answer = ask(&mut db.client, &json!({"startDate": date, "endDate": "2025-03-03"}));
        assert_eq!(answer["results"].as_array().map(Vec::len), Some(included), "{date}: {answer}");
    }
}

#[test]
fn null_and_odd_json_are_answered() {
    let mut db = Db::new();
    for odd in ["NULL", "'null'", "'[]'", "'7'", "'\"x\"'", "'true'", "'[{}]'", "'{\"a\": {}}'"] {
        is_error(&db.json(&format!("SELECT audit_log.list_json({odd})")), 400, "invalid_input", "");
    }
    let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
    for request in [
        r#"{"limit": 1e400}"#.to_string(),
        r#"{"limit": -1e400}"#.into(),
        r#"{"limit": 99999999999999999999}"#.into(),
        r#"{"startDate": "+262142-12-31T23:59:59Z"}"#.into(),
        r#"{"startDate": "-262143-01-01T00:00:00Z"}"#.into(),
        r#"{"endDate": "-262143-01-01T00:00:00Z"}"#.into(),
        r#"{"endDate": "294277-01-01"}"#.into(),
        r#"{"endDate": "-4713-01-01"}"#.into(),
        r#"{"startDate": "2016-12-31T23:59:60Z"}"#.into(),
        r#"{"$serde_json::private::Number": "7"}"#.into(),
        r#"{"limit": {"$serde_json::private::Number": "x"}}"#.into(),
        format!(r#"{{"actorIds": {deep}}}"#),
        deep,
    ] {
        let answer = db.json(&format!("SELECT audit_log.list_json('{request}')"));
        match answer["success"].as_bool() {
            Some(true) => assert_eq!(answer["results"], json!([]), "{answer}"),
            _ => is_error(&answer, 400, "invalid_input", ""),
        }
    }
    for whole in ["2", "2.0", "2e0", "100000"] {
        assert_eq!(
            db.json(&format!("SELECT audit_log.list_json('{{\"limit\": {whole}}}')"))["success"],
            true,
            "{whole}"
        );
    }
}

#[test]
fn an_entry_with_odd_json_does_not_break_the_listing() {
    let mut db = Db::new();
    db.run(
        r#"CREATE TABLE job (id int PRIMARY KEY, j jsonb); SELECT audit_log.watch('job');
        INSERT INTO job VALUES (1, (repeat('[', 500) || repeat(']', 500))::jsonb),
          (2, '{"$serde_json::private::Number": "7"}'), (3, '{"$serde_json::private::Number": "x"}')"#,
    );
    let listed = "SELECT r -> 'after' FROM jsonb_array_elements(audit_log.list_json('{\"targetTypes\": [\"job\"]}') -> 'results') r";
    // The newest comes first.
    let j = [
        r#"{"$serde_json::private::Number": "x"}"#.to_string(),
        r#"{"$serde_json::private::Number": "7"}"#.to_string(),
        "[".repeat(500) + &"]".repeat(500),
    ];
    let wanted: Vec<String> =
        j.iter().zip([3, 2, 1]).map(|(j, id)| format!(r#"{{"j": {j}, "id": {id}}}"#)).collect();
    assert_eq!(db.all(listed), wanted);
    assert_eq!(db.all("SELECT after FROM audit_log.list(target_types => ARRAY['job'])"), wanted);
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }

    fn one_of(&mut self, values: &[&'static str]) -> &'static str {
        values[self.below(values.len())]
    }

    /// Nothing, or up to three values.
    fn some_of(&mut self, values: &[&'static str]) -> Vec<&'static str> {
        (0..self.below(6).saturating_sub(2)).map(|_| self.one_of(values)).collect()
    }
}

/// Values of the four filters: actors, targets, target types, categories.
const VALUES: [&[&str]; 4] = [
    &["ann", "bob", "cy", "dee"],
    &["1", "2", "3", "4", "five"],
    &["job", "user", "offer"],
    &["job_created", "job_updated", "user.login", "offer_sent"],
];
const FILTERS: [&str; 4] = ["actorIds", "targetIds", "targetTypes", "categories"];

/// An event as the test knows it: hour and id, what the four filters look at, organization.
struct Event {
    key: (i64, String),
    what: [Vec<&'static str>; 4],
    organization: &'static str,
}

fn hour(h: i64) -> String {
    format!("2025-03-{:02}T{:02}:00:00Z", 10 + h.div_euclid(24), h.rem_euclid(24))
}

fn random_event(db: &mut Db, random: &mut Random) -> Event {
    let (at, organization) = (random.below(72) as i64, random.one_of(&["default", "acme"]));
    let mut what = VALUES.map(|values| vec![random.one_of(values)]);
    what[0].push(random.one_of(VALUES[0]));
    what[1].extend(random.some_of(VALUES[1]));
    let person = |id: &str| json!({"type": "user", "id": id});
    let kind = |i: usize| if i == 0 { what[2][0] } else { "team" };
    let targets: Value =
        what[1].iter().enumerate().map(|(i, id)| json!({"type": kind(i), "id": id})).collect();
    let context = json!({"actor": person(what[0][0]), "effective_actor": person(what[0][1])});
    let (category, at_text) = (what[3][0], hour(at));
    let id = db.all(&format!(
        "SET audit_log.context = '{context}'; SELECT audit_log.record('{category}', targets => '{targets}',
           occurred_at => '{at_text}', organization => '{organization}')"
    ));
    Event { key: (at, id[0].clone()), what, organization }
}

/// A request at random, and the ids that the contract says it lists, in order.
fn random_listing(random: &mut Random, events: &[Event]) -> (Value, Vec<String>) {
    let (a, b) = (random.below(72) as i64, random.below(72) as i64);
    let (mut request, start, end) = match random.below(4) {
        0 => (json!({"startDate": hour(a)}), a, a + 24),
        1 => (json!({"endDate": hour(a)}), a - 24, a),
        _ => (json!({"startDate": hour(a.min(b)), "endDate": hour(a.max(b) + 1)}), a.min(b), a.max(b) + 1),
    };
    let lists = VALUES.map(|values| random.some_of(values));
    for (name, list) in FILTERS.iter().zip(&lists) {
        request[name] = json!(list);
    }
    let organization = [None, None, Some("acme")][random.below(3)];
    request["organization"] = json!(organization);
    let hits = |e: &Event, i: usize| lists[i].iter().any(|v| e.what[i].contains(v));
    let passes = |e: &Event, i: usize| lists[i].is_empty() || hits(e, i);
    let no_kind = lists[2].is_empty() && lists[3].is_empty();
    let mut found: Vec<_> = events
        .iter()
        .filter(|e| e.key.0 >= start && e.key.0 < end && organization.is_none_or(|o| o == e.organization))
        .filter(|e| passes(e, 0) && passes(e, 1) && (no_kind || hits(e, 2) || hits(e, 3)))
        .map(|e| e.key.clone())
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    (request, found.into_iter().map(|(_, id)| id).collect())
}

/// list() called with a request's values: each row's id and next cursor.
fn list(db: &mut Db, request: &Value) -> Vec<String> {
    let array = |key| format!("(SELECT array_agg(x) FROM jsonb_array_elements_text(r -> '{key}') x)");
    let arrays = FILTERS.map(array).join(", ");
    db.all(&format!(
        "SELECT l.id || ' ' || coalesce(l.next_cursor, 'null') FROM (SELECT '{request}'::jsonb) AS q(r),
           audit_log.list(r ->> 'cursor', (r ->> 'limit')::integer, (r ->> 'startDate')::timestamptz,
                          (r ->> 'endDate')::timestamptz, {arrays}, r ->> 'organization') l"
    ))
}

#[test]
fn pages_of_any_size_give_every_event_once_in_order_as_rows_and_as_json() {
    let (mut db, mut random) = (Db::new(), Random(20250310));
    let events: Vec<Event> = (0..150).map(|_| random_event(&mut db, &mut random)).collect();
    for _ in 0..40 {
        let (mut request, expected) = random_listing(&mut random, &events);
        let mut seen = Vec::new();
        loop {
            request["limit"] = json!([1, 2, 3, 7, 50][random.below(5)]);
            let answer = ask(&mut db.client, &request);
            let next = answer["nextCursor"].as_str();
            assert_eq!(answer["moreDataAvailable"], next.is_some(), "{answer}");
            let ids = answer["results"]
                .as_array()
                .expect("results")
                .iter()
                .map(|e| e["id"].as_str().unwrap_or_default());
            let ids: Vec<String> = ids.map(str::to_string).collect();
            assert!(ids.len() as i64 <= request["limit"].as_i64().unwrap_or(0));
            let rows: Vec<String> = ids.iter().map(|id| format!("{id} {}", next.unwrap_or("null"))).collect();
            assert_eq!(list(&mut db, &request), rows, "{request}");
            seen.extend(ids);
            match next {
                Some(next) => request["cursor"] = json!(next),
                None => break,
            }
        }
        assert_eq!(seen, expected, "{request}");
    }
}

/// Arbitrary JSON.
fn any_json(random: &mut Random, depth: usize) -> Value {
    const TEXTS: [&str; 8] =
        ["", "job", "2025-03-01", "2025-03", "1e9", "☃ \u{1}'\\\"", "TAEA", "0000-00-00T"];
    match random.below(if depth == 0 { 8 } else { 10 }) {
        0 => Value::Null,
        1 => json!(random.below(2) == 0),
        2 => json!(random.below(300) as i64 - 100),
        3 => json!(random.below(1000) as f64 / 7.0 * 10f64.powi(random.below(40) as i32)),
        4..=7 => json!(random.one_of(&TEXTS)),
        8 => (0..random.below(4)).map(|_| any_json(random, depth - 1)).collect(),
        _ => json!({ random.one_of(&TEXTS): any_json(random, depth - 1) }),
    }
}

#[test]
fn arbitrary_json_never_raises() {
    let (mut db, mut random) = (Db::new(), Random(11));
    let mut answers = BTreeSet::new();
    db.run("SELECT audit_log.enable_organization('acme')");
    for _ in 0..100 {
        let (mut request, _) = random_listing(&mut random, &[]);
        let key = ["cursor", "limit", "startDate", "endDate", "actorIds", "categories", "x", "☃"];
        request[random.one_of(&key)] = any_json(&mut random, 3);
        if random.below(10) == 0 {
            request = any_json(&mut random, 3);
        }
        let answer = ask(&mut db.client, &request);
        match answer["success"].as_bool() {
            Some(true) => assert_eq!(answer["results"], json!([]), "{request}"),
            _ => is_error(&answer, 400, answer["errorInfo"]["code"].as_str().unwrap_or_default(), ""),
        }
        answers.insert(answer["errorInfo"]["code"].as_str().unwrap_or("none").to_string());
    }
    assert_eq!(answers.into_iter().collect::<Vec<_>>(), ["cursor_invalid", "invalid_input", "none"]);
}
