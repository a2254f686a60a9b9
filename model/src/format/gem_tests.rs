use proptest::prelude::*;
use serde_json::json;

use super::super::fixtures::*;
use super::super::format;

#[test]
fn a_record_comes_back_as_it_came() {
    let record = json!({
        "action": "job_user_access_changed", "team_id": 204_811,
        "actor": {"type": "user", "id": 3301, "metadata": {"email": "cleo+test@example.com", "name": "Cleo Marsh"}},
        "targets": [
            {"type": "job_user_access", "id": 55_120,
             "metadata": {"job_id": 88_120, "user_id": 3302, "access_level_id": 12}},
            {"type": "job", "id": 88_120, "metadata": null},
            {"type": "user", "id": 3302, "metadata": null}
        ],
        "access_route": ["2001:DB8::7"], "remote_addr": "2001:DB8::7",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64)", "metadata": {"previous_access_level_id": 11}
    });
    let formatted = imported_and_formatted(&record, "gem", "gem");
    for (key, value) in map(&record) {
        assert_eq!(formatted[&key], value, "{key}");
    }
    assert_eq!(formatted, record, "no other keys");
}

#[test]
fn what_the_entry_says_otherwise_counts() {
    let record = json!({"action": "job_created", "team_id": 1, "actor": {"type": "user", "id": 7}});
    let event = crate::import::parse("gem", &record).unwrap();
    let mut entry = as_viewed(&event);
    entry.insert("organization_id".into(), json!("2"));
    let formatted = format(&entry, Some(&json!({"format": "gem", "record": record})), "gem").unwrap();
    assert_eq!(formatted["team_id"], json!("2"));
    assert_eq!(formatted["actor"], json!({"type": "user", "id": 7}));
}

#[test]
fn an_entry_of_the_database_has_names_in_metadata() {
    let gem = format(&row_change(), None, "gem").unwrap();
    assert_eq!(gem["timestamp"], "2026-11-21T10:00:00.123456Z");
    let bo = json!({"type": "user", "id": "8", "name": "Bo Lind", "email": null});
    let about = json!({"name": "Ann Samuelson", "email": "ann@example.com", "effective_actor": bo});
    assert_eq!(gem["actor"], json!({"type": "user", "id": "7", "metadata": about}));
    assert_eq!(
        gem["targets"],
        json!([{"type": "job", "id": "1", "metadata": {"name": "Cook"}},
               {"type": "team", "id": "3", "metadata": {"depth": 1}}])
    );
    assert_eq!(gem["before"], row_change()["before"]);
    let bare = format(&recorded_event(), None, "gem").unwrap();
    assert_eq!(bare["actor"], json!({"type": "system", "id": null, "metadata": null}));
    assert_eq!(bare["targets"], json!([{"type": "user", "id": null, "metadata": null}]));
    assert_eq!(bare["timestamp"], "2026-11-21T10:00:01Z");
}

prop_compose! {
    fn some_record()(
        optional in object_of(vec![
            ("team_id", maybe(some_id())),
            ("timestamp", maybe(some_instant())),
            ("remote_addr", maybe(some_address())),
            ("access_route", maybe(proptest::collection::vec(some_address(), 0..3).prop_map(|r| json!(r)))),
            ("user_agent", maybe(Just(json!("Mozilla")))),
            ("metadata", maybe(object_of(vec![("source", maybe(some_id())), ("k", maybe(any_json()))]))),
            ("before", maybe(any_json())),
            ("after", maybe(any_json())),
            ("id", maybe(some_id())),
            ("else", maybe(any_json())),
            ("targets", maybe(proptest::collection::vec(object_of(vec![
                ("type", Just(Some(json!("job"))).boxed()),
                ("id", maybe(some_id())),
                ("metadata", maybe(any_json())),
            ]), 0..3).prop_map(|t| json!(t)))),
        ]),
        actor in object_of(vec![
            ("type", Just(Some(json!("user"))).boxed()),
            ("id", maybe(some_id())),
            ("metadata", maybe(object_of(vec![
                ("name", maybe(some_id())), ("email", maybe(some_id())), ("role", maybe(any_json())),
            ]))),
        ]),
    ) -> serde_json::Value {
        let mut record = optional;
        record["action"] = json!("job_updated");
        record["actor"] = actor;
        record
    }
}

proptest! {
    #[test]
    fn any_record_comes_back_as_it_came(record in some_record()) {
        prop_assert_eq!(imported_and_formatted(&record, "gem", "gem"), record);
    }
}
