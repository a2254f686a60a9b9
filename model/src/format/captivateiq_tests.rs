use proptest::prelude::*;
use serde_json::json;

use super::super::fixtures::*;
use super::super::format;

#[test]
fn a_record_comes_back_as_it_came() {
    let record = json!({
        "id": "0b6f3c1e-9d55-4a53-8a8e-3f0c6a2d7e11", "object": "audit_log", "organization_id": "org_77",
        "organization_name": "Northwind", "user_id": "u_5", "user_name": "Dana Fox",
        "user_email": "dana@example.com", "logged_in_user_id": "a_2", "logged_in_user_name": "Eli Admin",
        "logged_in_user_email": "eli@example.com", "ip_address": "198.51.100.9",
        "created_at": "2025-06-01T08:15:00Z", "event_type": "user.login", "version": 0,
        "object_id": "o_31", "object_name": "Quarterly", "object_type": "report", "parent_objects": []
    });
    let formatted = imported_and_formatted(&record, "captivateiq", "captivateiq");
    for (key, value) in map(&record) {
        assert_eq!(formatted[&key], value, "{key}");
    }
    assert_eq!(formatted, record, "no other keys");
}

#[test]
fn an_entry_of_the_database_says_who_acted_for_whom() {
    let flat = format(&row_change(), None, "captivateiq").unwrap();
    assert_eq!(flat["id"], row_change()["id"]);
    assert_eq!((&flat["logged_in_user_id"], &flat["user_id"]), (&json!("7"), &json!("8")));
    assert_eq!(flat["logged_in_user_email"], "ann@example.com");
    assert_eq!(flat["created_at"], "2026-11-21T10:00:00.123456Z");
    assert_eq!(flat["object_name"], "Cook");
    let parent = json!({"object_id": "3", "object_name": null, "object_type": "team"});
    assert_eq!(flat["parent_objects"], json!([parent]));
}

#[test]
fn its_parents_are_read_again() {
    let flat = format(&row_change(), None, "captivateiq").unwrap();
    let event = crate::import::parse("captivateiq", &flat).unwrap();
    assert_eq!(event.targets[1].kind, "team");
    assert_eq!(event.targets[1].id.as_deref(), Some("3"));
    assert_eq!(event.effective_actor.and_then(|e| e.name).as_deref(), Some("Bo Lind"));
}

fn some_record() -> BoxedStrategy<serde_json::Value> {
    let parent = object_of(vec![
        ("object_type", Just(Some(json!("team"))).boxed()),
        ("id", maybe(some_id())),
        ("object_name", maybe(some_id())),
        ("depth", maybe(any_json())),
    ]);
    object_of(vec![
        ("event_type", Just(Some(json!("user.login"))).boxed()),
        ("id", maybe(some_id())),
        ("object", maybe(Just(json!("audit_log")))),
        ("organization_id", maybe(some_id())),
        ("organization_name", maybe(some_id())),
        ("user_id", maybe(some_id())),
        ("user_name", maybe(some_id())),
        ("user_email", maybe(some_id())),
        ("logged_in_user_id", maybe(some_id())),
        ("logged_in_user_name", maybe(some_id())),
        ("logged_in_user_email", maybe(some_id())),
        ("ip_address", maybe(some_address())),
        ("created_at", maybe(some_instant())),
        ("version", maybe(any_json())),
        ("object_type", maybe(Just(json!("report")))),
        ("object_id", maybe(some_id())),
        ("object_name", maybe(some_id())),
        ("parent_objects", maybe(proptest::collection::vec(parent, 0..3).prop_map(|p| json!(p)))),
        ("else", maybe(any_json())),
    ])
}

proptest! {
    #[test]
    fn any_record_comes_back_as_it_came(record in some_record()) {
        prop_assert_eq!(imported_and_formatted(&record, "captivateiq", "captivateiq"), record);
    }
}
