use proptest::prelude::*;
use serde_json::{json, Value};

use super::super::fixtures::*;
use super::super::format;
use super::FLAT;

/// A whole entry of another server, as its listing gives it.
fn listed() -> Value {
    json!({
        "id": "018f0000-0000-7000-8000-000000000001",
        "occurredAt": "2025-03-04T05:06:07.000100Z", "recordedAt": "2025-03-04T05:06:08.000000Z",
        "organizationId": "north", "category": "job_updated", "operation": "update",
        "actor": {"type": "user", "id": "7", "name": "Ann", "email": null},
        "effectiveActor": {"type": "user", "id": "8", "name": "Bo", "email": "bo@example.com"},
        "target": {"type": "job", "id": "1", "name": "Cook"},
        "targets": [{"type": "job", "id": "1", "name": "Cook", "relation": "primary"},
                    {"type": "team", "id": "3", "relation": "parent", "metadata": {"depth": 1}}],
        "before": {"status": "open"}, "after": {"status": "closed"},
        "changes": {"status": ["open", "closed"]}, "metadata": {"k": [1, 2.50]},
        "remoteAddr": "203.0.113.45", "accessRoute": ["203.0.113.45"], "userAgent": "curl",
        "requestId": "r-9", "databaseUser": "app", "applicationName": "ats", "relation": "public.job",
        "transactionId": "42", "position": "0007"
    })
}

#[test]
fn a_record_comes_back_as_it_came() {
    let formatted = imported_and_formatted(&listed(), "entry", "ashby");
    for (key, value) in map(&listed()) {
        assert_eq!(formatted[&key], value, "{key}");
    }
    assert_eq!(formatted, listed(), "no other keys");
}

#[test]
fn a_row_of_the_view_comes_back_in_camel_case() {
    let row = Value::Object(row_change());
    let formatted = imported_and_formatted(&row, "entry", "ashby");
    let mut expected = format(&row_change(), None, "ashby").unwrap();
    for instant in ["occurredAt", "recordedAt"] {
        // The record's form, which is the row's.
        expected[instant] = row["occurred_at"].clone();
    }
    assert_eq!(formatted, expected);
}

#[test]
fn what_a_short_record_lacks_is_the_entry_s() {
    let record = json!({"category": "job_created", "organization": 5, "target": {"type": "job", "id": 1}});
    let formatted = imported_and_formatted(&record, "entry", "ashby");
    assert_eq!(formatted["id"], "019aa5f0-6d42-7000-8000-0123456789ad");
    assert_eq!(formatted["organizationId"], 5);
    assert_eq!(formatted["target"], record["target"]);
    assert_eq!(formatted["targets"], json!([{"type": "job", "id": "1", "relation": "primary"}]));
    assert_eq!(formatted["actor"]["type"], "system");
    assert_eq!(map(&formatted).len(), 23);
}

#[test]
fn an_entry_of_the_database_is_as_it_is_listed() {
    let formatted = format(&row_change(), None, "ashby").unwrap();
    assert_eq!(formatted["occurredAt"], "2026-11-21T10:00:00.123456Z");
    assert_eq!(formatted["target"], json!({"type": "job", "id": "1", "name": "Cook"}));
    assert_eq!(formatted["effectiveActor"]["name"], "Bo Lind");
    let event = crate::import::parse("entry", &formatted).unwrap();
    let mut again = as_viewed(&event);
    // All that is said of the event itself, and not of its recording, survives.
    for column in
        ["id", "recorded_at", "database_user", "application_name", "relation", "transaction_id", "position"]
    {
        again.insert(column.into(), row_change()[column].clone());
    }
    assert_eq!(again, row_change());
    let odd = format(&map(&json!({"occurred_at": "infinity"})), None, "ashby").unwrap();
    assert_eq!(odd["occurredAt"], "infinity");
}

/// A record with any of the whole entry's keys, under either spelling.
fn some_record() -> BoxedStrategy<Value> {
    let keys: Vec<(String, Value)> = map(&listed()).into_iter().collect();
    let states = proptest::collection::vec(0..3_u8, keys.len());
    (states, any_json(), some_id(), some_instant(), some_address())
        .prop_map(move |(states, any, id, instant, address)| {
            let mut record = serde_json::Map::new();
            for ((key, value), state) in keys.iter().zip(states) {
                match state {
                    _ if key == "category" => record.insert(key.clone(), value.clone()),
                    0 => record.insert(key.clone(), value.clone()),
                    1 => record.insert(key.clone(), Value::Null),
                    _ => None,
                };
            }
            for (key, value) in
                [("id", &id), ("organizationId", &id), ("occurredAt", &instant), ("remoteAddr", &address)]
            {
                if record.contains_key(key) {
                    record.insert(key.into(), value.clone());
                }
            }
            record.insert("else".into(), any);
            Value::Object(record)
        })
        .boxed()
}

proptest! {
    #[test]
    fn any_record_comes_back_as_it_came(record in some_record()) {
        let formatted = map(&imported_and_formatted(&record, "entry", "ashby"));
        for (key, value) in map(&record) {
            prop_assert_eq!(&formatted[&key], &value, "{}", key);
        }
        prop_assert_eq!(formatted.len(), 24);
    }
}

#[test]
fn flat_columns_become_objects() {
    for (key, fields) in FLAT {
        assert!(fields.iter().all(|field| listed()[key].get(field).is_some()), "{key}");
    }
}
