use std::net::IpAddr;

use proptest::prelude::*;
use serde_json::json;

use super::super::fixtures::*;
use super::super::format;
use super::*;

#[path = "ocsf_schema.rs"]
mod schema;

use schema::{DEFINITIONS, ENUMERATIONS};

/// What of an object does not conform to its definition.
fn faults(name: &str, value: &Value) -> Vec<String> {
    let Some(definition) = DEFINITIONS.iter().find(|d| d.name == name) else {
        return vec![format!("{name} is not written here")];
    };
    let Value::Object(object) = value else {
        return vec![format!("{name} is {value}")];
    };
    let attributes: Vec<(&str, &str)> =
        definition.attributes.split_whitespace().filter_map(|word| word.split_once(':')).collect();
    let mut faults = Vec::new();
    for (key, value) in object {
        match attributes.iter().find(|(attribute, _)| attribute == key) {
            None => faults.push(format!("{name} has no {key}")),
            Some((_, kind)) => faults.extend(mistyped(kind.trim_end_matches('!'), value)),
        }
    }
    for (attribute, _) in attributes.iter().filter(|(_, kind)| kind.ends_with('!')) {
        if !object.contains_key(*attribute) {
            faults.push(format!("{name} lacks {attribute}"));
        }
    }
    let mut one_of = definition.at_least_one.split_whitespace().peekable();
    if one_of.peek().is_some() && !one_of.any(|attribute| object.contains_key(attribute)) {
        faults.push(format!("{name} has none of {}", definition.at_least_one));
    }
    for (_, id, caption, members) in ENUMERATIONS.iter().filter(|(of, ..)| *of == name) {
        let (id, caption) = (&object[*id], &object[*caption]);
        let known = members.iter().any(|(member, expected)| id == member && caption == expected);
        if !(known || *id == 0 && caption == "Unknown" || *id == OTHER && caption != "Other") {
            faults.push(format!("{name}: {id} is not {caption}"));
        }
    }
    faults
}

fn mistyped(kind: &str, value: &Value) -> Vec<String> {
    if let Some(kind) = kind.strip_suffix("[]") {
        return match value {
            Value::Array(items) => items.iter().flat_map(|item| mistyped(kind, item)).collect(),
            _ => vec![format!("{value} is no list")],
        };
    }
    let well_typed = match kind {
        "text" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "json" => !value.is_null(),
        "object" => value.is_object(),
        "ip" => value.as_str().is_some_and(|text| text.parse::<IpAddr>().is_ok()),
        name => return faults(name, value),
    };
    if well_typed {
        return Vec::new();
    }
    vec![format!("{value} is no {kind}")]
}

/// The event, after a check against the schema.
fn conforming(entry: &Map<String, Value>, source: Option<&Value>) -> Value {
    let event = format(entry, source, "ocsf").unwrap();
    let class = if event["class_uid"] == 3004 { "entity_management" } else { "api_activity" };
    assert_eq!(faults(class, &event), Vec::<String>::new(), "{event:#}");
    assert_eq!(event["metadata"]["version"], schema::VERSION);
    assert_eq!(
        event["type_uid"].as_u64(),
        event["class_uid"].as_u64().zip(event["activity_id"].as_u64()).map(|(class, id)| class * 100 + id)
    );
    event
}

#[test]
fn a_changed_row_is_entity_management() {
    let event = conforming(&row_change(), None);
    assert_eq!((&event["class_uid"], &event["category_uid"]), (&json!(3004), &json!(3)));
    assert_eq!(event["type_name"], "Entity Management: Update");
    assert_eq!(event["time"], 1_795_255_200_123_i64);
    assert_eq!(event["message"], "job_updated: job 1 (Cook), by user 7 (Ann Samuelson)");
    assert_eq!(
        event["actor"],
        json!({"app_name": "ats", "user": {"uid": "7", "name": "Ann Samuelson", "email_addr": "ann@example.com",
                                           "type": "User", "type_id": 1}})
    );
    assert_eq!(event["entity"]["data"], row_change()["before"]);
    assert_eq!(event["entity_result"]["data"], row_change()["after"]);
    assert_eq!(event["entity"]["type"], "job");
    assert_eq!(event["src_endpoint"], json!({"ip": "203.0.113.45"}));
    assert_eq!(event["http_request"]["x_forwarded_for"], row_change()["access_route"]);
    assert_eq!(event["metadata"]["original_time"], row_change()["occurred_at"]);
    assert_eq!(event["unmapped"]["effective_actor"]["id"], "8");
    assert_eq!(event["unmapped"]["targets"], row_change()["targets"]);
    let mut entry = row_change();
    entry.insert("category".into(), json!("payment_failed"));
    assert_eq!(conforming(&entry, None)["status"], "Success", "the row did change");
}

#[test]
fn each_operation_has_its_activity() {
    let mut entry = row_change();
    for (operation, id, name) in
        [("insert", 1, "Create"), ("update", 3, "Update"), ("delete", 4, "Delete"), ("truncate", 4, "Delete")]
    {
        entry.insert("operation".into(), json!(operation));
        let event = conforming(&entry, None);
        assert_eq!(
            (&event["activity_id"], &event["activity_name"]),
            (&json!(id), &json!(name)),
            "{operation}"
        );
    }
    entry.extend(map(&json!({"target_id": null, "target_name": null, "before": null, "after": null})));
    let event = conforming(&entry, None);
    assert_eq!(event["entity"], json!({"name": "public.job", "type": "job", "type_id": 99}));
    assert_eq!(event.get("entity_result"), None);
}

#[test]
fn a_recorded_event_is_api_activity() {
    let event = conforming(&recorded_event(), None);
    assert_eq!((&event["class_uid"], &event["category_uid"]), (&json!(6003), &json!(6)));
    assert_eq!((&event["activity_id"], &event["activity_name"]), (&json!(99), &json!("user_login_failed")));
    assert_eq!(event["type_name"], "API Activity: Other");
    assert_eq!((&event["status_id"], &event["status"]), (&json!(2), &json!("Failure")));
    assert_eq!(event["actor"], json!({"user": {"name": "system", "type": "System", "type_id": 3}}));
    assert_eq!(event["api"], json!({"operation": "user_login_failed"}));
    assert_eq!(event["src_endpoint"], json!({"name": "unknown"}));
    assert_eq!(event["resources"], json!([{"type": "user", "role": "Target", "role_id": 1}]));

    let mut whole = row_change();
    whole.extend(map(&json!({"operation": null, "remote_addr": "10.0.0.0/8"})));
    let event = conforming(&whole, None);
    let api = json!({"operation": "job_updated", "service": {"name": "ats"}, "request": {"uid": "r-1"}});
    assert_eq!(event["api"], api);
    assert_eq!(event["resources"][1]["role"], "parent");
    assert_eq!(event["unmapped"]["after"], whole["after"]);
    assert_eq!(event["unmapped"]["remote_addr"], "10.0.0.0/8");
}

#[test]
fn a_category_s_last_word_is_its_activity() {
    for (category, id) in [
        ("job_created", 1),
        ("data_export", 2),
        ("JobStatusChanged", 3),
        ("job.updated", 3),
        ("session_deleted", 4),
        ("user.login", 99),
        ("", 99),
        ("ÄÖ", 99),
    ] {
        assert_eq!(activity_of_category(category).0, id, "{category}");
    }
}

#[test]
fn an_imported_entry_names_its_source() {
    let record = json!({"id": "e-1", "event_type": "user.login", "created_at": "2025-02-23T14:30:00Z"});
    let event = crate::import::parse("captivateiq", &record).unwrap();
    let event = conforming(&as_viewed(&event), Some(&json!({"format": "captivateiq", "record": record})));
    assert_eq!(event["metadata"]["original_event_uid"], "e-1");
    assert_eq!(event["metadata"]["source"], "captivateiq");
    assert_eq!(event["metadata"].get("correlation_uid"), None, "the import's transaction");
    assert_eq!(event["api"], json!({"operation": "user.login"}), "not the importing session's name");
    let raw: Value = serde_json::from_str(event["raw_data"].as_str().unwrap()).unwrap();
    assert_eq!(raw, record);
}

/// What a column of the view can be, at random.
fn some_entry() -> BoxedStrategy<Map<String, Value>> {
    let addresses = some_address().prop_filter("a host", |a| a != "2001:DB8:0::1");
    let text = || maybe(".{0,6}".prop_map(Value::from)).prop_map(|v| v.unwrap_or_default());
    let kind = || {
        let kinds = "user|candidate|system|api_key|automation|support|robot|group|job";
        maybe(kinds.prop_map(Value::from)).prop_map(|v| v.unwrap_or_default())
    };
    let operation = maybe("insert|update|delete|truncate".prop_map(Value::from));
    (
        prop_oneof![Just(row_change()), Just(recorded_event())],
        (kind(), text(), text(), text(), kind(), text(), text(), text(), text()),
        (operation, maybe(addresses), maybe(any_json()), maybe(any_json()), maybe(any_json())),
    )
        .prop_map(|(mut entry, texts, (operation, address, before, after, metadata))| {
            let (kind, id, name, email, target, target_id, target_name, agent, request) = texts;
            let json = |value: Option<Value>| value.unwrap_or_default();
            entry.extend(map(&json!({
                "actor_type": kind, "actor_id": id, "actor_name": name, "actor_email": email,
                "target_type": target, "target_id": target_id, "target_name": target_name,
                "user_agent": agent, "request_id": request, "operation": json(operation),
                "remote_addr": json(address), "before": json(before), "after": json(after),
                "metadata": json(metadata)
            })));
            entry
        })
        .boxed()
}

proptest! {
    #[test]
    fn any_entry_conforms_to_the_schema(entry in some_entry(), source in any_source()) {
        conforming(&entry, source.as_ref());
    }
}
