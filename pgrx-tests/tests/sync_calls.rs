//! What sync() and sync_json() take, refuse and show.

use audit_log_tests::{json, query, run, Db, Value};
use postgres::Client;

use crate::sync_reading::{record, start, start_at, sync_json, watched, Reader};

fn sync(cursor: &str) -> String {
    format!("SELECT * FROM audit_log.sync('{cursor}')")
}

/// The code and field of a request's refusal.
#[track_caller]
fn refused(client: &mut Client, request: &Value) -> String {
    let rows = query(client, "SELECT audit_log.sync_json($1)", &[request]);
    let answer: Value = rows[0].get(0);
    assert_eq!(answer["success"], false, "{request} gave {answer}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    format!(
        "{} {} {}",
        answer["status"],
        text(&answer["errorInfo"]["code"]),
        text(&answer["errorInfo"]["field"])
    )
}

/// Cursors of all shapes: new ones, of a page's middle and end, with transactions in progress.
fn cursors(db: &mut Db) -> Vec<String> {
    let (mut open, mut other) = (db.session(), db.session());
    let from_now = start(&mut db.client);
    run(&mut open, "BEGIN; SELECT audit_log.record('job_created', 'open')");
    record(&mut db.client, &["1", "2", "3"]);
    run(&mut other, "BEGIN; SELECT audit_log.record('job_created', 'open, too')");
    let with_past = start_at(&mut db.client, "2020-01-01");
    let mut all_shapes = vec![from_now.clone(), with_past.clone()];
    for cursor in [from_now, with_past] {
        for limit in [1, 1000] {
            let mut reader = Reader::new(cursor.clone(), limit);
            reader.take(&mut db.client, usize::MAX);
            all_shapes.push(reader.cursor);
        }
    }
    run(&mut open, "ROLLBACK");
    run(&mut other, "ROLLBACK");
    all_shapes
}

#[test]
fn a_cursor_damaged_anywhere_is_refused() {
    let mut db = watched();
    for cursor in cursors(&mut db) {
        for at in 0..cursor.len() {
            for with in ["", "A", "b", "_", "=", "é", "AA"] {
                let mut damaged = cursor.clone();
                damaged.replace_range(at..=at, with);
                if damaged != cursor {
                    let failure = db.fails(&sync(&damaged));
                    failure.is("34000", "cursor_invalid");
                    assert!(failure.hint.contains("sync_start"), "{failure}");
                }
            }
            db.fails(&sync(&cursor[..at])).is("34000", "cursor_invalid");
        }
        for longer in [format!("{cursor}A"), format!(" {cursor}"), format!("{cursor}{cursor}")] {
            db.fails(&sync(&longer)).is("34000", "cursor_invalid");
            assert_eq!(refused(&mut db.client, &json!({"cursor": longer})), "400 cursor_invalid cursor");
        }
        db.run(&sync(&cursor));
    }
}

#[test]
fn what_is_no_cursor_is_refused() {
    let mut db = watched();
    record(&mut db.client, &["1", "2"]);
    db.fails("SELECT * FROM audit_log.sync(NULL)").is("34000", "cursor_invalid").says("sync_start");
    let of_list = db.one(r#"SELECT next_cursor FROM audit_log.list("limit" => 1)"#);
    let long = "U".repeat(1_000_000);
    for no_cursor in ["", "x", "0", "null", "{}", "''", "UwE", "\n", &of_list, &long] {
        let quoted = no_cursor.replace('\'', "''");
        db.fails(&sync(&quoted)).is("34000", "cursor_invalid").says("sync_start");
        assert_eq!(refused(&mut db.client, &json!({"cursor": no_cursor})), "400 cursor_invalid cursor");
    }
    let cursor = start(&mut db.client);
    db.fails(&format!("SELECT * FROM audit_log.list('{cursor}')")).is("34000", "cursor_invalid");
}

#[test]
fn other_arguments_that_are_refused() {
    let mut db = watched();
    let cursor = start_at(&mut db.client, "2020-01-01");
    for limit in ["0", "-1", "-2147483648"] {
        let failure = db.fails(&format!("SELECT * FROM audit_log.sync('{cursor}', {limit})"));
        failure.is("22023", "invalid_input").says("limit");
        let request = json!({"cursor": cursor, "limit": limit.parse::<i64>().expect("a number")});
        assert_eq!(refused(&mut db.client, &request), "400 invalid_input limit");
    }
    for limit in ["NULL", "1", "10000", "10001", "2147483647"] {
        db.run(&format!("SELECT * FROM audit_log.sync('{cursor}', {limit})"));
    }
    for instant in ["infinity", "-infinity"] {
        let failure = db.fails(&format!("SELECT audit_log.sync_start('{instant}')"));
        failure.is("22023", "invalid_input").says("backfill_start_time");
    }
    for (request, refusal) in [
        (json!({"limit": "5"}), "400 invalid_input limit"),
        (json!({"limit": 1.5}), "400 invalid_input limit"),
        (json!({"cursor": 7}), "400 invalid_input cursor"),
        (json!({"cursor": cursor, "backfillStartTime": "2020-01-01"}), "400 invalid_input backfillStartTime"),
        (json!({"backfillStartTime": "soon"}), "400 invalid_input backfillStartTime"),
        (json!({"nextCursor": cursor}), "400 invalid_input nextCursor"),
        (json!({"organization": ["acme"]}), "400 invalid_input organization"),
        (json!([]), "400 invalid_input request"),
        (json!(null), "400 invalid_input request"),
    ] {
        assert_eq!(refused(&mut db.client, &request), refusal, "{request}");
    }
    assert_eq!(db.json("SELECT audit_log.sync_json(NULL)")["success"], false);
}

#[test]
fn the_organization_belongs_to_the_cursor() {
    let mut db = watched();
    db.run("SELECT audit_log.enable_organization('globex'); INSERT INTO job VALUES (1, 'acme'), (2, 'globex'), (3, 'acme')");
    let begin = start_at(&mut db.client, "2020-01-01");
    for (organization, others) in [
        ("'acme'", ["'globex'", "NULL"]),
        ("'globex'", ["'acme'", "NULL"]),
        ("NULL", ["'acme'", "'default'"]),
    ] {
        for limit in [1, 1000] {
            let call = |cursor: &str, organization: &str| {
                format!("SELECT cursor FROM audit_log.sync('{cursor}', {limit}, {organization})")
            };
            let cursor = db.all(&call(&begin, organization)).pop().expect("an entry");
            for other in others {
                db.fails(&call(&cursor, other)).is("34000", "cursor_invalid").says("organization");
                let other = if other == "NULL" { Value::Null } else { json!(other.trim_matches('\'')) };
                let refusal = refused(&mut db.client, &json!({"cursor": cursor, "organization": other}));
                assert_eq!(refusal, "400 cursor_invalid cursor");
            }
            db.run(&call(&cursor, organization));
        }
    }
    // Also of a page that was empty: there is a cursor with it.
    let empty = sync_json(&mut db.client, &json!({"organization": "acme"}));
    assert_eq!(empty["results"], json!([]));
    let other = json!({"cursor": empty["nextCursor"], "organization": "globex"});
    assert_eq!(refused(&mut db.client, &other), "400 cursor_invalid cursor");
}

#[test]
fn rows_and_results_are_as_in_entry_and_list_json() {
    let mut db = watched();
    db.run(
        r#"SELECT audit_log.set_context('{"actor": {"type": "support", "id": "9"}, "effective_actor": {"type": "user", "id": "8"},
             "request_id": "r", "access_route": ["10.0.0.1"], "metadata": {"why": 1.50}}', false);
           INSERT INTO job VALUES (1, 'acme'); UPDATE job SET n = 5; DELETE FROM job; TRUNCATE job;
           SELECT audit_log.record('user.login', targets => '[{"type": "report", "id": 1}, {"type": "team"}]');
           SELECT audit_log.import(ARRAY['{"category": "job_closed", "occurredAt": "2021-02-03T04:05:06.000007Z"}']::jsonb[])"#,
    );
    let cursor = start_at(&mut db.client, "2020-01-01");
    let entries = db.all("SELECT to_jsonb(e) FROM audit_log.entry e ORDER BY position");
    assert!(entries.len() > 7);
    let rows = format!("SELECT to_jsonb(s) - 'cursor' FROM audit_log.sync('{cursor}') s");
    assert_eq!(db.all(&rows), entries);
    let answer = sync_json(&mut db.client, &json!({"backfillStartTime": "2020-01-01"}));
    assert_eq!(answer["results"].as_array().map(Vec::len), Some(entries.len()));
    for (result, entry) in answer["results"].as_array().expect("results").iter().zip(&entries) {
        assert_eq!(result["position"], serde_json::from_str::<Value>(entry).expect("JSON")["position"]);
    }
    // What is of today; the imported one is too old to be listed with it.
    let listed = db.json("SELECT audit_log.list_json('{\"limit\": 100}')");
    let by_id = |results: &Value| {
        let mut results = results.as_array().expect("results").clone();
        results.sort_by_key(|result| result["id"].to_string());
        results
    };
    let (of_list, mut of_sync) = (by_id(&listed["results"]), by_id(&answer["results"]));
    of_sync.retain(|result| result["category"] != "job_closed");
    assert_eq!(of_list, of_sync);
    assert_eq!(of_list.len() + 1, entries.len());
    let keys: Vec<&String> = answer.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["moreDataAvailable", "nextCursor", "results", "success"]);
}

#[test]
fn a_cursor_with_every_page_of_json() {
    let mut db = watched();
    let mut answer = sync_json(&mut db.client, &json!({}));
    assert_eq!((&answer["results"], &answer["moreDataAvailable"]), (&json!([]), &json!(false)));
    record(&mut db.client, &["1", "2", "3", "4", "5"]);
    let mut pages = Vec::new();
    for _ in 0..6 {
        answer = sync_json(&mut db.client, &json!({"cursor": answer["nextCursor"], "limit": 2}));
        let results = answer["results"].as_array().expect("results");
        let targets: String = results.iter().filter_map(|one| one["target"]["id"].as_str()).collect();
        pages.push((targets, answer["moreDataAvailable"] == true));
        if pages.len() == 4 {
            record(&mut db.client, &["6"]);
        }
    }
    let told: Vec<&str> = pages.iter().map(|(targets, _)| targets.as_str()).collect();
    assert_eq!(told, ["12", "34", "5", "", "6", ""]);
    assert!(pages[0].1 && pages[1].1 && !pages[3].1 && !pages[5].1, "{pages:?}");
}

#[test]
fn in_other_queries() {
    let mut db = watched();
    let cursor = start(&mut db.client);
    record(&mut db.client, &["1", "2", "3"]);
    let call = format!("audit_log.sync('{cursor}', 2)");
    for (sql, expected) in [
        (format!("SELECT target_id FROM {call} WHERE target_id > '1'"), "2"),
        (format!("SELECT string_agg(target_id, '') FROM {call}"), "12"),
        (format!("SELECT string_agg((s).target_id, '') FROM (SELECT {call} s) t"), "12"),
        (format!("SELECT string_agg(s.target_id, '' ORDER BY n, position) FROM generate_series(1, 2) n, LATERAL {call} s"), "1212"),
        (
            format!("SELECT string_agg(b.target_id, '') FROM {call} a, LATERAL audit_log.sync(a.cursor) b"),
            "233",
        ),
        (format!("SELECT count(*) FROM {call} a JOIN audit_log.entry e USING (id, position)"), "2"),
    ] {
        assert_eq!(db.one(&sql), expected, "{sql}");
    }
    // A page that is read in part is not less of a page.
    db.run(&format!("BEGIN; DECLARE page CURSOR FOR SELECT target_id FROM {call}"));
    let mut other = db.session();
    record(&mut other, &["4"]);
    assert_eq!(db.all("FETCH 1 FROM page"), ["1"]);
    assert_eq!(db.all("FETCH ALL FROM page"), ["2"]);
    db.run("COMMIT");
    run(&mut db.client, &format!("PREPARE page AS SELECT target_id FROM audit_log.sync('{cursor}')"));
    for expected in ["1234", "12345"] {
        assert_eq!(db.all("EXECUTE page").concat(), expected);
        record(&mut db.client, &["5"]);
    }
}
